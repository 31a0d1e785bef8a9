"""A segmentation head on the features of an adaptive backbone.

    python -m examples.segmentation

The data are made here: scikit-learn's handwritten digits on noisy canvases; each pixel is
background or ink. The blocks' ponder loss is part of any model that is built on their features, so
`fit` learns the masks and where to save computation together.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

import sact_tf

SIZE = 48


def canvases(count, seed):
    """Images float32 [count, SIZE, SIZE, 3] and masks int32 [count, SIZE, SIZE], 1 for ink."""
    random, digits = np.random.default_rng(seed), load_digits()
    images = random.normal(0, 0.3, [count, SIZE, SIZE, 3]).astype("float32")
    masks = np.zeros([count, SIZE, SIZE], "int32")
    for image, mask in zip(images, masks, strict=True):
        ink = np.kron(random.choice(digits.images) / 16, np.ones([3, 3]))
        top, left = random.integers(0, SIZE - len(ink), 2)
        image[top : top + len(ink), left : left + len(ink)] += ink[..., None]
        mask[top : top + len(ink), left : left + len(ink)] = ink > 0.5
    return images, masks


def make_segmenter():
    backbone = sact_tf.models.ResNetBackbone.cifar(
        units_per_block=3, halting="sact", ponder_weight=0.003
    )
    features = keras.layers.Concatenate()(
        [
            keras.layers.UpSampling2D(backbone.strides[name], interpolation="bilinear")(feature)
            for name, feature in backbone.features.items()
        ]
    )
    logits = keras.layers.Conv2D(2, 1)(features)
    return backbone, keras.Model(backbone.input, logits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=640, help="training images")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    backbone, model = make_segmenter()
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(*canvases(args.images, seed=0), epochs=args.epochs, batch_size=32)

    images, masks = canvases(100, seed=1)
    found = model.predict(images, verbose=0).argmax(-1)
    union = np.sum(found | masks)
    print(f"IoU of the ink:         {np.sum(found & masks) / union:.1%}")
    flops = float(np.mean(backbone.ponder(images)["flops"]))
    print(f"FLOPs of the backbone:  {flops / backbone.plain_flops(SIZE, SIZE):.1%} of plain")


if __name__ == "__main__":
    main()
