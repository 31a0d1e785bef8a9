"""The version of the package, read by `pyproject.toml` and by `sact_tf.__version__`."""

__version__ = "0.2.0"
