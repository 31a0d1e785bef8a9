"""The weight decay of any model, for training loops of one's own."""

import keras
import tensorflow as tf


def weight_decay_loss(model: keras.layers.Layer) -> tf.Tensor:
    """Sum over all regularized weights of weight_decay * sum(w**2) / 2, a scalar.

    `fit` adds it by itself.
    """
    terms = [
        variable.regularizer(variable.value)
        for variable in model.trainable_variables
        if variable.regularizer is not None
    ]
    return keras.ops.sum(keras.ops.stack(terms)) if terms else keras.ops.zeros(())
