"""The background class of the published ImageNet models, and what it does to labels."""

from collections.abc import Sequence

from sact_tf.errors import UserError

BACKGROUND = "background"


def label_offset(num_classes: int, dataset_classes: int) -> int:
    """What to add to a data set's labels so that they name this model's classes.

    The authors' ImageNet models have 1001 classes: class 0 is background, the 1000 classes of
    ImageNet follow. The labels of TensorFlow Datasets and of an image folder start at the first
    real class, so without the offset such a model scores near zero.

    Args:
        num_classes: number of the model's logits.
        dataset_classes: number of classes of the data set, whose labels start at 0.

    Returns:
        0 if the numbers agree, 1 if the model has one class (the background) more.

    Raises:
        UserError: any other difference.
    """
    offset = num_classes - dataset_classes
    if offset not in (0, 1):
        raise UserError(
            f"a model of {num_classes} classes does not fit a data set of {dataset_classes}: "
            f"expected {dataset_classes}, or {dataset_classes + 1} with a background class first"
        )
    return offset


def with_background(class_names: Sequence[str], num_classes: int) -> list[str]:
    """One name for each class of a model, the background class put first where it is missing.

    Args:
        class_names: names of the model's classes, or of all but the background class.
        num_classes: number of the model's logits.

    Returns:
        `num_classes` names.

    Raises:
        UserError: the numbers do not fit.
    """
    names = list(class_names)
    if len(names) == num_classes - 1:
        return [BACKGROUND, *names]
    if len(names) != num_classes:
        raise UserError(
            f"expected {num_classes} class names, or {num_classes - 1} without the background "
            f"class, received {len(names)}"
        )
    return names
