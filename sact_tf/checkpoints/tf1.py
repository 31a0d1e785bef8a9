"""Builds classifiers from the variables of the authors' TensorFlow-1 programs.

Reference: the variable names of github.com/mfigurnov/sact; arXiv:1612.02297.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sact_tf.checkpoints.labels import with_background
from sact_tf.checkpoints.tf1_architecture import Tf1Architecture, infer_architecture
from sact_tf.checkpoints.tf1_files import find_prefix, read_variables
from sact_tf.checkpoints.tf1_names import variable_map
from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier

_AVERAGE = "/ExponentialMovingAverage"


@dataclasses.dataclass(frozen=True)
class LoadedCheckpoint:
    """A converted checkpoint, and what there is to say about it.

    Attributes:
        model: the classifier.
        architecture: what was found out from the variables.
        prefix: the checkpoint that was read.
        used: names of the variables that the model's weights came from, in the model's order.
        left_over: names of the other variables by what they are: "optimizer slots",
            "moving averages", "raw weights" (where the averages were used) and "training state".
    """

    model: ImageClassifier
    architecture: Tf1Architecture
    prefix: str
    used: tuple[str, ...]
    left_over: dict[str, tuple[str, ...]]


def load_checkpoint(
    path: str | os.PathLike,
    use_moving_averages: bool = False,
    class_names: Sequence[str] | None = None,
    **backbone_options: Any,
) -> LoadedCheckpoint:
    """Reads a checkpoint of the authors' programs.

    Args:
        path: a checkpoint's prefix, or a directory with one.
        use_moving_averages: take the exponential moving averages instead of the weights of the
            last step. Moving statistics of batch normalization without an average stay as they are.
        class_names: one name per class, or one for each class but the background class 0.
        **backbone_options: arguments of `ResNetBackbone` that a checkpoint says nothing about
            (`ponder_weight`, `tile_size`, `execution`, `dtype`, ...).

    Returns:
        The model and a report.

    Raises:
        UserError: no such checkpoint, damaged, of another network, or incomplete; the message
            starts with the path.
    """
    prefix = find_prefix(path)
    variables = read_variables(prefix)
    try:
        architecture = infer_architecture(_shapes(variables))
        model, used = _build(
            architecture, variables, use_moving_averages, class_names, backbone_options
        )
        left_over = _classify(architecture, variables, used)
    except UserError as error:
        raise UserError(f"{prefix}: {error}") from error
    return LoadedCheckpoint(model, architecture, prefix, tuple(used), left_over)


def model_from_variables(
    variables: Mapping[str, np.ndarray],
    use_moving_averages: bool = False,
    class_names: Sequence[str] | None = None,
    **backbone_options: Any,
) -> ImageClassifier:
    """Builds the classifier that a set of the authors' variables belongs to.

    Args:
        variables: value of each variable by its name.
        use_moving_averages, class_names, **backbone_options: see `load_checkpoint`.

    Returns:
        The classifier with these weights.

    Raises:
        UserError: a variable is missing, has another shape, or is not known.
    """
    architecture = infer_architecture(_shapes(variables))
    model, used = _build(
        architecture, variables, use_moving_averages, class_names, backbone_options
    )
    _classify(architecture, variables, used)
    return model


def _build(architecture, variables, use_moving_averages, class_names, backbone_options):
    """Returns the model and the names of the variables it was set from."""
    if class_names is not None:
        class_names = with_background(class_names, architecture.num_classes)
    model = ImageClassifier(
        architecture.build_backbone(**backbone_options),
        architecture.num_classes,
        class_names=class_names,
        preprocessing=architecture.preprocessing,
    )
    weights = variable_map(model)
    sources = {name: name for name in weights}
    if use_moving_averages:
        if not any(name + _AVERAGE in variables for name in weights):
            raise UserError(f"no moving averages in this checkpoint (no variable *{_AVERAGE})")
        sources = {name: _averaged(name, variables) for name in weights}
    _check(weights, sources, variables)
    for name, weight in weights.items():
        weight.assign(np.asarray(variables[sources[name]], weight.dtype))
    return model, list(sources.values())


def _averaged(name, variables) -> str:
    average = name + _AVERAGE
    is_statistic = name.endswith(("/moving_mean", "/moving_variance"))
    return name if is_statistic and average not in variables else average


def _check(weights, sources, variables) -> None:
    missing = [source for source in sources.values() if source not in variables]
    if missing:
        raise UserError(f"incomplete checkpoint: {_listing(missing)} missing")
    for name, weight in weights.items():
        value = variables[sources[name]]
        if np.shape(value) != tuple(weight.shape):
            raise UserError(
                f"unexpected shape of {sources[name]}: expected {list(weight.shape)}, received "
                f"{list(np.shape(value))}"
            )
        if not np.issubdtype(np.asarray(value).dtype, np.floating):
            raise UserError(
                f"unexpected type of {sources[name]}: expected floating point numbers, received "
                f"{np.asarray(value).dtype}"
            )
        if not np.all(np.isfinite(value)):
            raise UserError(f"{sources[name]} holds NaN or infinite values")


def _classify(architecture, variables, used) -> dict[str, tuple[str, ...]]:
    """Sorts what the model did not use; raises UserError for what should have been used."""
    used = set(used)
    known = used | {name.removesuffix(_AVERAGE) for name in used}
    left_over: dict[str, list[str]] = {}
    unknown = []
    for name in sorted(set(variables) - used):
        if _AVERAGE in name:
            kind = "moving averages"
        elif name in known:
            kind = "raw weights"
        elif name.rpartition("/")[0] in known:
            kind = "optimizer slots"
        elif np.ndim(variables[name]) == 0 and not name.startswith(architecture.scope + "/"):
            kind = "training state"
        else:
            unknown.append(name)
            continue
        left_over.setdefault(kind, []).append(name)
    if unknown:
        raise UserError(
            f"{_listing(unknown)} not part of the network that the other variables make up "
            f"({architecture.title}, halting {architecture.halting})"
        )
    return {kind: tuple(names) for kind, names in left_over.items()}


def _shapes(variables) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(value) for name, value in variables.items()}


def _listing(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(names[:3])
    verb = "is" if len(names) == 1 else "are"
    return f"{shown} {verb}" if len(names) <= 3 else f"{shown} and {len(names) - 3} more are"
