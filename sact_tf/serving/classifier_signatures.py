"""The signatures of a classifier's SavedModel.

B images, K classes listed, C classes, H W the network's input.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from sact_tf.data.preprocessing import evaluation_function
from sact_tf.serving.class_names import ClassNames
from sact_tf.serving.image_batch import decode_batch
from sact_tf.serving.signature_parts import ENCODED, block_outputs, images_spec, plain_flops


def classifier_signatures(
    model, preprocessing: Mapping[str, Any], class_names: ClassNames, top: int
) -> dict[str, Callable]:
    """What can be asked of an exported `ImageClassifier`.

    - `serving_default`: `image_bytes` (string [B], encoded images of any sizes) -> `classes`
      (string [B, K], names by falling score), `labels` (int32 [B, K], their numbers), `scores`
      (float32 [B, K], probabilities).
    - `images`: `images` (float32 [B, H, W, 3], preprocessed) -> these and `logits` [B, C].
    - `ponder_map`: `image_bytes` -> these and `flops`, `plain_flops` (int64 [B]; of the same
      network without halting), `ponder_cost_map` ([B, H, W] for SACT, else [B, 1, 1]),
      `image_size` (int32 [B, 2], what of the map is the image if others are larger), and for each
      block `block1_num_units` (int32 [B, h, w]) and `block1_ponder_cost`.

    Args:
        model: the classifier.
        preprocessing: see `sact_tf.data.preprocessing`.
        class_names: of its classes.
        top: K, cut to C.

    Returns:
        tf.functions by the signatures' names, with their input signatures.
    """
    preprocess = evaluation_function(preprocessing)
    top = min(top, model.num_classes)

    def listed(logits):
        scores, labels = tf.math.top_k(tf.nn.softmax(tf.cast(logits, tf.float32)), top)
        return {"classes": class_names(labels), "labels": labels, "scores": scores}

    def serve(image_bytes):
        batch = decode_batch(image_bytes, preprocess)
        return listed(model.forward(batch.images, batch.valid, training=False)["logits"])

    def serve_images(images):
        logits = model.forward(images, training=False)["logits"]
        return {**listed(logits), "logits": logits}

    def serve_ponder_map(image_bytes):
        batch = decode_batch(image_bytes, preprocess)
        outputs = model.ponder(batch.images, batch.valid)
        names = model.backbone.block_names
        return {
            **listed(outputs["logits"]),
            "logits": outputs["logits"],
            "flops": outputs["flops"],
            "plain_flops": plain_flops(model.backbone, batch.sizes) + model.head.flops(),
            "ponder_cost_map": outputs["ponder_cost_map"],
            "image_size": batch.sizes,
            **block_outputs({name: outputs[name] for name in names}),
        }

    return {
        "serving_default": tf.function(serve, input_signature=[ENCODED]),
        "images": tf.function(serve_images, input_signature=[images_spec(model.backbone)]),
        "ponder_map": tf.function(serve_ponder_map, input_signature=[ENCODED]),
    }
