"""Pictures of what a network computed where: arrays in, figures and HTML out.

Nothing here knows models, data sets or training. Needs matplotlib and Pillow (extra `[train]`);
`import sact_tf` does not import it.
"""
