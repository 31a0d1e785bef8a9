"""Settings of the adaptive blocks inside any model."""

import keras

from sact_tf.layers.adaptive_block import AdaptiveBlock


def adaptive_blocks(model):
    """All `AdaptiveBlock` layers inside a layer or model, each once, in the order of creation."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, AdaptiveBlock)]


def set_execution(model, execution):
    """Chooses how the adaptive blocks of any model are executed, also one that wraps a backbone.

    Functions that the model had compiled are dropped, so that `fit`, `evaluate` and `predict`
    follow. A `tf.function` of your own must be traced anew.

    Args:
        model: a Keras model or layer that contains adaptive blocks.
        execution: "masked" or another name that `AdaptiveBlock` takes.

    Returns:
        The model.

    Raises:
        ValueError: the name is unknown, or the model has no adaptive block.
    """
    for block in _blocks_of(model):
        block.execution = execution
    for layer in model._flatten_layers():
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None
    return model


def set_ponder_weight(model, ponder_weight):
    """Sets tau of all adaptive blocks of any model; compiled functions see it at once.

    Args:
        model: a Keras model or layer that contains adaptive blocks.
        ponder_weight: float >= 0, or a scalar tensor.

    Returns:
        The model.

    Raises:
        ValueError: the value is negative or not finite, or the model has no adaptive block.
    """
    for block in _blocks_of(model):
        block.ponder_weight = ponder_weight
    return model


def weight_decay_loss(model):
    """Sum over all regularized weights of weight_decay * sum(w**2) / 2, a scalar.

    `fit` adds it by itself, through `model.losses`; this is for training loops of one's own.
    """
    terms = [
        variable.regularizer(variable.value)
        for variable in model.trainable_variables
        if variable.regularizer is not None
    ]
    return keras.ops.sum(keras.ops.stack(terms)) if terms else keras.ops.zeros(())


def _blocks_of(model):
    blocks = adaptive_blocks(model)
    if not blocks:
        raise ValueError(f"Expected a model with adaptive blocks, {model.name!r} has none")
    return blocks
