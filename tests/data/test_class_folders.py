"""What is an image in folders of classes, what is passed over, and splits that overlap."""

import logging
import os
import shutil

import pytest

from sact_tf.data import ImageFolder
from sact_tf.data.classification_data import IndexedClassificationData
from sact_tf.data.listing.image_listing import ImageListing
from sact_tf.errors import UserError
from tests.data.picture_files import write_classes, write_picture

_CLASSES = ("ant", "cat")
_PROGRAMS_OWN = (".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", "#recycle")


@pytest.fixture
def folder(tmp_path):
    return write_classes(tmp_path / "train", _CLASSES)


@pytest.fixture
def held_out(tmp_path):
    folder = tmp_path / "held out"
    for number, name in enumerate(_CLASSES):
        write_picture(folder / name / "x.png", seed=900 + number)
    return folder


def names(folder):
    """The images of a folder, relative to it."""
    return [os.path.relpath(path, folder) for path in ImageListing({"": folder}).images[""]]


@pytest.fixture
def warnings(caplog):
    """Makes an `ImageFolder` and returns the lines of its warnings."""

    def made(*args, **options):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            ImageFolder(*args, check_files=False, **options)
        return [record.getMessage() for record in caplog.records]

    return made


class TestListing:
    @pytest.mark.parametrize("hidden", _PROGRAMS_OWN)
    def test_folders_of_programs_are_not_looked_into(self, folder, hidden):
        before = names(folder)
        shutil.copytree(folder / "cat", folder / "cat" / hidden / "deeper")
        (folder / "ant" / hidden).symlink_to(folder / "cat" / hidden)
        assert names(folder) == before
        assert ImageListing({"": folder}).passed_over() == [f"2 hidden folders ({hidden}: 2)"]

    def test_links_in_circles_list_every_image_once(self, folder):
        before = names(folder)
        (folder / "cat" / "itself").symlink_to(folder / "cat")
        (folder / "ant" / "up").symlink_to(folder)
        assert names(folder) == before
        assert ImageListing({"": folder}).passed_over() == ["2 links to what is listed already"]

    def test_a_linked_folder_is_looked_into(self, folder, tmp_path):
        write_picture(tmp_path / "elsewhere" / "deeper" / "y.png")
        (folder / "cat" / "more").symlink_to(tmp_path / "elsewhere")
        assert "cat/more/deeper/y.png" in names(folder)

    def test_a_file_with_two_names_is_listed_under_that_which_is_no_link(self, folder):
        (folder / "ant" / "0 first.png").symlink_to(folder / "cat" / "0.png")
        listing = ImageListing({"ant": folder / "ant", "cat": folder / "cat"})
        assert len(listing.images["ant"]) == len(listing.images["cat"]) == 6
        assert listing.passed_over() == ["1 link to what is listed already"]

    def test_a_linked_class_is_a_class(self, folder, tmp_path):
        write_picture(tmp_path / "owls" / "1.png")
        (folder / "a link").symlink_to(tmp_path / "owls")
        data = ImageFolder(folder, validation_fraction=0.5)
        assert data.class_names == ["a link", "ant", "cat"]

    def test_two_names_of_one_class_are_refused(self, folder):
        (folder / "a kitty").symlink_to(folder / "cat")
        with pytest.raises(UserError, match="a kitty: the class has no images.*links"):
            ImageFolder(folder)


@pytest.mark.parametrize("name", ["two\nlines", "last\n", "a\u2028b"])
def test_a_class_of_two_lines_is_refused_before_anything_is_read(folder, name):
    (folder / "cat").rename(folder / name)
    with pytest.raises(UserError) as raised:
        ImageFolder(folder)
    assert f"{str(folder / name)!r}: expected the name of a class's folder to be one line" == str(
        raised.value
    )


def test_no_data_set_takes_a_name_of_two_lines():
    methods = {name: None for name in IndexedClassificationData.__abstractmethods__}
    kind = type("Named", (IndexedClassificationData,), methods)
    assert kind(2, ["a", "b c"], {"name": "unit"}, False).class_names == ["a", "b c"]
    with pytest.raises(UserError, match=r"class names of one line each, received 'b\\nc'"):
        kind(2, ["a", "b\nc"], {"name": "unit"}, False)


class TestWarnings:
    def test_nothing_strange_nothing_said(self, folder, held_out, warnings):
        assert warnings(folder, held_out) == []

    def test_what_is_passed_over_is_one_line(self, folder, held_out, warnings):
        for name in ("a.txt", "b.txt", "c.heic", "none"):
            (folder / "ant" / name).touch()
        (folder / "cat" / ".thumbnails").mkdir()
        write_picture(folder / "beside.png")
        assert warnings(folder, held_out) == [
            f"{folder}: passed over: 1 image beside the folders of the classes; 4 files of other "
            "kinds (.txt: 2, .heic: 1, none: 1); 1 hidden folder (.thumbnails: 1)"
        ]

    def test_a_dangling_class_link_is_named(self, folder, held_out, warnings):
        (folder / "owl").symlink_to(folder / "gone")
        (line,) = warnings(folder, held_out)
        assert line == f"{folder}: links that lead nowhere, hence no classes: owl"

    def test_classes_named_like_splits(self, tmp_path, warnings):
        write_classes(tmp_path / "all" / "Train", _CLASSES)
        write_classes(tmp_path / "all" / "val", _CLASSES)
        lines = warnings(tmp_path / "all", validation_fraction=0.5)
        assert "Train, val taken for a class each" in lines[0]

    @pytest.mark.parametrize("is_there", [True, False])
    def test_an_empty_held_out_class_is_a_missing_one(self, folder, held_out, warnings, is_there):
        shutil.rmtree(held_out / "cat")
        if is_there:
            (held_out / "cat").mkdir()
            (held_out / "a class that is empty and nowhere else").mkdir()
        (line,) = warnings(folder, held_out)
        assert line.startswith("1 of 2 classes have no held-out images") and line.endswith(": cat")

    def test_no_held_out_image_at_all(self, folder, held_out):
        for path in held_out.rglob("*.png"):
            path.unlink()
        with pytest.raises(UserError, match="held out: there are no images"):
            ImageFolder(folder, held_out)

    def test_the_same_content_on_both_sides(self, folder, held_out, warnings):
        shutil.copy(folder / "cat" / "3.png", held_out / "cat" / "copy.png")
        (line,) = warnings(folder, held_out)
        assert line.startswith("1 of 3 held-out images have the same content as training images")
        assert line.endswith(f"{held_out / 'cat' / 'copy.png'} is {folder / 'cat' / '3.png'}")

    def test_twins_in_one_folder(self, folder, warnings):
        for path in list(folder.rglob("*.png")):
            for number in range(9):
                shutil.copy(path, path.with_stem(f"{path.stem} copy {number}"))
        (line,) = warnings(folder, validation_fraction=0.3)
        assert "held-out images have the same content as training images" in line


class TestOverlap:
    def test_the_same_folder(self, folder, tmp_path):
        (tmp_path / "link").symlink_to(folder)
        for validation_dir in (folder, tmp_path / "link", f"{folder}/../train"):
            with pytest.raises(UserError, match="validation_dir=.* is train_dir"):
                ImageFolder(folder, validation_dir)

    def test_a_folder_inside_the_other(self, folder):
        write_classes(folder / "val", _CLASSES)
        with pytest.raises(UserError, match="validation_dir=.*val lies inside train_dir=.*train,"):
            ImageFolder(folder, folder / "val")
        with pytest.raises(UserError, match="train_dir=.*val lies inside validation_dir=.*train,"):
            ImageFolder(folder / "val", folder)

    def test_a_folder_whose_name_begins_alike_is_another(self, folder, held_out):
        held_out.rename(folder.with_name("train 2"))
        assert ImageFolder(folder, folder.with_name("train 2")).num_examples("validation") == 2

    def test_links_to_training_images(self, folder, held_out):
        (held_out / "ant" / "linked.png").symlink_to(folder / "ant" / "0.png")
        with pytest.raises(UserError, match="1 of 3 images of validation_dir are images of train"):
            ImageFolder(folder, held_out)


def test_identity_does_not_know_the_place(folder, held_out, tmp_path):
    before = ImageFolder(folder, held_out).identity()
    copy = shutil.copytree(folder, tmp_path / "copy")
    moved = ImageFolder(copy, held_out).identity()
    assert moved.as_dict() == before.as_dict()
    (copy / "ant" / "0.png").rename(copy / "ant" / "other.png")
    renamed = ImageFolder(copy, held_out).identity()
    assert renamed.files_digest("train") != before.files_digest("train")
    assert renamed.files_digest("validation") == before.files_digest("validation")
    assert renamed.classes_digest == before.classes_digest
    (copy / "ant").rename(copy / "bee")
    shutil.move(held_out / "ant", held_out / "bee")
    assert ImageFolder(copy, held_out).identity().classes_digest != before.classes_digest
