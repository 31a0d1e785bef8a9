"""What every model of this package can be asked."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.models.image_batches import image_inputs
from sact_tf.ops.tiles import upsample_nearest


class AdaptiveModel:
    """Mixin of the models: `ResNetBackbone`, `ImageClassifier` and `FasterRCNN`.

    Whoever only needs what stands here works with all of them:

        model = keras.models.load_model("model.keras")
        spent = model.ponder(images)
        share = spent["flops"] / model.plain_flops(*images.shape[1:3])
        for name in model.block_names:
            units = spent[name]["num_units"]

    Attributes:
        backbone: the `ResNetBackbone` inside (a backbone has no such attribute itself).
        class_names: list of str, one for each class, or None.
        preprocessing: JSON-able dict that tells how an image becomes this model's input, or None.
        answers: the keys of `forward` that are the model's answer to an image.
    """

    backbone: keras.Model
    class_names: list[str] | None = None
    preprocessing: Mapping[str, Any] | None = None
    answers: tuple[str, ...] = ()

    def forward(
        self, images: tf.Tensor, valid: tf.Tensor | None = None, training: bool | None = None
    ) -> dict[str, Any]:
        """Everything that a call computes, in one differentiable pass.

        Args:
            images: [B, H, W, C], preprocessed.
            valid: optional bool [B, H, W], true where an image is and false in its padding.
            training: whether batch normalization uses the statistics of this batch.

        Returns:
            Dict of the model's `answers`, `flops` (int64 [B]), and by block name `halting` (see
            `AdaptiveBlock`) and `valid` (bool [B, h, w] or None).
        """
        raise NotImplementedError

    def plain_flops(self, height: int | tf.Tensor, width: int | tf.Tensor) -> int | tf.Tensor:
        """Operations for one image of the same network without halting, counted as `forward`'s.

        Args:
            height, width: of the image; ints, or integer scalars that are known when a graph runs.

        Returns:
            An int; for tensors an int64 scalar.
        """
        raise NotImplementedError

    @property
    def image_shape(self) -> tuple[int | None, int | None, int]:
        """Height, width and channels of the images, None where they are free."""
        return self.backbone.image_shape

    @property
    def halting_kind(self) -> str | None:
        """None, "act" or "sact"."""
        return self.backbone.halting_kind

    @property
    def block_names(self) -> list[str]:
        """Names of the blocks whose halting `forward` and `ponder` return, in their order."""
        return self.backbone.block_names

    def ponder(self, images: tf.Tensor, valid: tf.Tensor | None = None) -> dict[str, Any]:
        """The answer for each image, and what the network spends on it.

        Args:
            images: [B, H, W, C], preprocessed; or in another form that a call takes.
            valid: optional bool [B, H, W].

        Returns:
            Dict of the model's `answers`, `flops` (int64 [B]), `ponder_cost_map` (see the method),
            and for each of `block_names` its halting dict (see `AdaptiveBlock`).
        """
        images, valid = image_inputs(images, valid)
        outputs = self.forward(images, valid, training=False)
        return {
            **{name: outputs[name] for name in self.answers},
            "flops": outputs["flops"],
            "ponder_cost_map": self.ponder_cost_map(outputs, images, valid),
            **outputs["halting"],
        }

    def ponder_cost_map(
        self, outputs: Mapping[str, Any], images: tf.Tensor, valid: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The blocks' ponder costs, each resized to the image by nearest neighbour, and summed.

        Args:
            outputs: what `forward` returned.
            images: the images it was called with, [B, H, W, C].
            valid: optional bool [B, H, W], as in the call.

        Returns:
            [B, H, W]; [B, 1, 1] without positions to choose.
        """
        maps = [halting["ponder_cost"] for halting in outputs["halting"].values()]
        if self.halting_kind == "sact":
            shape = tf.shape(images)
            maps = [
                upsample_nearest(block_map, shape[1], shape[2], valid, block_valid)
                for block_map, block_valid in zip(maps, outputs["valid"].values(), strict=True)
            ]
        return tf.add_n(maps)

    def class_name(self, label: int) -> str:
        """Name of a class, its number where there are no names."""
        return str(label) if self.class_names is None else self.class_names[label]

    def required_preprocessing(self) -> dict[str, Any]:
        """How an image becomes this model's input.

        Raises:
            UserError: the model was saved without saying it.
        """
        if self.preprocessing is None:
            raise UserError(
                "the model does not say how images become its input: its preprocessing is None; "
                f"give {type(self).__name__}(..., preprocessing=...) when you build it, or "
                "--preprocessing to a program that has this option"
            )
        return dict(self.preprocessing)
