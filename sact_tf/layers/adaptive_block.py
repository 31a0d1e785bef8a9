"""A block of residual units that decides per image or per position how many of them to run."""

import keras
import tensorflow as tf

from sact_tf.layers.execution import EXECUTIONS
from sact_tf.layers.execution.masked import evaluated_maps
from sact_tf.layers.halting_score import KINDS, HaltingScore
from sact_tf.layers.replica_losses import ReplicaLosses
from sact_tf.layers.tuning import DENSE_SHARE
from sact_tf.ops import flops as flops_ops
from sact_tf.ops import halting as halting_ops
from sact_tf.ops.positions import subsample, zero_outside
from sact_tf.ops.tiles import share_within_tiles

STATISTICS = ("full", "evaluated")


@keras.saving.register_keras_serializable(package="sact_tf")
class AdaptiveBlock(ReplicaLosses, keras.layers.Layer):
    """Residual units of one resolution under adaptive computation time.

    `halting=None` runs all units, `"act"` lets each image stop, `"sact"` each position
    (arXiv:1612.02297, algorithms 1 and 2; plain ResNet is the special case of eq. 3).
    The loss `ponder_weight * mean ponder cost` (eq. 13) is added through `add_loss`, so every
    model with such a block is trained with it.

    Args:
        units: list of layers with the interface described in `ResidualUnit`; only the first may
            have a stride or change the channels.
        halting: None, "act" or "sact".
        tile_size: k; SACT's scores are averaged over k x k tiles and shared by each tile, which
            then halts as one. 1 is the paper's per-position SACT.
        execution: "masked" computes everything and masks, "tiled" computes what is active, "auto"
            takes the cheaper of a dense and a tiled unit (in training it is "tiled"); see
            `sact_tf.set_execution`.
        statistics: where training takes the batch statistics of the units after the first: "full"
            map (the authors' way; masked execution only) or "evaluated" positions only. None
            takes "full" where the execution computes it.
        dense_share: share of active positions above which "auto" runs a unit densely; None takes
            the measured break-even, 0.9 (docs/performance.md).
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
        `num_units` [B, h, w] (int32), `halting_distribution` [B, h, w, L] (float32) and `flops`
        [B] (int64, per image); h = w = 1 where decisions are per image (ACT) or constant (None:
        L units at ponder cost L + 1, by the same algebra with scores 0).
    """

    def __init__(
        self,
        units,
        halting=None,
        tile_size=1,
        execution="masked",
        statistics=None,
        dense_share=None,
        ponder_weight=0.0,
        halting_epsilon=0.01,
        halting_bias=-3.0,
        halting_negative_slope=None,
        weight_decay=0.0,
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(units, halting, tile_size, statistics, dense_share, halting_epsilon)
        self.units = list(units)
        self.halting = halting
        self.tile_size = tile_size
        self.execution = execution
        self._statistics = statistics
        self._dense_share = dense_share
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
                for number in range(1, len(self.units))
            ]
        # tf.train.Checkpoint follows attributes, but not into Keras' lists of layers.
        for number, layer in enumerate((*self.units, *self.halting_scores)):
            setattr(self, f"_layer_{number}", layer)

    @property
    def execution(self):
        return self._execution

    @execution.setter
    def execution(self, execution):
        if execution not in EXECUTIONS:
            raise ValueError(
                f"Expected execution to be one of {tuple(EXECUTIONS)}, "
                f"received execution={execution!r}"
            )
        self._execution = execution

    @property
    def statistics(self):
        """ "full" or "evaluated": where training takes its batch statistics."""
        if self._statistics is None:
            return "full" if self.execution == "masked" else "evaluated"
        return self._statistics

    @property
    def dense_share(self):
        """Share of active positions above which "auto" runs a unit densely."""
        return DENSE_SHARE if self._dense_share is None else self._dense_share

    @property
    def supports_jit(self):
        """Whether XLA can compile the layer: only masked execution has static shapes."""
        return self.halting is None or self.execution == "masked"

    @supports_jit.setter
    def supports_jit(self, value):
        del value  # Keras' constructor sets it

    @property
    def ponder_weight(self):
        """tau, the float32 variable's tensor."""
        return tf.convert_to_tensor(self._ponder_weight)

    @ponder_weight.setter
    def ponder_weight(self, value):
        if not tf.is_tensor(value):
            value = _checked_ponder_weight(value)
        self._ponder_weight.assign(value)

    def get_ponder_weight(self):
        """tau as a Python float, also while a graph is being traced."""
        with tf.init_scope():
            return float(self._ponder_weight.numpy())

    def build(self, input_shape):
        shape = tuple(input_shape)
        for number, unit in enumerate(self.units):
            _build_once(unit, shape)
            new_shape = tuple(unit.compute_output_shape(shape))
            if number > 0 and new_shape != shape:
                raise ValueError(
                    "Only the first unit of a block may change resolution or channels; unit "
                    f"{number + 1} turns {shape} into {new_shape}"
                )
            shape = new_shape
            if number < len(self.halting_scores):
                _build_once(self.halting_scores[number], shape)

    def call(self, inputs, training=None, valid=None):
        first = self.units[0]
        inputs = zero_outside(inputs, valid)  # what is not finite there would reach the gradients
        state, mean = self._run_first(inputs, training, valid)
        flops = first.flops(
            flops_ops.map_positions(tf.shape(inputs), valid)
            if first.outer_stride == 1
            else flops_ops.map_positions(tf.shape(state), subsample(valid, first.stride)),
            flops_ops.map_positions(tf.shape(state), subsample(valid, first.stride)),
        )
        valid = subsample(valid, first.stride)
        output, halting, weights, later_flops = EXECUTIONS[self.execution](
            self, state, mean, valid, training
        )
        outputs = {
            "ponder_cost": halting.ponder_cost,
            "num_units": halting.num_units,
            "halting_distribution": tf.stack(weights, axis=-1),
            "flops": flops + later_flops,
        }
        if self.halting is not None:
            self.add_loss(self.ponder_loss(outputs, valid))
        return output, outputs

    def _run_first(self, inputs, training, valid):
        """Output of the first unit, and its mean where that is known without reading it again."""
        first = self.units[0]
        as_the_authors = self.halting is None or self.execution == "masked"
        # ACT runs units of other classes than `ResidualUnit` tiled, too.
        if training or as_the_authors or not hasattr(first, "output_and_mean"):
            return first(inputs, training=training, valid=valid), None
        return first.output_and_mean(inputs, valid=valid)

    def ponder_loss(self, outputs, valid=None):
        """tau * mean ponder cost (eq. 13), a scalar; 0 without halting.

        Args:
            outputs: the halting dict that the call returned.
            valid: optional bool [B, h, w] at the resolution of the block's output.
        """
        if self.halting is None:
            return tf.zeros([])
        cost = halting_ops.mean_ponder_cost(outputs["ponder_cost"], valid)
        return tf.cast(self.ponder_weight, cost.dtype) * cost

    @property
    def freezes(self):
        """Whether a position that halted keeps its state; the authors' ACT computes on."""
        return self.halting == "sact"

    def initial_halting(self, state, valid):
        """The `HaltingState` before the first unit, for a state [B, H, W, C]."""
        shape = tf.shape(state)[:3]
        if self.halting != "sact":
            shape, valid = tf.stack([shape[0], 1, 1]), None
        halting = halting_ops.initial_state(shape, state.dtype, valid)
        static = state.shape[:3] if self.halting == "sact" else (state.shape[0], 1, 1)
        return type(halting)(*(tf.ensure_shape(tensor, static) for tensor in halting))

    def halting_score(self, index, state, training, valid, evaluated=None, mean=None):
        """Scores after unit `index`, shared within tiles; None after the last and without halting.

        Args:
            evaluated: optional bool [B, H, W]; where the batch statistics are taken.
            mean: optional [B, C], each image's mean state, where it is known already.
        """
        if index >= len(self.halting_scores):
            return None
        score = self.halting_scores[index](
            state, training=training, valid=valid, positions=evaluated, mean=mean
        )
        return share_within_tiles(score, self.tile_size, valid)

    def halting_step(self, index, halting, score):
        """`sact_tf.ops.halting.halting_step` for unit `index`; no score counts as 0."""
        if score is None:
            score = tf.zeros_like(halting.remainder)
        is_last = index == len(self.units) - 1
        return halting_ops.halting_step(halting, score, self.halting_epsilon, is_last)

    def evaluated_positions(self, active, state, valid):
        """`(outer, inner)`, bool [B, H, W]: where a unit after the first is evaluated."""
        if self.halting == "sact":
            return evaluated_maps(active, valid)
        everywhere = tf.ones(tf.shape(state)[:3], tf.bool) if valid is None else valid
        return everywhere & active, everywhere & active

    def unit_flops(self, index, active, state, valid):
        """Operations of unit `index` (of the first: its halting score alone) and its score.

        Args:
            active: bool [B, H, W] or [B, 1, 1]; what enters the unit.

        Returns:
            int64 [B].
        """
        if self.halting == "sact":
            outer, inner = map(flops_ops.count_positions, evaluated_maps(active, valid))
        else:
            outer = inner = flops_ops.map_positions(tf.shape(state), valid)
        flops = self.position_flops(index, outer, inner)
        if self.halting == "act":
            flops *= tf.cast(active[:, 0, 0], tf.int64)
        return flops

    def position_flops(self, index, outer, inner):
        """`unit_flops` by numbers of positions, int64 [B], as `ResidualUnit.flops` takes them."""
        flops = tf.zeros_like(inner)
        if index > 0:
            flops += self.units[index].flops(outer, inner)
        if index < len(self.halting_scores):
            flops += self.halting_scores[index].flops(inner)
        return flops

    def get_config(self):
        return {
            **super().get_config(),
            "units": [keras.saving.serialize_keras_object(unit) for unit in self.units],
            "halting": self.halting,
            "tile_size": self.tile_size,
            "execution": self.execution,
            "statistics": self._statistics,
            "dense_share": self._dense_share,
            "ponder_weight": self.get_ponder_weight(),
            "halting_epsilon": self.halting_epsilon,
            "halting_bias": self.halting_bias,
            "halting_negative_slope": self.halting_negative_slope,
            "weight_decay": self.weight_decay,
            "batch_norm": self.batch_norm,
        }

    @classmethod
    def from_config(cls, config):
        units = [keras.saving.deserialize_keras_object(unit) for unit in config["units"]]
        return cls(**{**config, "units": units})


def _build_once(layer, shape):
    if not layer.built:  # deserialized units are built already
        layer.build(shape)


def _check(units, halting, tile_size, statistics, dense_share, epsilon):
    if not units:
        raise ValueError("Expected units to be a non-empty list of residual units, received none")
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
    if dense_share is not None and not 0 <= dense_share <= 1:
        raise ValueError(f"Expected dense_share to be None or in [0, 1], received {dense_share!r}")
    if not 0 < epsilon < 1:
        raise ValueError(f"Expected halting_epsilon in (0, 1), received {epsilon!r}")


def _checked_ponder_weight(value):
    if not 0 <= float(value) < float("inf"):
        raise ValueError(f"Expected ponder_weight to be a float >= 0, received {value!r}")
    return float(value)
