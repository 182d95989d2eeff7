"""Connection to the tracking store: SQLite below ``mlruns/``, or ``MLFLOW_TRACKING_URI``.

The project's store may be moved, copied and renamed with its project: MLflow's database has
absolute artifact paths, which are repaired when the store is opened.
"""

import contextlib
import logging
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import RequestException

from seqbelt.errors import SeqbeltError, first_line, in_words
from seqbelt.tracking import page_view
from seqbelt.tracking.address import DATABASE, HOME, database_of, is_own_store, tracking_uri, uri_of

logger = logging.getLogger(__name__)
_PATH_COLUMNS = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"), ("model_versions", "source"),
    ("model_versions", "storage_location"),
)  # fmt: skip
"""Columns with absolute artifact paths in MLflow's database."""
_LOCAL_ARTIFACTS = re.compile(r"(?s)(.*)/(?:artifacts/[^/]+|[0-9]+)")
"""Artifact folder of an experiment in the project's store, as set by this package or MLflow."""
_copies: dict[Path, tempfile.TemporaryDirectory[str]] = {}
"""Readable copies of stores that cannot be written, until this process ends."""


def connect(make: bool = True) -> MlflowClient:
    """A client of the tracking store, which is created on first use if ``make``.

    Raises SeqbeltError if the store cannot be used, or is missing and ``make`` is false.
    """
    uri = tracking_uri()
    # MLflow's default retries take minutes per message and would delay training (outbox.py).
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("alembic", "mlflow.store", "mlflow.utils.requirements_utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the caller reports errors
    try:
        if uri.startswith(("http://", "https://")):
            return _client_of(uri)
        database = database_of(uri)
        if not make and database is not None:
            return _open_to_read(database, uri)
        # Of several processes that create the database at once, all but one would fail.
        with _locked(database or HOME / "database"):
            if database is not None:
                _create_database(database)
                if is_own_store():
                    repair_artifact_paths(database)
            client = _client_of(uri)
            client.search_experiments(max_results=1)
            return client
    except SeqbeltError:
        raise
    except Exception as error:
        remedy = "set MLFLOW_TRACKING_URI, or unset it to use mlruns/mlflow.db"
        if "disk is full" in str(error):  # of SQLite
            remedy = "free disk space"
        raise SeqbeltError(
            f"the tracking store {uri} cannot be used ({first_line(error)}); {remedy}"
        ) from None


def _client_of(uri: str) -> MlflowClient:
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(uri, uri)


def _open_to_read(database: Path, uri: str) -> MlflowClient:
    """A read-only client: nothing is created, and a read-only store is copied to repair its
    paths."""
    if not database.is_file():
        raise SeqbeltError(
            f"no registry: {database} does not exist; run this command in the folder of the "
            "project that trained the model, name that folder (predict --project FOLDER), or set "
            "MLFLOW_TRACKING_URI"
        )
    if _is_writable(database):
        with _locked(database):
            if is_own_store():
                repair_artifact_paths(database)
        return _client_of(uri)
    if database not in _copies:
        _copies[database] = tempfile.TemporaryDirectory(prefix="seqbelt-registry-")
        copy = Path(_copies[database].name, DATABASE)
        with (
            contextlib.closing(_open_file(database)) as stored,
            contextlib.closing(sqlite3.connect(copy)) as copied,
        ):
            stored.backup(copied)
        repair_artifact_paths(copy, database.parent)
    return _client_of(uri_of(Path(_copies[database].name, DATABASE)))


def copy_of(database: Path) -> Path | None:
    """The copy that ``connect`` reads in place of a store that cannot be written, if it does."""
    return Path(_copies[database].name, DATABASE) if database in _copies else None


def _is_writable(database: Path) -> bool:
    return os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Lock a database; the system releases the lock when the process ends."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(database.with_name(database.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise SeqbeltError(
            f"{database.parent}: runs cannot be stored here ({error.strerror or error}); make the "
            "folder writable, or set MLFLOW_TRACKING_URI"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _open_file(database: Path) -> sqlite3.Connection:
    """Open an existing SQLite file, read-only if it cannot be written."""
    mode = "rw" if _is_writable(database) else "ro"
    return sqlite3.connect(f"{database.as_uri()}?mode={mode}", uri=True, timeout=60)


def _create_database(database: Path) -> None:
    """Create a database under a temporary name and rename it when it is complete.

    MLflow creates its tables one by one. A killed process leaves an incomplete file without data,
    which is replaced.
    """
    if database.exists() and not _is_incomplete(database):
        return
    partial = database.with_name(f"{database.name}.new")
    for end in ("", "-journal", "-wal", "-shm"):
        partial.with_name(partial.name + end).unlink(missing_ok=True)
    _client_of(uri_of(partial)).search_experiments(max_results=1)
    for end in ("-journal", "-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)
    partial.replace(database)


def _is_incomplete(database: Path) -> bool:
    """Whether a database is incomplete: MLflow creates its first experiment after its tables."""
    try:
        with contextlib.closing(_open_file(database)) as stored:
            names = {row[0] for row in stored.execute("SELECT name FROM sqlite_master")}
            if names and "experiments" not in names and "alembic_version" not in names:
                raise SeqbeltError(
                    f"{database}: is the database of another program; move it, or set "
                    "MLFLOW_TRACKING_URI"
                )
            return "experiments" not in names or not stored.execute(
                "SELECT count(*) FROM experiments"
            ).fetchone()[0]  # fmt: skip
    except sqlite3.Error as error:
        raise SeqbeltError(
            f"{database}: cannot be opened as MLflow's SQLite database ({error}); move it to "
            "start a new one, or set MLFLOW_TRACKING_URI"
        ) from None


def repair_artifact_paths(database: Path, home: Path | None = None) -> int:
    """Correct the artifact paths of a database that was moved or copied with its artifacts.

    ``home`` is the ``mlruns`` folder, by default the database's. Returns the number of changed
    paths, which is logged too. Paths outside the former ``mlruns`` folder are not changed.
    """
    home = home or database.parent
    with contextlib.closing(_open_file(database)) as stored:
        tables = {row[0] for row in stored.execute("SELECT name FROM sqlite_master")}
        if "experiments" not in tables:
            return 0
        rows = stored.execute("SELECT artifact_location FROM experiments").fetchall()
        former = {
            previous
            for (location,) in rows
            if (previous := _previous_home(location)) not in (None, home)
        }
        if not former:
            return 0
        changed = 0
        with stored:  # one transaction
            stored.execute("PRAGMA foreign_keys = OFF")
            for table, column in _PATH_COLUMNS:
                if table not in tables:
                    continue
                for old in former:
                    changed += _replace_start(stored, table, column, old, home)
    for old in sorted(former):
        logger.warning(
            "%s: was moved from %s; %d artifact paths in it were updated, and the former folder "
            "is not used any more", home, old, changed,
        )  # fmt: skip
    return changed


def _previous_home(location: str | None) -> Path | None:
    """The ``mlruns`` folder of an experiment's artifacts, None for other locations."""
    url = urlsplit(location or "")
    if url.scheme not in ("", "file"):
        return None
    # A plain path may contain characters that are special in a URL.
    path = unquote(url.path) if url.scheme else location or ""
    match = _LOCAL_ARTIFACTS.fullmatch(path)
    return Path(match[1]) if match and Path(match[1]).name == HOME.name else None


def _replace_start(
    stored: sqlite3.Connection, table: str, column: str, old: Path, new: Path
) -> int:
    """Replace an old folder at the start of values by the new one, as URI and as path."""
    changed = 0
    for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
        start = f"{before}/"
        changed += stored.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE substr({column}, 1, ?) = ?",
            (f"{after}/", len(start) + 1, len(start), start),
        ).rowcount
    return changed


def experiment_id(client: MlflowClient, name: str) -> str:
    """The id of an experiment, created if necessary, with its artifacts in ``mlruns/artifacts``."""
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id
    location = (HOME / "artifacts" / name).resolve().as_uri() if is_own_store() else None
    try:
        return client.create_experiment(
            name, artifact_location=location, tags={page_view.TAG: page_view.STATE}
        )
    except mlflow.MlflowException:  # another process was first
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise
        return experiment.experiment_id


def is_unavailable(error: BaseException) -> bool:
    """Whether an error means that the server is unreachable or overloaded, not that it refuses.

    A proxy in front of a restarting server may reply with any status and without JSON.
    """
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        by_proxy = (
            type(error) is MlflowException and status == 404 and "Response body" in str(error)
        )
        return status >= 500 or status == 429 or by_proxy
    return isinstance(error, RequestException | ConnectionError | TimeoutError)


def to_user_error(error: Exception, doing: str) -> SeqbeltError:
    """A readable error for one of MLflow or a library below it."""
    uri = tracking_uri()
    if is_unavailable(error):
        return SeqbeltError(
            f"{doing}: the tracking server {uri} cannot be reached ({first_line(error)}); "
            "start it, set MLFLOW_TRACKING_URI, or unset it to use mlruns/mlflow.db"
        )
    why = in_words(error) or f"the tracking store {uri} returned an error ({first_line(error)})"
    return SeqbeltError(f"{doing}: {why}")
