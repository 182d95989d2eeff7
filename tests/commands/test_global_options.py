"""Global options: messages, their level, the version; and exit codes, which commands return."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqbelt import __version__
from seqbelt.cli import main
from seqbelt.cli.running import run
from seqbelt.workflow import console
from seqbelt.workflow.outcome import DONE, FAILED, QUARANTINED, Outcome


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir()
        for number in range(5):
            path = tmp_path / "pets" / name / f"{number}.csv"
            path.write_text("a,b\n" + "".join(f"{i}.5,{number}.25\n" for i in range(4)))
    (tmp_path / "pets.yaml").write_text(
        "name: pets\ndata: {source: pets, test_fraction: 0.2}\nfeatures: {kind: channels}\n"
    )


def test_the_version_is_printed_without_a_command(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"seqbelt {__version__}\n"


def test_quiet_prints_the_result_and_no_messages(capsys):
    assert exit_code("--quiet", "prepare", "pets.yaml", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["num_sequences"] == 10 and err == ""
    assert exit_code("prepare", "pets.yaml", "--json") == 0
    assert "2 classes" in capsys.readouterr().err


def test_errors_are_printed_under_quiet_too(capsys):
    assert exit_code("--quiet", "prepare", "missing.yaml") == 2
    assert "missing.yaml: no such file" in capsys.readouterr().err


def test_quiet_and_verbose_exclude_each_other(capsys):
    assert exit_code("--quiet", "--verbose", "prepare", "pets.yaml") == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(("level", "is_shown"), [(logging.INFO, True), (logging.WARNING, False)])
def test_progress_bars_are_shown_at_info_only(monkeypatch, level, is_shown):
    screen = io.StringIO()
    terminal = console.Console(file=screen, force_terminal=True)
    monkeypatch.setattr(console, "console", terminal)
    with console.log_to_stderr(level), console.bar("training", 3) as progress:
        progress(3)
    assert ("training" in screen.getvalue()) is is_shown


def test_warnings_carry_their_level_and_debugging_needs_verbose(capsys):
    log = logging.getLogger("seqbelt.tracking.outbox")
    with console.log_to_stderr(logging.INFO):
        log.debug("detail")
        log.warning("no server")
    assert capsys.readouterr().err == "warning: no server\n"
    with console.log_to_stderr(logging.DEBUG):
        log.debug("detail")
    assert capsys.readouterr().err == "detail\n"


def test_a_library_call_prints_nothing_and_leaves_logging_alone(capsys):
    logger = logging.getLogger("seqbelt")
    before = logger.handlers[:], logger.level
    console.echo("not printed")
    with console.log_to_stderr():
        pass
    assert (logger.handlers, logger.level) == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", [DONE, FAILED, QUARANTINED])
def test_the_exit_code_is_the_command_s_whatever_its_result_holds(code, capsys):
    result = {"num_quarantined": 7, "interrupted": True, "padding": {"passed": False}}
    with pytest.raises(SystemExit) as stop:
        run(lambda: Outcome(result, code), as_json=True)
    assert stop.value.code == code
    assert json.loads(capsys.readouterr().out) == result


def test_a_quarantined_input_exits_with_3(capsys):
    Path("pets/cat/9.csv").write_text("a,b\n")
    assert exit_code("prepare", "pets.yaml", "--json") == QUARANTINED
    assert json.loads(capsys.readouterr().out)["num_quarantined"] == 1


def test_help_imports_neither_torch_nor_pandas():
    code = (
        "import sys\nfrom seqbelt.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'mlflow', 'sklearn', 'rich.progress'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("given, expected", [(None, "passive"), ("active", "active")])
def test_threads_wait_without_a_busy_loop_unless_the_environment_says_so(given, expected):
    code = (
        "import os\nfrom seqbelt.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit: pass\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60,
        env=environment,
    )  # fmt: skip
    assert done.stdout.split()[-1] == expected
