"""Tables of databases as manifests: ``sqlite:///patients.db?table=visits``, by SQLAlchemy.

The rows are copied into a local file of JSON lines, which is read as any manifest; paths in them
are relative to the working directory. Passwords are those of the client's environment.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbelt.data.store.parts import write_atomically
from seqbelt.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine, Table

DIALECTS = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle")
_ADDRESS = re.compile(rf"({'|'.join(DIALECTS)})(\+\w+)?://", re.IGNORECASE)
ROWS_AT_ONCE = 10_000


def is_database(source: str) -> bool:
    """Whether a source is a table of a database."""
    return _ADDRESS.match(source) is not None


def fetch_table(address: str, folder: Path) -> Path:
    """Copy a table into a file below ``folder``; returns the file.

    Rows are in the order of the primary key, or else of all columns (of SQLite, as they were
    written). Raises SettingsError where there is no such table, or it cannot be read.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    url, name = _parse(address)
    try:
        engine = create_engine(url)
    except ImportError as error:
        raise SettingsError(
            f"{_shown(url)}: {error.name} cannot be imported; pip install it, or name another "
            "driver, as in postgresql+psycopg://"
        ) from None
    try:
        table = _find_table(engine, url, name)
        lines = "".join(_lines(engine, table, url))
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SettingsError(f"{_shown(url)}: cannot be read: {reason}") from None
    finally:
        engine.dispose()
    path = table_path(address, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lines.encode("utf-8", "surrogateescape"))
    return path


def table_path(address: str, folder: Path) -> Path:
    """The file that a table is copied into."""
    url, name = _parse(address)
    digest = hashlib.blake2b(_shown(url).encode(), digest_size=4).hexdigest()
    database = re.sub(r"[^\w.-]+", "_", Path(url.database or "").name) or "database"
    return folder / url.get_backend_name() / f"{database}-{digest}" / f"{name}.jsonl"


def _parse(address: str) -> tuple["URL", str]:
    """The database, and the name of the table in it."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise SettingsError(f"{address.partition('://')[0]}://…: is not an address") from None
    if url.password is not None:
        raise SettingsError(
            f"{_shown(url)}: a password in an address would be logged; remove it, and set that of "
            "the client's environment (PGPASSWORD, ~/.pgpass, ~/.my.cnf)"
        )
    name = url.query.get("table")
    url = url.difference_update_query(["table"])
    if not isinstance(name, str) or not re.fullmatch(r"[\w.$ -]+", name):
        raise SettingsError(
            f"{_shown(url)}: name one table: {_shown(url)}?table=NAME; it has {_tables(url)}"
        )
    return url, name


def _shown(url: "URL") -> str:
    return url.render_as_string(hide_password=True)


def _tables(url: "URL") -> str:
    from sqlalchemy import create_engine, inspect

    try:
        _check_file(url)
        engine = create_engine(url)
        try:
            names = inspect(engine).get_table_names()
        finally:
            engine.dispose()
    except Exception as error:  # it is only named to help
        return f"tables that cannot be listed ({type(error).__name__})"
    return ", ".join(names) or "none"


def _check_file(url: "URL") -> None:
    """Raise SettingsError for a SQLite file that is not there, which would be made."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise SettingsError(f"{_shown(url)}: no such file: '{url.database or ''}'")


def _find_table(engine: "Engine", url: "URL", name: str) -> "Table":
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import NoSuchTableError

    _check_file(url)
    schema, _, table = name.rpartition(".")
    try:
        return Table(table, MetaData(), schema=schema or None, autoload_with=engine)
    except NoSuchTableError:
        raise SettingsError(f"{_shown(url)}: no table '{name}'; it has {_tables(url)}") from None


def _lines(engine: "Engine", table: "Table", url: "URL") -> Iterator[str]:
    from sqlalchemy import select

    query = select(table)
    order = [*table.primary_key.columns]
    if not order and url.get_backend_name() != "sqlite":
        order = [*table.columns]
    with engine.connect() as connection:
        rows = connection.execution_options(stream_results=True).execute(query.order_by(*order))
        for part in rows.mappings().partitions(ROWS_AT_ONCE):
            for row in part:
                values = {name: _plain(value, name, url) for name, value in row.items()}
                yield json.dumps(values, ensure_ascii=False, default=str) + "\n"


def _plain(value: Any, name: str, url: "URL") -> Any:
    if isinstance(value, bytes | memoryview):
        raise SettingsError(
            f"{_shown(url)}: column '{name}' holds bytes; write the files to a folder and their "
            "paths into the table, or leave the column out by a view"
        )
    return value
