"""Conversion from and to keras.applications, against the models that Keras itself builds."""

import urllib.error

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.budget import calibrate, reachable_range
from sact_tf.budget.flops_share import FlopsShare
from sact_tf.errors import UserError
from sact_tf.models import from_keras_application, to_keras_application
from sact_tf.serving.export import export
from tests.harness import assert_same
from tests.models.keras_networks import (
    SIZE,
    convolution_flops,
    keras_network,
    pictures,
    randomized,
    stage_features,
)
from tests.models.networks import compile_model

UNITS = (2, 3)


def assert_close(ours, theirs):
    """Within 1e-5 of the largest magnitude."""
    assert_same(ours, theirs, 1e-5)
    scale = np.max(np.abs(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * scale)


def converted(halting="sact", keras_model=None, **options):
    options = {"halting_bias": -0.5, **options} if halting else options
    return from_keras_application(keras_model or keras_network(), halting, **options)


class TestEquality:
    @pytest.mark.parametrize(
        "units, size", [((2, 3), SIZE), ((3, 2), (64, 64)), ((2, 2, 3), (34, 51))]
    )
    def test_logits_and_stage_features(self, units, size):
        model = keras_network(units, size=size)
        plain = from_keras_application(model, halting=None)
        batch = pictures(size=size)
        assert_close(plain(batch), model(batch))
        features = plain.backbone(batch)
        assert list(plain.backbone.strides.values()) == [4, 8, 16][: len(units)]
        for ours, theirs in zip(
            features.values(), stage_features(model, units)(batch), strict=True
        ):
            assert_close(ours, theirs)

    def test_a_training_step_moves_the_same_statistics(self):
        """Batch normalization's epsilon and momentum are Keras'."""
        model, batch = keras_network(), pictures(4)
        plain = from_keras_application(model, halting=None)
        assert_close(plain(batch, training=True), model(batch, training=True))
        again = from_keras_application(model, halting=None)
        for ours, theirs in zip(plain.weights, again.weights, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=ours.path)

    def test_resnet50(self, tmp_path):
        """The network of the public function, by its model and by a file of its weights."""
        model = keras.applications.ResNet50V2(
            weights=None, input_shape=(*SIZE, 3), classes=7, classifier_activation=None
        )
        randomized(model)
        batch = pictures(1)
        expected = model(batch)
        model.save_weights(tmp_path / "mine.weights.h5")
        plain = from_keras_application(tmp_path / "mine.weights.h5", halting=None)
        assert_close(plain(batch), expected)
        assert [len(block.units) for block in plain.backbone.blocks] == [2, 4, 6, 4]
        assert [block.entry_units for block in plain.backbone.blocks] == [1, 2, 2, 2]
        with pytest.raises(UserError, match="expected the weights of ResNet101V2.*ResNet50V2"):
            from_keras_application("ResNet101V2", weights=tmp_path / "mine.weights.h5")


class TestHalting:
    def test_executions_agree_and_count(self):
        model, batch = converted(), pictures()
        masked = model.ponder(batch)
        units = np.asarray(masked["block2"]["num_units"])
        assert len(np.unique(units)) > 1 and units.min() == 2 and units.max() == 4
        for execution in ("tiled", "auto"):
            sact_tf.set_execution(model, execution)
            assert_same(model.ponder(batch), masked, 1e-5)

    def test_flops(self):
        """Of the whole network, and of what halting cannot leave out."""
        keras_model = keras_network()
        counted = convolution_flops(keras_model)
        plain, adaptive = converted(None, keras_model), converted("sact", keras_model)
        total = sum(counted.values())
        assert plain.plain_flops(*SIZE) == adaptive.plain_flops(*SIZE) == total
        np.testing.assert_array_equal(plain.forward(pictures())["flops"], [total] * 2)
        # Block 1 is stage 1 without its last unit, which opens block 2 with stage 2's first unit.
        entry = ("conv1_conv", "conv2_block1", "conv2_block2", "conv3_block1", "predictions")
        spent = sum(flops for name, flops in counted.items() if name.startswith(entry))
        lowest, highest = reachable_range(adaptive, *SIZE)
        positions, channels = 9 * 13, 32  # of block 2; block 1 has one unit and no score
        scores = 2 * positions * 9 * channels + 2 * 2 * channels
        assert lowest == (spent + scores) / total
        assert highest > 1

    def test_budget(self):
        model, data = converted(), [pictures(seed=seed) for seed in range(3)]
        lowest, _ = reachable_range(model, *SIZE)
        wanted = (lowest + 1) / 2
        assert FlopsShare(calibrate(model, data, wanted))(data) == pytest.approx(wanted, abs=0.02)

    @pytest.mark.parametrize("execution", ["masked", "tiled"])
    def test_training(self, execution):
        """`fit` moves every weight, entry units and halting scores included."""
        model = compile_model(converted(execution=execution, ponder_weight=0.1))
        before = model.get_weights()
        model.fit(pictures(4), np.arange(4), batch_size=4, epochs=1, verbose=0)
        for weight, value in zip(model.weights, before, strict=True):
            assert np.any(weight.numpy() != value) and np.all(np.isfinite(weight)), weight.path

    def test_saved_and_exported(self, tmp_path):
        model, batch = converted(tile_size=2), pictures()
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert_same(loaded.ponder(batch), model.ponder(batch), 1e-6)
        assert loaded.preprocessing == {"name": "imagenet", "image_size": 224}
        made = export(model, tmp_path / "served" / "1")
        assert made["largest_difference"] < 1e-4
        assert made["folded_batch_norms"] == 2 * sum(UNITS)


class TestSources:
    def test_files(self, tmp_path):
        """A whole model, and the format of the files that Keras downloads."""
        import h5py
        from keras.src.legacy.saving import legacy_h5_format

        model, batch = keras_network(), pictures()
        model.save(tmp_path / "whole.keras")
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
        for name in ("whole.keras", "weights.h5"):
            plain = from_keras_application(str(tmp_path / name), halting=None)
            assert_close(plain(batch), model(batch))

    def test_another_head(self):
        model = keras_network()
        renewed = converted(None, model, num_classes=3, class_names=["a", "b", "c"])
        assert renewed.class_names == ["a", "b", "c"]
        kept = converted(None, model, num_classes=5)
        assert_close(kept(pictures()), model(pictures()))
        assert not np.any(renewed.logits.bias)
        assert_same(renewed.postnorm.get_weights(), kept.postnorm.get_weights(), 0)

    def test_without_top(self):
        model = keras_network(top=False)
        with pytest.raises(UserError, match="no head.*num_classes"):
            converted(None, model)
        plain = converted(None, model, num_classes=3)
        features = plain.backbone(pictures())["block2"]
        post = keras.Model(model.get_layer("post_bn").input, model.output)
        assert_close(tf.nn.relu(plain.postnorm(features)), post(features))

    def test_the_classes_of_imagenet(self):
        model = converted(None, keras_network(classes=1000))
        names = model.class_names
        assert len(names) == 1000
        assert [names[0], names[281], names[999]] == ["tench", "tabby", "toilet_tissue"]

    def test_wrong_number_of_names(self):
        with pytest.raises(ValueError, match="5 classes, received 2"):
            converted(None, class_names=["a", "b"])

    def test_not_a_v2_network(self, tmp_path):
        v1 = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
        with pytest.raises(UserError, match="ResNet50V2.*found a ResNet V1"):
            from_keras_application(v1)
        v1.save_weights(tmp_path / "v1.weights.h5")
        with pytest.raises(UserError, match="v1.weights.h5.*batch normalizations.*found 53"):
            from_keras_application(tmp_path / "v1.weights.h5")
        other = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, name="mine")])
        with pytest.raises(UserError, match="found no conv1_conv among 1 layers such as mine"):
            from_keras_application(other)

    def test_another_network_of_the_same_names(self):
        """A shortcut that keras.applications has and this width would not need."""
        with pytest.raises(UserError, match="conv2_block1_0_conv"):
            from_keras_application(keras_network(base_channels=16))

    def test_no_such_file(self, tmp_path):
        with pytest.raises(UserError, match="ResNet50V2.*nowhere.h5.*no such file"):
            from_keras_application(str(tmp_path / "nowhere.h5"))
        (tmp_path / "text.h5").write_text("no weights")
        with pytest.raises(UserError, match="text.h5.*cannot be read as a file of Keras weights"):
            from_keras_application(tmp_path / "text.h5")
        with pytest.raises(ValueError, match="weights.*left out"):
            from_keras_application(keras_network(), weights=None)

    def test_no_network(self, monkeypatch, tmp_path):
        """Keras' own message, and what to do."""

        def refuse(url, *args, **kwargs):
            raise urllib.error.URLError("Name or service not known")

        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", refuse)
        monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
        message = "ResNet50V2.*cannot be downloaded.*Name or service.*give its path"
        with pytest.raises(UserError, match=message):
            from_keras_application("ResNet50V2")


