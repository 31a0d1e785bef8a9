"""The classes of ImageNet, as `keras.applications.resnet_v2.decode_predictions` calls them."""

import importlib.resources

NUM_CLASSES = 1000


def imagenet_classes() -> list[str]:
    """The 1,000 names in the order of the networks of `keras.applications`, as `tiger_shark`.

    Source of the file: keras-hub 0.32 (Apache-2.0), `keras_hub.utils.imagenet_id_to_name`.
    """
    file = importlib.resources.files("sact_tf.models.keras_application") / "imagenet_classes.txt"
    return file.read_text(encoding="utf-8").split()
