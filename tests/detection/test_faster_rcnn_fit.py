"""Detectors in Keras' own loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.detection.faster_rcnn import LOSS_PARTS
from tests.detection.scene_losses import losses_of
from tests.harness import assert_same


def test_fit_evaluate_predict(make_detector, scene):
    detector = make_detector(random=False)
    data = tf.data.Dataset.from_tensors(scene).repeat(3)
    detector.compile(keras.optimizers.SGD(0.01))
    history = detector.fit(data, epochs=2, verbose=0).history
    assert set(history) == {"loss", *LOSS_PARTS}
    parts = sum(history[part][0] for part in LOSS_PARTS)
    np.testing.assert_allclose(history["loss"][0], parts, rtol=1e-5)
    metrics = detector.evaluate(data, verbose=0, return_dict=True)
    assert set(metrics) == {"loss", *LOSS_PARTS}
    images = {"image": scene["image"].numpy(), "valid": scene["valid"].numpy()}
    predicted = detector.predict(images, verbose=0)
    assert predicted["boxes"].shape == (2, 100, 4)
    assert predicted["classes"].dtype == np.int32
    assert predicted["flops"].dtype == np.int64
    assert detector.predict(np.zeros([1, 33, 47, 3]), verbose=0)["boxes"].shape[0] == 1


def test_a_step_is_the_gradient_of_losses_for(make_detector, scene):
    one, two = make_detector(), make_detector()
    one.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    one.train_on_batch(scene)
    with tf.GradientTape() as tape:
        losses, _ = two.losses_for(
            *(scene[name] for name in ("image", "valid", "boxes", "classes")), sampling_step=0
        )
        total = tf.add_n(list(losses.values()))
    variables = two.trainable_variables
    keras.optimizers.SGD(0.1).apply_gradients(
        zip(tape.gradient(total, variables), variables, strict=True)
    )
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4, err_msg=ours.path)


def test_missing_ground_truth_is_named(make_detector, scene):
    detector = make_detector()
    detector.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    with pytest.raises(ValueError, match="boxes"):
        detector.fit(tf.data.Dataset.from_tensors({"image": scene["image"]}), verbose=0)


def test_what_a_detector_does_not_take_is_named(make_detector, scene):
    detector = make_detector()
    for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
        with pytest.raises(ValueError, match=f"without {name}: .* received {name}="):
            detector.compile("sgd", **{name: ["accuracy"]})
    detector.compile("sgd", run_eagerly=True)
    images = tf.zeros([2, 64, 80, 3])
    truth = {"boxes": scene["boxes"], "classes": scene["classes"]}
    with pytest.raises(ValueError, match="a tensor, a dict with boxes, classes"):
        detector.fit(images, truth, batch_size=2, verbose=0)
    with pytest.raises(ValueError, match="without y .* received"):
        detector.evaluate(images, verbose=0)
    with pytest.raises(ValueError, match="without y"):
        detector.fit({"image": images, **truth}, tf.zeros([2]), batch_size=2, verbose=0)
    with pytest.raises(ValueError, match="received the keys"):
        detector({"images": images})


def test_mixed_precision(make_detector, scene):
    detector = make_detector(random=False, backbone={"dtype": "mixed_bfloat16"})
    assert detector.rpn.scores.compute_dtype == "float32"
    single = make_detector(random=False)
    single.set_weights(detector.get_weights())
    # Rounding may change which regions the suppression keeps, and with them the losses of the
    # classifier: of those, what both say of the same regions is compared.
    both = (detector, single)
    losses = [losses_of(model, scene, training=False)[0] for model in both]
    assert_same(
        *({k: v for k, v in each.items() if k not in ("class", "box")} for each in losses), 0.05
    )
    features = [model._extract(scene["image"], scene["valid"], False)[1] for model in both]
    proposals = [model.rpn.propose(seen) for model, seen in zip(both, features, strict=True)]
    regions, exists = proposals[1].regions, proposals[1].exists
    answers = [
        (proposed.logits, proposed.codes, *model.box_classifier(seen, regions, exists, False))
        for model, seen, proposed in zip(both, features, proposals, strict=True)
    ]
    assert_same(*answers, 0.05)
    detector.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    assert np.isfinite(detector.fit(tf.data.Dataset.from_tensors(scene), verbose=0).history["loss"])
    assert detector(scene)["boxes"].dtype == tf.float32
