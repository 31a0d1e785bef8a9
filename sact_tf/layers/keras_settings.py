"""Keras' global settings that the layers do not work with, refused in one sentence."""

import keras

_PRECISE = ("float32", "float64")


def check_keras_settings(policy: keras.DTypePolicy) -> None:
    """Refuses what would fail deep inside a layer.

    Args:
        policy: the dtype policy of the layer or model that is being made.

    Raises:
        ValueError: Keras' images are channels first, or weights would be of half precision.
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "sact_tf works with images [batch, height, width, channels]: expected "
            "keras.config.image_data_format() to be 'channels_last', received "
            f"{keras.config.image_data_format()!r}; "
            "call keras.config.set_image_data_format('channels_last')"
        )
    # Weights have the policy's type, Keras' metrics that of floatx.
    if keras.config.floatx() not in _PRECISE:
        raise ValueError(
            "sact_tf keeps weights and metrics in float32 or float64: expected "
            f"keras.config.floatx() to be one of {_PRECISE}, received {keras.config.floatx()!r}; "
            "for half precision take dtype='mixed_bfloat16'"
        )
    if policy.variable_dtype not in _PRECISE:
        raise ValueError(
            f"sact_tf keeps weights in float32 or float64: expected dtype to be one of {_PRECISE}, "
            f"'mixed_bfloat16' or 'mixed_float16', received {policy.name!r}"
        )
