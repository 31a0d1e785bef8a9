"""The plain network that spends as many FLOPs as an adaptive one, without choosing where."""

import json
import pathlib

from sact_tf.errors import UserError
from sact_tf.models.stages import units_of_stages
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.config.loading import load_config, unlocked_copy


def matched_units(source: pathlib.Path) -> list[int]:
    """Units per block of the plain network that matches a trained ACT or SACT run.

    Args:
        source: run directory, evaluated.

    Returns:
        The mean number of units of each block, over held-out images and positions, rounded to the
        nearest; at least 1.

    Raises:
        UserError: there is no such run, or it is not evaluated.
    """
    file = source / "metrics.json"
    try:
        means = json.loads(file.read_text(encoding="utf-8"))["num_units"]
        return [max(1, int(mean + 0.5)) for mean in means.values()]
    except FileNotFoundError:
        raise UserError(f"--source={source}: no metrics.json; the run has not finished") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        raise UserError(
            f"{file}: expected the mean units per block of an evaluated run under num_units; "
            "evaluate it with python -m train.imagenet --mode=eval"
        ) from None


def matched_config(source: pathlib.Path) -> ClassificationConfig:
    """The config of the matched plain network.

    Data, optimizer and length are those of the source. The network has the source's mean units, no
    halting, and starts from the first units of the plain network that the source itself started
    from; from the source's own units if it was trained from scratch.

    Args:
        source: run directory, evaluated.

    Raises:
        UserError: it is not a run of an adaptive network.
    """
    path = source / "config.yaml"
    if not path.is_file():
        raise UserError(f"--source={source}: expected a run directory, found no config.yaml there")
    config = unlocked_copy(load_config(ClassificationConfig, path))
    if config.model.halting is None:
        raise UserError(
            f"--source={source}: the network has no halting, so there is nothing to match; "
            "expected a run of ACT or SACT"
        )
    units = matched_units(source)
    if config.model.network == "cifar":
        config.model.units_per_block = units
    else:
        if config.model.network == "keras":
            units = units_of_stages(units, "last")
            units = [max(2, number) for number in units[:-1]] + [max(1, units[-1])]
        config.model.depth, config.model.units = None, units
    config.train.warm_start = config.train.warm_start or str(source)
    config.train.flops_budget = None
    model = config.model
    model.halting = model.ponder_weight = model.halting_epsilon = model.halting_bias = None
    model.tile_size, model.statistics, model.execution = 1, "full", "masked"
    return config
