"""Read a model's address in the project's own registry without MLflow, whose import takes longer
than a small prediction."""

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

from seqbelt.inference.bundle_files import hash_of_bundle
from seqbelt.tracking.address import is_own_store, own_database

HASH_TAG = "bundle.sha256"
"""Version tag with the hash of the registered bundle."""


def resolve_from_file(model: str, copy: Path | None = None) -> tuple[Path, str] | None:
    """The bundle folder and the concrete version of ``models:/name@alias`` or ``models:/name/3``.

    ``copy`` is one of the project's SQLite file, to be read in its place.

    None where MLflow has to be asked: another store than the project's SQLite file, another URI, a
    model that is not there, a project that was moved, or files that are not the registered ones.
    Read-only.
    """
    database = own_database()
    is_own = copy is not None or is_own_store()
    if not (model.startswith("models:/") and is_own and database.is_file()):
        return None
    try:
        uri = f"{(copy or database).as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as stored:
            version = _find_version(stored, model.removeprefix("models:/"))
    except sqlite3.Error:  # tables of another version of MLflow, or a database that is in use
        return None
    if version is None:
        return None
    name, number, location, registered_hash = version
    url = urlsplit(location)
    folder = Path(unquote(url.path))
    if url.scheme != "file" or not folder.is_relative_to(database.parent / "artifacts"):
        return None
    bundle = find_bundle(folder)
    if bundle is None or registered_hash not in (None, hash_of_bundle(bundle)):
        return None
    return bundle, f"models:/{name}/{number}"


def find_bundle(folder: Path) -> Path | None:
    """The bundle in the folder of a logged model, if it holds one."""
    return next((path.parent for path in sorted(folder.rglob("bundle.json"))), None)


def _find_version(
    stored: sqlite3.Connection, name_and_version: str
) -> tuple[str, int, str, str | None] | None:
    """Name, number, artifacts and registered hash of one version, if exactly one is there."""
    name, separator, alias = name_and_version.rpartition("@")
    if separator:
        numbers = stored.execute(
            "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?",
            (name, alias),
        ).fetchall()
    else:
        name, slash, number = name_and_version.rpartition("/")
        numbers = [(int(number),)] if slash and number.isdigit() else []
    if len(numbers) != 1:
        return None
    values = (name, numbers[0][0])
    rows = stored.execute(
        "SELECT storage_location FROM model_versions WHERE name = ? AND version = ? "
        "AND current_stage != 'Deleted_Internal'",
        values,
    ).fetchall()
    hashes = stored.execute(
        "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = ?",
        (*values, HASH_TAG),
    ).fetchall()
    if len(rows) != 1 or rows[0][0] is None or len(hashes) > 1:
        return None
    return name, values[1], rows[0][0], hashes[0][0] if hashes else None
