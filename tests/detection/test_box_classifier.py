"""The box classifier's head, and its detections against Model Garden's."""

import numpy as np
import tensorflow as tf

from sact_tf.detection.box_classifier import BoxHead, select_detections
from sact_tf.detection.geometry.boxes import encode_boxes
from tests.harness import check_config

SIZES = tf.constant([[100.0, 120.0]])
OBJECTS = np.array([[[5, 5, 30, 40], [50, 20, 90, 60], [5, 8, 31, 44]]], "float32")


def perfect(classes, num_classes=4, regions=OBJECTS):
    """Logits and codes of a classifier that is sure and right."""
    logits = np.full([1, len(classes), num_classes + 1], -20.0, "float32")
    logits[0, range(len(classes)), np.array(classes) + 1] = 20.0
    codes = encode_boxes(tf.constant(OBJECTS), tf.constant(regions))
    return tf.constant(logits), tf.repeat(codes[:, :, tf.newaxis], num_classes, axis=2)


def found(logits, codes, regions=OBJECTS, exists=(True,) * 3, most=5, threshold=0.5, iou=0.5):
    out = select_detections(
        logits, codes, tf.constant(regions), tf.constant([exists]), SIZES, most, threshold, iou
    )
    return {name: tensor[0].numpy() for name, tensor in out.items()}


def by_position(boxes):
    return sorted(map(tuple, np.round(boxes, 2).tolist()))


def test_ground_truth_as_proposals_with_perfect_scores_comes_back():
    out = found(*perfect([2, 0, 3]))
    assert out["num_detections"] == 3
    assert by_position(out["boxes"][:3]) == by_position(OBJECTS[0])
    assert sorted(out["classes"]) == [-1, -1, 0, 2, 3]
    np.testing.assert_allclose(out["scores"], [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(out["boxes"][3:], 0)


def test_boxes_are_corrected_from_displaced_regions():
    regions = OBJECTS + np.array([3, -2, 4, 5], "float32")
    out = found(*perfect([2, 0, 3], regions=regions), regions=regions)
    assert by_position(out["boxes"][:3]) == by_position(OBJECTS[0])


def test_one_class_suppresses_its_doubles():
    out = found(*perfect([2, 0, 2]))
    assert out["num_detections"] == 2


def test_background_and_missing_regions_give_nothing():
    logits, codes = perfect([2, 0, 3])
    sure_of_nothing = tf.concat([logits[:, :1, :1] + 100, logits[:, :1, 1:]], axis=-1)
    logits = tf.concat([sure_of_nothing, logits[:, 1:]], axis=1)
    out = found(logits, codes, exists=(True, True, False))
    assert out["num_detections"] == 1
    assert out["classes"][0] == 0


def test_the_box_of_the_class_is_taken_and_clipped():
    logits, codes = perfect([1, 1, 1])
    codes = codes.numpy()
    codes[:, :, 1, 0] += 10 * 3  # three heights down: outside of the image, or cut
    out = found(logits, tf.constant(codes))
    assert out["num_detections"] == 1  # of the first and third, which overlap; the second left
    assert out["boxes"][0, 2] == 100


def test_detections_are_model_gardens():
    from official.vision.modeling.layers import detection_generator

    rng = np.random.default_rng(0)
    logits = rng.normal(size=[1, 40, 4]).astype("float32") * 3
    codes = rng.normal(size=[1, 40, 3, 4]).astype("float32")
    corner = rng.uniform(0, 60, size=[1, 40, 2])
    regions = np.concatenate([corner, corner + rng.uniform(10, 50, size=[1, 40, 2])], -1)
    regions = regions.astype("float32")
    generate = detection_generator.DetectionGenerator(
        pre_nms_score_threshold=0.2, nms_iou_threshold=0.4, max_num_detections=10, nms_version="v1"
    )
    theirs = generate(
        tf.reshape(np.concatenate([np.zeros_like(codes[:, :, :1]), codes], 2), [1, 40, 16]),
        tf.constant(logits),
        tf.constant(regions),
        SIZES,
        regression_weights=[10.0, 10, 5, 5],
    )
    ours = found(
        tf.constant(logits), tf.constant(codes), regions, (True,) * 40, most=10, threshold=0.2,
        iou=0.4,
    )  # fmt: skip
    count = int(theirs["num_detections"][0])
    assert ours["num_detections"] == count > 3
    np.testing.assert_allclose(
        ours["boxes"][:count], theirs["detection_boxes"][0, :count], atol=1e-3
    )
    np.testing.assert_array_equal(
        ours["classes"][:count] + 1, theirs["detection_classes"][0, :count]
    )


SHARED = {
    "negative_slope": 0.1,
    "weight_decay": 0.01,
    "batch_norm": {"epsilon": 0.01, "momentum": 0.7},
    "name": "mine",
}


def test_head_config():
    check_config(lambda: BoxHead(4, pools_first=True, **SHARED))


def test_the_head_leaves_missing_regions_out_of_its_statistics():
    rng = np.random.default_rng(0)
    regions = tf.constant(rng.normal(size=[5, 3, 3, 8]), tf.float32)
    exists = tf.constant([True, False, True, True, False])
    for pools_first in (True, False):
        head = BoxHead(4, pools_first=pools_first, **SHARED)
        head.build(regions.shape)
        logits, codes = head(regions, training=True, exists=exists)
        assert logits.shape == (5, 5) and codes.shape == (5, 4, 4)
        kept = tf.boolean_mask(regions, exists).numpy()
        kept = kept.mean(axis=(1, 2)) if pools_first else kept.reshape(-1, 8)
        np.testing.assert_allclose(head.postnorm.moving_mean, 0.3 * kept.mean(axis=0), atol=1e-5)
