"""A detection run small enough to be trained in seconds."""

import pathlib

TINY_DETECTOR = """
model:
  network: imagenet
  units: [2, 2, 1]
  base_channels: 4
  stem_channels: 4
  halting: sact
  ponder_weight: 0.01
  detector:
    anchor_sizes: [16, 32]
    aspect_ratios: [0.7]
    rpn_channels: 8
    num_proposals: 12
    sampled_anchors: 16
    sampled_regions: 8
    crop_size: 4
data:
  source: digit_scenes
  digit_scenes:
    data_dir: {data_dir}
    image_size: 64
    max_digits: 3
    max_size: 32
    num_distractors: 2
    num_train: 20
    num_validation: 7
train:
  batch_size: 4
  steps: 6
  learning_rate: {{schedule: cosine, initial: 0.02}}
  gradient_clip_norm: 5.0
  log_every: 2
  checkpoint_every: 3
evaluation:
  every: 3
  batch_size: 3
  pictures: 3
  time: false
runtime:
  deterministic: true
"""


def write_detector_config(directory: pathlib.Path, text: str = TINY_DETECTOR) -> pathlib.Path:
    """Writes a config file whose data set lies beside it."""
    path = directory / "tiny.yaml"
    path.write_text(text.format(data_dir=directory / "data"))
    return path
