"""Exit codes and streams, of real processes; and what all programs have in common."""

import importlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from absl import flags

_ROOT = pathlib.Path(__file__).parents[2]

_PROGRAM = """
import sys, time
from absl import flags
from train import program
from sact_tf.errors import UserError
from sact_tf.training import errors

def define_flags():
    flags.DEFINE_string("job", None, "What to do.", required=True)
    flags.DEFINE_integer("number", 1, "A number.")

def main(argv):
    job = flags.FLAGS.job
    if job == "succeed":
        print("done", flags.FLAGS.number, len(argv))
    elif job == "user_error":
        raise UserError("photo.jpg: not an image,\\n  expected JPEG or PNG")
    elif job == "characters":
        print("3\\u00d73 caf\\u00e9 \\udcff")
    elif job == "path":
        raise UserError("my  photos/a   b.jpg: no such file\\r\\n  anywhere")
    elif job == "failure":
        raise errors.Preempted("SIGTERM,\\n  and saved")
    elif job == "warning":
        import logging
        for name in ("photo.jpg", "photo.jpg", "other.jpg"):
            logging.getLogger("sact_tf.data").warning("%s is dark", name)
        logging.getLogger("sact_tf.data").info("read photo.jpg")
    elif job == "full disk":
        import errno
        raise OSError(errno.ENOSPC, "No space left on device", "metrics.json")
    elif job == "bug":
        raise ValueError("this is a bug")
    elif job in ("sleep", "nap"):
        print("ready", flush=True)
        time.sleep(60)
    elif job == "where":
        import os
        print(os.getcwd())
    else:
        import tensorflow as tf
        from sact_tf.data.pipeline.python_calls import assert_no_error
        def read(path):
            if job == "pipeline":
                with tf.control_dependencies([assert_no_error(path + ": damaged")]):
                    return tf.identity(path)
            with tf.control_dependencies([tf.debugging.Assert(False, ["this is a bug"])]):
                return tf.identity(path)
        list(tf.data.Dataset.from_tensors("photo.jpg").map(read))

program.run(main, define_flags, goes_on="--job=sleep" in sys.argv)
"""


@pytest.fixture
def command(tmp_path):
    # Only the files that matter here: with sact_tf/__init__.py each case would import TensorFlow.
    files = ("command_line.py", "errors.py", "paths.py", "text.py", "training/errors.py")
    files += ("training/loop/preemption.py",)
    for file in (*(f"sact_tf/{name}" for name in files), "train/exit_codes.py", "train/program.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_ROOT / file, tmp_path / file)
    (tmp_path / "job.py").write_text(_PROGRAM)
    return [sys.executable, str(tmp_path / "job.py")]


@pytest.fixture
def whole_command(tmp_path):
    (tmp_path / "job.py").write_text(_PROGRAM)
    return [sys.executable, str(tmp_path / "job.py")]


def _environment(**changes):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, **changes}


def _run(command, *arguments, **environment):
    return subprocess.run(
        [*command, *arguments],
        env=_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_success(command):
    done = _run(command, "--job=succeed", "--number=3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done 3 1\n", "")


def test_user_error_is_one_line_and_code_2(command):
    done = _run(command, "--job=user_error")
    assert done.returncode == 2
    assert done.stderr == "error: photo.jpg: not an image, expected JPEG or PNG\n"
    assert done.stdout == ""


def test_warnings_are_lines_for_people(command):
    done = _run(command, "--job=warning")
    said = "warning: photo.jpg is dark\nwarning: other.jpg is dark\n"
    assert (done.returncode, done.stderr) == (0, said)
    done = _run(command, "--job=warning", "--verbose")
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"W\d{4} .* job.py:\d+\] photo.jpg is dark", lines[0])


