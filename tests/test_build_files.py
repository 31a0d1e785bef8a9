"""The BUILD files against the tree: what Bazel builds is what there is."""

import ast
import pathlib
import re
import shlex

import pytest

from tests import import_graph
from tests.import_graph import part_of

_ROOT = pathlib.Path(__file__).parents[1]
_PARTS = sorted(file.parent.name for file in _ROOT.glob("sact_tf/*/__init__.py"))


def _rules(package):
    """{name: {attribute: literal value}} of a BUILD file's rules; its grammar is Python's.

    The value of a glob is its patterns.
    """
    rules = {}
    for node in ast.walk(ast.parse((_ROOT / package / "BUILD").read_text())):
        if isinstance(node, ast.Call):
            values = {}
            for keyword in node.keywords:
                globs = isinstance(keyword.value, ast.Call) and keyword.value.func.id == "glob"
                value = keyword.value.args[0] if globs else keyword.value
                try:
                    values[keyword.arg] = ast.literal_eval(value)
                except ValueError:
                    values[keyword.arg] = None
            if "name" in values:
                rules[values["name"]] = values
    return rules


def _programs():
    tree = ast.parse((_ROOT / "train" / "BUILD").read_text())
    lists = [node for node in tree.body if isinstance(node, ast.Assign)]
    (programs,) = [node.value for node in lists if node.targets[0].id == "_PROGRAMS"]
    return ast.literal_eval(programs)


def _targets(parts):
    return {f"//sact_tf/{part}" for part in parts}


@pytest.mark.parametrize("part", _PARTS)
def test_a_part_declares_what_it_imports(part):
    imported = {
        part_of(found.target)
        for module, all_found in import_graph.read_imports(_ROOT).items()
        for found in all_found
        if part_of(module) == part
    }
    expected = _targets(imported & set(_PARTS) - {part})
    if imported & {"command_line", "errors", "files", "paths", "timing", "version"}:
        expected.add("//sact_tf:base")
    assert set(_rules(f"sact_tf/{part}")[part].get("deps", [])) == expected


@pytest.mark.parametrize("part", _PARTS)
def test_a_part_brings_the_files_that_it_reads(part):
    folder = _ROOT / "sact_tf" / part
    files = {file for file in folder.rglob("*.*") if file.suffix not in (".py", ".pyc")}
    patterns = _rules(f"sact_tf/{part}")[part].get("data", [])
    assert {file for pattern in patterns for file in folder.glob(pattern)} == files


def test_the_umbrella_holds_every_part():
    declared = _rules("sact_tf")["sact_tf"]["deps"]
    assert set(declared) - {":base"} == _targets(_PARTS)


def test_every_module_at_the_top_of_the_package_is_in_a_target():
    rules = _rules("sact_tf")
    listed = rules["base"]["srcs"] + rules["sact_tf"]["srcs"]
    assert sorted(listed) == sorted(file.name for file in _ROOT.glob("sact_tf/*.py"))


def test_every_program_is_a_target():
    programs = [
        file.stem
        for file in _ROOT.glob("train/*.py")
        if 'if __name__ == "__main__":' in file.read_text(encoding="utf-8")
    ]
    assert _programs() == sorted(programs)


def test_every_directory_of_tests_is_a_target():
    directories = {file.parent for file in _ROOT.glob("tests/**/test_*.py")}
    assert [path for path in directories if not (path / "BUILD").exists()] == []
    assert [path for path in directories if not (path / "__init__.py").exists()] == []


@pytest.mark.parametrize("directory", sorted({f.parent.name for f in _ROOT.glob("tests/*/*.py")}))
def test_a_directory_of_tests_declares_whose_helpers_it_imports(directory):
    source = "".join(file.read_text("utf-8") for file in _ROOT.glob(f"tests/{directory}/*.py"))
    others = set(re.findall(r"^(?:from|import) tests\.(\w+)\b", source, re.MULTILINE)) - {directory}
    folders = {name for name in others if (_ROOT / "tests" / name).is_dir()}
    declared = _rules(f"tests/{directory}")[directory].get("deps", [])
    # All have //train.
    programs = {f"//{directory}"} if directory in ("benchmarks", "examples") else set()
    assert {f"//tests/{name}:helpers" for name in folders} | programs == set(declared)


def test_make_runs_every_test():
    makefile = (_ROOT / "Makefile").read_text()
    parts = re.search(r"^TEST_PARTS \?= (.*)$", makefile, re.MULTILINE).group(1)
    patterns = [pattern for part in shlex.split(parts) for pattern in part.split()]
    run = [path for pattern in patterns for path in _ROOT.glob(pattern)]
    assert len(run) == len(set(run)), "a test is in two parts"
    files = _ROOT.glob("tests/**/test_*.py")
    assert [path for path in files if not {path, *path.parents} & set(run)] == []
