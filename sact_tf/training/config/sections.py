"""The sections that configs of all training runs have."""

import dataclasses
from typing import Literal

from official.modeling.hyperparams import base_config

from sact_tf.training.config.field_types import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    OpenFraction,
    PositiveFloat,
    PositiveInt,
    Seed,
)


@dataclasses.dataclass
class ModelConfig(base_config.Config):
    """The network.

    Attributes:
        network: `imagenet` (7x7 root, bottleneck units, four blocks), `keras` (the same as
            `keras.applications` has it, for its weights: ResNet50V2 and its like) or `cifar` (3x3
            root, basic units, three blocks).
        depth: `imagenet` and `keras`: a standard depth. Instead of `units`.
        units: `imagenet` and `keras`: number of units of each stage. Instead of `depth`.
        units_per_block: `cifar` only; one number, or one for each of the three blocks.
        base_channels: channels that the first block's units work in; 16 for `cifar`, 64 for the
            others unless given.
        stem_channels: channels of the root convolution; the network's own default unless given.
        halting: null for the plain residual network.
        tile_size: side of the square tiles that share a halting score, in positions of the block's
            resolution; one number, or one per block. SACT only.
        execution: how the units run: `masked` computes everything and masks, `tiled` computes what
            is active, `auto` takes the cheaper of the two for each unit in inference.
        statistics: where training takes the batch statistics of the units after the first: the
            `full` map as the paper (what `masked` does unless told otherwise), or the `evaluated`
            positions only (all that `tiled` and `auto` know).
        ponder_weight: tau, the weight of the ponder cost in the loss; 0.005 unless given.
        halting_epsilon: a position halts at a cumulative score of 1 - epsilon; 0.01 unless given.
        halting_bias: initial bias of the halting scores; -3 unless given.
        batch_norm_momentum: share of the moving statistics that a step keeps, of all batch
            normalizations; the authors' 0.997 for `imagenet`, 0.9 for `cifar`, Keras' 0.99 for
            `keras` unless given. A run of a few hundred steps wants less than 0.997.
        frozen: layers that keep their weights, as [stem, block1, block2/unit_1]; batch
            normalizations in them keep their statistics.
    """

    network: Literal["imagenet", "keras", "cifar"] = "imagenet"
    depth: Literal[50, 101, 152, 200] | None = None
    units: list[PositiveInt] | None = None
    units_per_block: PositiveInt | list[PositiveInt] | None = None
    base_channels: PositiveInt | None = None
    stem_channels: PositiveInt | None = None
    halting: Literal["act", "sact"] | None = None
    tile_size: PositiveInt | list[PositiveInt] = 1
    execution: Literal["masked", "tiled", "auto"] = "masked"
    statistics: Literal["full", "evaluated"] | None = None
    ponder_weight: NonNegativeFloat | None = None
    halting_epsilon: OpenFraction | None = None
    halting_bias: float | None = None
    batch_norm_momentum: OpenFraction | None = None
    frozen: list[str] | None = None


@dataclasses.dataclass
class LearningRateConfig(base_config.Config):
    """The learning rate as a function of the step.

    Attributes:
        schedule: `constant` and `cosine` (to zero at the last step) read `initial`;
            `piecewise_constant` reads `boundaries` and `values`.
        initial: learning rate after the warm-up.
        boundaries: first step of each value but the first.
        values: one more than `boundaries`.
        warmup_steps: steps over which the learning rate rises linearly to its first value.
    """

    schedule: Literal["constant", "cosine", "piecewise_constant"] = "constant"
    initial: PositiveFloat | None = None
    boundaries: list[PositiveInt] | None = None
    values: list[NonNegativeFloat] | None = None
    warmup_steps: NonNegativeInt = 0


@dataclasses.dataclass
class WeightAverageConfig(base_config.Config):
    """Exponential moving average of the weights: what is then evaluated and saved as the model.

    Attributes:
        decay: per step; less in the first steps (see `WeightAverage`).
        moving_statistics: of batch normalization: `averaged` as the weights, or the `latest`.
    """

    decay: OpenFraction = 0.9999
    moving_statistics: Literal["averaged", "latest"] = "averaged"


