"""The signatures of a detector's SavedModel.

B images, N detections at most, H W the network's input.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from sact_tf.serving.class_names import ClassNames
from sact_tf.serving.image_batch import decode_batch
from sact_tf.serving.signature_parts import ENCODED, block_outputs, images_spec, plain_flops


def detector_signatures(
    model, preprocessing: Mapping[str, Any], class_names: ClassNames
) -> dict[str, Callable]:
    """What can be asked of an exported `FasterRCNN`.

    - `serving_default`: `image_bytes` (string [B], encoded images of any sizes) -> `boxes`
      (float32 [B, N, 4], [ymin, xmin, ymax, xmax] in pixels of the image that was sent), `classes`
      (string [B, N], names by falling score), `labels` (int32 [B, N], their numbers), `scores`
      [B, N], `num_detections` (int32 [B]; what comes after is filled with 0, "" and -1).
    - `images`: `images` (float32 [B, H, W, 3], preprocessed) -> the same; boxes in input pixels.
    - `ponder_map`: `image_bytes` -> these, and of the feature extractor `flops`, `plain_flops`
      (int64 [B]; of the same network without halting), `ponder_cost_map` ([B, H, W]), `image_size`
      (int32 [B, 2], what of the map is the image if others are larger), and for each block
      `block1_num_units` (int32 [B, h, w]) and `block1_ponder_cost`.

    Args:
        model: the detector.
        preprocessing: see `sact_tf.detection.preprocessing`.
        class_names: of its classes.

    Returns:
        tf.functions by the signatures' names, with their input signatures.
    """
    from sact_tf.detection.preprocessing import preprocessing_function

    preprocess = preprocessing_function(preprocessing)

    def found(outputs, scales=None):
        boxes = outputs["boxes"]
        if scales is not None:
            boxes /= tf.concat([scales, scales], axis=1)[:, tf.newaxis]
        return {
            "boxes": boxes,
            "classes": class_names(outputs["classes"]),
            "labels": outputs["classes"],
            "scores": outputs["scores"],
            "num_detections": outputs["num_detections"],
        }

    def serve(image_bytes):
        batch = decode_batch(image_bytes, preprocess)
        outputs = model.forward(batch.images, batch.valid, training=False)
        return found(outputs, batch.scales)

    def serve_images(images):
        return found(model.forward(images, training=False))

    def serve_ponder_map(image_bytes):
        batch = decode_batch(image_bytes, preprocess)
        outputs = model.forward(batch.images, batch.valid, training=False)
        return {
            **found(outputs, batch.scales),
            "flops": outputs["flops"],
            "plain_flops": plain_flops(model.backbone, batch.sizes, model.feature_block),
            "ponder_cost_map": outputs["ponder_cost_map"],
            "image_size": batch.sizes,
            **block_outputs(outputs["halting"]),
        }

    return {
        "serving_default": tf.function(serve, input_signature=[ENCODED]),
        "images": tf.function(serve_images, input_signature=[images_spec(model.backbone)]),
        "ponder_map": tf.function(serve_ponder_map, input_signature=[ENCODED]),
    }
