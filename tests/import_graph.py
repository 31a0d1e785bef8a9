"""The imports of the project's modules, read from their source."""

import ast
import dataclasses


@dataclasses.dataclass(frozen=True)
class Import:
    target: str  # absolute name of the module
    line: int
    at_top: bool


class _Visitor(ast.NodeVisitor):
    def __init__(self, module, is_package, known):
        self.package = module if is_package else module.rpartition(".")[0]
        self.known = known
        self.depth = 0
        self.found = []

    def _add(self, target, node):
        self.found.append(Import(target, node.lineno, self.depth == 0))

    def _visit_function(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _visit_function

    def visit_If(self, node):
        if "TYPE_CHECKING" in ast.unparse(node.test):
            self._visit_function(node)
        else:
            self.generic_visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            self._add(alias.name, node)

    def visit_ImportFrom(self, node):
        source = node.module or ""
        if node.level:
            parents = self.package.split(".")
            parents = parents[: len(parents) - node.level + 1]
            source = ".".join([*parents, source] if source else parents)
        for alias in node.names:
            full = f"{source}.{alias.name}"
            self._add(full if full in self.known else source, node)

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and (node.value.id, node.attr) == ("tf", "keras"):
            self._add("keras", node)
        self.generic_visit(node)


def read_imports(root):
    """{module: its imports} of `sact_tf` and `train` under `root`, those in functions included."""
    files = {}
    for top in ("sact_tf", "train"):
        for file in sorted((root / top).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            files[".".join(parts[:-1] if is_package else parts)] = (file, is_package)
    imports = {}
    for module, (file, is_package) in files.items():
        visitor = _Visitor(module, is_package, files)
        visitor.visit(ast.parse(file.read_text(encoding="utf-8"), str(file)))
        imports[module] = visitor.found
    return imports


def part_of(module):
    """`layers` of `sact_tf.layers.stem`; "" of `sact_tf` itself; None outside the package."""
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] if top == "sact_tf" else None
