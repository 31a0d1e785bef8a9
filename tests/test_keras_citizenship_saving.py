"""Saved models: `.keras` files and SavedModels, opened by processes that know less."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.layers import AdaptiveBlock, BasicUnit, BottleneckUnit
from tests.harness import assert_same, randomize, run_python
from tests.models.networks import compile_model, images, make_backbone, make_classifier

CLASS_NAMES = ["a", "b", "c", "d", "e"]
PREPROCESSING = {"name": "imagenet", "image_size": 224}


def models():
    """One model of each kind that people save."""
    saved = {}
    for net, halting in [("imagenet", "sact"), ("cifar", "act"), ("imagenet", None)]:
        options = {"tile_size": 2} if halting == "sact" else {}
        model = sact_tf.models.ImageClassifier(
            make_backbone(net, halting, statistics="evaluated", **options),
            5,
            class_names=CLASS_NAMES,
            preprocessing=PREPROCESSING,
        )
        randomize(model.head, 7)
        saved[f"classifier_{halting}"] = model
    saved["backbone"] = make_backbone()
    backbone = make_backbone()
    saved["functional"] = keras.Model(
        backbone.input, keras.layers.Conv2D(2, 1)(backbone.features["block2"])
    )
    image = keras.Input((None, None, 4))
    units = [BottleneckUnit(2), BottleneckUnit(2)]
    features, halting = AdaptiveBlock(units, halting="sact", ponder_weight=0.5)(image)
    saved["block"] = keras.Model(image, [BasicUnit(8)(features), halting["num_units"]])
    randomize(saved["block"], 9)
    return saved


READ = """
import sys, pathlib
import numpy as np, sact_tf, keras
folder = pathlib.Path(sys.argv[1])
outputs = {}
for path in sorted(folder.glob("*.keras")):
    model = keras.models.load_model(path)
    channels = model.input_shape[-1]
    batch = np.load(folder / f"images_{channels}.npy")
    for index, tensor in enumerate(keras.tree.flatten(model(batch))):
        outputs[f"{path.stem}/{index}"] = np.asarray(tensor)
    if path.stem.startswith("classifier"):
        assert model.class_names == ["a", "b", "c", "d", "e"], model.class_names
        assert model.preprocessing == {"name": "imagenet", "image_size": 224}
        outputs[f"{path.stem}/flops"] = np.asarray(model.forward(batch)["flops"])
        outputs[f"{path.stem}/tau"] = np.asarray(model.backbone.blocks[0].ponder_weight)
    model.compile("sgd", "mse")
np.savez(folder / "read.npz", **outputs)
"""


def test_keras_files_in_a_new_process(tmp_path):
    """A process that only imports `sact_tf` (and Keras, to load) gets the same outputs."""
    inputs = {3: images(2, 20, 17), 4: np.tile(images(2, 9, 8)[..., :1], 4)}
    for channels, batch in inputs.items():
        np.save(tmp_path / f"images_{channels}.npy", batch)
    expected = {}
    for name, model in models().items():
        if name.startswith("classifier"):
            sact_tf.set_ponder_weight(model, 0.0625)
        model.save(tmp_path / f"{name}.keras")
        batch = inputs[model.input_shape[-1]]
        for index, tensor in enumerate(keras.tree.flatten(model(batch))):
            expected[f"{name}/{index}"] = np.asarray(tensor)
        if name.startswith("classifier"):
            expected[f"{name}/flops"] = np.asarray(model.forward(batch)["flops"])
            expected[f"{name}/tau"] = np.float32(0.0625)
    run_python(READ, tmp_path)
    with np.load(tmp_path / "read.npz") as read:
        assert set(read) == set(expected)
        for name, value in expected.items():
            assert_same(read[name], value, 1e-5)


SERVE = """
import sys, pathlib
import numpy as np, tensorflow as tf
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("saved_*")):
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    outputs = {}
    for index in range(3):
        batch = tf.constant(np.load(folder / f"images{index}.npy"))
        (logits,) = serve(**{name: batch}).values()
        outputs[f"logits{index}"] = logits.numpy()
    np.savez(folder / f"{path.name}.npz", **outputs)
try:
    import keras
except ImportError:
    print("no keras")
"""


def test_saved_models_where_nothing_is_installed(tmp_path):
    """`tf.saved_model.save` and `export`, other batch and image sizes, no sact_tf, no Keras."""
    batches = [images(1, 16, 16), images(3, 33, 21), images(2, 40, 8)]
    for index, batch in enumerate(batches):
        np.save(tmp_path / f"images{index}.npy", batch)
    expected = {}
    for halting in ("sact", "act"):
        model = make_classifier("imagenet", halting, units=(1, 2))
        for way in ("save", "export"):
            path = str(tmp_path / f"saved_{halting}_{way}")
            if way == "save":
                tf.saved_model.save(model, path)
            else:
                model.export(path, verbose=False)
            expected[f"saved_{halting}_{way}"] = model
    printed = run_python(SERVE, tmp_path, blocked=["keras", "tf_keras", "sact_tf"])
    assert "no keras" in printed
    for name, model in expected.items():
        with np.load(tmp_path / f"{name}.npz") as read:
            for index, batch in enumerate(batches):
                assert_same(read[f"logits{index}"], model(batch), 1e-5)


def test_a_trained_model_goes_on_training_after_loading(tmp_path):
    """Weights, optimizer and compiled state: saved in the middle = never saved."""
    batch, labels = images(4), np.arange(4)
    whole = compile_model(make_classifier("cifar", units=(1, 2)))
    whole.fit(batch, labels, batch_size=4, epochs=2, verbose=0)
    half = compile_model(make_classifier("cifar", units=(1, 2)))
    half.fit(batch, labels, batch_size=4, epochs=1, verbose=0)
    half.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    logs = loaded.fit(batch, labels, batch_size=4, epochs=1, verbose=0).history
    assert {"cross_entropy", "ponder_loss", "weight_decay"} <= set(logs)
    assert_same(loaded.get_weights(), whole.get_weights(), 1e-5)


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_weights_alone(tmp_path, halting):
    model, other = make_classifier("cifar", halting), make_classifier("cifar", halting, seed=5)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(other.get_weights(), model.get_weights(), 0)
    checkpoint = tf.train.Checkpoint(model=model)
    path = checkpoint.save(str(tmp_path / "checkpoint"))
    third = make_classifier("cifar", halting, seed=6)
    tf.train.Checkpoint(model=third).restore(path).assert_existing_objects_matched()
    assert_same(third.get_weights(), model.get_weights(), 0)


def test_what_is_not_trained_is_not_trained_after_loading(tmp_path):
    model = make_classifier("imagenet")
    model.backbone.blocks[0].trainable = False
    model.backbone.blocks[1].units[1].bn1.trainable = False
    model.backbone.stem.trainable = False
    model.head.postnorm.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    paths = [variable.path for variable in model.trainable_variables]
    assert 0 < len(paths) < len(make_classifier("imagenet").trainable_variables)
    assert [variable.path for variable in loaded.trainable_variables] == paths
    assert not loaded.backbone.blocks[0].trainable
    # Thawing works as on the model that was saved.
    for each in (model, loaded):
        each.backbone.blocks[0].trainable = True
    thawed = [variable.path for variable in model.trainable_variables]
    assert len(thawed) > len(paths)
    assert [variable.path for variable in loaded.trainable_variables] == thawed
