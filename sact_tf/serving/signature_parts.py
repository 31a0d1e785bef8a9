"""What the signatures of classifiers and detectors share."""

import tensorflow as tf

ENCODED = tf.TensorSpec([None], tf.string, "image_bytes")


def images_spec(backbone) -> tf.TensorSpec:
    """The input `images`, float32 [B, H, W, C], free where the network leaves it free."""
    return tf.TensorSpec([None, *backbone.get_config()["image_shape"]], tf.float32, "images")


def block_outputs(halting) -> dict[str, tf.Tensor]:
    """`block1_num_units` (int32 [B, h, w]), `block1_ponder_cost` and so on."""
    return {
        f"{name}_{key}": outputs[key]
        for name, outputs in halting.items()
        for key in ("num_units", "ponder_cost")
    }


def plain_flops(backbone, sizes: tf.Tensor, last_block: str | None = None) -> tf.Tensor:
    """`ResNetBackbone.plain_flops` of sizes that are known when the graph runs.

    Args:
        backbone: a `ResNetBackbone`.
        sizes: int32 [B, 2], height and width.
        last_block: name of the last block; None takes all.

    Returns:
        int64 [B].
    """
    blocks = backbone.blocks
    if last_block is not None:
        blocks = blocks[: backbone.block_names.index(last_block) + 1]

    def one_image(size):
        height, width = tf.unstack(size)
        total = backbone.stem.flops(tf.stack([1, height, width, 1]))[0]
        height, width = (-(-side // backbone.stem.stride) for side in (height, width))
        for block in blocks:
            for unit in block.units:
                outer = height * width
                height, width = (-(-side // unit.stride) for side in (height, width))
                inner = height * width
                total += unit.flops(outer if unit.outer_stride == 1 else inner, inner)
        return total

    return tf.map_fn(one_image, sizes, fn_output_signature=tf.int64)
