"""What stands in a run directory, and which config may go on there."""

import pytest
import yaml

from sact_tf.data.identity import DataIdentity, hashed
from sact_tf.errors import UserError
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.loading import load_config
from sact_tf.training.run_directory.directory import RunDirectory
from sact_tf.training.run_directory.history import History, read_history
from tests.training import running


@pytest.fixture
def load(tmp_path):
    path = running.write_config(tmp_path)

    def load(*overrides):
        return load_config(ClassificationConfig, path, overrides)

    return load


def test_resolved_config_is_saved_and_accepted_again(load, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    assert directory.compare(load()) == {} and not directory.path.exists()
    directory.save(load())
    assert "halting_bias: -3.0" in directory.config.read_text()
    assert directory.compare(load()) == {}


@pytest.mark.parametrize(
    ("network", "momentum"),
    [
        ("network=imagenet,model.units=[1,1,1,1],model.units_per_block=null", 0.997),
        ("network=cifar", 0.9),
    ],
)
def test_a_run_from_before_a_key_goes_on_as_it_began(load, tmp_path, network, momentum):
    directory = RunDirectory(tmp_path / "run")
    config = load(f"model.{network}")
    directory.save(config)
    saved = yaml.safe_load(directory.config.read_text())
    del saved["model"]["batch_norm_momentum"]
    directory.config.write_text(yaml.safe_dump(saved))
    assert directory.compare(config) == {}
    assert config.model.batch_norm_momentum == momentum


@pytest.mark.parametrize(
    "override",
    [
        "model.ponder_weight=0.02", "model.halting=act", "model.base_channels=8",
        "data.cluttered_digits.num_distractors=3", "train.seed=1", "train.batch_size=4",
        "train.weight_decay=0.5", "train.label_smoothing=0.1",
    ],
)  # fmt: skip
def test_a_directory_of_another_run_is_refused_with_what_differs(load, tmp_path, override):
    directory = RunDirectory(tmp_path / "run")
    directory.save(load())
    with pytest.raises(UserError) as raised:
        directory.compare(load(override, "train.steps=99"))
    key, value = override.split("=")
    assert f"{key}: " in str(raised.value) and f"-> {value}" in str(raised.value)
    assert "train.steps" not in str(raised.value)


def test_a_longer_run_is_accepted_and_said(load, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.save(load())
    changes = directory.compare(load("train.steps=99,train.log_every=3,evaluation.every=null"))
    assert changes == {"evaluation.every": (6, None), "train.log_every": (2, 3),
                       "train.steps": (12, 99)}  # fmt: skip


def test_the_advice_on_another_execution_can_be_followed(load, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.save(load())
    goes_on = (ClassificationConfig, None, ["model.execution=tiled"])
    with pytest.raises(UserError, match="model.execution: .*model.statistics=evaluated.* full"):
        directory.read_config(*goes_on)
    config = directory.read_config(
        *goes_on[:2], ["model.execution=tiled,model.statistics=evaluated"]
    )
    assert directory.compare(config) == {
        "model.execution": ("masked", "tiled"),
        "model.statistics": ("full", "evaluated"),
    }


def test_damaged_images_may_be_skipped_from_now_on(load, tmp_path):
    folder = (
        "data={source: image_folder, image_folder: {train_dir: photos}, skip_corrupt: false, "
        "cluttered_digits: null, preprocessing: {name: cifar, image_size: 16}}"
    )
    directory = RunDirectory(tmp_path / "run")
    directory.save(load(folder))
    changes = directory.compare(load(folder, "data.skip_corrupt=true"))
    assert changes == {"data.skip_corrupt": (False, True)}


@pytest.mark.parametrize(
    ("written", "override", "is_finished"),
    [
        ('{"steps": 12, "num_examples": 30}', "train.steps=12", True),
        ('{"steps": 12, "num_examples": 30}', "train.steps=13", False),
        ('{"steps": 12, "num_examples": 30}', "train.log_every=3", False),
        ('{"steps": 12}', "train.steps=12", False),
        ('{"steps": 8, "num_examples": 30}', "train.steps=12", False),
        ("{", "train.steps=12", False),
        (None, "train.steps=12", False),
    ],
)
def test_a_run_is_finished_when_trained_and_evaluated_with_this_config(
    load, tmp_path, written, override, is_finished
):
    directory = RunDirectory(tmp_path / "run")
    directory.save(load(), DataIdentity(10))
    if written is not None:
        directory.metrics.write_text(written)
    metrics = directory.finished_metrics(load(override), lambda: DataIdentity(10))
    assert metrics == ({"steps": 12, "num_examples": 30} if is_finished else None)


def test_a_run_is_not_finished_on_other_data(load, tmp_path):
    def identity(names, *files):
        return DataIdentity(2, names, files={"validation": hashed(files)})

    directory = RunDirectory(tmp_path / "run")
    directory.save(load(), identity(["cat", "dog"], b"1", b"2"))
    directory.metrics.write_text('{"steps": 12, "num_examples": 30}')
    assert directory.finished_metrics(load(), lambda: identity(["cat", "dog"], b"2", b"1"))
    for files in ([b"1", b"3"], [b"1"]):
        changed = identity(["cat", "dog"], *files)
        assert directory.finished_metrics(load(), lambda changed=changed: changed) is None
    with pytest.raises(UserError, match="started on other classes.*'dog' -> 'owl'"):
        directory.finished_metrics(load(), lambda: identity(["cat", "owl"], b"1", b"2"))


def test_config_of_the_run_stands_in_for_one_that_is_not_given(load, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    arguments = (ClassificationConfig, None, ["train.steps=5"])
    with pytest.raises(UserError, match="--config is needed.*run"):
        directory.read_config(*arguments)
    directory.save(load("model.base_channels=12"))
    config = directory.read_config(*arguments)
    assert config.model.base_channels == 12 and config.train.steps == 5


def test_a_file_is_no_model_dir(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="is a file"):
        RunDirectory(tmp_path / "run")


def test_nothing_is_no_model_dir():
    with pytest.raises(UserError, match="--model_dir: expected a path, received an empty text"):
        RunDirectory("")


def test_history_goes_on_without_doubles(tmp_path):
    path = tmp_path / "history.jsonl"
    history = History(path, 0)
    for step in (2, 4, 6):
        history.append("train", step, {"loss": step / 10})
    history.append("validation", 4, {"accuracy": 0.5})
    with path.open("a") as file:
        file.write('{"kind": "train", "st')  # cut off in the middle of a line

    history = History(path, 4)
    assert history.has("validation", 4) and not history.has("train", 6)
    history.append("train", 6, {"loss": 0.6})
    assert read_history(path) == [
        {"kind": "train", "step": 2, "loss": 0.2},
        {"kind": "train", "step": 4, "loss": 0.4},
        {"kind": "validation", "step": 4, "accuracy": 0.5},
        {"kind": "train", "step": 6, "loss": 0.6},
    ]
