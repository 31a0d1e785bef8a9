"""Classification data sets of TensorFlow Datasets."""

import collections
import dataclasses
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from sact_tf.data.checks import check_integer, check_split
from sact_tf.data.classification_data import IndexedClassificationData
from sact_tf.data.identity import DataIdentity, hashed
from sact_tf.data.record_files import RecordFiles
from sact_tf.errors import UserError
from sact_tf.images.decoding import decode_image

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


class TfdsClassification(IndexedClassificationData):
    """A prepared TFDS data set with the features "image" and "label".

    Examples are read by number from the prepared files (TFRecord or ArrayRecord, on a local disk):
    every epoch is a permutation of the whole split, and a run can start anywhere at no cost.

    Args:
        name: for instance "cifar10", "imagenet2012", "imagenette/320px-v2:1.0.0".
        data_dir: where prepared sets are; TFDS's default (~/tensorflow_datasets) if None.
        train_split: split to train on; sub-splits as "train[:90%]" are allowed.
        validation_split: held-out split, likewise; apart from `train_split`.
        preprocessing: see `sact_tf.data.preprocessing`.
        label_offset: added to every label, for instance 1 where class 0 is a background class.
        num_classes: classes of the network; those of the set plus `label_offset` if None.
        skip_corrupt: whether to count and skip images that cannot be read instead of stopping; see
            `IndexedData`.
        download: whether to download and prepare the set if it is not there.

    Raises:
        UserError: the set is not there, has no such split or features, the splits overlap, or a
            label is out of range.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike | None = None,
        train_split: str = "train",
        validation_split: str = "validation",
        preprocessing: Mapping[str, Any] | None = None,
        label_offset: int = 0,
        num_classes: int | None = None,
        skip_corrupt: bool = False,
        download: bool = False,
    ):
        check_integer("label_offset", label_offset, 0)
        if num_classes is not None:
            check_integer("num_classes", num_classes, 1)
        builder = load_builder(name, data_dir, download)
        own_classes, own_names = _check_features(name, builder.info.features)
        if num_classes is None:
            if own_classes is None:
                raise UserError(f"{name}: the data set does not know its classes; give num_classes")
            num_classes = own_classes + label_offset
        if own_classes is not None and own_classes + label_offset > num_classes:
            raise UserError(
                f"{name}: its {own_classes} classes and label_offset={label_offset} need "
                f"num_classes of at least {own_classes + label_offset}, received {num_classes}"
            )
        super().__init__(
            num_classes,
            _class_names(own_names, label_offset, num_classes),
            preprocessing or {"name": "imagenet", "image_size": 224},
            skip_corrupt,
        )
        self._name = name
        self._label_offset = label_offset
        self._records, self._files = open_splits(builder, train_split, validation_split)

    def num_examples(self, split: str) -> int:
        return len(self._records[check_split(split)])

    def identity(self) -> DataIdentity:
        """The classes, and the prepared files with their sizes."""
        return dataclasses.replace(super().identity(), files=self._files)

    def _read(self, split: str, index: int) -> tuple[np.ndarray, int]:
        from google.protobuf.message import DecodeError

        records = self._records[split]
        place = records.place(index)
        try:
            features = tf.train.Example.FromString(records.read(index)).features.feature
            data = features["image"].bytes_list.value[0]
            label = features["label"].int64_list.value[0]
        except (DecodeError, IndexError) as error:
            raise UserError(f"{place} is damaged: no image with a label") from error
        shifted = label + self._label_offset
        if label < 0 or shifted >= self.num_classes:
            raise UserError(
                f"{place}: label {label} with label_offset={self._label_offset} is not in "
                f"0 ... {self.num_classes - 1}"
            )
        # TFDS's own decoding knows no orientation, and published numbers were measured without.
        return decode_image(data, place, apply_orientation=False), shifted

    def _path(self, split: str, index: int) -> str:
        return self._records[split].place(index)


class _ArrayRecords:
    """The records of ArrayRecord files, with the methods of `RecordFiles`."""

    def __init__(self, instructions):
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        self._instructions = instructions
        self._source = ArrayRecordDataSource(instructions)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._source)

    def place(self, index: int) -> str:
        for instruction in self._instructions:
            if index < instruction.take:
                break
            index -= instruction.take
        return f"{instruction.filename}: record {index + instruction.skip}"

    def read(self, index: int) -> bytes:
        with self._lock:  # The source opens its files at the first read.
            return self._source[index]


def load_builder(
    name: str, data_dir: str | os.PathLike | None, download: bool
) -> "tfds.core.DatasetBuilder":
    """Finds a prepared set, or prepares it; see `TfdsClassification`.

    Raises:
        UserError: it is not there, or cannot be downloaded.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    data_dir = os.path.expanduser(data_dir) if data_dir is not None else None
    if download:
        try:
            tfds.builder(name, data_dir=data_dir).download_and_prepare()
        # Whatever goes wrong in a download (network, disk, licence) is for the user to read.
        except Exception as error:
            raise UserError(f"{name}: cannot be downloaded and prepared: {error}") from error
    try:
        # From the files alone: `tfds.builder` would ask the network about sets it does not find.
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        place = repr(os.fspath(data_dir)) if data_dir is not None else "TFDS's default data_dir"
        argument = f", data_dir={os.fspath(data_dir)!r}" if data_dir is not None else ""
        raise UserError(
            f"{name}: no prepared TFDS data set of that name in {place}. Prepare it with: "
            f"python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}'{argument})"
            '.download_and_prepare()"'
        ) from error


