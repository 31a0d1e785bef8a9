import json
import math
import os
import pathlib

import pytest

from sact_tf import errors, files, paths


def test_atomic_path_replaces_the_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "model.keras"
    for content in (b"one", b"two"):
        with files.atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.suffix == ".keras"
            temporary.write_bytes(content)
        assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_atomic_path_keeps_the_old_file_when_the_body_fails(tmp_path):
    target = tmp_path / "model.keras"
    target.write_text("old")
    with pytest.raises(OSError, match="disk full"), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_wants_the_file_to_be_written(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "a.txt"):
        pass


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path):
    target = tmp_path / "a.txt"
    with files.atomic_path(target) as first, files.atomic_path(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"


def test_atomic_write_json_round_trips(tmp_path):
    value = {"accuracy": 0.9, "num_units": {"block1": [1, 2]}, "name": "é"}
    files.atomic_write_json(tmp_path / "metrics.json", value)
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("value", [{"loss": math.nan}, {"loss": object()}])
def test_atomic_write_json_refuses_what_json_cannot_say(tmp_path, value):
    with pytest.raises((TypeError, ValueError)):
        files.atomic_write_json(tmp_path / "metrics.json", value)
    assert list(tmp_path.iterdir()) == []


def test_find_input_prefers_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "sact_tf").mkdir()
    monkeypatch.chdir(tmp_path)
    assert paths.find_input("sact_tf") == tmp_path / "sact_tf"


def test_find_input_falls_back_to_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("BUILD_WORKSPACE_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    found = paths.find_input("sact_tf/paths.py")
    assert found.read_text() == pathlib.Path(paths.__file__).read_text()


def test_find_input_looks_into_bazels_workspace(tmp_path, monkeypatch):
    (tmp_path / "workspace" / "configs").mkdir(parents=True)
    (tmp_path / "workspace" / "configs" / "mine.yaml").touch()
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path / "workspace"))
    expected = tmp_path / "workspace" / "configs" / "mine.yaml"
    assert paths.find_input("configs/mine.yaml") == expected


def test_find_input_expands_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photo.png").touch()
    assert paths.find_input("~/photo.png") == tmp_path / "photo.png"


def test_find_input_names_the_path_and_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UserError) as caught:
        paths.find_input("configs/absent.yaml")
    assert str(caught.value).startswith("configs/absent.yaml: no such file")
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(errors.UserError, match="^/absent/model.keras: no such file or directory$"):
        paths.find_input("/absent/model.keras")


def test_enter_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "called_from").mkdir()
    monkeypatch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
    paths.enter_working_directory()
    assert os.getcwd() == str(tmp_path)
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path / "called_from"))
    paths.enter_working_directory()
    assert os.getcwd() == str(tmp_path / "called_from")


def test_atomic_directory_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "1"
    with files.atomic_directory(target) as temporary:
        (temporary / "a").write_text("a")
        assert not target.exists() and temporary.parent == target.parent
    assert [path.name for path in target.iterdir()] == ["a"]
    with pytest.raises(ValueError), files.atomic_directory(tmp_path / "new" / "2") as temporary:
        (temporary / "a").write_text("a")
        raise ValueError
    with pytest.raises(OSError), files.atomic_directory(target) as temporary:
        (temporary / "b").write_text("b")
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in target.parent.iterdir()] == ["1"]


def test_an_output_directory_may_be_missing_but_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.output_directory("output_dir", "~/new") == tmp_path / "new"
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="--output_dir: .*/file is a file, expected a dir"):
        paths.output_directory("output_dir", tmp_path / "file")


def test_writing_names_the_flag_and_the_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError) as caught, paths.writing("json", "out.json"):
        (tmp_path / "file" / "out.json").write_text("")
    assert str(caught.value) == "--json=out.json: cannot be written: Not a directory"
    with pytest.raises(KeyError), paths.writing("json", "out.json"):
        raise KeyError
