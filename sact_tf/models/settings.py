"""Settings of the adaptive blocks inside any model."""

from typing import Any, TypeVar

import keras
import tensorflow as tf

from sact_tf.layers.adaptive_block import AdaptiveBlock
from sact_tf.models.per_block import per_block

LayerT = TypeVar("LayerT", bound=keras.layers.Layer)


def adaptive_blocks(model: keras.layers.Layer) -> list[AdaptiveBlock]:
    """All `AdaptiveBlock` layers inside a layer or model, each once, in the order of the network.

    A functional model holds its layers from its inputs on, any other layer those inside it in the
    order in which it got them.
    """
    found: list[AdaptiveBlock] = []
    seen: set[int] = set()

    def visit(layer):
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if isinstance(layer, AdaptiveBlock):
            found.append(layer)
        for inner in layer._layers:
            visit(inner)

    visit(model)
    return found


def set_execution(model: LayerT, execution: str) -> LayerT:
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

    Example:
        >>> import sact_tf
        >>> backbone = sact_tf.models.ResNetBackbone.cifar(units_per_block=2, halting="sact")
        >>> model = sact_tf.set_execution(backbone, "tiled")
        >>> [block.execution for block in model.blocks]
        ['tiled', 'tiled', 'tiled']
    """
    for block in _blocks_of(model):
        block.execution = execution
    drop_compiled(model)
    return model


def set_costs(model: LayerT, costs: Any) -> LayerT:
    """Sets the costs by which "tiled" and "auto" choose the form of a unit.

    They are saved with the model. Functions that it had compiled are dropped, see `set_execution`.

    Args:
        model: a Keras model or layer that contains adaptive blocks.
        costs: see `AdaptiveBlock`; one for all blocks, or a list of one for each in the order of
            the network, as `sact_tf.tuning.tune` returns it. None takes the default ones again.

    Returns:
        The model.

    Raises:
        ValueError: these are no costs, or not of these blocks, or the model has no adaptive block.
    """
    _set_each("costs", model, costs)
    return model


def set_capacities(model: LayerT, capacities: Any) -> LayerT:
    """Sets how many positions may enter the units of a model's blocks at most.

    They are saved with the model. Functions that it had compiled are dropped, see `set_execution`.
    `sact_tf.budget.cap` chooses them by what a model decides on images.

    Args:
        model: a Keras model or layer that contains adaptive blocks with SACT.
        capacities: see `AdaptiveBlock`; one for all blocks, such as 0.5, or a list of one for each
            in the order of the network. None is no limit.

    Returns:
        The model.

    Raises:
        ValueError: these are no capacities, or not of these blocks, or the model has no adaptive
            block.

    Example:
        >>> import sact_tf
        >>> backbone = sact_tf.models.ResNetBackbone.cifar(units_per_block=3, halting="sact")
        >>> model = sact_tf.set_capacities(backbone, [None, 0.5, {"shares": 0.25, "per": "batch"}])
        >>> model.blocks[1].capacities
        Capacities(shares=(0.5, 0.5), per='image')
    """
    _set_each("capacities", model, capacities)
    return model


def set_ponder_weight(model: LayerT, ponder_weight: float | tf.Tensor) -> LayerT:
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


def drop_compiled(model: keras.layers.Layer) -> None:
    """Has `fit`, `evaluate` and `predict` of a model, and of those inside it, compile anew."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None


def _set_each(name, model, value):
    """Sets an attribute of all blocks, or of none where one of them refuses its value."""
    blocks = _blocks_of(model)
    chosen = per_block(name, value, len(blocks))
    before = [getattr(block, f"own_{name}") for block in blocks]
    try:
        for block, of_block in zip(blocks, chosen, strict=True):
            setattr(block, name, of_block)
    except ValueError:
        for block, of_block in zip(blocks, before, strict=True):
            setattr(block, name, of_block)
        raise
    drop_compiled(model)


def _blocks_of(model):
    blocks = adaptive_blocks(model)
    if not blocks:
        raise ValueError(f"Expected a model with adaptive blocks, {model.name!r} has none")
    return blocks
