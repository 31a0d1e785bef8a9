"""Networks compiled for inference: each execution, and the plain network beside them."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sact_tf.models.plain_network import plain_network
from sact_tf.models.settings import set_execution

PLAIN = "plain"
# "static" is for compilers, and the same as "masked" without capacities.
_EXECUTIONS = ("masked", "tiled", "auto")


class CompiledNetwork:
    """A model's answers as one traced graph, in the execution that the model has now.

    Args:
        model: an `AdaptiveModel`. Its later executions change nothing here.
        batches: some of the batches it will be called with, [B, H, W, C] each; an axis on which
            they differ is left free.
    """

    def __init__(self, model: keras.Model, batches: Iterable[np.ndarray | tf.Tensor]):
        self.model = model  # The graph alone would not keep the variables.

        @tf.function(autograph=False)
        def answers(images):
            outputs = model.forward(images, training=False)
            return {name: outputs[name] for name in model.answers}

        axes = zip(*(batch.shape for batch in batches), strict=True)
        shape = [sizes[0] if len(set(sizes)) == 1 else None for sizes in axes]
        self._function = answers.get_concrete_function(tf.TensorSpec(shape, tf.float32))

    def __call__(self, images: tf.Tensor) -> dict[str, Any]:
        """The model's `answers` as NumPy arrays: nothing is left to do when it returns."""
        return {name: value.numpy() for name, value in self._function(images).items()}


def compile_executions(
    model: keras.Model,
    batches: Sequence[np.ndarray | tf.Tensor],
    executions: Iterable[str] = _EXECUTIONS,
) -> dict[str, CompiledNetwork]:
    """The plain network of a model's weights, and the model in each execution.

    Args:
        model: an `ImageClassifier` or a `FasterRCNN`, which stays as it is.
        batches: see `CompiledNetwork`.
        executions: names that `AdaptiveBlock` takes.

    Returns:
        Dict by name: `plain`, and the executions; without halting `plain` alone.
    """
    networks = {PLAIN: CompiledNetwork(plain_network(model), batches)}
    if model.halting_kind is None:
        return networks
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    for execution in executions:
        networks[execution] = CompiledNetwork(set_execution(copy, execution), batches)
    return networks
