"""What people get who install the package: built and imported outside the repository."""

import json
import os
import pathlib
import re
import shutil
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from sact_tf.version import __version__

_ROOT = pathlib.Path(__file__).parents[1]
# Packages that someone with only TensorFlow, Keras and NumPy does not have.
_ABSENT = ["official", "orbit", "tensorflow_datasets", "tf_keras", "matplotlib", "sklearn", "scipy"]
_ABSENT += ["pycocotools", "PIL", "pandas", "cv2", "train", "tests", "benchmarks", "examples"]

_PROBE = f"""
import importlib.abc, importlib.util, json, sys

# Other packages install a "tests" (tf2onnx) and an "examples" of theirs.
others = ("train", "benchmarks")
strangers = [name for name in others if importlib.util.find_spec(name)]

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {_ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import sact_tf
print(json.dumps({{
    "file": sact_tf.__file__,
    "version": sact_tf.__version__,
    "loaded": [name for name in {_ABSENT!r} if name in sys.modules],
    "strangers": strangers,
    "backbone": sact_tf.models.ResNetBackbone.__name__,
}}))
"""

_PAGES = """
import json
from sact_tf.serving.server.page import page
from sact_tf.visualization import html
print(json.dumps([page("pets", {}), html.page("Run", "lead", {})]))
"""


def _run(arguments, directory):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=directory,
        env=environment | {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(_ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "BUILD")
    for name in ("sact_tf", "train", "tests"):
        shutil.copytree(_ROOT / name, source / name, ignore=ignored)
    output = tmp_path_factory.mktemp("wheel")
    arguments = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", output, source]
    _run([sys.executable, "-m", "pip", *arguments], output)
    (wheel,) = output.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Interpreter of a new environment with the wheel; its dependencies are those of this one."""
    directory = tmp_path_factory.mktemp("venv")
    venv.create(directory, with_pip=False, symlinks=True)
    python = directory / "bin" / "python"
    (packages,) = (directory / "lib").glob("python*/site-packages")
    arguments = ["install", "--no-deps", "--quiet", wheel]
    _run([sys.executable, "-m", "pip", "--python", python, *arguments], directory)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return python


def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    installed = {name for name in names if ".dist-info/" not in name}
    expected = {
        str(file.relative_to(_ROOT))
        for file in (_ROOT / "sact_tf").rglob("*")
        if file.is_file() and file.name != "BUILD" and "__pycache__" not in file.parts
    }
    assert installed == expected
    assert {pathlib.Path(name).suffix for name in installed} >= {".py", ".css", ".html", ".js"}
    assert any(name.endswith("/LICENSE") for name in names)


def test_installed_package_imports_outside_the_repository(python, tmp_path):
    seen = json.loads(_run([python, "-c", _PROBE], tmp_path).splitlines()[-1])
    assert pathlib.Path(seen["file"]).is_relative_to(python.parents[1])
    assert seen["version"] == __version__
    assert seen["loaded"] == []
    assert seen["strangers"] == []
    assert seen["backbone"] == "ResNetBackbone"


def test_installed_pages_have_their_style_and_script(python, tmp_path):
    page, report = json.loads(_run([python, "-c", _PAGES], tmp_path).splitlines()[-1])
    for text in ("<title>pets</title>", "#drop {", "async function show("):
        assert text in page
    for text in ("<h1>Run</h1>", "figcaption {"):
        assert text in report


def _pyproject():
    return tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_version_is_a_release_number():
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_what_the_tests_run_with_lies_in_the_declared_ranges():
    project = _pyproject()
    extras = project["optional-dependencies"]
    assert {"train", "detection", "dev"} <= set(extras)
    declared = project["dependencies"] + [item for extra in extras.values() for item in extra]
    for requirement in map(Requirement, declared):
        if requirement.name != project["name"]:
            installed = metadata.version(requirement.name)
            assert requirement.specifier.contains(installed), f"{requirement}: has {installed}"


def test_every_dependency_has_a_lower_bound():
    project = _pyproject()
    extras = [item for extra in project["optional-dependencies"].values() for item in extra]
    for requirement in map(Requirement, project["dependencies"] + extras):
        bounds = [one.operator for one in requirement.specifier]
        assert requirement.name == project["name"] or ">=" in bounds, f"{requirement}: no bound"


def test_requirements_pin_everything_that_is_declared():
    lines = (_ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[^*]+", str(pin.specifier)) for pin in pins)
    pinned = {pin.name.lower().replace("_", "-") for pin in pins}
    assert len(pinned) == len(pins)
    project = _pyproject()
    extras = [item for extra in project["optional-dependencies"].values() for item in extra]
    declared = {Requirement(item).name for item in project["dependencies"] + extras}
    assert declared - {project["name"]} <= pinned
