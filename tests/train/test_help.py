"""Every program can be imported beside the others, and its --help lists its own flags."""

import importlib
import pathlib
import sys

import pytest
from absl import flags

from sact_tf import command_line
from tests.training import running

_PROGRAMS = sorted(
    path.stem
    for path in (pathlib.Path(running.ROOT) / "train").glob("*.py")
    if "program.run(" in path.read_text()
)


@pytest.fixture
def program(request):
    """A program's module; the flags that a test has it define are gone afterwards."""
    module = importlib.import_module(f"train.{request.param}")
    before = set(flags.FLAGS)
    yield module
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.mark.parametrize("program", _PROGRAMS, indirect=True)
def test_help_lists_the_flags_of_a_program(program, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program.__file__])
    before = set(flags.FLAGS)
    command_line.define_key_flags(program.define_flags)
    own = set(flags.FLAGS) - before
    text = flags.FLAGS.main_module_help()
    assert own
    for flag in own:
        assert f"--{flag}:" in text or f"--[no]{flag}:" in text


def test_a_process_lists_them_too():
    result = running.run("imagenet", "--help")
    assert result.returncode in (0, 1)
    for flag in ("config", "params_override", "mode", "model_dir"):
        assert f"--{flag}:" in result.stdout