class TestBack:
    @pytest.mark.parametrize("top", [True, False])
    def test_round_trip(self, top):
        model = keras_network(top=top)
        plain = converted(None, model, num_classes=5)
        again = to_keras_application(
            plain, include_top=top, input_shape=(*SIZE, 3), classifier_activation=None
        )
        named = [[layer.name for layer in net.layers if layer.weights] for net in (again, model)]
        assert named[0] == named[1]
        assert_same(again.get_weights(), model.get_weights(), 0)
        assert_same(again(pictures()), model(pictures()), 0)

    def test_of_a_standard_network(self):
        backbone = sact_tf.models.ResNetBackbone.keras_v2(50, base_channels=2)
        model = sact_tf.models.ImageClassifier(backbone, 3)
        again = to_keras_application(model)
        assert again.name == "resnet50v2" and again.input_shape == (None, 224, 224, 3)
        np.testing.assert_allclose(np.sum(again(pictures(1, (224, 224)))), 1, rtol=1e-5)

    def test_refused(self):
        with pytest.raises(ValueError, match="halting=None.*'sact'.*plain_network"):
            to_keras_application(converted("sact"))
        authors = sact_tf.models.ResNetBackbone((2, 2), base_channels=4)
        with pytest.raises(ValueError, match="strided_unit.*received.*'first'"):
            to_keras_application(sact_tf.models.ImageClassifier(authors, 3))
        with pytest.raises(ValueError, match="ImageClassifier, received ResNetBackbone"):
            to_keras_application(authors)
