"""Run MLflow's server on this project's tracking store."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

from seqbelt.errors import SeqbeltError
from seqbelt.tracking.address import HOME, tracking_uri
from seqbelt.tracking.connection import connect
from seqbelt.tracking.page_view import page_of

SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes, which are not used
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    "MLFLOW_ENABLE_ASSISTANT_SANDBOX": "false",
}
"""Environment of the server; what the user has set stays."""
PATIENCE_S = 5.0
"""Time that the server has to end."""


def serve(host: str, port: int) -> dict[str, Any]:
    """Run MLflow's server until Ctrl-C or SIGTERM, and end all its processes with it; prints the
    addresses of the experiments. Raises SeqbeltError if the port is taken or the server ends."""
    client = connect(make=False)
    _check_free(host, port)
    address = f"http://{host}:{port}"
    print(f"MLflow's page: {address}", file=sys.stderr)
    for experiment in client.search_experiments():
        print(f"  {experiment.name}: {address}{page_of(experiment)}", file=sys.stderr)
    command = [
        sys.executable, "-m", "mlflow", "server",
        "--backend-store-uri", tracking_uri(),
        "--default-artifact-root", str(HOME / "artifacts"),
        "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    # In a group of its own: the server has child processes, which would outlive it.
    server = subprocess.Popen(command, env=SETTINGS | os.environ, start_new_session=True)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        return {"address": address}
    finally:
        _end(server)
    raise SeqbeltError(f"MLflow's server ended with exit code {code}; its messages are above")


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SeqbeltError(
                f"--port {port} of {host} cannot be used ({error.strerror}); another program, "
                "perhaps another project's page, may listen there; choose another --port"
            ) from None


def _end(server: subprocess.Popen) -> None:
    """End the server's processes."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(PATIENCE_S)
