"""Runs many of the project's programs in one process, which imports TensorFlow once.

    python -m tests.command_runner jobs.json outcomes.json

A job is `{"module": ..., "arguments": [...], "stops_at": ...}`. The module is run as `python -m`
runs it, up to the function that `stops_at` names ("package.module:function"), or to its flags
("flags"), or, for null, to its end.
"""

import argparse
import contextlib
import glob
import importlib
import json
import os
import pathlib
import runpy
import sys
import tempfile
import time
import traceback
from unittest import mock

from absl import app, flags


def _stop(*args, **kwargs):
    sys.exit(0)


def _only_parse(main, flags_parser):
    flags_parser(sys.argv)


_parse_args = argparse.ArgumentParser.parse_args


def _only_parse_args(parser):
    _parse_args(parser)
    sys.exit(0)


@contextlib.contextmanager
def _stopping(stops_at):
    with contextlib.ExitStack() as patches:
        if stops_at == "flags":
            patches.enter_context(mock.patch.object(app, "run", _only_parse))
            parser = argparse.ArgumentParser
            patches.enter_context(mock.patch.object(parser, "parse_args", _only_parse_args))
        elif stops_at is not None:
            module, name = stops_at.split(":")
            patches.enter_context(mock.patch.object(importlib.import_module(module), name, _stop))
        yield


@contextlib.contextmanager
def _streams_in(file):
    """Sends both streams to a file, also what C++ writes."""
    kept = [os.dup(number) for number in (1, 2)]
    for number in (1, 2):
        os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in zip((1, 2), kept, strict=True):
            os.dup2(original, number)
            os.close(original)


def _with_files(arguments):
    """The files here in place of patterns, as a shell hands them over."""
    for argument in arguments:
        found = [] if argument.startswith("--") else sorted(glob.glob(argument))
        yield from found or [argument]


def _run(job):
    """`{"code": exit code, "output": what both streams got, "seconds": ...}`."""
    start = time.perf_counter()
    defined = set(flags.FLAGS)
    sys.argv = [job["module"], *_with_files(job["arguments"])]
    code = 0
    with tempfile.TemporaryFile() as file:
        with _streams_in(file), _stopping(job["stops_at"]):
            try:
                runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
                code = 1
        file.seek(0)
        output = file.read().decode(errors="replace")
    flags.FLAGS.unparse_flags()
    for name in set(flags.FLAGS) - defined:
        delattr(flags.FLAGS, name)
    return {"code": code, "output": output, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    jobs, outcomes = map(pathlib.Path, sys.argv[1:])
    outcomes.write_text(json.dumps([_run(job) for job in json.loads(jobs.read_text())]))
