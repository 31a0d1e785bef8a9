"""The losses of a detector on the scene of the tests."""

from sact_tf.detection.faster_rcnn import LOSS_PARTS

STEP = 7


def losses_of(detector, scene, training=True, **changes):
    scene = {**scene, **changes}
    losses, outputs = detector.losses_for(
        scene["image"],
        scene["valid"],
        scene["boxes"],
        scene["classes"],
        scene["crowd"],
        training=training,
        sampling_step=STEP,
    )
    assert tuple(losses) == LOSS_PARTS
    return {name: float(value) for name, value in losses.items()}, outputs
