"""Detectors as a whole: padding, executions, gradients, ground truth, arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.detection import FasterRCNN
from sact_tf.detection.faster_rcnn import LOSS_PARTS
from sact_tf.models import AdaptiveModel, ResNetBackbone
from tests.detection.scene_losses import STEP, losses_of
from tests.harness import assert_same


def alone(scene, index):
    """One image of the batch without its padding."""
    height, width = (
        int(tf.reduce_sum(tf.cast(tf.reduce_any(scene["valid"][index], axis), tf.int32)))
        for axis in (1, 0)
    )
    one = {name: tensor[index : index + 1] for name, tensor in scene.items()}
    return {**one, "image": one["image"][:, :height, :width], "valid": None}


@pytest.mark.parametrize(
    ("halting", "unit", "options"),
    [
        ("sact", "basic", {}),
        ("sact", "bottleneck", {}),
        ("act", "basic", {"adaptive_box_head": True, "crop_size": 6}),
        (None, "bottleneck", {"feature_block": "block1"}),
        ("sact", "basic", {"backbone": {"stem": "cifar", "tile_size": 2}}),
    ],
)
def test_an_image_gives_the_same_alone_and_padded(make_detector, scene, halting, unit, options):
    detector = make_detector(halting, unit, **options)
    batch = detector(scene["image"], scene["valid"])
    assert set(batch) == {*detector.answers, "ponder_cost_map", "flops"}
    losses = [losses_of(detector, alone(scene, index), False)[0] for index in (0, 1)]
    together, _ = losses_of(detector, scene, False)
    for name in LOSS_PARTS:
        np.testing.assert_allclose(
            together[name], np.mean([each[name] for each in losses]), rtol=1e-4, err_msg=name
        )
    for index in (0, 1):
        image = alone(scene, index)["image"]
        single = detector(image)
        height, width = image.shape[1:3]
        assert single["num_detections"][0] == batch["num_detections"][index] > 0
        for name in ("boxes", "scores", "classes", "flops"):
            assert_same(single[name][0], batch[name][index], 1e-4)
        ponder = batch["ponder_cost_map"][index].numpy()
        assert_same(single["ponder_cost_map"][0], ponder[:height, :width], 1e-4)
        assert not ponder[height:].any() and not ponder[:, width:].any()


def test_predictions_are_boxes_of_the_image(make_detector, scene):
    out = make_detector()(scene)
    for index, (height, width) in enumerate([(64, 80), (48, 56)]):
        count = int(out["num_detections"][index])
        boxes, scores, classes = (
            out[name][index].numpy() for name in ("boxes", "scores", "classes")
        )
        assert 0 < count <= 100
        assert (boxes[:count, 2:] > boxes[:count, :2]).all() and (boxes >= 0).all()
        assert (boxes[:, 2] <= height).all() and (boxes[:, 3] <= width).all()
        assert (np.diff(scores) <= 0).all() and (scores[:count] > 0.01).all()
        assert set(classes[:count]) <= {0, 1, 2}
        assert (classes[count:] == -1).all() and not boxes[count:].any()


def test_nothing_but_padding_is_nothing(make_detector, scene):
    detector = make_detector()
    valid = tf.constant(np.stack([np.ones([64, 80], bool), np.zeros([64, 80], bool)]))
    image = tf.zeros_like(scene["image"])
    out = detector(image, valid)
    assert out["num_detections"][1] == 0
    assert not out["ponder_cost_map"][1].numpy().any()
    losses, _ = losses_of(detector, scene, image=image, valid=valid)
    assert all(np.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("halting", ["sact", "act"])
@pytest.mark.parametrize("execution", ["tiled", "auto"])
def test_executions_agree(make_detector, scene, halting, execution):
    backbone = {"statistics": "evaluated"} if halting == "sact" else {}
    detector = make_detector(halting, backbone=backbone)

    def run():
        for variable, value in zip(detector.weights, start, strict=True):
            variable.assign(value)  # the moving statistics have moved
        with tf.GradientTape() as tape:
            losses, outputs = detector.losses_for(
                *(scene[name] for name in ("image", "valid", "boxes", "classes")),
                sampling_step=STEP,
            )
            total = tf.add_n(list(losses.values()))
        gradients = tape.gradient(total, detector.trainable_variables)
        return losses, outputs["flops"], gradients, detector(scene)

    start = [variable.numpy() for variable in detector.weights]
    masked = run()
    sact_tf.set_execution(detector, execution)
    other = run()
    assert_same(other[0], masked[0], 1e-4)
    assert_same(other[1], masked[1])
    for variable, ours, theirs in zip(
        detector.trainable_variables, other[2], masked[2], strict=True
    ):
        scale = max(float(tf.reduce_max(tf.abs(theirs))), 1e-3)
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * scale, err_msg=variable.path)
    assert_same(other[3]["scores"], masked[3]["scores"], 1e-4)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(("halting", "unit"), [("sact", "basic"), ("act", "bottleneck")])
def test_gradient_reaches_all_weights(make_detector, scene, halting, unit, adaptive):
    detector = make_detector(halting, unit, adaptive_box_head=adaptive)
    with tf.GradientTape() as tape:
        losses, _ = detector.losses_for(
            scene["image"], scene["valid"], scene["boxes"], scene["classes"], sampling_step=STEP
        )
        del losses["weight_decay"]
        total = tf.add_n(list(losses.values()))
    variables = detector.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        assert gradient is not None, variable.path
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(gradient).all() and gradient.any(), variable.path
    used = any("block3/halting_score" in variable.path for variable in variables)
    assert used == adaptive
    assert bool(detector.unused_layers) != adaptive


def test_each_loss_reaches_its_own_layers(make_detector, scene):
    detector = make_detector()
    with tf.GradientTape(persistent=True) as tape:
        losses, _ = detector.losses_for(
            scene["image"], scene["valid"], scene["boxes"], scene["classes"], sampling_step=STEP
        )
    kernels = {
        "rpn_score": detector.rpn.scores.kernel,
        "rpn_box": detector.rpn.boxes.kernel,
        "class": detector.box_head.scores.kernel,
        "box": detector.box_head.boxes.kernel,
    }
    for loss, value in losses.items():
        if loss == "weight_decay":
            continue
        for name, kernel in kernels.items():
            assert (tape.gradient(value, kernel) is not None) == (name == loss)


def test_the_ponder_loss_is_the_extractors(make_detector, scene):
    detector = make_detector(adaptive_box_head=True)
    sact_tf.set_ponder_weight(detector, 0.5)
    losses, outputs = losses_of(detector, scene, training=False)
    assert set(outputs["halting"]) == {"block1", "block2"}
    np.testing.assert_allclose(losses["ponder_loss"], 0.5 * outputs["ponder_cost"], rtol=1e-5)
    assert losses["ponder_loss"] > 0.5 * 2 * 2  # two blocks, each of cost 2 at least
    sact_tf.set_ponder_weight(detector, 0.0)
    assert losses_of(detector, scene, training=False)[0]["ponder_loss"] == 0


def test_weight_decay_is_of_what_is_trained(make_detector, scene):
    detector = make_detector(backbone={"weight_decay": 0.01})
    kernels = [v for v in detector.trainable_variables if v.name == "kernel"]
    expected = 0.01 * sum(float(tf.reduce_sum(tf.square(v))) / 2 for v in kernels)
    assert len(kernels) > 20
    losses, _ = losses_of(detector, scene)
    np.testing.assert_allclose(losses["weight_decay"], expected, rtol=1e-5)


def test_flops_are_the_extractors(make_detector, scene):
    plain = make_detector(None)
    expected = plain.plain_flops(64, 80)
    image = scene["image"][:1]
    np.testing.assert_array_equal(plain(image)["flops"], [expected])
    backbone = ResNetBackbone((2, 2), base_channels=4, stem_channels=4, unit="basic")
    assert backbone.plain_flops(64, 80) == expected
    np.testing.assert_array_equal(backbone.forward(image)["flops"], [expected])
    adaptive = make_detector("sact")
    assert adaptive.plain_flops(64, 80) == expected
    assert not np.array_equal(adaptive(image)["flops"], [expected])


class TestGroundTruth:
    def test_an_image_without_boxes(self, make_detector, scene):
        detector = make_detector()
        for changes in (
            {"classes": -tf.ones([2, 2], tf.int32)},
            {
                "boxes": tf.zeros([2, 0, 4]),
                "classes": tf.zeros([2, 0], tf.int32),
                "crowd": tf.zeros([2, 0], tf.bool),
            },
        ):
            losses, _ = losses_of(detector, scene, **changes)
            assert all(np.isfinite(value) for value in losses.values())
            assert losses["rpn_box"] == losses["box"] == 0
            assert losses["rpn_score"] > 0 and losses["class"] > 0

    def test_more_padding_changes_nothing(self, make_detector, scene):
        detector = make_detector()
        more = {
            "boxes": tf.pad(scene["boxes"], [[0, 0], [0, 5], [0, 0]]),
            "classes": tf.pad(scene["classes"], [[0, 0], [0, 5]], constant_values=-1),
            "crowd": tf.pad(scene["crowd"], [[0, 0], [0, 5]], constant_values=True),
        }
        fewer, _ = losses_of(detector, scene, False)
        assert_same(losses_of(detector, scene, False, **more)[0], fewer, 1e-5)

    def test_a_crowd_is_no_object(self, make_detector, scene):
        detector = make_detector()
        losses, _ = losses_of(detector, scene, crowd=tf.ones([2, 2], tf.bool))
        assert losses["rpn_box"] == losses["box"] == 0
        # All over the image it leaves no background either.
        everywhere = tf.tile(tf.constant([[[-500.0, -500, 500, 500]]]), [2, 2, 1])
        losses, _ = losses_of(
            detector, scene, boxes=everywhere, crowd=tf.ones([2, 2], tf.bool),
            classes=tf.zeros([2, 2], tf.int32),
        )  # fmt: skip
        assert losses["rpn_score"] == losses["class"] == 0


def test_the_sample_is_the_same_in_any_batch(make_detector, scene):
    detector = make_detector(None)
    together, _ = losses_of(detector, scene, training=False)
    swapped = {name: tensor[::-1] for name, tensor in scene.items()}
    assert_same(losses_of(detector, swapped, training=False)[0], together, 1e-5)
    steps = [
        detector.losses_for(
            *(scene[name] for name in ("image", "valid", "boxes", "classes")),
            training=False,
            sampling_step=step,
        )[0]["rpn_score"]
        for step in range(4)
    ]
    assert len({float(value) for value in steps}) == 4


def test_frozen_batch_norm_stays(make_detector, scene):
    detector = make_detector(freeze_batch_norm=True)
    layers = [
        layer
        for layer in detector._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [[value.numpy() for value in layer.weights] for layer in layers]
    training, _ = losses_of(detector, scene, training=True)
    assert_same(training, losses_of(detector, scene, training=False)[0], 1e-5)
    detector.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    detector.train_on_batch(scene)
    for layer, values in zip(layers, before, strict=True):
        for ours, theirs in zip(layer.weights, values, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    free = make_detector()
    mean = free.rpn.preact.moving_mean.numpy()
    losses_of(free, scene, training=True)
    assert not np.array_equal(free.rpn.preact.moving_mean, mean)


def test_statistics_are_of_what_exists(make_detector, scene):
    """Regions that fill up a sample do not move the box classifier's statistics."""
    few = make_detector(None, sampled_regions=16)
    many = make_detector(None, sampled_regions=512)
    for detector in (few, many):  # 27 candidates at most: all of them are in both
        losses_of(detector, scene, boxes=tf.zeros([2, 0, 4]), classes=tf.zeros([2, 0], tf.int32),
                  crowd=tf.zeros([2, 0], tf.bool))  # fmt: skip
    exists = many.forward(scene)["proposal_scores"].numpy() > 0
    assert exists.sum(axis=1).max() < 512
    assert not np.isnan(many.box_head.postnorm.moving_mean).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_block": "block3"}, "feature_block"),
        ({"feature_block": "block7"}, "feature_block"),
        ({"crop_size": 0}, "crop_size"),
        ({"num_proposals": 2.5}, "num_proposals"),
        ({"detection_iou": 1.5}, "detection_iou"),
        ({"anchor_sizes": ()}, "anchor_sizes"),
        ({"aspect_ratios": (1, -2)}, "aspect_ratios"),
        ({"class_names": ["one"]}, "class name"),
        ({"box_loss_weight": -1.0}, "box_loss_weight"),
    ],
)
def test_impossible_arguments(make_detector, options, message):
    with pytest.raises(ValueError, match=message):
        make_detector(random=False, **options)


