"""The commands of the documentation: those of seconds run, the others are parsed for real.

Each command is in one class: it runs to its end on small inputs, or up to where its work would
begin, so that flags, values, configs and overrides are still its own, or it is not ours.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from sact_tf.detection import FasterRCNN
from sact_tf.models import ResNetBackbone
from tests import cat2000_files
from tests.data.picture_files import write_picture
from tests.document_commands import (
    LANGUAGES,
    Command,
    commands_elsewhere,
    commands_of,
    fences,
)
from tests.harness import ROOT

_TINY_RUN = (
    "--params_override=model.network=cifar,model.units_per_block=2,model.base_channels=4,"
    "train.steps=1,train.batch_size=4,train.learning_rate={schedule: cosine, initial: 0.01, "
    "warmup_steps: 0, boundaries: null, values: null},"
    "evaluation.time=false,evaluation.pictures=1"
)
_TINY_DIGITS = (
    "--params_override=data.cluttered_digits.num_train=40,data.cluttered_digits.num_validation=20,"
    "data.cluttered_digits.image_size=24,data.cluttered_digits.digit_size=16"
)
_TINY_PHOTOS = (
    "--params_override=data.preprocessing={name: scale, image_size: 32},"
    "data.image_folder.validation_fraction=0.3,train.flops_budget=0.8"
)
# What takes seconds, in the order in which it is run, and the flags that make it small.
_SECONDS = {
    "train.imagenet --config=configs/quickstart_plain.yaml --model_dir=runs/quickstart/plain": [
        *(_TINY_RUN, _TINY_DIGITS),
    ],
    "train.imagenet --config=configs/quickstart.yaml --model_dir=runs/quickstart": [
        *(_TINY_RUN, _TINY_DIGITS, "--params_override=train.flops_budget=0.8"),
    ],
    "train.imagenet --config=configs/photos/sact.yaml --model_dir=runs/from_scratch": [
        *(_TINY_RUN, _TINY_PHOTOS, "--model_dir=runs/photos"),  # as if fine-tuned
    ],
    "train.evaluate --model=runs/photos --image_sizes": ["--image_sizes=24"],
    "train.summarize": [],
    "train.predict": [],
    "train.convert_checkpoint": ["--checkpoint=published"],
    "train.ponder_maps": ["--images=new", "--short_side=32"],
    "train.detect": [],
    "train.export --model=runs/quickstart": [],
    "saved_model_cli": [],
    "train.cat2000": [
        *("--image_size=64x36", "--search_size=64x36", "--num_figures=0"),
        *("--blur_sizes=0.02", "--center_weights=0.5"),
    ],
}
_TRAINING = "sact_tf.training.loop.train_and_evaluate:train_and_evaluate"
_EXPERIMENTS = "sact_tf.training.experiments"
# What takes minutes, or lacks data and machines here, and where its work begins.
_MINUTES = {
    "train.imagenet": _TRAINING,
    "train.coco": _TRAINING,
    "train.finetune": f"{_EXPERIMENTS}.finetune.experiment:run_experiment",
    "train.matched_baseline": f"{_EXPERIMENTS}.matched_baseline.experiment:run_experiment",
    "train.tradeoff": f"{_EXPERIMENTS}.tradeoff.experiment:run_experiment",
    "train.detection_table": f"{_EXPERIMENTS}.detection_table.experiment:run_experiment",
    "train.evaluate": "flags",
    "train.export": "flags",
    "train.launch_local": "sact_tf.training.loop.local_cluster:run_workers",
    "sact_tf.serving.rest": "flags",
    "benchmarks": "flags",
}
# What belongs to others, or is looked at in a test of its own.
_OTHERS = (".", "bazel", "cd", "curl", "docker", "echo", "git", "make", "mkdir", "pip", "tar")


def _recipe(command):
    """The programs that a target of make starts."""
    if command.words[0] != "make":
        return []
    done = subprocess.run(
        ["make", "--always-make", "--dry-run", *command.words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command.source}: {command}: {done.stderr}"
    lines = re.findall(r"^\S*python -m train\..*", done.stdout.replace("\\\n", " "), re.M)
    return [Command("Makefile", ("python", *line.split()[1:])) for line in lines]


_IN_FENCES = {str(command): command for fence in fences() for command in commands_of(fence)}
_ELSEWHERE = {str(command): command for command in commands_elsewhere()}
_ELSEWHERE |= {
    str(started): started
    for command in (_IN_FENCES | _ELSEWHERE).values()
    for started in _recipe(command)
}


def _entry(command, table):
    """The longest beginning of a command in a table; None if there is none."""
    text = str(command).replace("'", "").removeprefix("python -m ")
    found = [start for start in table if re.match(rf"{re.escape(start)}(?!\w)", text)]
    return max(found, key=len, default=None)


def _job(command, runs):
    """What `tests.command_runner` is to do for a command; None where it is not ours."""
    further, stops_at = [], _MINUTES.get(_entry(command, _MINUTES), "flags")
    if runs and (entry := _entry(command, _SECONDS)):
        further, stops_at = _SECONDS[entry], None
    if command.words[0] == "saved_model_cli":
        module, words = "tensorflow.python.tools.saved_model_cli", command.words[1:]
    elif command.module:
        module, words = command.module, command.words[3:]
    else:
        return None
    return {"module": module, "arguments": [*words, *further], "stops_at": stops_at}


_WRONG = {
    "an unknown flag": "train.predict --model=runs/photos --images=new --tpo=3",
    "a wrong value": "train.predict --model=runs/photos --images=new --top=few",
    "a missing config": "train.imagenet --config=configs/quick.yaml --model_dir=runs/a",
    "an unknown key": "train.imagenet --config=configs/quickstart.yaml --model_dir=runs/a "
    "--params_override=train.flops=0.5",
    "a value out of range": "train.coco --config=configs/coco/quickstart.yaml --model_dir=runs/a "
    "--params_override=train.steps=-1",
    "an unknown flag of a benchmark": "benchmarks.trained_network --model=runs/photos --batches=1",
    "an unknown flag of an example": "examples.segmentation --epoques=1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout's folder with what readers have: photos, runs, checkpoints, data sets."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "configs").symlink_to(ROOT / "configs")
    for number in range(18):
        name = ("cat", "dog", "owl")[number % 3]
        write_picture(folder / "photos" / name / f"{number}.jpg", 48, 44, seed=number)
    boxes = {f"{name}/{i}.jpg": [4, 4, 30, 30] for i in range(18) for name in ("cat", "dog", "owl")}
    boxes = {name: box for name, box in boxes.items() if (folder / "photos" / name).exists()}
    (folder / "photos" / "boxes.json").write_text(json.dumps(boxes))
    for number in range(2):
        write_picture(folder / "new" / f"{number}.jpg", 40, 50, seed=number)
    write_picture(folder / "digit.png", 24, 24)
    np.save(folder / "digit.npy", np.array([(folder / "digit.png").read_bytes()]))
    (folder / "runs" / "mine").mkdir(parents=True)
    _detector().save(folder / "runs" / "mine" / "model.keras")
    for run in ("imagenet/sact_tau0005", "tradeoff_quickstart", "photos/sact"):
        (folder / "runs" / run).parent.mkdir(exist_ok=True)
        (folder / "runs" / run).symlink_to(folder / "runs" / "quickstart")
    times = {"batch": {"batch_size": 16, "milliseconds_per_image": 20.0, "time_ratio": 0.6}}
    evaluation = {"image_size": 224, "accuracy": 0.9, "timing": times}
    metrics = json.dumps({"halting": None, "evaluations": [evaluation]})
    for run in ("plain", "sact", "sact_040", "cut_2242", "cut_1121", "plain_1121"):
        evaluated = folder / "runs" / "wide_digits" / "evaluated" / run
        evaluated.mkdir(parents=True)
        (evaluated / "metrics.json").write_text(metrics)
    (folder / "sact.keras").symlink_to(folder / "runs" / "quickstart" / "model.keras")
    shutil.copytree(ROOT / "tests/golden/tf1_checkpoint_imagenet_sact", folder / "published")
    cat2000_files.write_dataset(folder / "CAT2000" / "trainSet")
    (folder / "data").mkdir()
    (folder / "data" / "osie_a").symlink_to(folder / "CAT2000" / "trainSet")
    return folder


def _detector():
    backbone = ResNetBackbone(units=(2, 1, 1), base_channels=4, stem_channels=4, halting="sact")
    return FasterRCNN(
        backbone, 3, class_names=["cat", "dog", "owl"],
        preprocessing={"name": "unit", "short_side": 48, "long_side": 90},
        anchor_sizes=(16, 32), rpn_channels=4, num_proposals=8, crop_size=4, max_detections=5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(folder):
    """Exit code and output of every job, by the command's text."""
    order = list(_SECONDS)
    runs = sorted(
        (command for command in _IN_FENCES.values() if _entry(command, _SECONDS)),
        key=lambda command: order.index(_entry(command, _SECONDS)),
    )
    jobs = {str(command): _job(command, True) for command in runs}
    for text, command in (_IN_FENCES | _ELSEWHERE).items():
        if text not in jobs and (job := _job(command, False)):
            jobs[text] = job
    for text in _WRONG.values():
        jobs[text] = _job(Command("", ("python", "-m", *text.split())), False)
    (folder / "jobs.json").write_text(json.dumps(list(jobs.values())))
    subprocess.run(
        [sys.executable, "-m", "tests.command_runner", "jobs.json", "outcomes.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    done = json.loads((folder / "outcomes.json").read_text())
    return dict(zip(jobs, done, strict=True))


@pytest.mark.parametrize("fence", fences(), ids=lambda fence: f"{fence.document}:{fence.line}")
def test_a_block_says_what_it_is(fence):
    assert fence.language in LANGUAGES
    if fence.language == "bash":
        subprocess.run(["bash", "-n"], input=fence.text, text=True, check=True)
    elif fence.language == "console":
        assert fence.text.startswith("$ ")


@pytest.mark.parametrize("command", (_IN_FENCES | _ELSEWHERE).values(), ids=str)
def test_a_command_is_in_a_class(command):
    if command.words[0] in _OTHERS:
        return
    known = _entry(command, _SECONDS) or _entry(command, _MINUTES)
    assert known or (command.module and str(command) not in _IN_FENCES), (
        f"{command.source}: {command}: enter it in _SECONDS or _MINUTES"
    )


@pytest.mark.parametrize("entry", [*_SECONDS, *_MINUTES])
def test_no_entry_is_left_over(entry):
    used = {_entry(c, table) for c in _IN_FENCES.values() for table in (_SECONDS, _MINUTES)}
    assert entry in used


@pytest.mark.parametrize(
    "text", [text for text, c in (_IN_FENCES | _ELSEWHERE).items() if _job(c, 0)]
)
def test_a_command_works(text, outcomes):
    outcome = outcomes[text]
    assert outcome["code"] == 0, outcome["output"][-2000:]
    assert "Traceback" not in outcome["output"]


@pytest.mark.parametrize("wrong", _WRONG)
def test_a_wrong_command_is_seen(wrong, outcomes):
    outcome = outcomes[_WRONG[wrong]]
    assert outcome["code"] == 2, outcome["output"]


def test_the_server_answers(outcomes, folder):
    """What the page on serving has somebody type, but for the port."""
    assert (folder / "export" / "digits").is_dir(), outcomes
    command = [sys.executable, "-m", "sact_tf.serving.rest", "--export_dir=export/digits"]
    asked = "\n".join(
        line.removeprefix("$ ")
        for fence in fences()
        if fence.language == "console" and "curl" in fence.text
        for line in fence.text.splitlines()
        if line.startswith("$ ")
    )
    with subprocess.Popen(
        [*command, "--port=0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            port = re.search(
                r"digits, version 1: http://127.0.0.1:(\d+)/", server.stdout.readline()
            )
            done = subprocess.run(
                ["bash", "-ec", asked.replace("8501", port[1])],
                cwd=folder,
                capture_output=True,
                text=True,
            )
        finally:
            server.terminate()
            server.communicate(timeout=120)
    (prediction,) = json.loads(done.stdout)["predictions"]
    assert len(prediction["classes"]) == len(prediction["scores"]) == 5
    assert server.returncode == 0


def test_what_pip_is_asked_for():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for command in _IN_FENCES.values():
        if command.words[0] == "pip":
            assert command.words[1] == "install"
            for name in re.findall(r"\[(.*)\]", str(command)):
                assert name in extras["optional-dependencies"], f"{command.source}: {command}"
