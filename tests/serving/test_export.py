"""Exported classifiers against the model in memory, and what an export refuses."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.data.preprocessing import evaluation_function
from sact_tf.errors import UserError
from sact_tf.serving.export import check, export
from tests.harness import run_python
from tests.serving.models import CLASS_NAMES, encode, make_model, pixels

# What another process, with TensorFlow alone, makes of an export.
SERVE = """
import json, pathlib, sys
import numpy as np, tensorflow as tf
folder = pathlib.Path(sys.argv[1])
signatures = tf.saved_model.load(str(folder / sys.argv[2])).signatures
encoded = [path.read_bytes() for path in sorted(folder.glob("*.bin"))]
answers = {
    "serving_default": signatures["serving_default"](image_bytes=tf.constant(encoded)),
    "ponder_map": signatures["ponder_map"](image_bytes=tf.constant(encoded)),
    "one": signatures["serving_default"](image_bytes=tf.constant(encoded[:1])),
}
for path in folder.glob("*.npy"):
    answers[path.stem] = signatures["images"](images=tf.constant(np.load(path)))
arrays = {f"{a}/{b}": c.numpy() for a, answer in answers.items() for b, c in answer.items()}
strings = {name: array.tolist() for name, array in arrays.items() if array.dtype == object}
names = {name: [[s.decode() for s in row] for row in rows] for name, rows in strings.items()}
(folder / "names.json").write_text(json.dumps(names))
np.savez(folder / "arrays.npz", **{n: a for n, a in arrays.items() if n not in strings})
for name in ("keras", "sact_tf"):
    try:
        __import__(name)
    except ImportError:
        print("no", name)
