"""SIGTERM and Ctrl-C, in the process that gets them."""

import os
import signal

import pytest

from sact_tf.training.errors import Interrupted, Preempted
from sact_tf.training.loop.preemption import Preemption

_KINDS = [(signal.SIGTERM, Preempted), (signal.SIGINT, Interrupted)]


@pytest.fixture(autouse=True)
def keyboard():
    """Tests that run in the background may have to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "kind"), _KINDS)
def test_a_signal_raises_what_it_is(number, kind):
    before = signal.getsignal(number)
    with pytest.raises(kind) as raised, Preemption().handled():
        _send(number)
    assert raised.type is kind
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "kind"), _KINDS)
def test_where_it_does_not_suit_a_signal_waits_and_ctrl_c_after_it_does_not(number, kind, capfd):
    preemption = Preemption()
    with pytest.raises(KeyboardInterrupt), preemption.handled(), preemption.deferred():
        _send(number)
        assert preemption.requested and preemption.kind is kind
        assert ("once more stops at once" in capfd.readouterr().err) == (kind is Interrupted)
        _send(signal.SIGINT)


def test_ctrl_c_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        preemption = Preemption()
        with preemption.handled():
            _send(signal.SIGINT)
        assert not preemption.requested
    finally:
        signal.signal(signal.SIGINT, before)
