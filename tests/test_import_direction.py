"""Reads every import of the project and holds it against the floors of docs/architecture.md.

Imports inside functions count for the direction; what `import sact_tf` costs is decided by those
at the top of modules.
"""

import graphlib
import pathlib
import re
import sys

import pytest

from tests import import_graph
from tests.import_graph import part_of

_ROOT = pathlib.Path(__file__).parents[1]

_MAP = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

_BASE = ("command_line", "errors", "files", "paths", "text", "timing", "version")
_FLOORS = {
    part: int(floor) for floor, part in re.findall(r"^\| (\d) \| `sact_tf/(\w+)` \|", _MAP, re.M)
}
_F3 = tuple(part for part, floor in _FLOORS.items() if floor == 3)
# Inside training, from the bottom up.
_TRAINING = tuple(re.findall(r"^\| `(\w+)` \|", _MAP, re.M))
_OUTSIDE = ("benchmarks", "tests", "train")
_BELOW_KERAS = ("images", "ops")
_STARTS_PROGRAMS = ("command_line", "absl")
_LIGHT = {"keras", "numpy", "sact_tf", "tensorflow"} | sys.stdlib_module_names


def _is_allowed(module, target):
    part, wanted, package = part_of(module), part_of(target), target.partition(".")[0]
    if part is None:  # a program
        return package not in ("benchmarks", "tests")
    if package in _OUTSIDE:
        return False
    if part == "":
        return True
    if wanted is None:
        if part in _BASE:
            return package in sys.stdlib_module_names or (part, package) == _STARTS_PROGRAMS
        return part not in _BELOW_KERAS or package not in ("keras", "tf_keras")
    if wanted in _BASE:
        return True
    if part in _BASE or wanted not in _FLOORS:
        return False
    if part == wanted == "training":
        own, other = _training_folder(module), _training_folder(target)
        return own == other or _TRAINING.index(other) < _TRAINING.index(own)
    return part == wanted or _FLOORS[wanted] < _FLOORS[part] or part in _F3 and wanted in _F3


def _training_folder(module):
    return module.split(".")[2]


def _wrong_directions(imports):
    return [
        f"{module}:{found.line} imports {found.target}"
        for module, all_found in imports.items()
        for found in all_found
        if not _is_allowed(module, found.target)
    ]


def _circle(imports):
    """A circle among the packages of floor 3, or None."""
    graph = {part: set() for part in _F3}
    for module, all_found in imports.items():
        if part_of(module) in graph:
            targets = {part_of(found.target) for found in all_found}
            graph[part_of(module)] |= targets & set(_F3) - {part_of(module)}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def _heavy_imports(imports):
    """What else than TensorFlow, Keras and NumPy a bare `import sact_tf` runs into."""
    reached, waiting, heavy = set(), ["sact_tf"], []
    while waiting:
        module = waiting.pop()
        if module in reached or module not in imports:
            continue
        reached.add(module)
        for found in imports[module]:
            if not found.at_top:
                continue
            if found.target.partition(".")[0] not in _LIGHT:
                heavy.append(f"{module}:{found.line} imports {found.target}")
            parts = found.target.split(".")
            waiting += [".".join(parts[: i + 1]) for i in range(len(parts))]
    return heavy


@pytest.fixture(scope="module")
def project():
    return import_graph.read_imports(_ROOT)


def test_every_part_of_the_package_has_a_floor(project):
    parts = {part_of(module) for module in project} - {None, ""}
    assert {"ops", "layers", "models"} <= parts
    assert parts <= set(_BASE) | set(_FLOORS)


def test_every_folder_of_training_has_a_floor(project):
    folders = {_training_folder(m) for m in project if m.startswith("sact_tf.training.")}
    assert folders == set(_TRAINING)


def test_the_map_names_what_is_there():
    folders = {path.parent.name for path in _ROOT.glob("sact_tf/training/*/__init__.py")}
    assert folders == set(_TRAINING) - {"errors"}
    named = re.findall(r"`((?:sact_tf|train|tests|docs)/[\w./]+)`", _MAP)
    assert len(named) > 15 and [name for name in named if not (_ROOT / name).exists()] == []


def test_imports_point_downwards(project):
    assert _wrong_directions(project) == []


def test_no_circles_on_floor_three(project):
    assert _circle(project) is None


