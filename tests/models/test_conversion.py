"""Models in LiteRT's format: the same logits and units (docs/serving.md says what converts)."""

import keras
import numpy as np
import pytest

import sact_tf
from sact_tf.layers import tuning
from tests.models.networks import images, make_classifier

interpreter = pytest.importorskip("ai_edge_litert.interpreter")


@pytest.mark.parametrize(
    "net, halting, tile_size, capacities",
    [
        ("imagenet", "sact", 1, None),
        ("cifar", "sact", 2, None),
        ("cifar", "act", 1, None),
        ("imagenet", "sact", 1, 0.3),
        ("cifar", "sact", 2, {"shares": 0.3, "per": "batch"}),
    ],
)
def test_litert(net, halting, tile_size, capacities, tmp_path, monkeypatch):
    """One file for images of every size, without operations of TensorFlow; capped ones static."""
    model = make_classifier(net, halting, tile_size=tile_size)
    if capacities is not None:
        monkeypatch.setattr(tuning, "share_for_static_rows", lambda filters, reach: 0.99)
        sact_tf.set_execution(sact_tf.set_capacities(model, capacities), "static")
    units = {name: halts["num_units"] for name, halts in model.backbone.halting.items()}
    outputs = keras.Model(model.inputs, {"logits": model.output, **units})
    path = tmp_path / "model.tflite"
    outputs.export(str(path), format="litert", verbose=False)
    lite = interpreter.Interpreter(str(path))
    for batch in (images(1, 32, 36), images(2, 21, 40)):
        lite.resize_tensor_input(lite.get_input_details()[0]["index"], batch.shape)
        lite.allocate_tensors()
        found = lite.get_signature_runner()(image=batch)
        expected = outputs(batch)
        assert set(found) == set(expected)
        np.testing.assert_allclose(found["logits"], expected["logits"], atol=5e-7, rtol=1e-6)
        for name in units:
            np.testing.assert_array_equal(found[name], expected[name])
        if net == "imagenet":
            assert len(np.unique(found["block2"])) > 1  # positions halt at different units
