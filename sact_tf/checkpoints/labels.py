"""The background class of the published ImageNet models."""

from collections.abc import Sequence

from sact_tf.errors import UserError

BACKGROUND = "background"


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
