"""A checkpoint of the authors' TensorFlow-1 programs to a .keras file."""

import os
import pathlib
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from sact_tf import paths
from sact_tf.checkpoints.tf1 import LoadedCheckpoint, load_checkpoint
from sact_tf.errors import UserError
from sact_tf.files import atomic_path


def convert_checkpoint(
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    *,
    class_names: str | os.PathLike | None = None,
    use_moving_averages: bool = False,
    ponder_weight: float = 0.005,
) -> None:
    """Writes the `.keras` file and prints what was found and what was left over.

    Args:
        checkpoint: prefix of the checkpoint, or the directory it is in.
        output: the `.keras` file.
        class_names: text file, one name a line.
        use_moving_averages: whether to take the exponential moving averages of the weights.
        ponder_weight: tau for further training.

    Raises:
        UserError: an argument or the checkpoint is unusable, or the file cannot be written.
    """
    file = _checked_output(output)
    if not 0 <= ponder_weight < float("inf"):
        raise UserError(f"--ponder_weight={ponder_weight}: expected a number >= 0")
    loaded = load_checkpoint(
        checkpoint,
        use_moving_averages=use_moving_averages,
        class_names=_read_class_names(class_names),
        ponder_weight=ponder_weight,
    )
    with paths.writing("output", file), atomic_path(file) as temporary:
        loaded.model.save(temporary)
    print(_describe(loaded), flush=True)
    print(f"{'saved':<12}{file} ({file.stat().st_size / 2**20:.1f} MiB)", flush=True)


def _describe(loaded: LoadedCheckpoint) -> str:
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


def _checked_output(path: str | os.PathLike) -> pathlib.Path:
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


def _read_class_names(path: str | os.PathLike | None) -> list[str] | None:
    if path is None:
        return None
    try:
        text = pathlib.Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class_names={path}: cannot be read as text ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _count_parameters(weights: Iterable[keras.Variable]) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
