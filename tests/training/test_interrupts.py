import os
import signal
import time

import pytest

from seqbelt.training import interrupts
from seqbelt.training.interrupts import (
    SIGNALS,
    defer_stop_signals,
    on_stop_signals,
    stop_signals,
    stop_signals_raised,
)


@pytest.fixture(autouse=True)
def handlers():
    """Whatever was set before is set again after each block."""
    before = [signal.getsignal(name) for name in SIGNALS]
    yield
    assert [signal.getsignal(name) for name in SIGNALS] == before


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_outside_of_a_training_is_raised_by_name(name):
    with pytest.raises(KeyboardInterrupt, match=name.name), stop_signals_raised():
        os.kill(os.getpid(), name)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_training_is_told_and_a_second_signal_goes_further(name):
    with pytest.raises(KeyboardInterrupt), stop_signals_raised(), stop_signals() as stopped:
        os.kill(os.getpid(), name)
        assert stopped.is_set()
        os.kill(os.getpid(), name)


def test_signals_that_come_together_are_one(monkeypatch):
    with stop_signals_raised():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # of the same request
        monkeypatch.setattr(interrupts, "SAME_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_waits_for_the_end_of_what_must_be_whole(monkeypatch):
    done = []
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), stop_signals_raised():
        with defer_stop_signals(), defer_stop_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("transaction")
        done.append("more")
    assert done == ["transaction"]
    monkeypatch.setattr(interrupts, "SAME_S", 0.0)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), stop_signals_raised(), \
            defer_stop_signals():  # fmt: skip
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match="SIGINT"):  # a second one does not wait
            os.kill(os.getpid(), signal.SIGINT)
    with stop_signals_raised(), pytest.raises(KeyboardInterrupt):  # as before
        os.kill(os.getpid(), signal.SIGINT)


def test_what_nohup_lets_pass_does_not_stop_the_work():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopped.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_can_be_noted():
    noted = []
    with on_stop_signals(lambda number, restore: noted.append(number)):
        os.kill(os.getpid(), signal.SIGTERM)
    assert noted == [signal.SIGTERM]


def test_a_signal_that_a_finalizer_receives_still_stops(capsys):
    class Ended:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            for _ in range(1000):  # the handler runs here, where exceptions are ignored
                pass

    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), stop_signals_raised():
        Ended()
        time.sleep(5)
    assert "Traceback" not in capsys.readouterr().err
