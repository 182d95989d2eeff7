"""An interrupt is one, also where a library has wrapped it in an error of its own."""

import os
import signal
import subprocess
import sys

import pytest

from seqbelt.cli.running import run
from seqbelt.training.interrupts import stop_signals


def test_an_interrupt_inside_a_library_s_error_ends_in_one_sentence(capsys):
    def work():
        try:
            raise KeyboardInterrupt("SIGHUP")
        except KeyboardInterrupt as interrupt:
            raise ValueError("error calling a function: KeyboardInterrupt") from interrupt

    with pytest.raises(SystemExit) as stopped:
        run(work, False, "run it again")
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "seqbelt: stopped by SIGHUP; run it again\n"


def test_a_training_that_a_signal_ended_names_it(capsys):
    def work():
        with stop_signals() as stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        if stopped.is_set():
            raise KeyboardInterrupt("SIGINT")  # as of a child that this process has interrupted

    with pytest.raises(SystemExit):
        run(work, False, "run it again")
    assert capsys.readouterr().err == "seqbelt: stopped by SIGTERM; run it again\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("program", ["/usr/bin/seqbelt", "-c"])
def test_a_signal_before_a_command_begins_ends_with_a_sentence(name, program):
    script = (
        f"import os, signal, sys; sys.argv[0] = {program!r}\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"  # tests may run where it is ignored
        "import seqbelt.cli\n"
        f"os.kill(os.getpid(), signal.{name})"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if program == "-c":  # imported as a library it leaves signals alone
        assert "no work was under way" not in ended.stderr
    else:
        shown = "Ctrl-C" if name == "SIGINT" else name
        assert ended.stderr == f"seqbelt: stopped by {shown}; no work was under way\n"
        assert ended.returncode == 1
