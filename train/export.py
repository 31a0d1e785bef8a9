"""Exports a trained model as a SavedModel or as an ONNX file.

    python -m train.export --model=runs/quickstart --output_dir=export/digits/1
    python -m train.export --model=runs/quickstart --output=digits.onnx

A SavedModel is for TensorFlow Serving or `sact_tf.serving.rest`. The last part of --output_dir is
the version that is served. Images go in as JPEG, PNG, GIF, BMP or WebP files; the model's own
preprocessing is part of the export. It computes in the way that was fastest for one image when the
run ended, or as the model was set to. With --tune=new/, a folder of images like those to come, it
chooses among its ways by what they cost on this machine, for as many images at once as are given.

An ONNX file (extra `onnx`) takes float images [B, H, W, 3], values 0 ... 255, of any size; scaling
the values is part of it, resizing is not.

A compute budget comes with a model that was calibrated to it (`sact_tf.budget`).
"""

from absl import flags

from sact_tf.training.images.export import MOST_IMAGES, export_model
from train import program


def define_flags():
    flags.DEFINE_string(
        "model", None, "a .keras file, a run directory or a checkpoint", required=True
    )
    flags.DEFINE_string(
        "output_dir",
        None,
        "SavedModel: folder to make, its last part a version: export/digits/1",
    )
    flags.DEFINE_string("output", None, "ONNX: file to write, model.onnx; in place of --output_dir")
    flags.mark_flags_as_mutual_exclusive(["output_dir", "output"], required=True)
    flags.DEFINE_enum(
        "execution",
        None,
        ["masked", "tiled", "auto", "static"],
        "how blocks run; by default as the model was set to, or, where that is masked, what was "
        "fastest for one image at the end of the run, with --tune auto",
    )
    flags.DEFINE_string(
        "tune",
        None,
        f"images like those to come (a file, a pattern or a folder; {MOST_IMAGES} at most): "
        "measures here, in about a minute, what --execution=auto or tiled choose by",
    )
    flags.DEFINE_integer("top", 5, "classes to list for each image", lower_bound=1)
    flags.DEFINE_string(
        "preprocessing",
        None,
        'in place of the model\'s, as YAML: "{name: unit, image_size: 64}"',
    )
    flags.DEFINE_bool(
        "ponder_map", False, "ONNX: whether the file also tells what was spent, and where"
    )
    flags.DEFINE_bool(
        "fold_batch_norm", True, "fold batch normalizations into convolutions where that is exact"
    )


def main(_):
    args = flags.FLAGS
    export_model(
        args.model,
        args.output_dir,
        args.output,
        images=args.tune,
        ponder_map=args.ponder_map,
        preprocessing=args.preprocessing,
        execution=args.execution,
        top=args.top,
        fold_batch_norm=args.fold_batch_norm,
    )


if __name__ == "__main__":
    program.run(main, define_flags)
