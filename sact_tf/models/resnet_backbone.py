"""Pre-activation residual networks with adaptive computation time, as feature extractors."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers import AdaptiveBlock, BasicUnit, BottleneckUnit, Stem
from sact_tf.models.adaptive_model import AdaptiveModel
from sact_tf.models.depths import units_of_depth
from sact_tf.models.frozen import freeze, frozen_paths
from sact_tf.models.image_batches import TakesImageBatches, image_inputs, image_tensor
from sact_tf.models.per_block import checked_tile_sizes, one_or_all, per_block
from sact_tf.models.stages import STRIDED_UNITS, blocks_of_stages
from sact_tf.models.warm_start import warm_start_backbone
from sact_tf.ops.positions import strided_size, subsample, zero_outside

UNITS = {"bottleneck": BottleneckUnit, "basic": BasicUnit}
CIFAR_SLOPE = 0.1


@keras.saving.register_keras_serializable(package="sact_tf")
class ResNetBackbone(AdaptiveModel, TakesImageBatches):
    """Residual network whose blocks may stop early, per image (ACT) or per position (SACT).

    Stage s has `base_channels * 2**s` filters, and each block but the first begins with a stride of
    2. Any image size, batch size free, fully convolutional.

    Args:
        units: units per stage. A stage is a block, but see `strided_unit`.
        base_channels: filters of the first stage's units.
        halting: None (plain ResNet), "act" or "sact".
        tile_size: int, or one int per block; see `AdaptiveBlock`.
        execution: "masked", "tiled", "auto" or "static", or one per block; see `AdaptiveBlock`.
        statistics: None, "full" or "evaluated"; see `AdaptiveBlock`.
        costs: None, or one for all blocks, or one per block; see `AdaptiveBlock`.
        capacities: None, or one for all blocks, or one per block; see `AdaptiveBlock`.
        ponder_weight: tau, the weight of the mean ponder cost in the loss (eq. 13), or one per
            block.
        halting_epsilon: halt at a cumulative halting score of 1 - epsilon; one, or one per block.
        halting_bias: initial bias of the halting scores.
        stem: "imagenet" (7x7 of stride 2, max pool), "cifar" (3x3) or "keras"; see `Stem`.
        stem_channels: channels of the root; the authors' ImageNet root has 64 whatever
            `base_channels` is.
        unit: "bottleneck" or "basic".
        strided_unit: which unit of a stage has its stride: the "first" (the authors' networks; not
            in the first stage) or the "last" (those of `keras.applications`; not in the last
            stage). A strided last unit opens the next block, which then has two entry units (see
            `AdaptiveBlock`), so that a block's positions are of one resolution.
        negative_slope: slope of the leaky ReLU for negative inputs, 0 for ReLU; the basic network
            has leaky ReLUs in its halting scores, too (as the authors' CIFAR network).
        weight_decay: L2, `weight_decay * sum(kernel**2) / 2` over all convolutions.
        batch_norm_epsilon: of all batch normalizations.
        batch_norm_momentum: of all batch normalizations: the share of the moving statistics that a
            step keeps. The authors' ImageNet networks have 0.997, for millions of steps: it takes a
            thousand until inference follows what training learned.
        synchronized_batch_norm: batch statistics over all replicas.
        fused_batch_norm: whether training may use TensorFlow's fused kernel; False for plain
            operations, slower and in rounding as the authors'. See `BatchNormalization`.
        image_shape: (height, width, channels), None where free.
        frozen: paths of layers that are not trained, as "block1" or "block2/unit_1/bn1"; the same
            as setting `trainable = False` on them, which is saved as this.

    Call arguments:
        inputs: images [B, H, W, C], preprocessed; a list of one such tensor; or a dict with `image`
            and optionally `valid`.
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]: true in the top left rectangle that an image fills, false
            where it was padded. Every image then gives what it gives alone.

    Returns:
        Dict of features by block name: `{"block1": [B, H / 4, W / 4, C1], ...}`.

    Attributes:
        features: the same dict with the KerasTensors, for functional models.
        halting: dict by block name of each block's halting dict of KerasTensors (`AdaptiveBlock`).
        strides: dict by block name of the features' strides.

    Example:
        >>> import numpy as np
        >>> from sact_tf.models import ResNetBackbone
        >>> backbone = ResNetBackbone.cifar(units_per_block=2, halting="sact")
        >>> features = backbone(np.zeros([1, 32, 32, 3], "float32"))
        >>> {name: tuple(feature.shape) for name, feature in features.items()}
        {'block1': (1, 32, 32, 16), 'block2': (1, 16, 16, 32), 'block3': (1, 8, 8, 64)}
        >>> backbone.strides
        {'block1': 1, 'block2': 2, 'block3': 4}

    Reference: arXiv:1612.02297.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 23, 3),
        base_channels: int = 64,
        halting: str | None = None,
        tile_size: int | Sequence[int] = 1,
        execution: str | Sequence[str] = "masked",
        statistics: str | None = None,
        costs: Any = None,
        capacities: Any = None,
        ponder_weight: float | Sequence[float] = 0.005,
        halting_epsilon: float | Sequence[float] = 0.01,
        halting_bias: float = -3.0,
        stem: str = "imagenet",
        stem_channels: int = 64,
        unit: str = "bottleneck",
        strided_unit: str = "first",
        negative_slope: float = 0.0,
        weight_decay: float = 1e-4,
        batch_norm_epsilon: float = 1e-5,
        batch_norm_momentum: float = 0.9,
        synchronized_batch_norm: bool = False,
        fused_batch_norm: bool = True,
        image_shape: Sequence[int | None] = (None, None, 3),
        frozen: Sequence[str] = (),
        dtype: str | dict[str, Any] | keras.DTypePolicy | None = None,
        name: str = "backbone",
        trainable: bool = True,
    ):
        units = tuple(units)
        _check(units, base_channels, stem_channels, unit, strided_unit, image_shape)
        tile_sizes = checked_tile_sizes(tile_size, len(units))
        executions = per_block("execution", execution, len(units))
        block_costs = per_block("costs", costs, len(units))
        block_capacities = per_block("capacities", capacities, len(units))
        ponder_weights = per_block("ponder_weight", ponder_weight, len(units))
        halting_epsilons = per_block("halting_epsilon", halting_epsilon, len(units))
        self._config: dict[str, Any] = {
            "units": units,
            "base_channels": base_channels,
            "halting": halting,
            "statistics": statistics,
            "halting_bias": halting_bias,
            "stem": stem,
            "stem_channels": stem_channels,
            "unit": unit,
            "strided_unit": strided_unit,
            "negative_slope": negative_slope,
            "weight_decay": weight_decay,
            "batch_norm_epsilon": batch_norm_epsilon,
            "batch_norm_momentum": batch_norm_momentum,
            "synchronized_batch_norm": synchronized_batch_norm,
            "fused_batch_norm": fused_batch_norm,
            "image_shape": tuple(image_shape),
        }
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        batch_norm = {
            "epsilon": batch_norm_epsilon,
            "momentum": batch_norm_momentum,
            "synchronized": synchronized_batch_norm,
            "fused": fused_batch_norm,
        }
        self.stem = Stem(stem, stem_channels, weight_decay, name="stem", dtype=policy)
        self.blocks = []
        options = {
            "negative_slope": negative_slope,
            "weight_decay": weight_decay,
            "batch_norm": batch_norm,
            "dtype": policy,
        }
        for index, block in enumerate(blocks_of_stages(units, base_channels, strided_unit)):
            block_units = []
            for position, (filters, stride) in enumerate(block.units):
                extra = {"filters": filters, "stride": stride}
                if unit == "basic":
                    extra["preactivated_shortcut"] = index == 0 and position == 0
                block_units.append(UNITS[unit](name=f"unit_{position + 1}", **options, **extra))
            self.blocks.append(
                AdaptiveBlock(
                    block_units,
                    entry_units=block.entry_units,
                    halting=halting,
                    tile_size=tile_sizes[index],
                    execution=executions[index],
                    statistics=statistics,
                    costs=block_costs[index],
                    capacities=block_capacities[index],
                    ponder_weight=ponder_weights[index],
                    halting_epsilon=halting_epsilons[index],
                    halting_bias=halting_bias,
                    halting_negative_slope=negative_slope if unit == "basic" else None,
                    weight_decay=weight_decay,
                    batch_norm=batch_norm,
                    name=f"block{index + 1}",
                    dtype=policy,
                )
            )
        image = keras.Input(tuple(image_shape), dtype=policy.compute_dtype, name="image")
        features: dict[str, Any] = {}
        halting_outputs: dict[str, dict[str, Any]] = {}
        state = self.stem(image)
        for block in self.blocks:
            state, decided = block(state)
            del decided["ponder_cost_mean"]  # a scalar, which `predict` could not put together
            features[block.name], halting_outputs[block.name] = state, decided
        super().__init__(inputs=image, outputs=dict(features), name=name, trainable=trainable)
        self.dtype_policy = policy
        self.batch_norm = batch_norm
        self.features = features
        self.halting = halting_outputs
        freeze([self.stem, *self.blocks], frozen)

    @classmethod
    def from_depth(cls, depth: int, **kwargs: Any) -> "ResNetBackbone":
        """The standard ImageNet network of 50, 101, 152 or 200 layers."""
        return cls(units=units_of_depth(depth), **kwargs)

    @classmethod
    def keras_v2(cls, units: int | Sequence[int] = 50, **kwargs: Any) -> "ResNetBackbone":
        """The network of `keras.applications.ResNet50V2` and its like.

        It differs from the authors' in where the strides stand, in the padding of the root's pool,
        and in the constants of the batch normalizations.

        Args:
            units: units of each stage, or the depth of a standard network as an int.
            **kwargs: as in the constructor.
        """
        units = units_of_depth(units) if isinstance(units, int) else units
        options = {
            "stem": "keras",
            "strided_unit": "last",
            "batch_norm_epsilon": 1.001e-5,
            "batch_norm_momentum": 0.99,
        }
        return cls(units=units, **{**options, **kwargs})

    @classmethod
    def cifar(
        cls, units_per_block: int | Sequence[int], base_channels: int = 16, **kwargs: Any
    ) -> "ResNetBackbone":
        """The authors' CIFAR network: three blocks of basic units.

        Args:
            units_per_block: int, or one int for each of the three blocks.
            base_channels: channels of the root and of the first block.
            **kwargs: as in the constructor.
        """
        if isinstance(units_per_block, int):
            units_per_block = (units_per_block,) * 3
        options = {
            "stem": "cifar",
            "stem_channels": base_channels,
            "unit": "basic",
            "negative_slope": CIFAR_SLOPE,
            "weight_decay": 2e-4,
            "batch_norm_epsilon": 1e-3,
            "ponder_weight": 0.01,
        }
        return cls(units=units_per_block, base_channels=base_channels, **{**options, **kwargs})

    def forward(
        self,
        images: tf.Tensor,
        valid: tf.Tensor | None = None,
        training: bool | None = None,
        last_block: str | None = None,
    ) -> dict[str, Any]:
        """Features and what the halting decided, in one pass.

        Args:
            images, valid, training: as in the call.
            last_block: name of the block to stop after; None runs all.

        Returns:
            Dict of `features` (by block), `halting` (by block, see `AdaptiveBlock`), `valid` (by
            block: bool [B, h, w] or None), `flops` (int64 [B], root included), and as scalars of
            float32 or float64 the blocks' summed mean `ponder_cost` and the `ponder_loss`, each
            block's cost times its ponder weight (eq. 13).
        """
        images, valid = image_inputs(images, valid)
        images = image_tensor(images, self.image_shape[-1], self.compute_dtype)
        valid = None if valid is None else tf.cast(valid, tf.bool)
        outputs: dict[str, Any] = {"features": {}, "halting": {}, "valid": {}}
        state = self.stem(images, valid=valid)
        flops = self.stem.flops(tf.shape(images), valid)
        valid = subsample(valid, self.stem.stride)
        costs, losses = [], []
        for block in self.blocks_up_to(last_block):
            state, halting = block(state, training=training, valid=valid)
            valid = subsample(valid, block.stride)
            flops += halting["flops"]
            costs.append(halting.pop("ponder_cost_mean"))
            losses.append(block.ponder_loss(costs[-1]))
            # The next block clears its own input.
            outputs["features"][block.name] = zero_outside(state, valid)
            outputs["halting"][block.name] = halting
            outputs["valid"][block.name] = valid
        outputs["ponder_cost"], outputs["ponder_loss"] = tf.add_n(costs), tf.add_n(losses)
        return {**outputs, "flops": flops}

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: None = None,
        valid: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        del mask
        return self.forward(inputs, valid, training)["features"]

    def compute_output_spec(
        self,
        inputs: keras.KerasTensor,
        training: bool | None = None,
        mask: None = None,
        valid: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        return keras.Operation.compute_output_spec(self, inputs, training=training, valid=valid)

    @property
    def image_shape(self) -> tuple[int | None, int | None, int]:
        return self._config["image_shape"]

    @property
    def halting_kind(self) -> str | None:
        return self._config["halting"]

    @property
    def strides(self) -> dict[str, int]:
        strides, stride = {}, self.stem.stride
        for block in self.blocks:
            stride *= block.stride
            strides[block.name] = stride
        return strides

    @property
    def block_names(self) -> list[str]:
        return [block.name for block in self.blocks]

    def blocks_up_to(self, name: str | None = None) -> list[AdaptiveBlock]:
        """The blocks from the first to the one of that name, which is one of them; None: all."""
        if name is None:
            return self.blocks
        if name not in self.block_names:
            raise ValueError(f"Expected a block of {self.block_names}, received {name!r}")
        return self.blocks[: self.block_names.index(name) + 1]

    @tf.autograph.experimental.do_not_convert
    def plain_flops(
        self, height: int | tf.Tensor, width: int | tf.Tensor, last_block: str | None = None
    ) -> int | tf.Tensor:
        """See `AdaptiveModel`.

        Args:
            height, width: as there.
            last_block: name of the last block that counts; None counts all.
        """
        if not tf.is_tensor(height):
            with tf.init_scope():
                sides = tf.unstack(tf.constant([height, width], tf.int64))
                return int(self.plain_flops(*sides, last_block))
        height, width = tf.unstack(tf.cast([height, width], tf.int64))
        total = self.stem.flops([1, height, width, 1])[0]
        height, width = (strided_size(size, self.stem.stride) for size in (height, width))
        for block in self.blocks_up_to(last_block):
            for unit in block.units:
                total += unit.flops_of(height, width)
                height, width = (strided_size(size, unit.stride) for size in (height, width))
        return total

    def warm_start(self, source: AdaptiveModel, halting: bool = False) -> dict[str, str]:
        """Copies all weights but those of the halting scores from another network.

        Units are matched by block and number, so a shallower network takes the first units of a
        deeper one, and the other way round.

        Args:
            source: a `ResNetBackbone`, or another `AdaptiveModel`, whose backbone is taken.
            halting: whether the halting scores are copied, too, from a source with the same kind
                of halting.

        Returns:
            Dict of the places that kept their own weights, as `block1/unit_2`, with the reason.

        Raises:
            ValueError: the source is no such model.
            UserError: nothing of it fits, neither the stem nor a unit.
        """
        if not isinstance(source, AdaptiveModel):
            raise ValueError(
                "Expected source to be an AdaptiveModel (ResNetBackbone, ImageClassifier or "
                f"FasterRCNN), received {type(source).__name__}"
            )
        backbone = source if isinstance(source, ResNetBackbone) else source.backbone
        return warm_start_backbone(self, backbone, halting)

    def get_config(self) -> dict[str, Any]:
        return {
            **self._config,
            "tile_size": one_or_all(block.tile_size for block in self.blocks),
            "execution": one_or_all(block.execution for block in self.blocks),
            "costs": one_or_all(block.own_costs for block in self.blocks),
            "capacities": one_or_all(block.own_capacities for block in self.blocks),
            "ponder_weight": one_or_all(block.get_ponder_weight() for block in self.blocks),
            "halting_epsilon": one_or_all(block.halting_epsilon for block in self.blocks),
            "frozen": frozen_paths([self.stem, *self.blocks]),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "ResNetBackbone":
        return cls(**config)


def _check(units, base_channels, stem_channels, unit, strided_unit, image_shape):
    """Raises ValueError for a bad argument."""
    if not units or any(not isinstance(n, int) or n < 1 for n in units):
        raise ValueError(f"Expected units to be one positive int per block, received {units!r}")
    if strided_unit not in STRIDED_UNITS:
        raise ValueError(
            f"Expected strided_unit to be one of {STRIDED_UNITS}, received {strided_unit!r}"
        )
    if strided_unit == "last" and min(units[:-1], default=2) < 2:
        raise ValueError(
            "Expected 2 units or more in each stage but the last with strided_unit='last', whose "
            f"strided unit belongs to the next block, received {units!r}"
        )
    if base_channels < 1 or stem_channels < 1:
        raise ValueError(
            "Expected base_channels and stem_channels to be positive, received "
            f"base_channels={base_channels}, stem_channels={stem_channels}"
        )
    if unit not in UNITS:
        raise ValueError(f"Expected unit to be one of {tuple(UNITS)}, received {unit!r}")
    if len(image_shape) != 3 or image_shape[-1] is None:
        raise ValueError(
            "Expected image_shape to be (height, width, channels) with known channels, received "
            f"{image_shape!r}"
        )
