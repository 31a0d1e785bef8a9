"""What the report of a run shows."""

import base64
import io
import re

import numpy as np
from PIL import Image

from sact_tf.visualization import gallery, ponder_maps
from tests.training import running


def _text(page: str) -> str:
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "PICTURE", page)


def test_report_needs_nothing_but_itself(finished_run):
    page = (finished_run / "report.html").read_text()
    text = _text(page)
    assert "http" not in text and "//" not in text and "<script" not in text
    links = re.findall(r'(?:src|srcset|href)="([^"]*)"', text)
    assert links == ["PICTURE"] * 10  # five pictures, each light and dark
    assert not re.findall(r"url\(|@import", text)


def test_it_opens_with_what_a_reader_asks_first(finished_run):
    text = _text((finished_run / "report.html").read_text())
    glance = text[text.index("At a glance") : text.index("Results")]
    metrics = running.read_metrics(finished_run)
    for part in ("Accuracy", f"{metrics['accuracy']:.2%}", f"{metrics['flops_ratio']:.1%}"):
        assert part in glance
    assert "PICTURE" in glance


def test_pictures_are_whole_and_not_empty(finished_run):
    page = (finished_run / "report.html").read_text()
    embedded = re.findall(r"base64,([A-Za-z0-9+/=]+)", page)
    files = sorted((finished_run / "pictures").iterdir())
    assert [file.name for file in files] == [
        "curves.png", "flops.png", "gallery.png", "glance.png", "unit_usage.png",
    ]  # fmt: skip
    for data in [base64.b64decode(text) for text in embedded] + [f.read_bytes() for f in files]:
        image = Image.open(io.BytesIO(data))
        image.load()
        assert min(image.size) > 150
        assert np.asarray(image.convert("RGB")).std() > 5


def test_a_picture_that_fails_costs_neither_metrics_nor_report(prepare, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("no such <font>")

    monkeypatch.setattr(gallery, "gallery_figure", fail)
    monkeypatch.setattr(ponder_maps, "displayable", fail)  # Of TensorBoard's pictures.
    run = prepare()
    run.train(evaluates=True)
    metrics = run.evaluate()
    assert running.read_metrics(run.directory.path) == metrics and "accuracy" in metrics
    assert sorted(file.name for file in run.directory.pictures.iterdir()) == [
        "curves.png", "flops.png", "unit_usage.png",
    ]  # fmt: skip
    text = _text(run.directory.report.read_text())
    assert "gallery.png could not be drawn: RuntimeError: no such &lt;font&gt;" in text
    assert text.count("PICTURE") == 6 and f"{metrics['accuracy']:.2%}" in text
    said = [record.getMessage() for record in caplog.records]
    assert any("gallery.png cannot be drawn: RuntimeError" in line for line in said)
    assert any(line.startswith("TensorBoard lacks pictures") for line in said)


def test_report_says_what_the_metrics_say(finished_run):
    text = _text((finished_run / "report.html").read_text())
    metrics = running.read_metrics(finished_run)
    assert f"{metrics['accuracy']:.2%}" in text
    assert f"{metrics['flops_ratio']:.1%}" in text
    assert f"AUC {metrics['ponder_localization_auc']:.3f}" in text
    for units in metrics["num_units"].values():
        assert f"{units:.3f}" in text
    for title in ("Low", "Middle", "High"):
        assert title.lower() in text
    assert "units_per_block: 2" in text and "τ = 0.01" in text