def test_an_image_without_a_batch(make_detector, scene):
    with pytest.raises(ValueError, match="Expected images of shape.*one image alone is"):
        make_detector()(scene["image"][0])


def test_a_backbone_of_one_block():
    with pytest.raises(ValueError, match="two blocks"):
        FasterRCNN(ResNetBackbone((1,), base_channels=4, stem_channels=4), 2)


def test_a_loss_that_is_no_number_is_told_as_such(make_detector, scene):
    """Training stops at it by itself; no operation on boxes may fail before."""
    detector = make_detector()
    detector.backbone.stem.conv.bias.assign(tf.fill([4], np.nan))
    losses, _ = losses_of(detector, scene)
    assert np.isnan(losses["rpn_score"])
    assert (detector(scene)["num_detections"].numpy() == 0).all()


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_ponder_is_that_of_every_model(make_detector, scene, halting):
    detector = make_detector(halting, class_names=["cat", "dog", "owl"])
    assert isinstance(detector, AdaptiveModel) and detector.halting_kind == halting
    assert detector.block_names == ["block1", "block2"] and detector.class_name(2) == "owl"
    spent = detector.ponder(scene["image"], scene["valid"])
    assert set(spent) == {*detector.answers, "flops", "ponder_cost_map", "block1", "block2"}
    outputs = detector.forward(scene)
    for name in (*detector.answers, "flops"):
        assert_same(spent[name], outputs[name])
    for name in detector.block_names:
        assert_same(spent[name], outputs["halting"][name])
    if halting == "sact":
        assert_same(spent["ponder_cost_map"], outputs["ponder_cost_map"])
    else:  # No positions to choose.
        costs = sum(outputs["halting"][name]["ponder_cost"] for name in detector.block_names)
        assert spent["ponder_cost_map"].shape == (2, 1, 1)
        assert_same(spent["ponder_cost_map"], costs)


def test_budgets_take_detectors(make_detector, scene):
    detector = make_detector()
    share = sact_tf.budget.flops_share.FlopsShare(detector)
    measured = share([{"image": scene["image"][:1]}])
    expected = detector(scene["image"][:1])["flops"][0]
    assert measured == float(expected) / detector.plain_flops(64, 80)


@pytest.mark.large
def test_a_detector_can_be_calibrated(make_detector, scene):
    detector = make_detector()
    measure = sact_tf.budget.flops_share.FlopsShare
    budget = measure(detector)([scene]) - 0.1
    cheaper = sact_tf.budget.calibrate(detector, [scene], budget)
    assert abs(measure(cheaper)([scene]) - budget) < 0.02
    assert cheaper(scene)["num_detections"].shape == (2,)