"""


def test_in_a_process_without_sact_tf_and_keras(exported, tmp_path):
    model, folder = exported
    pictures = [pixels(24, 30, 1), pixels(40, 17, 2), pixels(9, 9, 3)]
    kinds = ["PNG", "BMP", "GIF"]
    for number, (picture, kind) in enumerate(zip(pictures, kinds, strict=True)):
        if kind == "GIF":
            from PIL import Image

            image = Image.fromarray(picture).quantize(256)
            pictures[number] = np.asarray(image.convert("RGB"))
            (tmp_path / f"{number}.bin").write_bytes(encode(image, kind))
        else:
            (tmp_path / f"{number}.bin").write_bytes(encode(picture, kind))
    inputs = [
        np.asarray(evaluation_function(model.preprocessing)(tf.constant(p))) for p in pictures
    ]
    np.save(tmp_path / "images_2.npy", np.stack([inputs[1]] * 2))
    np.save(tmp_path / "images_1.npy", inputs[0][None])
    (tmp_path / "3").symlink_to(folder / "3")
    printed = run_python(SERVE, tmp_path, "3", blocked=["keras", "tf_keras", "sact_tf"])
    assert "no keras" in printed and "no sact_tf" in printed
    names = json.loads((tmp_path / "names.json").read_text())
    with np.load(tmp_path / "arrays.npz") as arrays:
        received = dict(arrays)
    for index, image in enumerate(inputs):
        expected = model.ponder(image[None])
        chances = np.sort(keras.ops.softmax(expected["logits"])[0])[::-1][:3]
        order = np.argsort(-expected["logits"][0])[:3]
        for signature in ("serving_default", "ponder_map"):
            np.testing.assert_allclose(received[f"{signature}/scores"][index], chances, atol=1e-5)
            np.testing.assert_array_equal(received[f"{signature}/labels"][index], order)
            assert names[f"{signature}/classes"][index] == [CLASS_NAMES[i] for i in order]
        size = image.shape[:2]
        assert tuple(received["ponder_map/image_size"][index]) == size
        assert received["ponder_map/flops"][index] == expected["flops"][0]
        assert received["ponder_map/plain_flops"][index] == model.plain_flops(*size)
        cost = received["ponder_map/ponder_cost_map"][index][: size[0], : size[1]]
        np.testing.assert_allclose(cost, expected["ponder_cost_map"][0], atol=1e-4)
        for block in ("block1", "block2"):
            units = np.asarray(expected[block]["num_units"][0])
            ours = received[f"ponder_map/{block}_num_units"][index]
            np.testing.assert_array_equal(ours[: units.shape[0], : units.shape[1]], units)
    np.testing.assert_allclose(
        received["images_2/logits"], model(np.stack([inputs[1]] * 2)), atol=1e-5
    )
    np.testing.assert_allclose(received["images_1/logits"], model(inputs[0][None]), atol=1e-5)
    assert len(received["one/scores"]) == 1


_BLOCKS = {f"block{b}_{key}" for b in (1, 2) for key in ("num_units", "ponder_cost")}
_ANSWER = {"classes", "labels", "scores"}
_SPENT = {"flops", "plain_flops", "ponder_cost_map", "image_size"}


def test_the_signatures_are_those_that_clients_know(exported):
    signatures = tf.saved_model.load(str(exported[1] / "3")).signatures
    outputs = {name: set(signature.structured_outputs) for name, signature in signatures.items()}
    assert outputs == {
        "serving_default": _ANSWER,
        "images": _ANSWER | {"logits"},
        "ponder_map": _ANSWER | {"logits"} | _SPENT | _BLOCKS,
    }
    assert signatures["ponder_map"].structured_outputs["plain_flops"].dtype == tf.int64


def test_what_is_in_the_folder(exported):
    _, folder = exported
    assert sorted(path.name for path in folder.iterdir()) == ["3"]
    names = (folder / "3" / "assets" / "class_names.txt").read_text(encoding="utf-8")
    assert names.splitlines() == CLASS_NAMES
    description = json.loads((folder / "3" / "assets.extra" / "sact_tf.json").read_text())
    assert description["kind"] == "classifier" and description["execution"] == "tiled"
    assert description["preprocessing"] == {"name": "scale"} and description["input_size"] is None
    assert description["folded_batch_norms"] == 5
    assert b"keras" not in (folder / "3" / "saved_model.pb").read_bytes().lower()


def test_stock_operations_that_follow_the_active_positions(exported):
    graph = tf.saved_model.load(str(exported[1] / "3")).signatures["images"].graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    operations = {node.op for node in nodes}
    assert {"Where", "GatherV2", "MatMul"} <= operations
    assert not operations & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}


@pytest.mark.parametrize(
    ("net", "halting", "preprocessing"),
    [
        ("imagenet", "act", {"name": "cifar", "image_size": [20, 28]}),
        ("cifar", None, {"name": "unit"}),
    ],
)
def test_other_networks(net, halting, preprocessing, tmp_path):
    model = make_model(
        net, halting, preprocessing, class_names=None, units=(1, 2), execution="auto"
    )
    made = export(model, tmp_path / "1", fold_batch_norm=False, top=99)
    assert made["folded_batch_norms"] == 0 and made["execution"] == "auto"
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    pictures = [pixels(33, 25), pixels(30, 60)]
    answer = serve(image_bytes=tf.constant([encode(picture) for picture in pictures]))
    assert answer["classes"].shape == [2, 5]
    for picture, scores, names in zip(pictures, answer["scores"], answer["classes"], strict=True):
        logits = model(evaluation_function(preprocessing)(tf.constant(picture))[None])[0]
        order = np.argsort(-logits)
        np.testing.assert_allclose(scores, tf.nn.softmax(logits).numpy()[order], atol=1e-5)
        assert [int(name) for name in names.numpy()] == list(order)


def test_low_precision_is_exported_as_it_is(tmp_path):
    model = make_model("imagenet", units=(1,), dtype="mixed_bfloat16")
    assert export(model, tmp_path / "1")["folded_batch_norms"] == 0


def test_a_wrong_export_is_not_written(tmp_path, monkeypatch):
    """The check is what stands between a mistake in the export and those who rely on it."""
    from sact_tf.serving.export import folding

    fold = folding._fold

    def forgets_the_shift(unit, convolution, normalization):
        fold(unit, convolution, normalization)
        getattr(unit, normalization).shift.assign_add([0.1] * unit.filters)

    monkeypatch.setattr(folding, "_fold", forgets_the_shift)
    with pytest.raises(RuntimeError, match="differs from the one in memory"):
        export(make_model("imagenet", units=(1,)), tmp_path / "new" / "1")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_check_sees_each_output():
    right = {"logits": np.float32([1, -3]), "flops": np.int64(7), "plain_flops": np.int64(9)}
    right |= {"ponder_cost_map": np.full([6, 6], 2.5), "block1_num_units": np.ones([6, 6], int)}
    assert check.compare(right, right, "float32") == 0
    for name, value in right.items():
        with pytest.raises(RuntimeError, match=name):
            check.compare({**right, name: value * 2 + 3}, right, "float32")
    nan = {**right, "logits": np.float32([1, np.nan])}
    with pytest.raises(RuntimeError, match="logits"):
        check.compare(nan, right, "float32")
    # A unit more at one position in two hundred is rounding at the threshold.
    units = np.ones([10, 20], int)
    flipped = {"block1_num_units": np.where(np.arange(200).reshape(10, 20) == 7, 2, units)}
    check.compare(flipped, {"block1_num_units": units}, "float32")


def test_mistakes_are_named(exported, tmp_path):
    model, folder = exported
    for directory, message in [
        (folder / "3", "exists"),
        (tmp_path / "newest", "a positive integer"),
        (tmp_path / "0", "a positive integer"),
    ]:
        with pytest.raises(UserError, match=message):
            export(model, directory)
    with pytest.raises(UserError, match="execution to be one of"):
        export(model, tmp_path / "1", execution="sparse")
    with pytest.raises(UserError, match='"name" is one of'):
        export(model, tmp_path / "1", preprocessing={"name": "nothing"})
    with pytest.raises(UserError, match="top to be positive"):
        export(model, tmp_path / "1", top=0)
    with pytest.raises(UserError, match="of one line"):
        export(make_model(class_names=["a\nb", *"cdef"]), tmp_path / "1")
    with pytest.raises(UserError, match="received a ResNetBackbone"):
        export(model.backbone, tmp_path / "1")
    unknown = sact_tf.models.ImageClassifier(model.backbone, 2)
    with pytest.raises(UserError, match="its preprocessing is None"):
        export(unknown, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []
