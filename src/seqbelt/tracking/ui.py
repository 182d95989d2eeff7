"""Run MLflow's server on this project's tracking store."""

import contextlib
import os
import subprocess
import sys
from typing import Any

from seqbelt.tracking.connection import HOME, connect, tracking_uri
from seqbelt.tracking.page_view import page_of


def serve(host: str, port: int) -> dict[str, Any]:
    """Run MLflow's server until Ctrl-C; prints the addresses of the experiments."""
    client = connect(make=False)
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
    # Without the eight processes of MLflow's job queue, which is not used.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(command, env=environment, check=False)
    return {"address": address}
