"""``seqbelt ui``: the server and its end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqbelt.errors import SeqbeltError
from seqbelt.tracking import connection, ui


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a tracking store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    connection.connect()
    return tmp_path


def test_a_taken_port_is_an_error_that_names_it(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SeqbeltError, match=f"--port {port} of 127.0.0.1 cannot be used"):
            ui.serve("127.0.0.1", port)


def test_the_server_s_children_end_with_it(project, monkeypatch):
    """A stand-in for the server starts a child, as MLflow's does, and ignores the first signal."""
    code = (
        "import signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open('child', 'w').write(str(child.pid)); time.sleep(60)"
    )
    real = subprocess.Popen
    monkeypatch.setattr(
        ui.subprocess,
        "Popen",
        lambda command, **options: real([sys.executable, "-c", code], **options),
    )
    monkeypatch.setattr(ui, "PATIENCE_S", 0.5)
    file = project / "child"

    def interrupt(server, timeout=None):
        if timeout is None:  # waiting for the end of the page
            while not file.exists() or not file.read_text():
                time.sleep(0.05)
            raise KeyboardInterrupt
        return wait(server, timeout)

    wait = real.wait
    monkeypatch.setattr(real, "wait", interrupt)
    assert ui.serve("127.0.0.1", 0)["address"] == "http://127.0.0.1:0"
    child = int(file.read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        stat = Path(f"/proc/{child}/stat")
        if (
            stat.exists() and stat.read_text().split()[2] == "Z"
        ):  # ended, its parent has not read it
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the server's child outlived it")


def test_a_server_that_ends_is_an_error(project, monkeypatch):
    real = subprocess.Popen
    monkeypatch.setattr(
        ui.subprocess,
        "Popen",
        lambda command, **options: real([sys.executable, "-c", "exit(3)"], **options),
    )
    with pytest.raises(SeqbeltError, match="ended with exit code 3"):
        ui.serve("127.0.0.1", 0)
