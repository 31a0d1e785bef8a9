"""What training does to a detector as a whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.detection import FasterRCNN
from sact_tf.models import ResNetBackbone
from tests.harness import run_python

OBJECTS = np.array([[8, 8, 40, 32], [20, 50, 60, 90], [60, 10, 90, 44]], "float32")


def painted_scene():
    """One image of noise with a red, a green and a blue box."""
    image = np.random.default_rng(0).normal(size=[1, 96, 96, 3]).astype("float32") * 0.3
    for colour, (top, left, bottom, right) in enumerate(OBJECTS.astype(int)):
        image[0, top:bottom, left:right, colour] += 2
    return {
        "image": tf.constant(image),
        "boxes": tf.constant(OBJECTS[np.newaxis]),
        "classes": tf.constant([[0, 1, 2]]),
    }


def overlap(one, other):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = np.prod(np.maximum(sides, 0))
    return shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)


def is_known(found):
    """AP50 of 1: the three best detections are the three objects."""
    boxes, scores, classes = (found[name][0].numpy() for name in ("boxes", "scores", "classes"))
    best = zip(boxes[:3], classes[:3], strict=True)
    return (
        sorted(classes[:3]) == [0, 1, 2]
        and all(overlap(box, OBJECTS[label]) > 0.5 for box, label in best)
        and 0.5 < scores[2] > scores[3]
    )


class StopWhenKnown(keras.callbacks.Callback):
    def __init__(self, scene):
        super().__init__()
        self.scene = scene

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = is_known(self.model(self.scene))


@pytest.mark.large
def test_one_image_is_learned_by_heart():
    keras.utils.set_random_seed(0)
    backbone = ResNetBackbone(
        (2, 2, 2),
        base_channels=8,
        stem_channels=8,
        unit="basic",
        halting="sact",
        batch_norm_momentum=0.9,
    )
    detector = FasterRCNN(
        backbone,
        3,
        anchor_sizes=(16, 32, 64),
        rpn_channels=32,
        num_proposals=32,
        crop_size=7,
        sampled_regions=32,
    )
    detector.compile(keras.optimizers.Adam(0.003))
    scene = painted_scene()
    data = tf.data.Dataset.from_tensors(scene).repeat(25)
    # Seeds 0 to 3 need 125 to 200 steps; 600 are the most it may take.
    history = detector.fit(data, epochs=24, verbose=0, callbacks=[StopWhenKnown(scene)]).history
    assert is_known(detector(scene)), history


REPLICAS = """
import sys
import keras
import numpy as np
import tensorflow as tf

replicas, path = int(sys.argv[1]), sys.argv[2]
device = tf.config.list_physical_devices("CPU")[0]
logical = [tf.config.LogicalDeviceConfiguration()] * replicas
tf.config.set_logical_device_configuration(device, logical)
strategy = tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(replicas)])

from sact_tf.detection import FasterRCNN
from sact_tf.models import ResNetBackbone
from tests.harness import randomize

rng = np.random.default_rng(0)
image = rng.normal(size=[4, 40, 48, 3]).astype("float32")
valid = np.ones([4, 40, 48], bool)
valid[1, 30:], valid[2, :, 40:] = False, False
boxes = np.tile([[[4, 6, 24, 30], [10, 10, 26, 36]]], [4, 1, 1]).astype("float32")
boxes[3] = 0
classes = np.array([[0, 2], [1, -1], [2, 1], [-1, -1]], "int32")
batch = {"image": image, "valid": valid, "boxes": boxes, "classes": classes}
with strategy.scope():
    backbone = ResNetBackbone(
        (2, 2, 2), base_channels=4, stem_channels=4, unit="basic", halting="sact",
        halting_bias=-1.0, synchronized_batch_norm=True, execution=sys.argv[3],
        statistics="evaluated",
    )
    detector = FasterRCNN(
        backbone, 3, anchor_sizes=(8, 16), rpn_channels=8, num_proposals=16, sampled_anchors=32,
        sampled_regions=8, crop_size=5, proposal_candidates=40,
    )
    randomize(detector)
    detector.compile(keras.optimizers.SGD(0.1))
data = tf.data.Dataset.from_tensor_slices(batch).batch(4)
history = detector.fit(data, verbose=0).history
np.savez(path, loss=history["loss"], **{v.path: v.numpy() for v in detector.weights})
"""


@pytest.mark.large
@pytest.mark.parametrize("execution", ["masked", "tiled"])
def test_a_step_on_two_replicas_is_the_step_on_one(tmp_path, execution):
    results = []
    for replicas in (1, 2):
        path = tmp_path / f"{replicas}.npz"
        run_python(REPLICAS, replicas, path, execution)
        results.append(dict(np.load(path)))
    one, two = results
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=2e-4, err_msg=name)
