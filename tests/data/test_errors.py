"""User errors come out of an input pipeline with their own words."""

import subprocess
import sys

import pytest
import tensorflow as tf

from sact_tf.data.pipeline.python_calls import call_python
from sact_tf.errors import UserError, user_error_in


def _failing(message):
    def fail(number):
        if number == 5:
            raise UserError(message)
        return [number]

    return tf.data.Dataset.range(9).map(
        lambda number: call_python(fail, [number], [tf.TensorSpec([], tf.int64)])[0]
    )


@pytest.mark.parametrize(
    "message",
    [
        '/data/a b/it\'s "here".jpg: not a readable image',
        "C:\\new\\table.png [3] [end of it]: broken",
        "Grüße/図.png: zwei\nZeilen\tund \x01",
        "long " * 400,
    ],
)
def test_message_arrives_unchanged(message):
    received = []
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        for number in _failing(message):
            received.append(int(number))
    assert received == [0, 1, 2, 3, 4]
    assert str(user_error_in(caught.value)) == message


def test_message_is_found_behind_another_error():
    with pytest.raises(RuntimeError) as caught:
        try:
            list(_failing("the file"))
        except tf.errors.InvalidArgumentError as error:
            raise RuntimeError("training stopped") from error
    assert str(user_error_in(caught.value)) == "the file"


def test_other_errors_are_no_user_errors():
    assert user_error_in(None) is None
    assert user_error_in(ValueError("UserError: x")) is None
    error = UserError("x")
    assert user_error_in(error) is error
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.debugging.assert_equal(1, 2, "UserError: x")
    assert user_error_in(caught.value) is None


def test_bugs_keep_their_traceback():
    def broken(number):
        raise ZeroDivisionError(f"number {number}")

    dataset = tf.data.Dataset.range(3).map(
        lambda number: call_python(broken, [number], [tf.TensorSpec([], tf.int64)])[0]
    )
    with pytest.raises(tf.errors.OpError, match="ZeroDivisionError: number 0") as caught:
        list(dataset)
    assert user_error_in(caught.value) is None


_PROCESS = """
import time, tensorflow as tf
from sact_tf.data.pipeline.python_calls import call_python

def slow(number):
    time.sleep(0.02)
    return [number]

signature = [tf.TensorSpec([], tf.int64)]
dataset = tf.data.Dataset.range(2**40).map(
    lambda number: call_python(slow, [number], signature)[0], num_parallel_calls=4
)
iterator = iter(dataset.batch(8).prefetch(4))  # Global: it lives until the interpreter ends.
next(iterator)
print("done", flush=True)
"""


def test_process_ends_while_a_pipeline_reads_ahead():
    process = subprocess.run(
        [sys.executable, "-c", _PROCESS], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0 and process.stdout == "done\n"
    assert "Traceback" not in process.stderr