@pytest.mark.parametrize(("flags", "level"), [([], "3"), (["--verbose"], "0")])
def test_log_level_of_tensorflow(flags, level):
    """It is read when TensorFlow is imported, before any program of `train` parses its flags."""
    environment = _environment(PYTHONPATH=str(_ROOT))
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    code = "import os, train; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], env=environment, capture_output=True, text=True
    )
    assert done.stdout == f"{level}\n", done.stderr


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", rb"3\xd73 caf\xe9 \udcff"), ("utf-8", "3\u00d73 caf\u00e9 \\udcff".encode())],
)
def test_characters_that_a_terminal_does_not_know_are_escaped(command, encoding, shown):
    done = subprocess.run(
        [*command, "--job=characters"],
        env=_environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, shown + b"\n"), done.stderr


def test_paths_stay_as_they_are(command):
    done = _run(command, "--job=path")
    assert done.stderr == "error: my  photos/a   b.jpg: no such file anywhere\n"


@pytest.mark.parametrize(
    ("job", "code", "line"),
    [
        ("failure", 75, "stopped: SIGTERM, and saved\n"),
        (
            "full disk",
            2,
            "error: the disk refuses to take more: [Errno 28] No space left on device: "
            "'metrics.json'\n",
        ),
    ],
)
def test_failures_have_codes_of_their_own(command, job, code, line):
    done = _run(command, f"--job={job}")
    assert (done.returncode, done.stderr) == (code, line)


def test_user_error_inside_an_input_pipeline(whole_command):
    done = _run(whole_command, "--job=pipeline", PYTHONPATH=str(_ROOT))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: photo.jpg: damaged"
    assert "Traceback" not in done.stderr


def test_bug_keeps_its_traceback(command):
    _assert_traceback(_run(command, "--job=bug"))


def test_bug_inside_an_input_pipeline_keeps_its_traceback(whole_command):
    _assert_traceback(_run(whole_command, "--job=pipeline_bug", PYTHONPATH=str(_ROOT)))


def _assert_traceback(done):
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "this is a bug" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--job=succeed", "--nubmer=3"], "nubmer"),
        (["--job=succeed", "--number=three"], "three"),
        (["--number=3"], "--job"),
        (["--job=succeed", "number=3"], "number=3"),
    ],
)
def test_wrong_flags_are_one_line_and_code_2(command, arguments, named):
    done = _run(command, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("job", "number", "code", "line"),
    [
        ("nap", signal.SIGINT, 130, "interrupted\n"),
        (
            "sleep",
            signal.SIGINT,
            130,
            "stopped: Ctrl-C; the same command goes on from what is saved\n",
        ),
        (
            "sleep",
            signal.SIGTERM,
            75,
            "stopped: SIGTERM; the same command goes on from what is saved\n",
        ),
    ],
)
def test_signals_have_codes_and_no_traceback(command, job, number, code, line):
    with subprocess.Popen(
        [*command, f"--job={job}"],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Tests that run in the background may have to ignore it, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (code, line)


def test_relative_paths_are_the_callers_under_bazel(command, tmp_path):
    done = _run(command, "--job=where", BUILD_WORKING_DIRECTORY=str(tmp_path))
    assert done.stdout == f"{tmp_path}\n"


def test_a_real_program_says_nothing_else():
    environment = _environment(PYTHONPATH=str(_ROOT))
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [sys.executable, "-m", "train.convert_checkpoint", "--chekpoint=a"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Unknown command line flag 'chekpoint'")
    assert done.stderr.count("\n") == 1


_PROGRAMS = [
    path.stem
    for path in sorted((_ROOT / "train").glob("*.py"))
    if 'if __name__ == "__main__":' in path.read_text()
]


@pytest.mark.parametrize("name", _PROGRAMS)
def test_a_program_is_short_and_defines_no_flag_when_imported(name):
    module = importlib.import_module(f"train.{name}")
    assert callable(module.main)
    assert not flags.FLAGS.flags_by_module_dict().get(module.__name__)
    assert len(pathlib.Path(module.__file__).read_text().splitlines()) <= 100
