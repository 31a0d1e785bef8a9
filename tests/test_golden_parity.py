"""Inference against the numbers of the authors' implementation (golden/)."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.ops.tiles import upsample_nearest
from tests.golden_case import load_case

HALTING = [
    "imagenet_act",
    "imagenet_sact",
    "imagenet_sact_f64",
    "cifar_act",
    "cifar_sact",
    "cifar_sact_frozen_f64",
]
CASES = ["imagenet_vanilla", *HALTING, "cifar_vanilla"]
WITH_STEM = ["imagenet_vanilla", "imagenet_act", "imagenet_sact"]
WITH_MAPS = ["imagenet_sact", "cifar_sact"]
WITH_STATES = [name for name in CASES if name != "cifar_sact_frozen_f64"]


def golden_cases(names):
    return pytest.mark.parametrize("case", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def case(request, golden):
    return load_case(golden, request.param)


@pytest.fixture(scope="module")
def outputs(case):
    return case.model.forward(case.images, training=False)


@golden_cases(CASES)
def test_logits(case, outputs):
    case.assert_close(outputs["logits"], "logits")
    case.assert_close(case.model(case.images), "logits")
    if case.meta["net"] == "imagenet":
        case.assert_close(tf.nn.softmax(outputs["logits"]), "predictions")


@golden_cases(["imagenet_act", "imagenet_sact", "cifar_sact"])
def test_predict(case):
    """In a graph, image by image."""
    case.assert_close(case.model.predict(case.images, batch_size=1, verbose=0), "logits")


@golden_cases(WITH_STEM)
def test_stem(case):
    case.assert_close(case.model.backbone.stem(case.images), "pool1")


@golden_cases(CASES)
def test_block_outputs(case, outputs):
    for block, scope in case.scopes.items():
        case.assert_close(outputs["features"][block], f"{scope}/out")


@golden_cases(CASES)
def test_flops_exactly(case, outputs):
    assert outputs["flops"].dtype == tf.int64
    case.assert_equal(outputs["flops"], "flops")
    for block, scope in case.scopes.items():
        case.assert_equal(outputs["halting"][block]["flops"], f"{scope}/flops")
    if case.meta["mt"] == "vanilla":
        _, height, width, _ = case.images.shape
        assert case.model.plain_flops(height, width) == case.arrays["flops"][0]


@golden_cases(HALTING)
def test_halting(case, outputs):
    for block, scope in case.scopes.items():
        halting = outputs["halting"][block]
        case.assert_equal(halting["num_units"], f"{scope}/num_units")
        case.assert_close(halting["ponder_cost"], f"{scope}/ponder_cost")
        case.assert_close(halting["halting_distribution"], f"{scope}/halting_distribution")


@golden_cases(WITH_MAPS)
def test_maps(case, outputs):
    report = case.model.ponder(case.images)
    case.assert_close(report["ponder_cost_map"], "ponder_cost_map")
    case.assert_equal(report["flops"], "flops")
    height, width = case.images.shape[1:3]
    maps = [
        upsample_nearest(report[block]["num_units"], height, width)
        for block in case.model.backbone.block_names
    ]
    case.assert_equal(tf.add_n(maps), "num_units_map")


@golden_cases(WITH_STATES)
def test_each_unit_alone(case):
    """From the authors' state before a unit: the state after it and its halting score."""
    arrays = case.arrays
    dtype = case.images.dtype
    state = case.model.backbone.stem(case.images)
    for block in case.model.backbone.blocks:
        scope = case.scopes[block.name]
        for number, unit in enumerate(block.units, start=1):
            if number == 1:
                state = unit(state, training=False)
            else:
                residual = unit.residual(state, training=False)
                if case.meta["mt"] == "sact":
                    residual *= (arrays[f"{scope}/num_units"] >= number)[..., np.newaxis]
                state += residual
            case.assert_close(state, f"{scope}/unit_{number}/state")
            state = tf.constant(arrays[f"{scope}/unit_{number}/state"], dtype)
            if number <= len(block.halting_scores):
                score = block.halting_scores[number - 1](state, training=False)
                case.assert_close(score, f"{scope}/unit_{number}/halting_proba")
        state = tf.constant(arrays[f"{scope}/out"], dtype)
