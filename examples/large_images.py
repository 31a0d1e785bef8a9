"""A loop over the frames of a video, with milliseconds and a ponder map for each of them.

    make quickstart
    python -m examples.large_images --model=runs/quickstart/model.keras --output_dir=frames

The frames are made here: digits that move over a large canvas. With your own classifier put your
own frames in their place. `auto` runs a unit densely where most positions are active and on the
active ones alone where few are; the plain network of the same weights runs beside it.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

import sact_tf
from sact_tf.data.preprocessing import pixel_scaling_function
from sact_tf.models.plain_network import plain_network
from sact_tf.visualization.ponder_maps import overlay


def frames(count, height, width):
    """Yields uint8 [height, width, 3]: three digits that move over black."""
    random, digits = np.random.default_rng(0), load_digits().images
    size = 24
    places = random.uniform(0, [height - size, width - size], [3, 2])
    speeds = random.uniform(-6, 6, [3, 2])
    inks = [np.kron(digits[i] / 16 * 255, np.ones([3, 3])) for i in (0, 13, 7)]
    for _ in range(count):
        frame = np.zeros([height, width, 3], np.uint8)
        for ink, place in zip(inks, places, strict=True):
            top, left = place.astype(int)
            frame[top : top + size, left : left + size] = ink[..., None]
        yield frame
        places = np.clip(places + speeds, 0, [height - size, width - size])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a .keras file")
    parser.add_argument("--output_dir", type=pathlib.Path, help="folder for the pictures")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), help="height and width")
    args = parser.parse_args()
    if not pathlib.Path(args.model).is_file():
        parser.error(f"--model={args.model}: no such file")

    model = sact_tf.set_execution(keras.models.load_model(args.model), "auto")
    plain = plain_network(model)
    # Frames keep their size, which may be larger than that of training.
    scale_pixels = pixel_scaling_function(model.required_preprocessing())
    spec = [tf.TensorSpec([1, *args.size, 3], tf.float32)]
    ponder = tf.function(model.ponder, input_signature=spec)
    run_plain = tf.function(lambda images: plain(images, training=False), input_signature=spec)

    for function in (ponder, run_plain):  # Traces it.
        function(tf.zeros([1, *args.size, 3]))

    whole = model.plain_flops(*args.size)
    for number, frame in enumerate(frames(args.frames, *args.size)):
        image = scale_pixels(frame[None])
        start = time.perf_counter()
        outputs = ponder(image)
        ponder_map = outputs["ponder_cost_map"][0].numpy()
        middle = time.perf_counter()
        run_plain(image).numpy()
        end = time.perf_counter()
        print(
            f"frame {number}: {1e3 * (middle - start):.0f} ms, plain network "
            f"{1e3 * (end - middle):.0f} ms, {int(outputs['flops'][0]) / whole:.0%} of its FLOPs"
        )
        if args.output_dir:
            args.output_dir.mkdir(parents=True, exist_ok=True)
            picture = overlay(frame, ponder_map, (ponder_map.min(), ponder_map.max()))
            Image.fromarray(picture).save(args.output_dir / f"frame{number:03}.png")


if __name__ == "__main__":
    main()
