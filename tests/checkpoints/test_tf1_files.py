"""Finding and reading checkpoint files on disk."""

import pathlib
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.checkpoints.tf1_files import find_prefix, read_variables
from sact_tf.errors import UserError
from tests.checkpoints.writing import write_checkpoint

VALUES = {
    "global_step": np.int64(7),
    "a/weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b/weights": np.full([5000], 0.5, np.float32),
}


@pytest.fixture
def checkpoint(tmp_path) -> pathlib.Path:
    """A directory with one checkpoint and a `checkpoint` file."""
    directory = tmp_path / "model"
    directory.mkdir()
    write_checkpoint(directory / "model.ckpt-7", VALUES)
    (directory / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-7"\n')
    return directory


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001", ".meta"])
def test_a_prefix_or_one_of_its_files(checkpoint, suffix):
    prefix = str(checkpoint / "model.ckpt-7")
    assert find_prefix(prefix + suffix) == prefix


def test_directory_with_several_checkpoints_takes_the_named_one(checkpoint):
    write_checkpoint(checkpoint / "model.ckpt-9", VALUES)
    assert find_prefix(checkpoint) == str(checkpoint / "model.ckpt-7")


def test_directory_that_was_moved(checkpoint):
    (checkpoint / "checkpoint").write_text('model_checkpoint_path: "/gone/run/model.ckpt-7"\n')
    assert find_prefix(checkpoint) == str(checkpoint / "model.ckpt-7")


@pytest.mark.parametrize("text", [None, b"", b"no such format {", b"\xff\xfe"])
def test_directory_whose_checkpoint_file_says_nothing(checkpoint, text):
    (checkpoint / "checkpoint").unlink()
    if text is not None:
        (checkpoint / "checkpoint").write_bytes(text)
    assert find_prefix(checkpoint) == str(checkpoint / "model.ckpt-7")
    write_checkpoint(checkpoint / "model.ckpt-9", VALUES)
    with pytest.raises(UserError, match=r"several checkpoints.* model.ckpt-7, model.ckpt-9"):
        find_prefix(checkpoint)


def test_directory_that_names_what_is_not_there(checkpoint):
    (checkpoint / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-8"\n')
    with pytest.raises(UserError, match=r"names model.ckpt-8.* there is model.ckpt-7"):
        find_prefix(checkpoint)


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in this directory"):
        find_prefix(tmp_path)
    with pytest.raises(UserError, match="no such checkpoint"):
        find_prefix(tmp_path / "model.ckpt-1")


def test_an_archive_is_named_as_such(checkpoint, tmp_path):
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(checkpoint, "model")
    with pytest.raises(UserError, match="archive"):
        find_prefix(archive)


def test_values_come_back(checkpoint):
    values = read_variables(find_prefix(checkpoint))
    assert values.keys() == VALUES.keys()
    for name, value in VALUES.items():
        np.testing.assert_array_equal(values[name], value)


def test_the_single_file_format_of_early_tensorflow(tmp_path):
    path = str(tmp_path / "model.ckpt")
    tf.raw_ops.Save(
        filename=path, tensor_names=["a/weights"], data=[tf.constant(VALUES["a/weights"])]
    )
    values = read_variables(find_prefix(path))
    np.testing.assert_array_equal(values["a/weights"], VALUES["a/weights"])


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.98])
def test_truncated_files(checkpoint, suffix, keep):
    path = checkpoint / ("model.ckpt-7" + suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(UserError, match="model.ckpt-7: cannot be read as a checkpoint") as caught:
        read_variables(find_prefix(checkpoint))
    assert "\n" not in str(caught.value)


def test_damaged_data(checkpoint):
    path = checkpoint / "model.ckpt-7.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="Checksum"):
        read_variables(find_prefix(checkpoint))


def test_missing_data(checkpoint):
    (checkpoint / "model.ckpt-7.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_variables(find_prefix(checkpoint))


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a checkpoint\n" * 100)
    with pytest.raises(UserError, match="notes.txt: cannot be read as a checkpoint"):
        read_variables(find_prefix(path))


def test_an_index_of_another_kind(checkpoint):
    shutil.copy(__file__, checkpoint / "model.ckpt-7.index")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        read_variables(find_prefix(checkpoint))
