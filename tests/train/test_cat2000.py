"""Ponder maps as saliency, on a small data set whose right answers are computed here."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import scipy.io
import scipy.ndimage
from PIL import Image

import sact_tf
from sact_tf.errors import UserError
from sact_tf.saliency import SearchResult
from sact_tf.training.experiments.cat2000.experiment import run_experiment
from sact_tf.training.experiments.cat2000.options import parse_grid, parse_size
from sact_tf.training.experiments.cat2000.results import parameters_text
from tests import cat2000_files

_ROOT = pathlib.Path(__file__).parents[2]
_IMAGENET = {"name": "imagenet", "image_size": 224}
_BLUR_SIZES, _CENTER_WEIGHTS, _CENTER_WIDTH = (0.0, 0.02, 0.05), (0.2, 0.5, 0.8), 0.25
_METRICS = ("auc_judd", "nss", "cc", "sim", "kl")
_GRID = sact_tf.saliency.ParameterGrid(
    _BLUR_SIZES, _CENTER_WEIGHTS, _CENTER_WIDTH, cat2000_files.HEIGHT, cat2000_files.WIDTH
)
_GRID_FLAGS = (
    "--image_size=96x54",
    "--search_size=192x108",
    "--blur_sizes=0,0.02,0.05",
    "--center_weights=0.2,0.5,0.8",
    "--center_width=0.25",
)
# The planted models are classes of the tests, so the tests' module has to be imported first.
_PROGRAM = """
from tests import cat2000_files
from train import cat2000
from train import program
{before}
program.run(cat2000.main, cat2000.define_flags)
"""


def _run_program(model, data_dir, output_dir, *flags, before=""):
    paths = f"--model={model}", f"--data_dir={data_dir}", f"--output_dir={output_dir}"
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(before=before), *paths, *_GRID_FLAGS, *flags],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def _evaluate(model, data_dir, output_dir, **options):
    """The same as `_run_program`, in this process; returns the metrics."""
    options = {"image_size": (96, 54), "grid": _GRID, "num_figures": 0} | options
    results = run_experiment(str(model), str(data_dir), output_dir, **options)
    assert json.loads(json.dumps(results)) == _metrics(output_dir)
    return _metrics(output_dir)


def _metrics(output_dir):
    return json.loads((output_dir / "metrics.json").read_text())


@pytest.fixture
def data_dir(tmp_path):
    return cat2000_files.write_dataset(tmp_path / "trainSet")


@pytest.fixture
def planted(tmp_path):
    return cat2000_files.save_planted_model(tmp_path / "planted.keras", "planted", _IMAGENET)


# The expected numbers, by other means than the package's: np.interp, scipy, and every metric as its
# definition reads.


def _upsampled(values, height, width):
    rows = (np.arange(height) + 0.5) * values.shape[0] / height - 0.5
    columns = (np.arange(width) + 0.5) * values.shape[1] / width - 0.5
    tall = np.stack([np.interp(rows, np.arange(len(c)), c) for c in values.T], axis=1)
    return np.stack([np.interp(columns, np.arange(len(r)), r) for r in tall])


def _expected_scores(prediction, fixation_map, human):
    looked = fixation_map > 0
    points = [(0, 0)]
    for threshold in np.unique(prediction[looked])[::-1]:
        above = prediction >= threshold
        points.append((above[~looked].mean(), above[looked].mean()))
    false_rate, true_rate = np.array([*points, (1, 1)]).T
    density = prediction / prediction.sum()
    truth = human / human.sum()
    epsilon = 2.2204e-16
    return [
        (np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2).sum(),
        ((prediction - prediction.mean()) / prediction.std())[looked].mean(),
        np.corrcoef(prediction.ravel(), human.ravel())[0, 1],
        np.minimum(density, truth).sum(),
        (truth * np.log(epsilon + truth / (density + epsilon))).sum(),
    ]


class _Expected:
    def __init__(self, data_dir):
        self.data_dir = data_dir
        height, width = cat2000_files.HEIGHT, cat2000_files.WIDTH
        y, x = np.mgrid[:height, :width]
        down = (y - (height - 1) / 2) / (_CENTER_WIDTH * height)
        right = (x - (width - 1) / 2) / (_CENTER_WIDTH * width)
        self.center = np.exp(-(down**2 + right**2).round(12) / 2)

    def blurred(self, name, blur_size):
        height, width = self.center.shape
        image = Image.open(self.data_dir / "Stimuli" / f"{name}.jpg").convert("RGB")
        small = np.asarray(image.resize((96, 54), Image.BILINEAR), float)[..., 0]
        resized = _upsampled(small, height, width)
        blurred = (
            scipy.ndimage.gaussian_filter(resized, blur_size * width, truncate=5)
            if blur_size
            else resized
        )
        return ((blurred - blurred.min()) / (blurred.max() - blurred.min())).round(12)

    def predictions(self, name, blur_size, center_weight, ponder_blur_size):
        combination = self.combined(name, blur_size, center_weight)
        return self.center, self.blurred(name, ponder_blur_size), combination

    def combined(self, name, blur_size, center_weight):
        return (1 - center_weight) * self.blurred(name, blur_size) + center_weight * self.center

    def scores(self, name, prediction):
        fixation_map = scipy.io.loadmat(self.data_dir / "FIXATIONLOCS" / f"{name}.mat")["fixLocs"]
        human = np.asarray(Image.open(self.data_dir / "FIXATIONMAPS" / f"{name}.jpg"), float)
        return _expected_scores(prediction, fixation_map, human)

    def choose(self, names):
        means = {
            (blur_size, weight): np.mean(
                [self.scores(name, self.combined(name, blur_size, weight))[0] for name in names]
            )
            for blur_size in _BLUR_SIZES
            for weight in (0.0, *_CENTER_WEIGHTS)
        }
        alone = max(_BLUR_SIZES, key=lambda blur_size: means[blur_size, 0.0])
        both = max(means, key=means.get)
        return (*both, alone), means[both]


def test_planted_maps_win_with_the_numbers_computed_independently(
    data_dir, planted, tmp_path, capsys
):
    metrics = _evaluate(planted, data_dir, tmp_path / "run", num_figures=3)

    expected = _Expected(data_dir)
    names = [
        [f"{category}/{number:03d}" for category in cat2000_files.CATEGORIES for number in numbers]
        for numbers in ((1, 2, 3), (4, 5, 6))
    ]
    parameters, search_auc = expected.choose(names[0])
    chosen = metrics["chosen"]
    assert parameters == (
        chosen["blur_size"],
        chosen["center_weight"],
        chosen["ponder_blur_size"],
    )
    assert chosen["auc_judd"] == pytest.approx(search_auc, abs=1e-6)
    scores = {
        name: [expected.scores(name, p) for p in expected.predictions(name, *parameters)]
        for name in names[1]
    }
    groups = {
        "overall": (metrics["overall"], names[1]),
        "Action": (metrics["categories"]["Action"], names[1][:3]),
        "Art": (metrics["categories"]["Art"], names[1][3:]),
    }
    for reported, members in groups.values():
        mean = np.mean([scores[name] for name in members], axis=0)
        for predictor, row in zip(
            ("center_baseline", "ponder_map", "combination"), mean, strict=True
        ):
            found = [reported[predictor][metric] for metric in _METRICS]
            np.testing.assert_allclose(found, row, atol=1e-6)

    auc = {name: values["auc_judd"] for name, values in metrics["overall"].items()}
    assert auc["combination"] > auc["center_baseline"] + 0.1
    assert auc["combination"] > auc["ponder_map"]
    assert metrics["num_images"] == metrics["num_search_images"] == 6
    assert metrics["left_out"] == []
    assert metrics["searched"]["center_weights"] == list(_CENTER_WEIGHTS)
    # What is printed is what is saved.
    row = next(
        line for line in capsys.readouterr().out.splitlines() if "ponder map + centre" in line
    )
    assert row.split()[-5:] == [
        f"{metrics['overall']['combination'][metric]:.4f}" for metric in _METRICS
    ]
    for category in cat2000_files.CATEGORIES:
        with Image.open(tmp_path / "run" / "figure_11" / f"{category}.png") as figure:
            assert figure.width > 1000
            assert np.asarray(figure.convert("L")).std() > 10


def test_shuffled_maps_do_not_win(data_dir, tmp_path):
    model = cat2000_files.save_planted_model(tmp_path / "shuffled.keras", "shuffled", _IMAGENET)
    metrics = _evaluate(model, data_dir, tmp_path / "run")
    auc = {name: values["auc_judd"] for name, values in metrics["overall"].items()}
    assert auc["combination"] < auc["center_baseline"] + 0.005
    assert abs(auc["ponder_map"] - 0.5) < 0.1
    assert not (tmp_path / "run" / "figure_11").exists()


def test_images_that_cannot_be_used_are_left_out_and_named(data_dir, planted, tmp_path):
    fixations = data_dir / "FIXATIONLOCS"
    (fixations / "Action" / "001.mat").unlink()
    scipy.io.savemat(fixations / "Action" / "004.mat", {"fixLocs": np.zeros((108, 192))})
    scipy.io.savemat(fixations / "Action" / "002.mat", {"fixLocs": np.ones((108, 192))})
    scipy.io.savemat(fixations / "Art" / "002.mat", {"fixLocs": np.ones((192, 108))})
    Image.new("L", (50, 50)).save(data_dir / "FIXATIONMAPS" / "Art" / "005.jpg")
    (data_dir / "Stimuli" / "Art" / "006.jpg").write_bytes(b"not an image")
    flags = ("--categories=Action,Art", "--preprocessing=imagenet", "--batch_size=5")
    flags += ("--num_figures=1", f"--cache_dir={tmp_path / 'maps'}")
    result = _run_program(planted, data_dir, tmp_path / "run", *flags)
    assert result.returncode == 1, result.stderr
    assert set(os.listdir(tmp_path / "run")) == {"metrics.json", "figure_11"}
    assert len(list((tmp_path / "maps" / "ponder").rglob("*.npz"))) == 11
    metrics = _metrics(tmp_path / "run")
    reasons = {entry["image"]: entry["reason"] for entry in metrics["left_out"]}
    expected = {
        "Action/001": "001.mat: no such file",
        "Action/002": "every pixel is fixated",
        "Action/004": "no fixations",
        "Art/002": "108x192 pixels, but the image",
        "Art/005": "50x50 pixels, but the image",
        "Art/006": "not a readable image",
    }
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in reasons[name]
        assert name in result.stdout
    assert "6 images were left out" in result.stdout
    assert metrics["num_left_out"] == 6
    assert (metrics["num_search_images"], metrics["num_images"]) == (3, 3)
    assert metrics["categories"]["Action"]["num_images"] == 2
    # The rest is scored as before.
    names = ("Action/005", "Action/006", "Art/004")
    expected = _Expected(data_dir)
    center = np.mean([expected.scores(name, expected.center)[0] for name in names])
    assert metrics["overall"]["center_baseline"]["auc_judd"] == pytest.approx(center, abs=1e-6)


def test_fixations_too_dense_for_the_search_are_left_out_by_name(data_dir, planted, tmp_path):
    dense = np.zeros((108, 192))
    dense[::2, ::2] = 1
    scipy.io.savemat(data_dir / "FIXATIONLOCS" / "Art" / "001.mat", {"fixLocs": dense})
    grid = sact_tf.saliency.ParameterGrid((0.0,), (1.0,), _CENTER_WIDTH, 54, 96)
    metrics = _evaluate(planted, data_dir, tmp_path / "run", grid=grid)
    (left_out,) = metrics["left_out"]
    assert left_out["image"] == "Art/001"
    assert "Art/001.mat: every pixel is fixated at the 96x54" in left_out["reason"]


def test_an_interrupted_run_goes_on(data_dir, planted, tmp_path, capsys):
    # Killed after 5 ponder maps, then after 3 scores: each start goes on from there.
    kill = """
