"""The plain network inside an adaptive one."""

from typing import Any

import keras


def plain_network(model: keras.Model) -> keras.Model:
    """Copies a model without its halting: all units everywhere, with the same weights.

    Args:
        model: an `ImageClassifier`, a `ResNetBackbone` or a `FasterRCNN`, for inference.

    Returns:
        A model of the same class whose `halting_kind` is None.

    Raises:
        ValueError: some weights have no place in the plain network.
    """
    config: dict[str, Any] = model.get_config()
    backbone = config["backbone"]["config"] if "backbone" in config else config
    # What is frozen may be a halting score, and nothing of the copy is trained.
    backbone |= {"halting": None, "execution": "masked", "tile_size": 1, "frozen": []}
    backbone |= {"costs": None, "capacities": None}
    plain = type(model).from_config(config)
    uncovered = plain.warm_start(model)
    if uncovered:
        raise ValueError(f"Expected a plain network of the same units, not covered: {uncovered}")
    return plain
