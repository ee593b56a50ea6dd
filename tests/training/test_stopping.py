"""Signals that ask a run to stop."""

from __future__ import annotations

import os
import signal

import pytest

from training.stopping import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_process_lives(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stop = StopRequest()
    with stop.watching():
        assert not stop.wanted
        os.kill(os.getpid(), number)
        assert stop.wanted
        assert stop.signal is number
    assert signal.getsignal(number) is before


def test_schedulers_may_ask_several_times() -> None:
    stop = StopRequest()
    with stop.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal is signal.SIGTERM


def test_a_second_interrupt_ends_the_process() -> None:
    stop = StopRequest()
    with stop.watching(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
