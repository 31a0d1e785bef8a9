"""A block of residual units that decides per image or per position how many of them to run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from sact_tf.layers.capacities import Capacities, capacities_from
from sact_tf.layers.costs import Costs, costs_from, default_costs
from sact_tf.layers.execution import EXECUTIONS, Entry, execute
from sact_tf.layers.halting_policy import HaltingPolicy
from sact_tf.layers.halting_score import KINDS, HaltingScore
from sact_tf.layers.keras_settings import check_keras_settings
from sact_tf.layers.replica_losses import ReplicaLosses
from sact_tf.ops import halting as halting_ops
from sact_tf.ops.flops import map_positions
from sact_tf.ops.positions import subsample, zero_outside

STATISTICS = ("full", "evaluated")


@keras.saving.register_keras_serializable(package="sact_tf")
class AdaptiveBlock(ReplicaLosses, keras.layers.Layer):
    """Residual units of one resolution under adaptive computation time.

    `halting=None` runs all units, `"act"` lets each image stop, `"sact"` each position
    (arXiv:1612.02297, algorithms 1 and 2; plain ResNet is the special case of eq. 3).
    The loss `ponder_weight * mean ponder cost` (eq. 13) is added through `add_loss`, so every
    model with such a block is trained with it.

    Args:
        units: list of layers with the interface described in `ResidualUnit`; only entry units may
            have a stride or change the channels.
        entry_units: how many units at the beginning run everywhere, before the first halting score.
            Each but the last of them counts as a unit with a halting score of 0.
        halting: None, "act" or "sact".
        tile_size: k; SACT's scores are averaged over k x k tiles and shared by each tile, which
            then halts as one. 1 is the paper's per-position SACT.
        execution: "masked" computes everything and masks, "tiled" computes what is active, "auto"
            takes the cheaper of a dense and a tiled unit (in training it is "tiled"). "static"
            computes as many positions as the `capacities` allow, with shapes that XLA and other
            compilers know; without capacities everything. See `sact_tf.set_execution`.
        statistics: where training takes the batch statistics of the units after the entry: "full"
            map (the authors' way; masked execution only) or "evaluated" positions only. None
            takes "full" where the execution computes it.
        costs: by which "tiled" and "auto" choose how to leave out what has halted in inference, by
            rows of single positions or by windows, and "auto" whether to: `Costs`, or a mapping
            with some of its attributes. The numbers are the same. None takes what was measured for
            such units (docs/performance.md); `sact_tf.tuning.tune` measures it anew.
        capacities: the most positions that may enter each unit after the entry units, for "sact":
            a share of the map's positions (of its tiles, with a `tile_size`; padding counts), one
            for each unit or one for all; or a mapping of such `shares` and of `per`: "image" (the
            default), or "batch" where images share a capacity. Those with the largest remainder
            go on, the first of equal ones; what is beyond halts. None is no limit. See
            `sact_tf.budget.cap`.
        ponder_weight: tau. Kept in a variable (not among `weights`), see `set_ponder_weight`.
        halting_epsilon: halt at a cumulative score of 1 - epsilon.
        halting_bias, halting_negative_slope: `bias` and `negative_slope` of `HaltingScore`.
        weight_decay, batch_norm: as in `ResidualUnit`, for the halting scores.

    Call arguments:
        inputs: [B, H, W, C].
        training: whether batch normalization uses the statistics of this batch.
        valid: optional bool [B, H, W]: true where the image is, false where it was padded at the
            bottom and right. Nothing is computed, counted or averaged outside.

    Returns:
        `(features, halting)`: [B, h, w, C'] and a dict of `ponder_cost` [B, h, w] (float32),
        `num_units` [B, h, w] (int32), `halting_distribution` [B, h, w, L] (float32), `flops` [B]
        (int64, per image) and the scalar `ponder_cost_mean`; h = w = 1 where decisions are per
        image (ACT) or constant (None: L units at ponder cost L + 1, by the same algebra with
        scores 0).

    Example:
        >>> import numpy as np
        >>> from sact_tf.layers import AdaptiveBlock, BottleneckUnit
        >>> block = AdaptiveBlock([BottleneckUnit(16) for _ in range(3)], halting="sact")
        >>> features, halting = block(np.zeros([2, 12, 10, 64], "float32"))
        >>> features.shape, halting["num_units"].shape
        (TensorShape([2, 12, 10, 64]), TensorShape([2, 12, 10]))
    """

    def __init__(
        self,
        units: Sequence[keras.layers.Layer],
        entry_units: int = 1,
        halting: str | None = None,
        tile_size: int = 1,
        execution: str = "masked",
        statistics: str | None = None,
        costs: Mapping[str, Any] | Costs | None = None,
        capacities: Any = None,
        ponder_weight: float = 0.0,
        halting_epsilon: float = 0.01,
        halting_bias: float = -3.0,
        halting_negative_slope: float | None = None,
        weight_decay: float = 0.0,
        batch_norm: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_keras_settings(self.dtype_policy)
        _check(units, entry_units, halting, tile_size, statistics, halting_epsilon)
        self.units = list(units)
        self.entry_units = entry_units
        self.halting = halting
        self.tile_size = tile_size
        self.execution = execution
        self._statistics = statistics
        self._costs: Costs | None = None
        self.costs = costs
        self._capacities: Capacities | None = None
        self.capacities = capacities
        self.halting_epsilon = halting_epsilon
        self.halting_bias = halting_bias
        self.halting_negative_slope = halting_negative_slope
        self.weight_decay = weight_decay
        self.batch_norm = dict(batch_norm or {})
        # No weight of the model: warm starts, conversions and parameter counts don't see it.
        self._ponder_weight = tf.Variable(
            _checked_ponder_weight(ponder_weight),
            trainable=False,
            dtype=tf.float32,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="ponder_weight",
        )
        self.halting_scores = []
        if halting is not None:
            self.halting_scores = [
                HaltingScore(
                    halting,
                    bias=halting_bias,
                    negative_slope=halting_negative_slope,
                    weight_decay=weight_decay,
                    batch_norm=self.batch_norm,
                    name=f"halting_score_{number}",
                    dtype=self.dtype_policy,
                )
                for number in range(entry_units, len(self.units))
            ]
        # tf.train.Checkpoint follows attributes, but not into Keras' lists of layers.
        for number, layer in enumerate((*self.units, *self.halting_scores)):
            setattr(self, f"_layer_{number}", layer)

    @property
    def stride(self) -> int:
        """Positions of the input along a side for each of the output."""
        return math.prod(unit.stride for unit in self.units[: self.entry_units])

    @property
    def halting_policy(self) -> HaltingPolicy:
        """The rule by which positions or images halt, as an execution asks for it."""
        return HaltingPolicy(
            self.halting,
            len(self.units) - self.entry_units + 1,
            self.halting_scores,
            epsilon=self.halting_epsilon,
            tile_size=self.tile_size,
            units_before=self.entry_units - 1,
            capacities=self.capacities,
        )

    @property
    def execution(self) -> str:
        """ "masked", "tiled", "auto" or "static"."""
        return self._execution

    @execution.setter
    def execution(self, execution: str) -> None:
        if execution not in EXECUTIONS:
            raise ValueError(
                f"Expected execution to be one of {EXECUTIONS}, received execution={execution!r}"
            )
        self._execution = execution

    @property
    def statistics(self) -> str:
        """ "full" or "evaluated": where training takes its batch statistics."""
        if self._statistics is None:
            return "full" if self.execution == "masked" else "evaluated"
        return self._statistics

    @property
    def costs(self) -> Costs:
        """What its units cost in each form, given or as measured for such units."""
        if self._costs is None:
            return default_costs(self.units[-1], self.tile_size)
        return self._costs

    @costs.setter
    def costs(self, costs: Mapping[str, Any] | Costs | None) -> None:
        if costs is not None and self.halting != "sact":
            raise ValueError(f"costs={costs!r} need halting='sact', received {self.halting!r}")
        self._costs = None if costs is None else costs_from(costs, self.units[-1])

    @property
    def own_costs(self) -> dict[str, Any] | None:
        """The costs that were given, for a config; None where there were none."""
        return None if self._costs is None else self._costs.to_config()

    @property
    def capacities(self) -> Capacities | None:
        """How many positions may enter the units after the entry units; None is all."""
        return self._capacities

    @capacities.setter
    def capacities(self, capacities: Any) -> None:
        if capacities is not None and self.halting != "sact":
            raise ValueError(
                f"capacities={capacities!r} need halting='sact', whose positions compete for them, "
                f"received {self.halting!r}"
            )
        later = len(self.units) - self.entry_units
        self._capacities = None if capacities is None else capacities_from(capacities, later)

    @property
    def own_capacities(self) -> dict[str, Any] | None:
        """The capacities for a config."""
        return None if self._capacities is None else self._capacities.to_config()

    @property
    def supports_jit(self) -> bool:
        """Whether XLA can compile the layer: masked and static execution have static shapes."""
        return self.halting is None or self.execution in ("masked", "static")

    @supports_jit.setter
    def supports_jit(self, value: bool) -> None:
        del value  # Keras' constructor sets it

    @property
    def ponder_weight(self) -> tf.Tensor:
        """tau, the float32 variable's tensor."""
        return tf.convert_to_tensor(self._ponder_weight)

    @ponder_weight.setter
    def ponder_weight(self, value: float | tf.Tensor) -> None:
        if not tf.is_tensor(value):
            value = _checked_ponder_weight(value)
        self._ponder_weight.assign(value)

    def get_ponder_weight(self) -> float:
        """tau as a Python float, also while a graph is being traced."""
        with tf.init_scope():
            return float(self._ponder_weight.numpy())

    def build(self, input_shape: tuple) -> None:
        shape = tuple(input_shape)
        for number, unit in enumerate(self.units):
            _build_once(unit, shape)
            new_shape = tuple(unit.compute_output_shape(shape))
            if number >= self.entry_units and new_shape != shape:
                raise ValueError(
                    f"Only the first units of a block (entry_units={self.entry_units}) may change "
                    f"resolution or channels; unit {number + 1} turns {shape} into {new_shape}"
                )
            shape = new_shape
        for score in self.halting_scores:
            _build_once(score, shape)

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, valid: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        entry, flops = self._enter(inputs, training, valid)
        output, halting, weights, later_flops = execute(
            self.units[self.entry_units - 1 :],
            self.halting_policy,
            entry,
            execution=self.execution,
            statistics=self.statistics,
            costs=self.costs,
        )
        mean = halting_ops.mean_ponder_cost(halting.ponder_cost, entry.valid)
        if self.halting is not None:
            self.add_loss(self.ponder_loss(mean))
        weights = [tf.zeros_like(weights[0])] * (self.entry_units - 1) + weights
        return output, {
            "ponder_cost": halting.ponder_cost,
            "num_units": halting.num_units,
            "halting_distribution": tf.stack(weights, axis=-1),
            "flops": flops + later_flops,
            "ponder_cost_mean": mean,
        }

    def ponder_loss(self, mean_ponder_cost: tf.Tensor) -> tf.Tensor:
        """tau * mean ponder cost (eq. 13), a scalar; 0 without halting."""
        if self.halting is None:
            return tf.zeros([])
        return tf.cast(self.ponder_weight, mean_ponder_cost.dtype) * mean_ponder_cost

    def _enter(self, inputs, training, valid):
        """Runs the entry units: `(entry, flops)`, their `Entry` and operations, int64 [B]."""
        state = zero_outside(inputs, valid)  # what is not finite there would reach the gradients
        flops = []
        *before, last = self.units[: self.entry_units]
        for unit in before:
            below, state = state, unit(state, training=training, valid=valid)
            flops.append(_entry_flops(unit, below, state, valid))
            valid = subsample(valid, unit.stride)
        as_the_authors = self.halting is None or self.execution == "masked"
        below, mean = state, None
        # ACT runs units of other classes than `ResidualUnit` tiled, too.
        if training or as_the_authors or not hasattr(last, "output_and_mean"):
            state = last(below, training=training, valid=valid)
        else:
            state, mean = last.output_and_mean(below, valid=valid)
        flops.append(_entry_flops(last, below, state, valid))
        return Entry(state, mean, subsample(valid, last.stride), training), tf.add_n(flops)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": [keras.saving.serialize_keras_object(unit) for unit in self.units],
            "entry_units": self.entry_units,
            "halting": self.halting,
            "tile_size": self.tile_size,
            "execution": self.execution,
            "statistics": self._statistics,
            "costs": self.own_costs,
            "capacities": self.own_capacities,
            "ponder_weight": self.get_ponder_weight(),
            "halting_epsilon": self.halting_epsilon,
            "halting_bias": self.halting_bias,
            "halting_negative_slope": self.halting_negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AdaptiveBlock":
        # Built by the block, so that the paths of their weights begin with its name.
        units = [
            keras.saving.deserialize_keras_object(
                {key: value for key, value in unit.items() if key != "build_config"}
            )
            for unit in config["units"]
        ]
        return cls(**{**config, "units": units})


def _build_once(layer, shape):
    if not layer.built:  # deserialized units are built already
        layer.build(shape)


def _entry_flops(unit, inputs, output, valid):
    """Operations of a unit that runs everywhere, int64 [B]; `valid` is that of its inputs."""
    outer = inner = map_positions(tf.shape(output), subsample(valid, unit.stride))
    if unit.outer_stride < unit.stride:
        outer = map_positions(tf.shape(inputs), valid)
    return unit.flops(outer, inner)


def _check(units, entry_units, halting, tile_size, statistics, epsilon):
    if not units:
        raise ValueError("Expected units to be a non-empty list of residual units, received none")
    is_int = isinstance(entry_units, int) and not isinstance(entry_units, bool)
    if not (is_int and 1 <= entry_units <= len(units)):
        raise ValueError(
            f"Expected entry_units to be an int from 1 to the number of units ({len(units)}), "
            f"received {entry_units!r}"
        )
    if halting is not None and halting not in KINDS:
        raise ValueError(f"Expected halting to be None or one of {KINDS}, received {halting!r}")
    if isinstance(tile_size, bool) or not isinstance(tile_size, int) or tile_size < 1:
        raise ValueError(f"Expected tile_size to be a positive int, received {tile_size!r}")
    if tile_size > 1 and halting != "sact":
        raise ValueError(
            f"tile_size={tile_size} needs halting='sact': tiles share halting scores of positions, "
            f"received halting={halting!r}"
        )
    if statistics is not None and statistics not in STATISTICS:
        raise ValueError(
            f"Expected statistics to be None or one of {STATISTICS}, received {statistics!r}"
        )
    if not 0 < epsilon < 1:
        raise ValueError(f"Expected halting_epsilon in (0, 1), received {epsilon!r}")


def _checked_ponder_weight(value):
    if not 0 <= float(value) < float("inf"):
        raise ValueError(f"Expected ponder_weight to be a float >= 0, received {value!r}")
    return float(value)
