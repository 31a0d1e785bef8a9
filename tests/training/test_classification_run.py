"""A training run in this process, where no signal and no exit code is involved."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import sact_tf
from sact_tf.errors import UserError
from sact_tf.training.classification import builders
from sact_tf.training.classification.trainer import cross_entropy
from sact_tf.training.loop import run as loop_run
from tests.training import running

PLAIN = "model.halting=null,model.ponder_weight=null"


@pytest.mark.parametrize("halting", ["act", "plain"])
def test_other_kinds_of_halting_train_and_report(prepare, halting):
    run = prepare(PLAIN if halting == "plain" else "model.halting=act")
    run.train(evaluates=True)
    metrics = run.evaluate()
    page = run.directory.report.read_text()
    pictures = {path.stem for path in run.directory.pictures.iterdir()}
    if halting == "plain":
        assert metrics["flops_ratio"] == 1.0 and metrics["flops_std"] == 0.0
        assert metrics["num_units"] == {"block1": 2.0, "block2": 2.0, "block3": 2.0}
        assert "ponder_localization_auc" not in metrics
        assert pictures == {"curves"} and "without halting" in page
    else:
        # ACT decides per image; its map says nothing about places.
        assert metrics["ponder_localization_auc"] == 0.5
        assert pictures == {"curves", "flops", "unit_usage"} and "with ACT" in page


def test_one_step_is_the_sum_of_its_parts(prepare):
    """One SGD step on a known batch, against a gradient written out here."""
    run = prepare(
        "train.steps=1,train.label_smoothing=0.2,train.weight_decay=0.01,train.log_every=1"
    )
    batch = next(iter(run.data.train(8, seed=0)))
    reference = builders.build_model(run.config, run.data)  # the same seed, the same weights
    with tf.GradientTape() as tape:
        outputs = reference.forward(batch["image"], training=True)
        target = tf.one_hot(batch["label"], 10) * 0.8 + 0.02
        log_chances = tf.nn.log_softmax(outputs["logits"])
        parts = [
            -tf.reduce_mean(tf.reduce_sum(target * log_chances, -1)),
            0.01 * sum(tf.reduce_mean(h["ponder_cost"]) for h in outputs["halting"].values()),
            sum(
                0.005 * tf.reduce_sum(weight.value**2)
                for weight in reference.trainable_variables
                if weight.path.endswith("kernel")
            ),
        ]
        loss = tf.add_n(parts)
    gradients = tape.gradient(loss, [weight.value for weight in reference.trainable_variables])
    rate = 0.05
    expected = [
        w.numpy() - rate * g for w, g in zip(reference.trainable_variables, gradients, strict=True)
    ]

    run.train(evaluates=False)
    (record,) = [json.loads(line) for line in run.directory.history.open()]
    np.testing.assert_allclose(
        [record["cross_entropy"], record["ponder_loss"], record["weight_decay"]],
        [float(part) for part in parts],
        rtol=1e-5,
    )
    assert record["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert record["learning_rate"] == pytest.approx(rate)
    for weight, value in zip(run.model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, rtol=1e-4, atol=1e-6, err_msg=weight.path)
    metrics = running.read_metrics(run.directory.path)
    assert metrics["steps"] == 1 and "accuracy" not in metrics


def test_label_smoothing_spreads_over_all_classes():
    logits = tf.constant([[2.0, 0.0, -1.0]])
    labels = tf.constant([0])
    log_chances = tf.nn.log_softmax(logits)[0]
    expected = -(0.7 + 0.1) * log_chances[0] - 0.1 * (log_chances[1] + log_chances[2])
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.3)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(cross_entropy(logits, labels)[0], -log_chances[0], rtol=1e-6)


def test_too_large_a_batch_and_a_missing_checkpoint_leave_nothing_behind(prepare, tmp_path):
    with pytest.raises(UserError, match=r"train\.batch_size: .* \(40\), received 41"):
        prepare("train.batch_size=41")
    with pytest.raises(UserError, match="no checkpoint"):
        prepare(trains=False)
    assert not (tmp_path / "run").exists()


def test_training_a_finished_run_again_keeps_what_was_evaluated(prepare):
    run = prepare()
    run.train(evaluates=False)
    assert "accuracy" not in running.read_metrics(run.directory.path)
    metrics = run.evaluate()
    prepare().train(evaluates=False)
    assert running.read_metrics(run.directory.path) == metrics
    longer = prepare("train.steps=4")
    longer.train(evaluates=False)  # Other weights: nothing is known of them.
    assert "accuracy" not in running.read_metrics(run.directory.path)


def test_a_run_that_was_begun_meanwhile_is_not_taken_over(prepare, tmp_path, monkeypatch):
    first = prepare(name="other")

    def lock_after_another_run(file, worker):
        file.parent.mkdir()
        shutil.copy(first.directory.config, file.parent)

    monkeypatch.setattr(loop_run, "lock_run", lock_after_another_run)
    with pytest.raises(UserError, match=r"another config; .*train\.momentum: 0\.9 -> 0\.5"):
        prepare("train.momentum=0.5")
    assert (tmp_path / "run" / "config.yaml").read_text() == first.directory.config.read_text()


def test_a_finished_run_with_more_steps_goes_on(prepare, tmp_path, capsys):
    # Restored, not warm-started again.
    _plain_classifier(10).save(tmp_path / "plain.keras")
    warm_start = f"train.warm_start={tmp_path / 'plain.keras'}"
    first = prepare(warm_start)
    first.train(evaluates=False)
    (tmp_path / "plain.keras").unlink()
    run = prepare(warm_start, "train.steps=4")
    assert run.step == 2
    for ours, before in zip(run.model.weights, first.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), before.numpy())
    run.train(evaluates=False)
    out = capsys.readouterr().out
    assert "restored" in out and "train.steps: 2 -> 4" in out
    steps = [json.loads(line)["step"] for line in run.directory.history.open()]
    assert steps == [2, 4] and running.read_metrics(run.directory.path)["steps"] == 4


@pytest.mark.parametrize("damage", ["truncated", "no index", "no list"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(prepare, capsys, damage):
    first = prepare("train.checkpoint_every=1")
    first.train(evaluates=False)
    checkpoints = first.directory.checkpoints
    if damage == "truncated":
        (data,) = checkpoints.glob("ckpt-2.data*")
        data.write_bytes(data.read_bytes()[:-1000])
    elif damage == "no index":
        (checkpoints / "ckpt-2.index").unlink()
    else:
        (checkpoints / "checkpoint").unlink()
    run = prepare("train.checkpoint_every=1")
    whole = 2 if damage == "no list" else 1
    out = capsys.readouterr().out
    assert run.step == whole and f"restored {checkpoints}/ckpt-{whole}" in out
    assert ("warning: checkpoint" in out and "ckpt-2 is damaged" in out) == (whole == 1)
    if damage == "truncated":
        run.train(evaluates=False)
        for ours, before in zip(run.model.weights, first.model.weights, strict=True):
            np.testing.assert_allclose(ours.numpy(), before.numpy(), atol=1e-6)
        for data in checkpoints.glob("ckpt-*.data*"):
            data.write_bytes(b"")
        with pytest.raises(UserError, match="none of the checkpoints .* newest is .*ckpt-2"):
            prepare()


def _plain_classifier(num_classes):
    keras.utils.set_random_seed(99)
    backbone = sact_tf.models.ResNetBackbone.cifar(2, base_channels=4)
    return sact_tf.models.ImageClassifier(backbone, num_classes)


@pytest.mark.parametrize("num_classes", [10, 7])
def test_warm_start_takes_all_but_halting_and_a_foreign_head(
    prepare, tmp_path, capsys, num_classes
):
    source = _plain_classifier(num_classes)
    source.save(tmp_path / "plain.keras")
    run = prepare(f"train.warm_start={tmp_path / 'plain.keras'}")
    theirs = {weight.path: weight.numpy() for weight in source.weights}
    fresh = {weight.path: weight.numpy() for weight in prepare(name="fresh").model.weights}
    for weight in run.model.weights:
        is_head = weight.path.startswith("head/logits")
        if "halting" in weight.path or (is_head and num_classes != 10):
            expected = fresh[weight.path]
        else:
            expected = theirs[weight.path]
        np.testing.assert_array_equal(weight.numpy(), expected, err_msg=weight.path)
    out = capsys.readouterr().out
    for block in (1, 2, 3):
        assert f"block{block}/halting_score_1: halting" in out
    assert ("head/logits: 7 classes there, 10 here" in out) == (num_classes == 7)


def test_a_run_that_has_begun_starts_from_nowhere_else(prepare, tmp_path, capsys):
    plain = prepare(PLAIN, name="plain")
    plain.train(evaluates=False)
    start = f"train.warm_start={tmp_path / 'plain'},train.steps=4"
    with pytest.raises(UserError, match="train.warm_start: the run in .* has begun without one"):
        prepare(PLAIN, start, name="plain")
    assert "warm_start: null" in plain.directory.config.read_text()

    prepare(start).train(evaluates=False)
    moved = f"train.warm_start={tmp_path / 'moved'},train.steps=6"
    capsys.readouterr()
    assert prepare(moved).step == 4
    assert "train.warm_start has no effect" in capsys.readouterr().out


def test_a_warm_start_of_which_nothing_fits_is_refused(prepare, tmp_path):
    backbone = sact_tf.models.ResNetBackbone.cifar(2, base_channels=8)
    sact_tf.models.ImageClassifier(backbone, 10).save(tmp_path / "wide.keras")
    expected = "train.warm_start=.*wide.keras: .* nothing fits; looked for .*, found"
    with pytest.raises(UserError, match=expected):
        prepare(f"train.warm_start={tmp_path / 'wide.keras'}")
    assert not (tmp_path / "run").exists()


def test_warm_start_from_nothing_names_the_path(prepare, tmp_path):
    with pytest.raises(UserError, match="absent.keras"):
        prepare(f"train.warm_start={tmp_path / 'absent.keras'}")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def image_folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("held_out", 3)):
        for index, name in enumerate(("cat", "dog", "owl")):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(80 * index, 80 * index + 60, [20, 24, 3], np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    return (
        f"data={{source: image_folder, cluttered_digits: null, image_folder: {{train_dir: "
        f"{tmp_path / 'train'}, validation_dir: {tmp_path / 'held_out'}}}, "
        "preprocessing: {name: scale, image_size: [16, 20]}}"
    )


def test_a_folder_of_images_with_a_corrupt_one(prepare, image_folder, tmp_path):
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"cat/0\.png"):
        prepare(image_folder)
    run = prepare(image_folder, "data.skip_corrupt=true")
    run.train(evaluates=True)
    metrics = run.evaluate()
    assert metrics["num_examples"] == 9 and metrics["corrupt_images_skipped"] == 1
    assert "recall@5" not in metrics and "ponder_localization_auc" not in metrics
    model = keras.models.load_model(run.directory.model)
    assert model.class_names == ["cat", "dog", "owl"]
    assert model.preprocessing == {"name": "scale", "image_size": [16, 20]}
