"""Moving all halting scores of a network at once, by the biases that it already has."""

import contextlib
from collections.abc import Iterator

import keras

from sact_tf.models.settings import LayerT, adaptive_blocks


def halting_biases(model: keras.layers.Layer) -> list[keras.Variable]:
    """The bias variables that the halting logits are made with, in the order of the units.

    Args:
        model: a Keras model or layer.

    Returns:
        List of variables of shape [1], one for each unit but the last of each block.

    Raises:
        ValueError: the model has no halting scores.
    """
    biases = []
    for block in adaptive_blocks(model):
        for score in block.halting_scores:
            # SACT's global branch has no bias of its own.
            convolution = score.global_conv if score.kind == "act" else score.local_conv
            biases.append(convolution.bias)
    if not biases:
        raise ValueError(
            f"{model.name!r} has no halting scores to shift; expected a model with halting='act' "
            "or 'sact' and more than one unit in some block"
        )
    return biases


def shift_halting_logits(model: LayerT, shift: float) -> LayerT:
    """Adds one number to every halting logit, in place.

    Up: positions halt earlier and the network spends less. The number goes into the biases of the
    halting scores, so every saved form of the model carries it.

    Args:
        model: a Keras model or layer with adaptive blocks.
        shift: float.

    Returns:
        The model.
    """
    for bias in halting_biases(model):
        bias.assign_add([shift])
    return model


@contextlib.contextmanager
def halting_logits_shifted(model: LayerT, shift: float) -> Iterator[LayerT]:
    """`shift_halting_logits` for the time of a `with` body."""
    biases = halting_biases(model)
    before = [bias.numpy() for bias in biases]
    try:
        yield shift_halting_logits(model, shift)
    finally:
        for bias, value in zip(biases, before, strict=True):
            bias.assign(value)
