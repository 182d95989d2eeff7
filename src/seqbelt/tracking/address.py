"""The address of the tracking store: SQLite below ``mlruns/``, or ``MLFLOW_TRACKING_URI``.

MLflow takes seconds to import, and is not imported here.
"""

import contextlib
import os
import zlib
from pathlib import Path

from seqbelt.errors import SeqbeltError

HOME = Path("mlruns")
DATABASE = "mlflow.db"
_project: Path | None = None
"""Folder of the project whose registry is read, if it is not the current folder."""


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI`` if set, else this project's SQLite file; always that of
    ``use_project``."""
    given = os.environ.get("MLFLOW_TRACKING_URI") if _project is None else None
    return given or uri_of(own_database())


def use_project(folder: Path) -> None:
    """Read the registry of the project in ``folder``, whatever the current folder is.

    Raises SeqbeltError if the project has none; nothing is created.
    """
    global _project
    database = folder / HOME / DATABASE
    if not database.is_file():
        raise SeqbeltError(
            f"--project {folder}: no registry, {database} does not exist; name the folder in which "
            "the model was trained"
        )
    _project = folder.resolve()


def store_address() -> str:
    """The name of the tracking store in files of this project, independent of its location."""
    return f"{HOME}/{DATABASE}" if is_own_store() else tracking_uri()


def is_own_store() -> bool:
    """Whether runs are stored in this project's SQLite file."""
    database = database_of(tracking_uri())
    return database is not None and database.resolve() == own_database()


def own_database() -> Path:
    """The project's SQLite file."""
    return ((_project or Path()) / HOME / DATABASE).resolve()


def uri_of(database: Path) -> str:
    """The URI of a SQLite file: absolute, because MLflow keeps one connection per URI.

    Relative if the path contains characters that are special in a URI, since of SQLAlchemy and
    MLflow only one decodes a quoted path. The timeout then makes the URI unique for each folder.
    """
    if any(sign in str(database) for sign in "?%"):
        number = zlib.crc32(os.fsencode(database))
        return f"sqlite:///{os.path.relpath(database)}?timeout=60.{number:010}"
    return f"sqlite:///{database}"


def database_of(uri: str) -> Path | None:
    """The file of a SQLite store, None for any other store."""
    if not uri.startswith("sqlite:"):
        return None
    if uri == uri_of(own_database()):
        return own_database()
    from sqlalchemy.engine import make_url

    with contextlib.suppress(Exception):  # an unreadable URI is not this project's
        return Path(make_url(uri).database or "").absolute()
    return None