def test_export_and_server_do_not_import_each_other(project):
    wings = {"sact_tf.serving.export": "server", "sact_tf.serving.server": "export"}
    seen = [
        f"{module}:{found.line} imports {found.target}"
        for module, all_found in project.items()
        for wing, other in wings.items()
        for found in all_found
        if f"{module}.".startswith(f"{wing}.")
        and f"{found.target}.".startswith(f"sact_tf.serving.{other}.")
    ]
    assert seen == [] and set(wings) <= set(project)


def test_the_server_uses_tensorflow_alone(project):
    """An export holds no Keras (tests/serving/test_export.py), so serving it takes none."""
    reached, waiting = set(), ["sact_tf.serving.rest"]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += [found.target for found in project.get(module, ())]
    assert "sact_tf.serving.server.servable" in reached
    assert {part_of(module) for module in reached} - {None} <= {"images", "serving", *_BASE}
    assert not {"keras", "tf_keras"} & {module.partition(".")[0] for module in reached}


def test_import_sact_tf_is_light(project):
    assert _heavy_imports(project) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("sact_tf/ops/a.py", "import keras"),
        ("sact_tf/ops/a.py", "layer = tf.keras.layers.Layer"),
        ("sact_tf/ops/a.py", "from sact_tf.layers import b"),
        ("sact_tf/ops/a.py", "from ..layers import b"),
        ("sact_tf/layers/b.py", "def f():\n    from sact_tf import models"),
        ("sact_tf/layers/b.py", "import sact_tf"),
        ("sact_tf/models/c.py", "import sact_tf.data.d"),
        ("sact_tf/errors.py", "import numpy"),
        ("sact_tf/errors.py", "from absl import flags"),
        ("sact_tf/paths.py", "from sact_tf.ops import a"),
        ("sact_tf/data/d.py", "from sact_tf.training.loop import f"),
        ("sact_tf/training/loop/f.py", "from train import program"),
        ("sact_tf/training/loop/f.py", "from sact_tf.training.detection import g"),
        ("sact_tf/training/loop/f.py", "import sact_tf.training.reports.h"),
        ("sact_tf/data/d.py", "from train import program"),
        ("sact_tf/data/d.py", "import tests.conftest"),
        ("train/program.py", "from tests import conftest"),
    ],
)
def test_a_wrong_direction_is_seen(tmp_path, file, line):
    assert _wrong_directions(import_graph.read_imports(_write_tree(tmp_path))) == []
    assert (
        len(_wrong_directions(import_graph.read_imports(_write_tree(tmp_path, {file: line})))) == 1
    )


def test_a_circle_is_seen(tmp_path):
    one = {"sact_tf/data/d.py": "from sact_tf import visualization"}
    other = {"sact_tf/visualization/e.py": "def f():\n    from sact_tf.data import d"}
    assert _circle(import_graph.read_imports(_write_tree(tmp_path, one))) is None
    assert set(_circle(import_graph.read_imports(_write_tree(tmp_path, one | other)))) == {
        "data",
        "visualization",
    }


def test_a_heavy_import_is_seen_where_import_sact_tf_leads(tmp_path):
    umbrella = {"sact_tf/__init__.py": "from sact_tf.data import d"}
    for line, number in [
        ("from PIL import Image", 1),
        ("if True:\n    import official.vision", 1),
        ("def f():\n    import sklearn", 0),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import matplotlib", 0),
    ]:
        tree = umbrella | {"sact_tf/data/d.py": line}
        assert len(_heavy_imports(import_graph.read_imports(_write_tree(tmp_path, tree)))) == number
    unreached = {"sact_tf/visualization/e.py": "import matplotlib"}
    assert (
        _heavy_imports(import_graph.read_imports(_write_tree(tmp_path, umbrella | unreached))) == []
    )


def _write_tree(root, changes=()):
    names = ["errors.py", "paths.py", "__init__.py"]
    names += ["ops/a.py", "layers/b.py", "models/c.py", "data/d.py", "visualization/e.py"]
    names += ["training/loop/f.py", "training/detection/g.py"]
    files = {f"sact_tf/{name}": "" for name in names} | {"train/program.py": ""}
    files |= {f"{pathlib.Path(file).parent}/__init__.py": "" for file in files}
    for file, text in (files | dict(changes)).items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    return root
