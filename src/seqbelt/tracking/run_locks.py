"""A lock for each run that is under way, by which a later command sees that its process is gone.

A killed process, or a machine without power, closes nothing: its runs say RUNNING for ever. The
system gives a dead process's locks back, whatever its number, host or container; so the next
command that begins a run closes those whose locks are free.
"""

import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import RequestException

from seqbelt.tracking.connection import HOME, is_unavailable, store_address

_held: dict[str, FileLock] = {}


def hold(run_id: str) -> bool:
    """Say that this process is at a run; returns whether no other process is."""
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
        (folder / run_id).write_text(text, "utf-8")
    _held[run_id] = lock
    return True


def release(run_id: str) -> None:
    """Say that the run is closed."""
    lock = _held.pop(run_id, None)
    if lock is not None:
        _forget(_folder() / run_id, lock)


def close_abandoned(client: MlflowClient) -> list[str]:
    """Close, as KILLED, the runs of this store whose process is gone; returns their ids."""
    closed = []
    folder = _folder()
    with FileLock(folder / "all.lock"):
        for about in sorted(folder.iterdir()):
            if about.suffix == ".lock" or about.name in _held:
                continue
            if about.read_text("utf-8").partition("\n")[0] != store_address():
                continue
            lock = FileLock(folder / f"{about.name}.lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue  # its process is at it
            try:
                if client.get_run(about.name).info.status == "RUNNING":
                    client.set_terminated(about.name, "KILLED")
                    closed.append(about.name)
            except (MlflowException, RequestException, OSError) as error:
                if is_unavailable(error):
                    lock.release()
                    continue
            _forget(about, lock)
    return closed


def _forget(about: Path, lock: FileLock) -> None:
    about.unlink(missing_ok=True)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def _folder() -> Path:
    folder = HOME.resolve() / "running"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
