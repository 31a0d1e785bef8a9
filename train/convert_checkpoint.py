"""Converts a checkpoint of the authors' TensorFlow-1 programs into a .keras file.

    python -m train.convert_checkpoint --checkpoint=imagenet_101_sact_5e-3 --output=sact.keras

Network, depth, width, halting and classes are found out from the variables. Every weight of the
model must be in the checkpoint and every variable of the checkpoint must be accounted for.
"""

import os
import pathlib

import numpy as np
from absl import flags

from sact_tf.checkpoints import LoadedCheckpoint, load_checkpoint
from sact_tf.errors import UserError
from sact_tf.files import atomic_path
from train import program

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "prefix of the checkpoint, or the directory it is in", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "the .keras file to write", required=True)
_CLASS_NAMES = flags.DEFINE_string(
    "class_names",
    None,
    "text file of class names, one a line; the background class (0) may be left out",
)
_MOVING_AVERAGES = flags.DEFINE_bool(
    "use_moving_averages",
    False,
    "take the exponential moving averages of the weights instead of the weights of the last step",
)
_PONDER_WEIGHT = flags.DEFINE_float(
    "ponder_weight",
    0.005,
    "tau for further training of the model (a checkpoint does not hold it)",
)


def main(_):
    output = _checked_output(_OUTPUT.value)
    if not 0 <= _PONDER_WEIGHT.value < float("inf"):
        raise UserError(f"--ponder_weight={_PONDER_WEIGHT.value}: expected a number >= 0")
    class_names = _read_class_names(_CLASS_NAMES.value)
    loaded = load_checkpoint(
        _CHECKPOINT.value,
        use_moving_averages=_MOVING_AVERAGES.value,
        class_names=class_names,
        ponder_weight=_PONDER_WEIGHT.value,
    )
    try:
        with atomic_path(output) as temporary:
            loaded.model.save(temporary)
    except OSError as error:
        raise UserError(f"--output={output}: cannot be written ({error})") from error
    print(describe(loaded), flush=True)
    print(f"{'saved':<12}{output} ({output.stat().st_size / 2**20:.1f} MiB)", flush=True)


def describe(loaded: LoadedCheckpoint) -> str:
    """What was found and what was left over, as lines for people."""
    model, architecture = loaded.model, loaded.architecture
    trainable = _count_parameters(model.trainable_weights)
    statistics = _count_parameters(model.non_trainable_weights)
    background = " (class 0: background)" if architecture.num_classes == 1001 else ""
    rows = [
        ("checkpoint", loaded.prefix),
        (
            "network",
            f"{architecture.title}; base channels {architecture.base_channels}, "
            f"root channels {architecture.stem_channels}",
        ),
        ("halting", architecture.halting or "none"),
        ("classes", f"{architecture.num_classes}{background}"),
        ("variables", f"{len(loaded.used)} used, all weights of the model set"),
        ("parameters", f"{trainable:,} trainable + {statistics:,} moving statistics"),
    ]
    if loaded.left_over:
        for kind, names in loaded.left_over.items():
            rows.append(("left over", f"{len(names)} {kind}: {_shortened(names)}"))
    else:
        rows.append(("left over", "nothing"))
    return "\n".join(f"{label:<12}{text}" for label, text in rows)


def _checked_output(path: str) -> pathlib.Path:
    """Fails before the work, not after it."""
    output = pathlib.Path(path).expanduser()
    if output.suffix != ".keras":
        raise UserError(f"--output={path}: expected a file name ending in .keras")
    if output.is_dir():
        raise UserError(f"--output={path}: is a directory")
    existing = next(parent for parent in output.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise UserError(f"--output={path}: {existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--output={path}: no permission to write into {existing}")
    return output


def _read_class_names(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        text = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class_names={path}: cannot be read as text ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _count_parameters(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def _shortened(names) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


if __name__ == "__main__":
    program.run(main)
