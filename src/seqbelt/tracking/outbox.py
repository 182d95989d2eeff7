"""A durable queue of calls to the tracking server, sent in order when it is available.

Training does not block on the server and loses no values: after refused connections, time-outs,
server errors or a locked database, messages are stored in ``mlruns/outbox/RUN``, one file each.
They are sent with a later message, at the run's end, or when another run starts.
"""

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from requests import RequestException

from seqbelt.errors import SeqbeltError, first_line, naming
from seqbelt.tracking.address import HOME, store_address, tracking_uri
from seqbelt.tracking.connection import is_unavailable, to_user_error
from seqbelt.training.interrupts import defer_stop_signals

logger = logging.getLogger(__name__)

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
"""Pauses between attempts during training, each of which may take a time-out."""
PATIENCE_S = 60.0
"""Time to wait for an unavailable server at a run's end and for calls with a result."""
ADDRESS = "tracking_uri"


class Outbox:
    """Messages of one run: sent at once if the server is available, else queued in order."""

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
        """Log metrics at one step, parameters and tags."""
        now = int(time.time() * 1000)
        values = [[key, float(value), now, step] for key, value in (metrics or {}).items()]
        pairs = {"params": dict(params or {}), "tags": dict(tags or {})}
        self._post({"kind": "batch", "metrics": values, **pairs})

    def data_set(self, about: Mapping[str, str]) -> None:
        """Log the data set of the run; ``about`` has the fields of MLflow's ``Dataset``."""
        self._post({"kind": "data_set", "about": dict(about)})

    def artifact(self, path: str, content: bytes) -> None:
        """Log a file to the run's artifacts."""
        self._post({"kind": "artifact", "path": path}, content)

    def status(self, status: str) -> None:
        """Set the status: RUNNING, FINISHED, FAILED or KILLED."""
        self._post({"kind": "status", "status": status, "time": int(time.time() * 1000)})

    @property
    def is_empty(self) -> bool:
        """Whether no message is queued."""
        return not self._queued()

    def flush(self, patience_s: float = PATIENCE_S) -> bool:
        """Send queued messages, retrying for ``patience_s``; returns whether the queue is empty."""
        deadline = time.monotonic() + patience_s
        while not self._send_queued() and time.monotonic() < deadline:
            time.sleep(min(2.0, max(0.0, deadline - time.monotonic())))
        if not self.is_empty:
            logger.warning(
                "%s: %d messages are queued for the tracking server %s; the next command that "
                "starts a run there sends them", self.folder, len(self._queued()), tracking_uri(),
            )  # fmt: skip
        return self.is_empty

    def _post(self, message: dict[str, Any], content: bytes | None = None) -> None:
        queued = self._queued()
        if not queued:
            try:
                return self._send(message, content)
            except (MlflowException, RequestException, OSError) as error:
                if not is_unavailable(error):
                    raise self._rejection(error) from error
                logger.warning(
                    "the tracking server %s is unavailable (%s); work continues, and messages are "
                    "queued in %s", tracking_uri(), first_line(error), self.folder,
                )  # fmt: skip
                self._back_off()
        self._enqueue(message, content)
        if queued and time.monotonic() >= self._next_try and not self._send_queued():
            self._back_off()

    def _rejection(self, error: Exception) -> SeqbeltError:
        """The error for a rejected message; later messages would be rejected too."""
        if "'active' state" in str(error):
            return SeqbeltError(
                f"run {self.run_id} was deleted while it was active; results are kept; restore the "
                "run on MLflow's page, or resume in a new run"
            )
        return to_user_error(error, f"run {self.run_id}")

    def _back_off(self) -> None:
        self._next_try = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _queued(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _enqueue(self, message: dict[str, Any], content: bytes | None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        queued = self._queued()
        number = int(queued[-1].stem) + 1 if queued else 0
        path = self.folder / f"{number:08}.json"
        partial = path.with_suffix(".part")
        with naming(self.folder):
            if not queued:  # rewritten on a full disk it would be lost
                (self.folder / ADDRESS).write_text(store_address(), "utf-8")
            if content is not None:
                path.with_suffix(".bin").write_bytes(content)
            partial.write_text(json.dumps(message), "utf-8")
        partial.replace(path)  # atomic

    def _send_queued(self) -> bool:
        """Send queued messages until the server fails; returns whether the queue is empty."""
        queued = self._queued()
        if not queued:
            return True
        try:
            with self._lock.acquire(blocking=False):
                for path in queued:
                    content = path.with_suffix(".bin")
                    message = json.loads(path.read_text("utf-8"))
                    self._send(message, content.read_bytes() if content.exists() else None)
                    path.unlink()
                    content.unlink(missing_ok=True)
                shutil.rmtree(self.folder)
        except Timeout:  # another process is sending
            return False
        except (MlflowException, RequestException, OSError) as error:
            if not is_unavailable(error):
                raise self._rejection(error) from error
            return False
        self._pause_s = FIRST_PAUSE_S
        return True

    def _send(self, message: dict[str, Any], content: bytes | None) -> None:
        with whole_transaction():
            self._call(message, content)

    def _call(self, message: dict[str, Any], content: bytes | None) -> None:
        match message["kind"]:
            case "batch":
                params = [Param(*pair) for pair in message["params"].items()]
                self.client.log_batch(
                    self.run_id,
                    metrics=[Metric(*values) for values in message["metrics"]],
                    tags=[RunTag(*pair) for pair in message["tags"].items()],
                )
                for start in range(0, len(params), 100):  # the server accepts at most 100
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


def whole_transaction() -> AbstractContextManager[None]:
    """Defer stop signals while a local database is written: an interrupted transaction would keep
    it locked. A server, which may be slow, is left to itself."""
    return defer_stop_signals() if tracking_uri().startswith("sqlite:") else nullcontext()


def flush_pending(client: MlflowClient) -> None:
    """Send messages of earlier runs that are queued for this server."""
    for address in sorted((HOME.resolve() / "outbox").glob(f"*/{ADDRESS}")):
        if address.read_text("utf-8") not in (store_address(), tracking_uri()):
            continue
        try:
            Outbox(client, address.parent.name)._send_queued()
        except SeqbeltError as error:
            logger.warning(
                "%s: the tracking server rejects the queued messages (%s); remove the folder to "
                "discard them", address.parent, first_line(error),
            )  # fmt: skip


def retry_while_unavailable(call: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Call ``call`` and retry while the server is unavailable; returns its result.

    One warning is logged.
    """
    deadline = time.monotonic() + patience_s
    is_logged = False
    while True:
        try:
            with whole_transaction():
                return call()
        except (MlflowException, RequestException, OSError) as error:
            if not is_unavailable(error) or time.monotonic() >= deadline:
                raise
            if not is_logged:
                logger.warning(
                    "the tracking server %s is unavailable (%s); retrying for %.0f s",
                    tracking_uri(), first_line(error), patience_s,
                )  # fmt: skip
                is_logged = True
        time.sleep(1.0)
