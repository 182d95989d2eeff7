"""What the tracking server could not be told yet: kept on disk and sent, in order, when it answers.

Training never waits long for a server and never loses a number to one: refused connections,
time-outs, errors of the server and a locked database leave messages in ``mlruns/outbox/RUN``, a
file each. They go out with a later message, at the run's end, or when another run begins.
"""

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from requests import RequestException

from seqbelt.errors import SeqbeltError
from seqbelt.tracking.connection import (
    HOME,
    first_line,
    is_unavailable,
    store_address,
    to_user_error,
    tracking_uri,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
"""Between two tries while a model trains: each may cost a time-out."""
PATIENCE_S = 60.0
"""How long the end of a run, and what needs an answer, waits for a server that went away."""
ADDRESS = "tracking_uri"


class Outbox:
    """Messages of one run: sent at once where the server answers, else kept and sent in order."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self.folder = HOME.resolve() / "outbox" / run_id
        self._lock = FileLock(self.folder.with_name(run_id + ".lock"))
        self._pause_s, self._next_try = FIRST_PAUSE_S, 0.0

    def batch(
        self,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        """Numbers at one step, settings and tags."""
        now = int(time.time() * 1000)
        values = [[key, float(value), now, step] for key, value in (metrics or {}).items()]
        pairs = {"params": dict(params or {}), "tags": dict(tags or {})}
        self._post({"kind": "batch", "metrics": values, **pairs})

    def data_set(self, about: Mapping[str, str]) -> None:
        """The data set that the run reads; ``about`` has the fields of MLflow's ``Dataset``."""
        self._post({"kind": "data_set", "about": dict(about)})

    def artifact(self, path: str, content: bytes) -> None:
        """A file among the run's artifacts."""
        self._post({"kind": "artifact", "path": path}, content)

    def status(self, status: str) -> None:
        """RUNNING, FINISHED, FAILED or KILLED."""
        self._post({"kind": "status", "status": status, "time": int(time.time() * 1000)})

    @property
    def is_empty(self) -> bool:
        """Whether the server knows everything."""
        return not self._waiting()

    def flush(self, patience_s: float = PATIENCE_S) -> bool:
        """Send what waits, trying for ``patience_s``; returns whether nothing is left."""
        deadline = time.monotonic() + patience_s
        while not self._send_waiting() and time.monotonic() < deadline:
            time.sleep(min(2.0, max(0.0, deadline - time.monotonic())))
        if not self.is_empty:
            logger.warning(
                "%s: %d messages wait for the tracking server %s; the next command that begins a "
                "run there sends them", self.folder, len(self._waiting()), tracking_uri(),
            )  # fmt: skip
        return self.is_empty

    def _post(self, message: dict[str, Any], content: bytes | None = None) -> None:
        waiting = self._waiting()
        if not waiting:
            try:
                return self._send(message, content)
            except (MlflowException, RequestException, OSError) as error:
                if not is_unavailable(error):
                    raise self._refused(error) from error
                logger.warning(
                    "the tracking server %s does not answer (%s); the work goes on, and what is to "
                    "be told waits in %s", tracking_uri(), first_line(error), self.folder,
                )  # fmt: skip
                self._wait_longer()
        self._keep(message, content)
        if waiting and time.monotonic() >= self._next_try and not self._send_waiting():
            self._wait_longer()

    def _refused(self, error: Exception) -> SeqbeltError:
        """A refusal in words: nothing that is sent later would be taken."""
        if "'active' state" in str(error):
            return SeqbeltError(
                f"the run {self.run_id} was deleted while it was under way; what was computed is "
                "kept, and going on begins a new run (or restore it on MLflow's page first)"
            )
        return to_user_error(error, f"run {self.run_id}")

    def _wait_longer(self) -> None:
        self._next_try = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _waiting(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _keep(self, message: dict[str, Any], content: bytes | None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ADDRESS).write_text(store_address(), "utf-8")
        waiting = self._waiting()
        number = int(waiting[-1].stem) + 1 if waiting else 0
        path = self.folder / f"{number:08}.json"
        if content is not None:
            path.with_suffix(".bin").write_bytes(content)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(message), "utf-8")
        partial.replace(path)  # a message is there whole or not at all

    def _send_waiting(self) -> bool:
        """Send until the server is away again; returns whether nothing is left."""
        waiting = self._waiting()
        if not waiting:
            return True
        try:
            with self._lock.acquire(blocking=False):
                for path in waiting:
                    content = path.with_suffix(".bin")
                    message = json.loads(path.read_text("utf-8"))
                    self._send(message, content.read_bytes() if content.exists() else None)
                    path.unlink()
                    content.unlink(missing_ok=True)
                shutil.rmtree(self.folder)
        except Timeout:  # another process is at it
            return False
        except (MlflowException, RequestException, OSError) as error:
            if not is_unavailable(error):
                raise self._refused(error) from error
            return False
        self._pause_s = FIRST_PAUSE_S
        return True

    def _send(self, message: dict[str, Any], content: bytes | None) -> None:
        match message["kind"]:
            case "batch":
                params = [Param(*pair) for pair in message["params"].items()]
                self.client.log_batch(
                    self.run_id,
                    metrics=[Metric(*values) for values in message["metrics"]],
                    tags=[RunTag(*pair) for pair in message["tags"].items()],
                )
                for start in range(0, len(params), 100):  # the server takes 100 at a time
                    self.client.log_batch(self.run_id, params=params[start : start + 100])
            case "data_set":
                tag = InputTag("mlflow.data.context", "training")
                self.client.log_inputs(
                    self.run_id, [DatasetInput(Dataset(**message["about"]), [tag])]
                )
            case "artifact":
                folder, _, name = message["path"].rpartition("/")
                with tempfile.TemporaryDirectory() as scratch:
                    file = Path(scratch, name)
                    file.write_bytes(content or b"")
                    self.client.log_artifact(self.run_id, str(file), folder or None)
            case "status":
                if message["status"] == "RUNNING":
                    self.client.update_run(self.run_id, status="RUNNING")
                else:
                    status, ended = message["status"], message["time"]
                    self.client.set_terminated(self.run_id, status, ended)


def flush_pending(client: MlflowClient) -> None:
    """Send what earlier runs could not tell this server."""
    for address in sorted((HOME.resolve() / "outbox").glob(f"*/{ADDRESS}")):
        if address.read_text("utf-8") not in (store_address(), tracking_uri()):
            continue
        try:
            Outbox(client, address.parent.name)._send_waiting()
        except SeqbeltError as error:
            logger.warning(
                "%s: the tracking server refuses what waits there (%s); remove the folder to "
                "forget it", address.parent, first_line(error),
            )  # fmt: skip


def retry_while_unavailable(ask: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """The answer to a question that cannot be put off, asked again while the server is away.

    That it is waited for is said once.
    """
    deadline = time.monotonic() + patience_s
    is_said = False
    while True:
        try:
            return ask()
        except (MlflowException, RequestException, OSError) as error:
            if not is_unavailable(error) or time.monotonic() >= deadline:
                raise
            if not is_said:
                logger.warning(
                    "the tracking server %s does not answer (%s); it is asked again for %.0f s",
                    tracking_uri(), first_line(error), patience_s,
                )  # fmt: skip
                is_said = True
        time.sleep(1.0)
