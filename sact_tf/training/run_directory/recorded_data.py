"""Whether a run still has the data that it was started with."""

import pathlib
from collections.abc import Iterator

import numpy as np

from sact_tf.data.identity import DataIdentity
from sact_tf.errors import UserError

_SHOWN = 5


def check_classes(before: DataIdentity, now: DataIdentity, run: pathlib.Path) -> None:
    """Compares the classes of a run's data with those that the data has now.

    Args:
        before: what the run has recorded.
        now: of the data as it is.
        run: directory of the run, for the message.

    Raises:
        UserError: they are others, or have other labels or category ids; says which.
    """
    if before.classes_digest == now.classes_digest:
        return
    ours, theirs = _by_label(before), _by_label(now)
    differing = [
        f"class {label}: {ours.get(label, 'none')} -> {theirs.get(label, 'none')}"
        for label in sorted(ours.keys() | theirs.keys())
        if ours.get(label) != theirs.get(label)
    ]
    more = f"; {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    raise UserError(
        f"the run in {run} was started on other classes, so that its labels would mean something "
        f"else now; {before.num_classes} classes there, {now.num_classes} now (there -> now): "
        f"{'; '.join(differing[:_SHOWN])}{more}. Give the same classes, or another --model_dir"
    )


def differences(before: DataIdentity, now: DataIdentity) -> Iterator[str]:
    """Yields what differs in the files of each split that both sides know, with numbers."""
    for split in sorted(before.files.keys() & now.files.keys()):
        ours, theirs = before.files[split], now.files[split]
        if before.files_digest(split) == now.files_digest(split):
            continue
        new, gone = np.setdiff1d(theirs, ours), np.setdiff1d(ours, theirs)
        yield f"{split}: {len(new)} files new, {len(gone)} gone ({len(ours)} -> {len(theirs)})"
    if {"train", "validation"} <= before.files.keys() & now.files.keys():
        moved = np.intersect1d(before.files["validation"], now.files["train"])
        moved = np.setdiff1d(moved, before.files["train"])
        if len(moved):
            yield f"{len(moved)} files that were held out are trained on now"


def _by_label(data: DataIdentity) -> dict[int, str]:
    """What stands for each class in a message."""
    names, ids = data.class_names, data.category_ids
    shown = {}
    for label in range(data.num_classes):
        name = repr(names[label]) if names else "no name"
        shown[label] = f"{name} (category {ids[label]})" if ids else name
    return shown
