"""The Python snippets of the documentation: their names exist, and they run."""

import ast
import builtins
import functools
import importlib
import inspect
import pathlib
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.models import ResNetBackbone
from sact_tf.serving.export.onnx_file import export_onnx
from tests.data.picture_files import write_picture
from tests.models.networks import compile_model, images, make_classifier

_ROOT = pathlib.Path(__file__).parents[1]
# What the reader has, by document.
_GIVEN = {
    "README.md": set(),
    "docs/budgets.md": {"dataset", "model", "some_training_images"},
    "docs/detection.md": set(),
    "docs/performance.md": {"images", "model"},
    "docs/photos.md": {"dataset", "images"},
    "docs/saliency.md": {"human_map", "image", "model", "rows", "columns"},
    "docs/serving.md": {"model"},
}


@functools.cache
def _snippets(document):
    """The snippets of a document as one program; lines are those of the document."""
    text = (_ROOT / document).read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        first = text[: match.start(1)].count("\n")
        code = match[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


def _resolve(node, modules, imported):
    """What an expression such as `sact_tf.budget.calibrate` means; None where that is not known."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    owner = _resolve(node.value, modules, imported)
    if owner is None:
        return None
    meant = getattr(owner, node.attr)
    # A module may be here because something else in this process has imported it.
    if owner is sact_tf and node.attr not in sact_tf.__all__ and meant.__name__ not in imported:
        raise AttributeError(f"'import sact_tf' does not import {node.attr!r}")
    return meant


def _faults(program, given):
    """Names that nothing defines, names that a module lacks, arguments that a function lacks."""
    tree = ast.parse(program)
    known, modules, imported = set(dir(builtins)) | given, {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported.add(alias.name)
                module = importlib.import_module(alias.name)
                top = alias.name.partition(".")[0]
                modules[alias.asname or top] = module if alias.asname else sys.modules[top]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            module = importlib.__import__(node.module, fromlist=names)  # and submodules
            for alias in node.names:
                modules[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in known | modules.keys():
            yield f"line {node.lineno}: {node.id} is not defined"
        try:
            named = node.func if isinstance(node, ast.Call) else node
            called = _resolve(named, modules, imported)
        except AttributeError as error:
            yield f"line {node.lineno}: {error}"
            continue
        if isinstance(node, ast.Call) and called is not None:
            names = {keyword.arg: None for keyword in node.keywords}
            try:
                inspect.signature(called).bind(*node.args, **names)
            except TypeError as error:
                yield f"line {node.lineno}: {ast.unparse(node.func)}: {error}"


@pytest.mark.parametrize("document", ["README.md", "docs"])
def test_every_document_with_snippets_is_covered(document):
    path = _ROOT / document
    files = [path] if path.is_file() else sorted(path.glob("*.md"))
    found = {str(file.relative_to(_ROOT)) for file in files}
    assert {name for name in found if _snippets(name).strip()} == found & _GIVEN.keys()


@pytest.mark.parametrize("document", _GIVEN)
def test_names_and_arguments_exist(document):
    assert list(_faults(_snippets(document), _GIVEN[document])) == []


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("keras.Input([2])", "line 1: keras is not defined"),
        ("import keras\nkeras.layers.Dence(2)", "line 2: .*has no attribute 'Dence'"),
        ("import keras\nkeras.Input([2], sized=1)", "line 2: keras.Input: .*'sized'"),
        ("import sact_tf\nsact_tf.data.ImageFolder('a')", "line 2: .*does not import 'data'"),
    ],
)
def test_faults_are_seen(program, fault):
    assert any(re.match(fault, line) for line in _faults(program, set()))


def _run(document, directory, monkeypatch, **given):
    monkeypatch.chdir(directory)
    exec(compile(_snippets(document), document, "exec"), given)
    return given


def _classifier(directory):
    model = compile_model(make_classifier("cifar", num_classes=10), 0.001)
    model.preprocessing = {"name": "unit", "image_size": 32}
    model.save(directory / "model.keras")
    return model


def _reader():
    batch = images(4, 32, 32)
    dataset = tf.data.Dataset.from_tensors((batch, tf.constant([1, 2, 3, 4])))
    return {"dataset": dataset, "images": batch, "some_training_images": batch}


def test_saliency(tmp_path, monkeypatch):
    done = _run(
        "docs/saliency.md", tmp_path, monkeypatch, model=make_classifier("cifar"),
        image=images(1, 27, 48)[0], rows=np.array([3, 500]), columns=np.array([9, 1000]),
        human_map=np.random.default_rng(0).uniform(size=[1080, 1920]),
    )  # fmt: skip
    assert done["saliency_map"].shape == (1080, 1920)


def test_readme(tmp_path, monkeypatch, capsys):
    """It makes its own data and runs as pasted."""
    done = _run("README.md", tmp_path, monkeypatch)
    assert (tmp_path / "digits.keras").exists()
    assert (done["spent"]["flops"].numpy() < 0.8 * done["model"].plain_flops(32, 32)).all()
    assert capsys.readouterr().out.splitlines()[-1] == "[0 1 2 3 4] [0 1 2 3 4]"


def test_the_page_on_architecture_names_every_folder():
    page = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = _ROOT / "sact_tf"
    folders = [
        file.parent for depth in ("*", "*/*") for file in package.glob(f"{depth}/__init__.py")
    ]
    named = set(re.findall(r"`[\w/]*?(\w+)/?`", page))
    assert len(folders) > 20 and {folder.name for folder in folders} <= named
    for file in re.findall(r"`((?:sact_tf|ops|layers)/[\w/]+\.py)`", page):
        assert (_ROOT / file).exists() or (_ROOT / "sact_tf" / file).exists(), file


def test_readme_is_short():
    assert len((_ROOT / "README.md").read_text(encoding="utf-8").split()) <= 700


@pytest.mark.large
def test_photos(tmp_path, monkeypatch):
    monkeypatch.setattr(
        ResNetBackbone,
        "from_depth",
        lambda depth, **options: ResNetBackbone.cifar(3, base_channels=4, **options),
    )
    done = _run("docs/photos.md", tmp_path, monkeypatch, **_reader())
    assert done["segmenter"].output_shape == (None, None, None, 21)


@pytest.mark.large
def test_budgets(tmp_path, monkeypatch):
    run = tmp_path / "runs" / "photos"
    run.mkdir(parents=True)
    for number in range(60):
        name = f"{'cat' if number % 2 else 'dog'}/{number}.png"
        write_picture(tmp_path / "photos" / name, 32, 32, seed=number)
    _run("docs/budgets.md", tmp_path, monkeypatch, model=_classifier(run), **_reader())
    assert isinstance(keras.models.load_model(tmp_path / "half.keras"), keras.Model)


@pytest.mark.large
def test_detection(tmp_path, monkeypatch):
    done = _run("docs/detection.md", tmp_path, monkeypatch)
    assert done["found"]["boxes"].shape[0] == 4


@pytest.mark.large
def test_serving(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    model = make_classifier("cifar", num_classes=10)
    export_onnx(model, tmp_path / "model.onnx", preprocessing={"name": "unit", "image_size": 32})
    write_picture(tmp_path / "picture.png", 40, 50)
    _run("docs/serving.md", tmp_path, monkeypatch, model=model)
    assert (tmp_path / "m.tflite").exists()
    best = capsys.readouterr().out.splitlines()[-1]
    assert len(ast.literal_eval(re.sub(r"np.float32\(([^)]*)\)", r"\1", best))) == 5
