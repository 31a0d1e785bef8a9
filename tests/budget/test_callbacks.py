import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.budget import FlopsBudget, FlopsShare, PonderWeightSchedule


@pytest.fixture
def compiled(make_classifier):
    model = make_classifier(halting_bias=-3.0)
    model.compile(
        optimizer=keras.optimizers.SGD(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


@pytest.fixture
def dataset(images):
    labels = tf.cast(tf.math.reduce_std(images, axis=[1, 2, 3]) > 1, tf.int32)
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8).repeat()


def test_fit_ends_at_the_budget_and_logs_tau(compiled, dataset, images):
    before = FlopsShare(compiled)(images)
    callback = FlopsBudget(0.7, images, every=1)
    history = compiled.fit(
        dataset, steps_per_epoch=75, epochs=4, callbacks=[callback], verbose=0
    ).history
    assert before > 0.9
    assert FlopsShare(compiled)(images) == pytest.approx(0.7, abs=0.03)
    assert history["flops_ratio"][-1] == pytest.approx(0.7, abs=0.03)
    assert len(history["ponder_weight"]) == 4 and history["ponder_weight"][0] > 0.005
    tau = float(compiled.backbone.blocks[0].ponder_weight)
    assert tau == history["ponder_weight"][-1]


def test_a_budget_out_of_reach_ends_fit_at_once(compiled, dataset, images):
    weights = compiled.get_weights()
    with pytest.raises(ValueError, match="between 0.[0-9]+ .* and 1.0[0-9]+ .*flops_ratio=0.1"):
        compiled.fit(dataset, steps_per_epoch=1, callbacks=[FlopsBudget(0.1, images)], verbose=0)
    np.testing.assert_equal(compiled.get_weights(), weights)


def test_schedule_sets_tau_by_the_step_across_fits(compiled, dataset):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(self.model.backbone.blocks[0].ponder_weight))

    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [0.0, 0.5, 0.25])
    callbacks = [PonderWeightSchedule(schedule), Watch()]
    history = compiled.fit(dataset, steps_per_epoch=3, callbacks=callbacks, verbose=0).history
    compiled.fit(dataset, steps_per_epoch=3, callbacks=callbacks, verbose=0)
    assert seen == [0.0, 0.0, 0.5, 0.5, 0.25, 0.25]
    assert history["ponder_weight"] == [0.5]
    # The loss follows without compiling anew.
    sact_tf.set_ponder_weight(compiled, 0.0)
    free = compiled.evaluate(dataset, steps=1, verbose=0, return_dict=True)
    sact_tf.set_ponder_weight(compiled, 1.0)
    dear = compiled.evaluate(dataset, steps=1, verbose=0, return_dict=True)
    assert dear["loss"] > free["loss"] + 1


def test_wrong_arguments_are_named(images):
    with pytest.raises(ValueError, match="every to be a positive int, received 0"):
        FlopsBudget(0.5, images, every=0)
    with pytest.raises(ValueError, match="schedule to be a function of the step, received 0.5"):
        PonderWeightSchedule(0.5)
