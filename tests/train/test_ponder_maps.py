"""Ponder cost maps of photographs, by the program and its parts."""

import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sact_tf.errors import UserError
from sact_tf.models import ImageClassifier, ResNetBackbone
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.images.index_page import Entry, file_names, index_page, read_shown
from sact_tf.training.images.ponder_maps import ImagePonder, draw_ponder_maps, overlay_image
from tests.training import running


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, [40, 60, 3], np.uint8)
    Image.fromarray(pixels).save(folder / "a & b.jpg")
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    (folder / "more").mkdir()
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(folder / "more" / "grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by 90 degrees.
    Image.fromarray(pixels).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(pixels[:1, :1]).save(folder / "pixel.bmp")
    (folder / "notes.png").write_text("no image")
    return folder


def test_program(finished_run, photos, tmp_path):
    result = running.run(
        "ponder_maps", f"--model={finished_run}", f"--images={photos}", f"--output_dir={tmp_path}"
    )
    assert result.returncode == 1
    assert f"skipped: {photos / 'notes.png'}" in result.stderr and "Traceback" not in result.stderr
    metrics = running.read_metrics(tmp_path)
    assert (metrics["num_examples"], metrics["num_skipped"]) == (5, 1)
    assert list(metrics["skipped"]) == [str(photos / "notes.png")]
    by_name = {record["path"]: record for record in metrics["images"]}
    assert by_name[str(photos / "turned.jpg")]["input_size"] == [24, 16]
    assert by_name[str(photos / "a & b.jpg")]["input_size"] == [16, 24]
    for record in metrics["images"]:
        assert record["ponder_cost_total"] == pytest.approx(sum(record["ponder_cost"].values()))
        for key in ("maps", "overlay"):
            with Image.open(tmp_path / record[key]) as image:
                image.load()
    with Image.open(tmp_path / by_name[str(photos / "turned.jpg")]["overlay"]) as overlay:
        assert overlay.height > overlay.width

    page = (tmp_path / "index.html").read_text()
    groups = re.findall(r"<h2>(Low|Middle|High) ponder cost \(([\d.]+) to ([\d.]+)\)", page)
    assert [name for name, *_ in groups] == ["Low", "Middle", "High"]
    bounds = [float(value) for _, *pair in groups for value in pair]
    assert bounds == sorted(bounds)
    order = [page.index(f'src="{record["maps"]}"'.replace(" ", "%20")) for record in sorted(
        metrics["images"], key=lambda record: record["ponder_cost_total"])]  # fmt: skip
    assert order == sorted(order)
    assert "notes.png" in page and "a &amp; b.jpg" in page


@pytest.mark.parametrize(
    ("halting", "said"), [(None, "does not halt"), ("act", "decides for whole images")]
)
def test_it_says_where_there_is_nothing_to_see(halting, said, photos, tmp_path, capsys):
    backbone = ResNetBackbone.cifar(units_per_block=2, base_channels=4, halting=halting)
    model = ImageClassifier(backbone, num_classes=3, preprocessing={"name": "scale"})
    model.save(tmp_path / "model.keras")
    draw_ponder_maps(tmp_path / "model.keras", str(photos / "grey.png"), tmp_path / "maps")
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "maps" / "index.html").read_text()


def test_maps_are_those_of_the_model_on_the_whole_image(finished_run, photos):
    model = load_classifier(finished_run)
    image = ImagePonder(model)(photos / "a & b.jpg")
    pixels = tf.image.resize(read_shown(photos / "a & b.jpg"), [16, 24], antialias=True) / 255
    outputs = model.ponder(pixels[None])
    assert image.flops == int(outputs["flops"][0])
    np.testing.assert_allclose(image.total_map, outputs["ponder_cost_map"][0], atol=1e-5)
    assert image.total_map.shape == (16, 24) and image.block_maps["block2"].shape == (8, 12)


def test_sizes(finished_run, photos):
    model = load_classifier(finished_run)
    path = photos / "a & b.jpg"
    assert ImagePonder(model, short_side=0)(path).input_size == (40, 60)
    assert ImagePonder(model, short_side=32, long_side=24)(path).input_size == (16, 24)


def test_overlay_enlarges_tiny_images_and_shows_cost(finished_run, photos):
    image = ImagePonder(load_classifier(finished_run))(photos / "pixel.bmp")
    shown = read_shown(photos / "pixel.bmp")
    overlay = overlay_image(image, shown, {"total": (0.0, 10.0)})
    assert overlay.size == (300, 300)
    assert overlay_image(image, shown, {"total": (0.0, 100.0)}).tobytes() != overlay.tobytes()


def test_names_of_files_stay_apart(photos):
    paths = [photos / "grey.png", photos / "more" / "Grey.png", photos / "a & b.jpg"]
    assert list(file_names(paths).values()) == ["grey", "Grey_2", "a_b"]


def test_page_of_two_images_has_two_groups():
    entries = [Entry(2.0, "b.png", "bo.png", "B"), Entry(1.0, "a.png", "ao.png", "A")]
    page = index_page("t", "l", entries, [])
    assert "Low ponder cost (1.00 to 1.00)" in page and "Middle ponder cost (2.00 to 2.00)" in page
    assert "High" not in page and "Skipped" not in page


def test_mistakes_are_named(finished_run, photos, tmp_path):
    with pytest.raises(UserError, match="no such file, and nothing matches"):
        draw_ponder_maps(finished_run, f"{tmp_path}/*.jpg", tmp_path / "maps")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output_dir: .* is a file, expected a directory"):
        draw_ponder_maps(finished_run, str(photos), tmp_path / "file")


def test_no_readable_image_gives_an_empty_page(finished_run, photos, tmp_path, capsys):
    assert draw_ponder_maps(finished_run, str(photos / "notes.png"), tmp_path) == 1
    assert "1 of 1 files skipped" in capsys.readouterr().err
    assert running.read_metrics(tmp_path)["num_examples"] == 0
    assert "Skipped files" in (tmp_path / "index.html").read_text()
