"""What comes from outside: nothing of it is run, and nothing but a `UserError` comes of damage."""

import ast
import base64
import contextlib
import io
import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sact_tf.checkpoints import load_checkpoint
from sact_tf.data.images import decode_image as decode_with_pillow
from sact_tf.detection.data.coco_annotations import read_annotations
from sact_tf.errors import UserError
from sact_tf.serving.export.image_decoding import decode_image
from sact_tf.serving.server import tensor_json
from sact_tf.serving.server.errors import RequestError
from sact_tf.serving.server.image_limits import image_size
from sact_tf.serving.server.servable import Servable
from sact_tf.training.classification.config import ClassificationConfig
from sact_tf.training.classification.loading import load_classifier
from sact_tf.training.config.loading import load_config
from tests.models.networks import make_classifier

_ROOT = pathlib.Path(__file__).parents[1]

# Bounded in time, and the same on every machine; HYPOTHESIS finds more with larger numbers.
_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def _bounded(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=_SHARED,
        database=None,
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def _damaged(draw, original):
    """Bytes with some overwritten, some cut out or the end missing."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        what = draw(st.sampled_from(["set", "cut", "insert", "end"]))
        if what == "set":
            data[place] = draw(st.integers(0, 255))
        elif what == "cut":
            del data[place : place + draw(st.integers(1, 20))]
        elif what == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
        else:
            del data[max(place, 1) :]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


@st.composite
def _changed(draw, original):
    """JSON with a few of its values replaced or left out."""
    content = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(1, 3))):
        node = content
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = node[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 4)):
                node = inner
                continue
            if draw(st.booleans()):
                node[key] = draw(_JSON)
            else:
                del node[key]
            break
    return content


class TestKerasFiles:
    def test_code_in_a_file_is_not_run(self, tmp_path):
        ran = tmp_path / "ran"
        layer = keras.layers.Lambda(lambda x, path=str(ran): [open(path, "w"), x][1])
        keras.Sequential([keras.Input([2]), layer]).save(tmp_path / "evil.keras")
        ran.unlink(missing_ok=True)
        with pytest.raises(UserError, match="evil.keras: cannot be loaded"):
            load_classifier(tmp_path / "evil.keras")
        assert not ran.exists()

    @pytest.fixture(scope="class")
    def parts(self, tmp_path_factory):
        """Files of a `.keras` archive by name."""
        path = tmp_path_factory.mktemp("keras") / "model.keras"
        make_classifier("cifar", units=(1, 1), base_channels=2, num_classes=2).save(path)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def _load(self, path, parts):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        with contextlib.suppress(UserError):
            load_classifier(path)

    @_bounded(12)
    @given(data=st.data())
    def test_changed_configurations(self, parts, tmp_path, data):
        config = data.draw(_changed(json.loads(parts["config.json"])))
        changed = {**parts, "config.json": json.dumps(config).encode()}
        self._load(tmp_path / "m.keras", changed)

    @_bounded(8)
    @given(data=st.data())
    def test_damaged_weights(self, parts, tmp_path, data):
        weights = data.draw(_damaged(parts["model.weights.h5"]))
        self._load(tmp_path / "m.keras", {**parts, "model.weights.h5": weights})

    @_bounded(30)
    @given(data=st.data())
    def test_damaged_archives(self, parts, tmp_path, data):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("config.json", b"{}")
            archive.writestr("metadata.json", parts["metadata.json"])
        (tmp_path / "m.keras").write_bytes(data.draw(_damaged(buffer.getvalue())))
        with pytest.raises(UserError):
            load_classifier(tmp_path / "m.keras")


class TestConfigs:
    def _load(self, path, content):
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            load_config(ClassificationConfig, path)

    @_bounded(100)
    @given(data=st.data())
    def test_damaged_files(self, tmp_path, data):
        original = (_ROOT / "configs" / "quickstart.yaml").read_bytes()
        self._load(tmp_path / "c.yaml", data.draw(_damaged(original)))

    @_bounded(100)
    @given(data=st.data())
    def test_changed_values(self, tmp_path, data):
        original = yaml.safe_load((_ROOT / "configs" / "quickstart.yaml").read_text())
        changed = data.draw(_changed(original))
        self._load(tmp_path / "c.yaml", json.dumps(changed).encode())

    @pytest.mark.parametrize(
        "text",
        [
            "!!python/object/apply:os.system ['touch ran']",
            "model: !!python/name:os.system",
            "model: &a {depth: *a}",
            "a: &a [*a]\nmodel: *a",
            "train: 2001-99-99",
            "train: {steps: !!int x}",
            "train: {steps: !!float x}",
            "train: {steps: !!timestamp x}",
            "? [1, 2]\n: 3",
            "train: !!set {a, b}",
            "[" * 2000,
            "a: {" * 2000,
            "train: {steps: " + "9" * 5000 + "}",
            "train: {steps: 0x" + "f" * 5000 + "}",
            "train: {momentum: 0x" + "f" * 5000 + "}",
            "train: !!binary x",
            "\0",
            "<<: 3",
            "model: {<<: [1]}",
        ],
    )
    def test_yaml_that_wants_more_than_text(self, tmp_path, monkeypatch, text):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(UserError):
            load_config(ClassificationConfig, tmp_path / "c.yaml")
        assert not (tmp_path / "ran").exists()

    @_bounded(200)
    @given(
        text=st.text(st.sampled_from("train.steps=,[]{}'\"&*!|>%@`:-?0e1 \n\t\\#~<"), max_size=24)
    )
    def test_overrides(self, text):
        with contextlib.suppress(UserError):
            load_config(ClassificationConfig, None, [text])


class TestCheckpoints:
    @_bounded(10)
    @given(data=st.data(), index=st.booleans())
    def test_damaged_files(self, golden, tmp_path, data, index):
        folder = tmp_path / "checkpoint"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(golden / "tf1_checkpoint_imagenet_sact", folder)
        name = "model-1234.index" if index else "model-1234.data-00000-of-00001"
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(data.draw(_damaged(original)))
        with contextlib.suppress(UserError):
            load_checkpoint(folder)


def _picture(kind):
    small = np.random.default_rng(0).integers(0, 255, [4, 4, 3], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((24, 16)).save(buffer, kind)
    return buffer.getvalue()


class TestImages:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
    @_bounded(60)
    @given(data=st.data())
    def test_damaged_files(self, kind, data):
        content = data.draw(_damaged(_picture(kind)))
        with contextlib.suppress(UserError):
            assert decode_with_pillow(content, "x").shape[2] == 3
        try:
            height, width = image_size(content, 10_000)
        except RequestError as error:
            assert error.status == 400
            return
        assert height * width <= 10_000
        # Only what passes this check is decoded by a server.
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            assert _decode_in_graph(content).shape[2] == 3


_decode_in_graph = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)])

_COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": 10, "width": 12}],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [
        {"id": 7, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3.5, 4], "area": 9, "iscrowd": 0}
    ],
}


class TestCoco:
    @_bounded(150)
    @given(content=_changed(_COCO))
    def test_changed_values(self, tmp_path, content):
        (tmp_path / "a.json").write_text(json.dumps(content))
        with contextlib.suppress(UserError):
            read_annotations(tmp_path / "a.json")

    @_bounded(100)
    @given(content=_damaged(json.dumps(_COCO).encode()))
    def test_damaged_files(self, tmp_path, content):
        (tmp_path / "a.json").write_bytes(content)
        with contextlib.suppress(UserError):
            read_annotations(tmp_path / "a.json")


class TestRequests:
    SPECS = {
        "image_bytes": {"image_bytes": tf.TensorSpec([None], tf.string)},
        "images": {"images": tf.TensorSpec([None, None, None, 3], tf.float32)},
    }
    BODY = {
        "signature_name": "images",
        "instances": [{"b64": base64.b64encode(b"abc").decode()}, [[[1, 2.5, 3]]]],
    }

    def _ask(self, body):
        for specs in self.SPECS.values():
            try:
                request = tensor_json.parse_request(body)
                arrays = tensor_json.input_tensors(request, specs)
                assert all(len(array) > 0 for array in arrays.values())
            except RequestError as error:
                assert error.status == 400

    @_bounded(300)
    @given(values=_JSON, key=st.sampled_from(["instances", "inputs"]))
    def test_any_values(self, values, key):
        self._ask(json.dumps({key: values}).encode())

    @_bounded(200)
    @given(
        body=_damaged(json.dumps(BODY).encode())
        | _changed(BODY).map(lambda b: json.dumps(b).encode())
    )
    def test_damaged_bodies(self, body):
        self._ask(body)


class TestSavedModels:
    @_bounded(25)
    @given(data=st.data())
    def test_damaged_files(self, tmp_path, data):
        original = tmp_path / "original"
        if not original.exists():
            module = tf.Module()
            module.v = tf.Variable([1.0, 2.0])
            function = tf.function(lambda x: x + module.v)
            spec = tf.TensorSpec([None, 2], tf.float32)
            tf.saved_model.save(module, str(original), function.get_concrete_function(spec))
        folder = tmp_path / "1"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        names = ["saved_model.pb", "variables/variables.index", "fingerprint.pb"]
        file = folder / data.draw(st.sampled_from(names))
        file.write_bytes(data.draw(_damaged(file.read_bytes())))
        with contextlib.suppress(UserError):
            Servable(folder)


def test_nothing_unpickles_or_evaluates():
    """Over every source of the package and the programs."""
    found = []
    for file in [*_ROOT.glob("sact_tf/**/*.py"), *_ROOT.glob("train/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                bad = names & {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
            elif isinstance(node, ast.Call):
                bad = _unsafe_call(node)
            else:
                continue
            if bad:
                found.append(f"{file.relative_to(_ROOT)}:{node.lineno}: {bad}")
    assert found == []


def _unsafe_call(node):
    text = ast.unparse(node.func)
    name = text.rpartition(".")[2]
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if text in ("eval", "exec", "compile", "__import__") or name == "unsafe_load":
        return text
    if name == "load_model" and options.get("safe_mode") != "True":
        return f"{text} without safe_mode=True"
    if text == "yaml.load" and options.get("Loader") != "_Loader":
        return f"{text} without a safe loader"
    if options.get("allow_pickle") == "True":
        return f"{text} with allow_pickle"
    return None
