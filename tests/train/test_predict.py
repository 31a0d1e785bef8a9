"""Classes and costs of image files, by the program and its parts."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from sact_tf.data.images import read_image
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.errors import UserError
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.images.files import ImageFiles, find_images
from sact_tf.training.images.predict import predict, predictions
from tests.training import running


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, [20, 30, 3], np.uint8)).save(folder / "a.jpg")
    Image.fromarray(rng.integers(0, 255, [16, 16], np.uint8)).save(folder / "b grey.png")
    (folder / "more").mkdir()
    Image.fromarray(rng.integers(0, 255, [9, 9, 4], np.uint8)).save(folder / "more" / "c.png")
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:200])
    (folder / ".hidden").write_text("no image")
    return folder


def test_predict_lists_classes_and_costs_and_skips_what_is_corrupt(finished_run, photos, tmp_path):
    out = tmp_path / "out.json"
    result = running.run(
        "predict", f"--model={finished_run}", f"--images={photos}", f"--json={out}", "--top=3"
    )
    assert result.returncode == 1
    assert f"skipped: {photos / 'broken.jpg'}" in result.stderr
    assert "1 of 4 files skipped" in result.stderr and "Traceback" not in result.stderr
    content = json.loads(out.read_text())
    assert [image["path"] for image in content["images"]] == [
        str(photos / name) for name in ("a.jpg", "b grey.png", "more/c.png")
    ]
    assert [skipped["path"] for skipped in content["skipped"]] == [str(photos / "broken.jpg")]

    model = load_classifier(finished_run)
    for image in content["images"]:
        pixels = evaluation_function(model.preprocessing)(read_image(image["path"]))
        outputs = model.ponder(pixels[None])
        chances = keras.ops.softmax(outputs["logits"][0]).numpy()
        assert image["flops"] == int(outputs["flops"][0])
        assert image["flops_ratio"] == image["flops"] / model.plain_flops(16, 16)
        assert image["num_units"]["block2"] == pytest.approx(
            outputs["block2"]["num_units"].numpy().mean()
        )
        assert [p["label"] for p in image["predictions"]] == list(np.argsort(-chances)[:3])
        for prediction in image["predictions"]:
            assert prediction["class"] == model.class_names[prediction["label"]]
            assert prediction["probability"] == pytest.approx(
                chances[prediction["label"]], rel=1e-4
            )
        first = next(line for line in result.stdout.splitlines() if image["path"][-12:] in line)
        assert f"{image['predictions'][0]['probability']:.1%}" in first
        assert f"{image['flops_ratio']:.1%}" in first
        assert f"{image['num_units']['block3']:.2f}" in first


def test_find_images_takes_a_file_a_pattern_or_a_folder(photos):
    def names(pattern):
        return [path.name for path in find_images(str(pattern))]

    assert names(photos / "a.jpg") == ["a.jpg"]
    assert names(photos / "*.jpg") == ["a.jpg", "broken.jpg"]
    assert names(photos / "**" / "*.png") == ["b grey.png", "c.png"]
    assert names(photos) == ["a.jpg", "b grey.png", "broken.jpg", "c.png"]
    with pytest.raises(UserError, match="nothing matches"):
        find_images(str(photos / "*.bmp"))


def test_an_existing_file_or_folder_is_no_pattern(tmp_path, monkeypatch):
    (tmp_path / "set [1]" / "in  it").mkdir(parents=True)
    for name in (
        "photo [1].png",
        "photo 1.png",
        "what?.png",
        "set [1]/a.png",
        "set [1]/in  it/b.png",
    ):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def found(pattern):
        return [str(path.relative_to(tmp_path) if path.is_absolute() else path)
                for path in find_images(pattern)]  # fmt: skip

    assert found("photo [1].png") == found("~/photo [1].png") == ["photo [1].png"]
    assert found(f"{tmp_path}/what?.png") == ["what?.png"]
    assert found("photo*.png") == ["photo 1.png", "photo [1].png"]
    assert found("photo [0-9].png") == ["photo 1.png"]
    assert found("set [1]/*.png") == ["set [1]/a.png"]
    assert found("set [1]/**/*.png") == ["set [1]/a.png", "set [1]/in  it/b.png"]
    with pytest.raises(UserError, match="--images: expected .* received an empty text"):
        find_images("")
    with pytest.raises(UserError, match="--tune=nowhere: no such file"):
        find_images("nowhere", "tune")


def test_a_folder_is_listed_as_for_training(photos, tmp_path, capsys):
    folder = shutil.copytree(photos, tmp_path / "photos")
    names = [path.name for path in find_images(str(folder))]
    assert capsys.readouterr().err == ""
    for hidden in ("@eaDir", ".thumbnails", "__MACOSX"):
        shutil.copytree(photos, folder / "more" / hidden)
    (folder / "more" / "round").symlink_to(folder)
    (folder / "notes.txt").touch()
    assert [path.name for path in find_images(str(folder))] == names
    assert capsys.readouterr().err == (
        f"passed over in {folder}: 1 file of other kinds (.txt: 1); 3 hidden folders "
        "(.thumbnails: 1, @eaDir: 1, __MACOSX: 1); 1 link to what is listed already\n"
    )
    # A pattern is taken at its word, but a file once, and not from folders nobody named.
    assert [path.name for path in find_images(str(folder / "**" / "*.jpg"))] == [
        "a.jpg", "broken.jpg",
    ]  # fmt: skip
    assert [path.name for path in find_images(str(folder / "*.txt"))] == ["notes.txt"]
    assert len(find_images(str(folder / "more" / "@eaDir" / "*.jpg"))) == 2
    with pytest.raises(UserError, match=r"no images in the folder.*1 file of other kinds"):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "x.txt").touch()
        find_images(str(tmp_path / "empty"))


def test_a_file_that_fails_is_skipped_and_not_tried_again(photos, capsys):
    def size(path):
        if path.suffix == ".png":
            raise UserError(f"{path.name} is bad")
        return path.stat().st_size

    files = ImageFiles(str(photos / "*.*"))
    assert [path.name for path, _ in files.for_each(size)] == ["a.jpg", "broken.jpg"]
    assert files.skipped == {str(photos / "b grey.png"): "b grey.png is bad"}
    assert list(files.for_each(lambda path: path.suffix)) == [
        (photos / "a.jpg", ".jpg"),
        (photos / "broken.jpg", ".jpg"),
    ]
    assert files.report_skipped() == 1
    assert capsys.readouterr().err == "skipped: b grey.png is bad\n1 of 3 files skipped\n"


def test_results_that_cannot_be_written_name_the_flag(finished_run, photos, tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out.json"
    with pytest.raises(UserError, match=f"--json={out}: cannot be written"):
        predict(finished_run, str(photos / "a.jpg"), out)


def test_images_of_different_sizes_keep_their_order(tmp_path):
    class Sizes:
        """Reads `1 3x2.png` as an image of that size, anything else as a corrupt file."""

        def read(self, path):
            if "x" not in path.stem:
                raise UserError("bad")
            height, width = map(int, path.stem.split()[1].split("x"))
            return np.zeros([height, width, 3])

        def __call__(self, images):
            return [images.shape] * len(images)

    names = ["0 3x2", "1 3x2", "2 3x2", "3 bad", "4 4x4", "5 3x2"]
    for name in names:
        (tmp_path / f"{name}.png").touch()
    results = list(predictions(Sizes(), ImageFiles(str(tmp_path)), batch_size=2))
    assert [path.stem for path, _ in results] == [name for name in names if "x" in name]
    shapes = [shape for _, shape in results]
    assert shapes[:3] == [(2, 3, 2, 3), (2, 3, 2, 3), (1, 3, 2, 3)]
    assert shapes[3:] == [(1, 4, 4, 3), (1, 3, 2, 3)]
