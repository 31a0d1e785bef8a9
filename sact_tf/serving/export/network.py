"""What is exported of a model in any format: a folded copy, its kind, and what is said of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.models import set_execution
from sact_tf.serving.export.folding import folded_copy
from sact_tf.serving.export.kinds import ExportedKind, kind_of
from sact_tf.version import __version__


class ExportedNetwork(NamedTuple):
    """A network to be written.

    Attributes:
        kind: how the model answers; it has the model in memory.
        copy: what is written, for inference only.
        description: JSON-able dict of `kind`, `execution`, `preprocessing`, `input_size` ([height,
            width], null if free), `num_classes`, `folded_batch_norms` (how many) and `versions`.
    """

    kind: ExportedKind
    copy: keras.Model
    description: dict[str, Any]


def exported_network(
    model: keras.Model,
    execution: str | None,
    preprocessing: Mapping[str, Any] | None,
    top: int,
    fold_batch_norm: bool,
    dtype: str | None = None,
) -> ExportedNetwork:
    """Copies a model for an export.

    Args:
        model, execution, preprocessing, top, fold_batch_norm: see `export`.
        dtype: policy of the copy; None takes the model's.

    Raises:
        UserError: the model or an option doesn't fit.
    """
    if top < 1:
        raise UserError(f"Expected top to be positive, received {top}")
    kind = kind_of(model, preprocessing, top)
    copy, folded = folded_copy(model, fold_batch_norm, dtype)
    if execution is not None:
        try:
            set_execution(copy, execution)
        except ValueError as error:
            raise UserError(str(error)) from None
    description = {
        "kind": kind.name,
        "execution": copy.backbone.blocks[0].execution,
        "preprocessing": kind.preprocessing,
        "input_size": kind.input_size,
        "num_classes": model.num_classes,
        "folded_batch_norms": folded,
        "versions": {
            "sact_tf": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    return ExportedNetwork(kind, copy, description)
