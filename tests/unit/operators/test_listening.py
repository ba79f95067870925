"""A thread that waits hears signals, whatever the work is stuck in."""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
import threading

import pytest

from airflow_etl_provider.operators.listening import run_listening

NAME = contextvars.ContextVar("name", default="nobody")


class TimeIsUpError(BaseException):
    """As Airflow's time-out: no `Exception`."""


@pytest.fixture
def alarm():
    """SIGALRM raises in the main thread."""

    def raise_it(number, frame):
        raise TimeIsUpError

    previous = signal.signal(signal.SIGALRM, raise_it)
    yield
    signal.signal(signal.SIGALRM, previous)


def test_it_gives_what_the_work_gives():
    assert run_listening(lambda: 42, stop=pytest.fail) == 42


def test_it_raises_what_the_work_raises():
    def work():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_listening(work, stop=pytest.fail)


def test_the_work_sees_the_context_of_its_caller():
    NAME.set("somebody")

    assert run_listening(NAME.get, stop=pytest.fail) == "somebody"


def test_a_signal_is_handled_while_the_work_waits(alarm):
    stopped = threading.Event()

    def work():
        os.kill(os.getpid(), signal.SIGALRM)
        assert stopped.wait(30)
        ended.append(True)

    ended: list[bool] = []
    with pytest.raises(TimeIsUpError):
        run_listening(work, stop=stopped.set)

    assert ended == [True]


def test_work_that_does_not_stop_is_not_waited_for_for_ever(alarm):
    release = threading.Event()

    def work():
        os.kill(os.getpid(), signal.SIGALRM)
        release.wait(30)

    with pytest.raises(TimeIsUpError):
        run_listening(work, stop=lambda: None, patience=0)

    release.set()


_RUNS_ONE_AFTER_THE_OTHER = """
import sys
from airflow_etl_provider.operators.listening import run_listening

def load():
    loaded_before = "pyarrow" in sys.modules
    import pyarrow
    pyarrow.array(range(1000)).cast("string")
    return loaded_before

for _ in range(3):
    assert run_listening(load, stop=lambda: None), "the run was first to load pyarrow"
print("three runs")
"""


def test_runs_of_one_process_survive_each_other():
    """pyarrow 25.0.0 crashes the process if a thread that has ended was the first to load it."""
    done = subprocess.run(
        [sys.executable, "-c", _RUNS_ONE_AFTER_THE_OTHER],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.returncode, done.stdout) == (0, "three runs\n"), done.stderr
