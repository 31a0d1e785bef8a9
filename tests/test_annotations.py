"""What the package offers is annotated, so that type checkers see more than `Any`."""

import ast
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_PARTS = ("budget", "checkpoints", "data", "detection", "layers", "models", "ops", "saliency")
_PARTS += ("serving", "training", "visualization")


def _is_public(name):
    return not name.startswith("_") or name in ("__init__", "__call__")


def _missing(tree):
    """Names of what is not annotated in public functions, and methods of public classes."""
    found = []

    def visit(body, prefix, in_class):
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or not _is_public(node.name):
                continue
            name = prefix + node.name
            if isinstance(node, ast.ClassDef):
                visit(node.body, name + ".", True)
                continue
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            given = node.args
            names = [*given.posonlyargs, *given.args]
            names = names[1:] if in_class and "staticmethod" not in decorators else names
            names += [*given.kwonlyargs, given.vararg, given.kwarg]
            found.extend(f"{name}: {arg.arg}" for arg in names if arg and arg.annotation is None)
            if node.returns is None and node.name != "__init__":
                found.append(f"{name}: what it returns")

    visit(tree.body, "", False)
    return found


@pytest.mark.parametrize("part", _PARTS)
def test_public_functions_are_annotated(part):
    missing = [
        f"{file.relative_to(_ROOT)}: {name}"
        for file in sorted((_ROOT / "sact_tf" / part).rglob("*.py"))
        for name in _missing(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert missing == []


def test_a_missing_annotation_is_seen():
    source = """
def f(a: int, b, *, c=1) -> int: ...
def _g(a): ...
class A:
    def __init__(self, x: int, **kwargs): ...
    def m(self): ...
    @staticmethod
    def s(y) -> int: ...
    def ok(self, *args: int) -> None: ...
"""
    assert _missing(ast.parse(source)) == [
        "f: b",
        "f: c",
        "A.__init__: kwargs",
        "A.m: what it returns",
        "A.s: y",
    ]