@dataclasses.dataclass
class TrainConfig(base_config.Config):
    """Optimisation by SGD with momentum, and what is written how often (in steps).

    Attributes:
        batch_size: images of one step (one update of the weights), over all replicas.
        gradient_accumulation: parts that the batch is computed in one after the other, to save
            memory. Batch statistics are then those of a part. Each replica computes
            `batch_size / (replicas * gradient_accumulation)` images at once.
        steps: steps of the whole run; a finished run given more steps goes on.
        learning_rate: schedule.
        momentum: without Nesterov.
        label_smoothing: share of the target that is spread evenly over the classes.
        weight_decay: times half the sum of squares of all convolution weights.
        gradient_clip_norm: longer gradients (of all weights together) are shortened to this length.
        weight_average: null for none.
        precision: `mixed_bfloat16` computes in bfloat16 with weights in float32; halting scores,
            statistics and losses stay at least float32.
        seed: of initial weights, order of examples and augmentation.
        warm_start: plain residual network to start from: a run directory, a `.keras` file or a
            checkpoint; with `network: keras` also `keras:ResNet50V2` (ResNet101V2, ResNet152V2;
            Keras downloads the weights), `keras:ResNet50V2:FILE` or `keras:FILE`. All but the
            halting branches is taken over, and the head where the classes are as many.
        flops_budget: share of the plain network's FLOPs to end at. tau is then adapted from
            `model.ponder_weight` on, and the bias of the halting scores with it
            (`sact_tf.budget.BudgetController`).
        log_every: between lines, TensorBoard scalars and checks for NaN.
        checkpoint_every: between checkpoints.
        keep_checkpoints: how many of the latest to keep.
    """

    batch_size: PositiveInt = 32
    gradient_accumulation: PositiveInt = 1
    steps: PositiveInt = 1_000
    learning_rate: LearningRateConfig = dataclasses.field(default_factory=LearningRateConfig)
    momentum: Fraction = 0.9
    label_smoothing: Fraction = 0.0
    weight_decay: NonNegativeFloat = 1e-4
    gradient_clip_norm: PositiveFloat | None = None
    weight_average: WeightAverageConfig | None = None
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    seed: Seed = 0
    warm_start: str | None = None
    flops_budget: PositiveFloat | None = None
    log_every: PositiveInt = 100
    checkpoint_every: PositiveInt = 1_000
    keep_checkpoints: PositiveInt = 3


@dataclasses.dataclass
class EvaluationConfig(base_config.Config):
    """Evaluation on the held-out images.

    Attributes:
        every: steps between evaluations in `--mode=train_and_eval`; only at the end if null.
        batch_size: images evaluated at once; changes nothing but speed.
        pictures: held-out images from which the report takes its low, middle and high ponder
            costs. They are kept in memory.
        time: whether the time per image is measured, too, beside the plain network's, at the end.
    """

    every: PositiveInt | None = None
    batch_size: PositiveInt = 100
    pictures: PositiveInt = 200
    time: bool = True


@dataclasses.dataclass
class RuntimeConfig(base_config.Config):
    """Where and how the run is executed. A run may go on with another runtime.

    Attributes:
        strategy: `one_device`; `mirrored`: the devices of this machine; `multi_worker_mirrored`:
            the devices of several machines, each with the environment variable `TF_CONFIG`; `tpu`.
        replicas: `mirrored` only: number of devices. All GPUs unless given; where there is none,
            logical CPU devices.
        tpu: `tpu` only: name or address of the TPU, `local` on a TPU VM.
        synchronized_batch_norm: whether batch statistics are those of all replicas together, so
            that the result does not depend on their number. If not, each replica normalizes by its
            own, and the moving statistics are the mean of the replicas'.
        deterministic: run-to-run equality bit for bit on the same machine, also across a stop and a
            restart; slower.
    """

    strategy: Literal["one_device", "mirrored", "multi_worker_mirrored", "tpu"] = "one_device"
    replicas: PositiveInt | None = None
    tpu: str | None = None
    synchronized_batch_norm: bool = True
    deterministic: bool = False
