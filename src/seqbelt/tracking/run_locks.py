"""A lock for each open run, from which a later command detects that the run's process has ended.

The runs of a killed process, or after a power failure, stay RUNNING. The system releases the locks
of a dead process, so the next command that starts a run closes the runs with free locks.
"""

import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import RequestException

from seqbelt.errors import naming
from seqbelt.tracking.address import HOME, store_address
from seqbelt.tracking.connection import is_unavailable

_held: dict[str, FileLock] = {}


def hold(run_id: str) -> bool:
    """Lock a run for this process; returns false if another process has the lock."""
    if run_id in _held:
        return True
    folder = _folder()
    with FileLock(folder / "all.lock"):
        lock = FileLock(folder / f"{run_id}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        text = f"{store_address()}\nprocess {os.getpid()} on {platform.node()}\n"
        with naming(folder):
            (folder / run_id).write_text(text, "utf-8")
    _held[run_id] = lock
    return True


def release(run_id: str) -> None:
    """Release the lock of a closed run."""
    lock = _held.pop(run_id, None)
    if lock is not None:
        _remove(_folder() / run_id, lock)


def close_abandoned(client: MlflowClient) -> list[str]:
    """Close, as KILLED, runs of this store whose process has ended; returns their ids."""
    closed = []
    folder = _folder()
    with FileLock(folder / "all.lock"):
        for about in sorted(folder.iterdir()):
            if about.suffix == ".lock" or about.name in _held:
                continue
            try:
                address = about.read_text("utf-8").partition("\n")[0]
            except FileNotFoundError:
                continue  # its process has just ended the run
            if address not in ("", store_address()):  # a full disk leaves it empty
                continue
            lock = FileLock(folder / f"{about.name}.lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue  # its process is alive
            try:
                if client.get_run(about.name).info.status == "RUNNING":
                    client.set_terminated(about.name, "KILLED")
                    closed.append(about.name)
            except (MlflowException, RequestException, OSError) as error:
                if is_unavailable(error) or not address:
                    lock.release()
                    continue
            _remove(about, lock)
    return closed


def _remove(about: Path, lock: FileLock) -> None:
    about.unlink(missing_ok=True)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def _folder() -> Path:
    folder = HOME.resolve() / "running"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