import os, signal
from sact_tf.training.experiments.cat2000 import cache as cat2000_cache
save, calls = cat2000_cache.ArrayCache.save, []
def save_and_die(self, *arguments):
    save(self, *arguments)
    calls.extend([0] * (self.directory.name == {stage!r}))
    if len(calls) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
cat2000_cache.ArrayCache.save = save_and_die
"""
    output_dir, flags = tmp_path / "run", ("--num_figures=0", "--num_workers=1")
    for stage, count in (("ponder", 5), ("scores", 3)):
        before = kill.format(stage=stage, count=count)
        result = _run_program(planted, data_dir, output_dir, *flags, before=before)
        assert result.returncode == -9, result.stderr
        assert not (output_dir / "metrics.json").exists()
        assert len(list((output_dir / "cache" / stage).rglob("*.npz"))) == count
    first = _evaluate(planted, data_dir, output_dir)
    assert "ponder maps: 0 computed, 12 from the cache" in capsys.readouterr().out
    second = _evaluate(planted, data_dir, tmp_path / "unbroken")
    assert "ponder maps: 12 computed, 0 from the cache" in capsys.readouterr().out
    for metrics in (first, second):
        del metrics["seconds_per_image"]
    assert first == second


def test_mistakes_of_the_user_are_named(data_dir, planted, tmp_path):
    without = cat2000_files.save_planted_model(tmp_path / "without.keras", "planted")
    act = cat2000_files.save_planted_model(tmp_path / "act.keras", "global", _IMAGENET)
    plain = tmp_path / "plain.keras"
    keras.Sequential([keras.Input([4]), keras.layers.Dense(2)]).save(plain)
    halved = cat2000_files.write_dataset(tmp_path / "halved")
    for number in (1, 2, 3):
        (halved / "FIXATIONLOCS" / "Art" / f"{number:03d}.mat").unlink()
    (tmp_path / "broken.keras").write_bytes(planted.read_bytes()[:200])
    cases = {
        ("missing.keras", data_dir): "missing.keras: no such file",
        (tmp_path / "broken.keras", data_dir): "broken.keras: expected a .keras file",
        (plain, data_dir): "a Sequential has no ponder cost maps",
        (without, data_dir): "its preprocessing is None; give PlantedModel",
        (act, data_dir): "spends the same computation on every position",
        (planted, tmp_path): "no folder Stimuli",
        (planted, halved, "Art"): "no usable image in the first half of any category",
        (planted, data_dir, "Sky"): "no images of category 'Sky'",
    }
    for (model, data, *categories), message in cases.items():
        with pytest.raises(UserError, match=message):
            _evaluate(model, data, tmp_path / "run", categories=categories)
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_weight_of_one_is_said_in_words():
    """The ponder map then has no part in the combination."""
    chosen = SearchResult(0.03, 1, 0.7, 0.06, 0.6, ())
    assert "the ponder map adds nothing" in parameters_text(chosen)
    both = dataclasses.replace(chosen, center_weight=0.5)
    assert parameters_text(both) == "blur 0.03 of the image's width, centre weight 0.5"


def test_wrong_sizes_and_grids_name_the_flag():
    assert parse_size("image_size", "320x180") == (320, 180)
    right = (["0", "0.02"], ["1", "0.2"], 0.25, "192x108")
    grid = parse_grid(*right)
    assert (grid.blur_sizes, grid.center_weights) == ((0, 0.02), (0.2, 1))
    assert (grid.center_width, grid.width, grid.height) == (0.25, 192, 108)
    for text in ("320", "0x180", "320x", "-1x5"):
        with pytest.raises(UserError, match=f"--image_size: expected WIDTHxHEIGHT.*{text!r}"):
            parse_size("image_size", text)
    for wrong, message in [
        ((["0", "wide"], *right[1:]), "--blur_sizes: expected numbers between commas"),
        ((right[0], ["-1"], *right[2:]), "Expected center_weights"),
        ((*right[:3], "big"), "--search_size: expected WIDTHxHEIGHT"),
    ]:
        with pytest.raises(UserError, match=message):
            parse_grid(*wrong)


def _classifier():
    backbone = sact_tf.models.ResNetBackbone.cifar(
        2, base_channels=8, halting="sact", halting_bias=0.0
    )
    return sact_tf.models.ImageClassifier(backbone, 3, preprocessing=_IMAGENET)


def _detector():
    backbone = sact_tf.models.ResNetBackbone(
        (2, 2), base_channels=8, stem_channels=4, halting="sact", halting_bias=0.0
    )
    return sact_tf.detection.FasterRCNN(
        backbone,
        3,
        preprocessing={"name": "imagenet", "short_side": 64, "long_side": 96},
        anchor_sizes=(16, 32),
        rpn_channels=8,
        num_proposals=8,
        crop_size=4,
    )


@pytest.mark.parametrize(
    ("make", "path"),
    [(_classifier, "model.keras"), (_detector, "model.keras"), (_detector, "")],
)
def test_a_real_model_on_a_subset_of_categories(data_dir, tmp_path, make, path):
    """A `.keras` file, or a run directory of `train.coco`."""
    keras.utils.set_random_seed(0)
    model = make()
    (tmp_path / "trained").mkdir()
    model.save(tmp_path / "trained" / "model.keras")
    (tmp_path / "trained" / "config.yaml").write_text("model: {detector: {}}\n")
    options = {"execution": "masked", "categories": ["Art"], "num_figures": 1, "batch_size": 5}
    metrics = _evaluate(tmp_path / "trained" / path, data_dir, tmp_path / "run", **options)
    for scores in metrics["overall"].values():
        assert np.isfinite(list(scores.values())).all()
    assert list(metrics["categories"]) == ["Art"]
    assert metrics["num_images"] == metrics["categories"]["Art"]["num_images"] == 3
    assert os.listdir(tmp_path / "run" / "figure_11") == ["Art.png"]
    # No central crop, no other resizing: the whole image, scaled to [-1, 1].
    for name in ("Art/002", "Art/006"):
        image = Image.open(data_dir / "Stimuli" / f"{name}.jpg").convert("RGB")
        pixels = np.asarray(image.resize((96, 54), Image.BILINEAR), np.float32) / 127.5 - 1
        expected = model.ponder(pixels[None])["ponder_cost_map"][0]
        assert np.std(expected) > 1e-3
        (path,) = (tmp_path / "run" / "cache" / "ponder").glob(f"{name}.*.npz")
        np.testing.assert_allclose(np.load(path)["value"], expected, atol=1e-3)
