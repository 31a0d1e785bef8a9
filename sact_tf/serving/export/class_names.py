"""Names of classes inside a SavedModel, read from a text file that is one of its assets."""

import os
import pathlib
from collections.abc import Sequence

import tensorflow as tf

from sact_tf.text import check_class_names, displayed


class ClassNames(tf.Module):
    """Looks up class names in a graph.

    Args:
        file: text file, one name a line, as `write_class_names` writes it. It is copied into the
            SavedModel's `assets`.
    """

    def __init__(self, file: str | os.PathLike):
        super().__init__(name="class_names")
        self.file = tf.saved_model.Asset(os.fspath(file))
        initializer = tf.lookup.TextFileInitializer(
            self.file.asset_path,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
        )
        self.table = tf.lookup.StaticHashTable(initializer, default_value="")

    def __call__(self, labels: tf.Tensor) -> tf.Tensor:
        """Names of labels (any shape); "" where there is no such class."""
        return self.table.lookup(tf.cast(labels, tf.int64))


def names_of_classes(class_names: Sequence[str] | None, num_classes: int) -> list[str]:
    """The names; without any, classes are called by their numbers."""
    if class_names is None:
        return [str(number) for number in range(num_classes)]
    return list(class_names)


def write_class_names(
    file: str | os.PathLike, class_names: Sequence[str] | None, num_classes: int
) -> None:
    """Writes the file.

    Raises:
        UserError: a name has a line break in it.
    """
    names = names_of_classes(class_names, num_classes)
    check_class_names(names)
    text = displayed("".join(name + "\n" for name in names))
    pathlib.Path(file).write_text(text, encoding="utf-8")
