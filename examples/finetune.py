"""Fine-tunes a pretrained network on a folder of photos to a FLOPs budget, and exports it.

    python -m examples.finetune --images=photos --output_dir=export/photos/1

`photos/` has a folder per class. Everything is in plain sight here, in Keras' own words;
`python -m train.finetune` does the same with checkpoints, a report and a better recipe.
"""

import argparse
import pathlib
import sys

import keras

import sact_tf
from sact_tf.data import ImageFolder
from sact_tf.errors import UserError
from sact_tf.serving.export import export


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, help="folder with one folder per class")
    parser.add_argument("--output_dir", required=True, help="its last part is a version: photos/1")
    parser.add_argument(
        "--weights", default="ResNet50V2", help="name in keras.applications, or a file of weights"
    )
    parser.add_argument("--flops_budget", type=float, default=0.6)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="per epoch; default: each image once")
    args = parser.parse_args()
    if pathlib.Path(args.output_dir).exists():  # Not after the training.
        parser.error(f"--output_dir={args.output_dir}: exists")

    data = ImageFolder(
        args.images, preprocessing={"name": "imagenet", "image_size": args.image_size}
    )
    model = sact_tf.models.from_keras_application(
        args.weights,
        halting="sact",
        num_classes=data.num_classes,
        class_names=data.class_names,
        preprocessing=data.preprocessing,
    )
    model.compile(
        keras.optimizers.SGD(0.005, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    held_out = data.evaluation(args.batch_size)
    batches = data.train(args.batch_size, seed=0)
    measured = next(iter(batches))["image"]
    model.fit(
        batches,
        epochs=args.epochs,
        shuffle=False,  # the batches come in an order of their own
        steps_per_epoch=args.steps or -(-data.num_examples("train") // args.batch_size),
        validation_data=held_out.map(lambda batch: (batch["image"], batch["label"])),
        callbacks=[sact_tf.budget.FlopsBudget(args.flops_budget, images=measured)],
    )

    share = sact_tf.budget.FlopsShare(model)(measured)
    print(f"FLOPs: {share:.1%} of the plain network's")
    export(model, args.output_dir, execution="auto")
    print(f"exported: {args.output_dir}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
