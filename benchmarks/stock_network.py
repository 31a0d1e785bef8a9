"""A plain residual network of stock Keras layers, to time ours against."""

import keras
from keras import layers

from sact_tf.models import ImageClassifier


def stock_network(model: ImageClassifier, height: int, width: int) -> keras.Model:
    """The layers of a plain classifier, each by Keras' own class.

    Args:
        model: with `halting=None`.
        height, width: of the images.

    Returns:
        A functional model from images to logits, with as many parameters.
    """
    config = model.backbone.get_config()
    builder = _Builder(config["batch_norm_epsilon"], config["negative_slope"])
    basic = config["unit"] == "basic"
    inputs = keras.Input((height, width, 3))
    if config["stem"] == "cifar":
        maps = builder.convolution(inputs, config["stem_channels"], 3, use_bias=True)
    else:
        maps = builder.convolution(inputs, config["stem_channels"], 7, 2, use_bias=True)
        maps = layers.MaxPooling2D(3, 2, "same")(maps)
    for block, number in enumerate(config["units"]):
        filters = config["base_channels"] * 2**block
        for unit in range(number):
            stride = 2 if block > 0 and unit == 0 else 1
            add = builder.basic_unit if basic else builder.bottleneck_unit
            maps = add(maps, filters, stride)
    if basic:
        maps = builder.normalized(layers.GlobalAveragePooling2D()(maps))
    else:
        maps = layers.GlobalAveragePooling2D()(builder.normalized(maps))
    return keras.Model(inputs, layers.Dense(model.num_classes)(maps))


class _Builder:
    def __init__(self, epsilon, slope):
        self.epsilon = epsilon
        self.slope = slope

    def convolution(self, inputs, filters, size, stride=1, use_bias=False):
        return layers.Conv2D(filters, size, stride, "same", use_bias=use_bias)(inputs)

    def normalized(self, inputs):
        outputs = layers.BatchNormalization(epsilon=self.epsilon)(inputs)
        return layers.LeakyReLU(self.slope)(outputs) if self.slope else layers.ReLU()(outputs)

    def basic_unit(self, inputs, filters, stride):
        hidden = self.convolution(self.normalized(inputs), filters, 3, stride)
        hidden = self.convolution(self.normalized(hidden), filters, 3, use_bias=True)
        if stride > 1:
            inputs = layers.AveragePooling2D(stride, padding="same")(inputs)
        missing = (filters - inputs.shape[-1]) // 2
        if missing:
            inputs = keras.ops.pad(inputs, [[0, 0], [0, 0], [0, 0], [missing, missing]])
        return layers.Add()([inputs, hidden])

    def bottleneck_unit(self, inputs, filters, stride):
        hidden = self.normalized(inputs)
        if inputs.shape[-1] != 4 * filters:
            inputs = self.convolution(hidden, 4 * filters, 1, stride, use_bias=True)
        elif stride > 1:
            inputs = layers.MaxPooling2D(1, stride)(inputs)
        hidden = self.normalized(self.convolution(hidden, filters, 1))
        hidden = self.normalized(self.convolution(hidden, filters, 3, stride))
        return layers.Add()([inputs, self.convolution(hidden, 4 * filters, 1, use_bias=True)])