def _check_features(name: str, features) -> tuple[int | None, list[str] | None]:
    """Returns the number of classes and their names, None where the set does not know them."""
    import tensorflow_datasets as tfds

    keys = sorted(features.keys()) if isinstance(features, tfds.features.FeaturesDict) else []
    if not {"image", "label"} <= set(keys):
        raise UserError(f"{name}: expected the features 'image' and 'label', found {keys}")
    image, label = features["image"], features["label"]
    if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
        raise UserError(f"{name}: expected 'image' to be an 8-bit image feature, found {image}")
    if label.shape != () or not np.issubdtype(label.np_dtype, np.integer):
        raise UserError(f"{name}: expected 'label' to be one integer, found {label}")
    if not isinstance(label, tfds.features.ClassLabel) or label.num_classes is None:
        return None, None
    return label.num_classes, list(label.names)


def _class_names(names: list[str] | None, offset: int, num_classes: int) -> list[str] | None:
    """One name per class of the network; classes that the set does not have are numbered."""
    if names is None:
        return None
    before = ["background"] if offset == 1 else [f"background {i}" for i in range(offset)]
    after = [f"class {i}" for i in range(offset + len(names), num_classes)]
    return before + names + after


def open_splits(
    builder: "tfds.core.DatasetBuilder", train_split: str, validation_split: str
) -> tuple[dict[str, "RecordFiles | _ArrayRecords"], dict[str, np.ndarray]]:
    """Opens both splits of a prepared set.

    Returns:
        The records of `train` and `validation`, with the methods of `RecordFiles`; and the hashes
        of their files, see `DataIdentity`: of names, parts and sizes.

    Raises:
        UserError: there is no such split, the two overlap, or the files are not usable.
    """
    names = {"train": train_split, "validation": validation_split}
    parts = {split: _file_parts(builder, name) for split, name in names.items()}
    shared = _num_shared(parts["train"], parts["validation"])
    if shared:
        raise UserError(
            f"{builder.name}: {shared} of {sum(part.take for part in parts['validation'])} images "
            f"of validation_split={validation_split!r} are in train_split={train_split!r}, too; "
            "held-out images must not be trained on. Give splits apart, such as 'train[:90%]' and "
            "'train[90%:]'"
        )
    records = {split: _open_records(builder, files) for split, files in parts.items()}
    return records, {split: hashed(map(_told_apart, files)) for split, files in parts.items()}


def _file_parts(builder, split: str) -> list[Any]:
    """The parts of files that make up a split: `filename`, `skip`, `take`, `examples_in_shard`."""
    try:
        return builder.info.splits[split].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"{builder.name}: no split {split!r}; it has {', '.join(sorted(builder.info.splits))}, "
            "and sub-splits as 'train[:90%]'"
        ) from error


def _num_shared(train: list[Any], validation: list[Any]) -> int:
    """How many records of the held-out parts are in the training parts, too."""
    trained = collections.defaultdict(list)
    for part in train:
        trained[part.filename].append(part)
    shared = 0
    for part in validation:
        for other in trained[part.filename]:
            start, stop = max(part.skip, other.skip), part.skip + part.take
            shared += max(0, min(stop, other.skip + other.take) - start)
    return shared


def _open_records(builder, parts: list[Any]) -> "RecordFiles | _ArrayRecords":
    from tensorflow_datasets.core import file_adapters

    for part in parts:
        if not os.path.isfile(part.filename):
            raise UserError(f"{part.filename}: no such file on this machine's disks")
    file_format = builder.info.file_format
    if file_format == file_adapters.FileFormat.ARRAY_RECORD:
        return _ArrayRecords(parts)
    if file_format != file_adapters.FileFormat.TFRECORD:
        raise UserError(
            f"{builder.name}: prepared as {file_format.value}; tfrecord or array_record is needed"
        )
    return RecordFiles([(p.filename, p.skip, p.take, p.examples_in_shard) for p in parts])


def _told_apart(part) -> bytes:
    """What tells a part of a file from others."""
    size = os.path.getsize(part.filename)
    return repr((os.path.basename(part.filename), part.skip, part.take, size)).encode()
