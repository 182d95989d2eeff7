"""An interrupt is one, also where a library has wrapped it in an error of its own."""

import pytest

from seqbelt.cli.running import run


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
