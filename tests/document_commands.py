"""The commands that README, docs, programs and configs name."""

import dataclasses
import re
import shlex
from collections.abc import Iterable, Iterator

from tests.harness import ROOT

# What a fenced block can be; `console` has commands after "$ ", and what they print.
LANGUAGES = {"bash", "console", "json", "python", "sh", "text", "yaml"}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_OTHER_SOURCES = [
    path
    for folder in ("train", "benchmarks", "examples", "sact_tf/serving", "configs")
    for pattern in ("*.py", "*.yaml")
    for path in sorted((ROOT / folder).rglob(pattern))
]


@dataclasses.dataclass(frozen=True)
class Fence:
    """A fenced block: its language, the document's line of its first line, and its lines."""

    document: str
    language: str
    line: int
    text: str


@dataclasses.dataclass(frozen=True)
class Command:
    """A program and its arguments, as a shell would hand them over."""

    source: str  # docs/photos.md:12
    words: tuple[str, ...]

    @property
    def module(self) -> str | None:
        """`train.predict` of `python -m train.predict ...`."""
        return self.words[2] if self.words[:2] == ("python", "-m") else None

    def __str__(self) -> str:
        return shlex.join(self.words)


def fences() -> Iterator[Fence]:
    """All fenced blocks of the documents."""
    for path in DOCUMENTS:
        name, opened = str(path.relative_to(ROOT)), None
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if not line.strip().startswith("```"):
                continue
            if opened is None:
                opened = number, line
                continue
            first, start = opened
            lines = path.read_text("utf-8").splitlines()[first : number - 1]
            indent = len(start) - len(start.lstrip())
            text = "\n".join(each[indent:] for each in lines)
            yield Fence(name, start.strip().removeprefix("```"), first + 1, text)
            opened = None
        assert opened is None, f"{name}:{opened[0]}: the block is never closed"


def commands_of(fence: Fence) -> list[Command]:
    """The commands of a block; of a script those that start Python."""
    if fence.language == "sh":
        lines = _joined(fence.text.splitlines())
    elif fence.language == "console":
        lines = [line[2:] for line in _joined(fence.text.splitlines()) if line.startswith("$ ")]
    elif fence.language == "bash":
        lines = _python_lines(fence.text)
    else:
        return []
    source = f"{fence.document}:{fence.line}"
    return [command for line in lines for command in _split(line, source)]


def commands_elsewhere() -> list[Command]:
    """Commands inside paragraphs, in the programs' descriptions and the heads of configs."""
    found = []
    for path in DOCUMENTS:
        name = str(path.relative_to(ROOT))
        prose = re.sub(r"^ *```.*?^ *```$", "", path.read_text("utf-8"), flags=re.M | re.S)
        for code in re.findall(r"`((?:python -m [\w.]+|make) [^`]+)`", prose):
            if "..." not in code:
                found += _split(" ".join(code.split()), name)
    for path in _OTHER_SOURCES:
        for line in _python_lines(path.read_text("utf-8")):
            found += _split(line, str(path.relative_to(ROOT)))
    return found


def _python_lines(text: str) -> list[str]:
    """`python -m ...` where it begins a line of a comment, a docstring or a script."""
    lines = _joined(line.lstrip("# ") for line in text.splitlines())
    # A quote that is not closed is the end of what a script hands to another shell.
    start = re.compile(r"(?:exec )?(python -m [\w.]+(?: (?:[^'\n]|'[^'\n]*')*)?)")
    return [match[1] for match in map(start.match, lines) if match]


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Lines, those that end in a backslash with what follows them."""
    begun = ""
    for line in lines:
        if line.endswith("\\"):
            begun += line[:-1].rstrip() + " "
        else:
            yield begun + (line.lstrip() if begun else line)
            begun = ""


def _split(line: str, source: str) -> Iterator[Command]:
    """The commands of one line; a program that starts others counts as itself and as them."""
    for part in line.split(" && "):
        words = tuple(shlex.split(part, comments=True))
        if not words:
            continue
        yield Command(source, words)
        if "--" in words:
            inner = words[words.index("--") + 1 :]
            if words[2:3] == ("train.launch_local",):
                yield Command(source, ("python", "-m", "train.imagenet", *inner))
            elif words[:2] == ("bazel", "run"):
                module = words[2].removeprefix("//").replace(":", ".").replace("/", ".")
                yield Command(source, ("python", "-m", module, *inner))
