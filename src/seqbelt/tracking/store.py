"""Where runs are kept: SQLite and a folder below ``mlruns/``, or any server by environment."""

import logging
import os
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient

from seqbelt.errors import SeqbeltError
from seqbelt.tracking import view

HOME = Path("mlruns")


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI`` if set, else this project's own SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_store()


def _own_store() -> str:
    """Absolute, because MLflow keeps one connection a URI: another folder is another store."""
    return f"sqlite:///{(HOME / 'mlflow.db').resolve()}"


def connect() -> MlflowClient:
    """A client of the tracking store, made on first use.

    Raises SeqbeltError where the store cannot be reached.
    """
    uri = tracking_uri()
    # MLflow's own patience, minutes a message, would hold up a training (tracking/outbox.py).
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("alembic", "mlflow.store", "mlflow.utils.requirements_utils"):
        logging.getLogger(name).setLevel(logging.ERROR)  # migrations say a page of nothing
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        if uri.startswith(("http://", "https://")):
            return MlflowClient(uri, uri)
        # Of several processes that open a new database at once, all but one would fail.
        with FileLock(_lock_of(uri)):
            client = MlflowClient(uri, uri)
            client.search_experiments(max_results=1)
            return client
    except Exception as error:
        raise SeqbeltError(
            f"the tracking store {uri} cannot be used ({error}); "
            "set MLFLOW_TRACKING_URI, or unset it to use mlruns/mlflow.db"
        ) from None


def _lock_of(uri: str) -> Path:
    """Beside a SQLite file; for another database in this project's own folder."""
    is_file = uri.startswith("sqlite:///")
    database = Path(uri.removeprefix("sqlite:///")) if is_file else HOME / "database"
    database.parent.mkdir(parents=True, exist_ok=True)
    return database.with_name(database.name + ".lock")


def experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment of that name, made if need be, with its artifacts in ``mlruns/artifacts``."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return found.experiment_id
    # Not by the environment: mlflow writes its own choice there.
    is_own = tracking_uri() == _own_store()
    location = (HOME / "artifacts" / name).resolve().as_uri() if is_own else None
    try:
        return client.create_experiment(
            name, artifact_location=location, tags={view.TAG: view.STATE}
        )
    except mlflow.MlflowException:  # another process was first
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id
