"""Folders with a ``metadata.csv`` beside the files, as Hugging Face's audiofolder has them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from seqbelt.data.sources.manifest import Manifest, concatenate
from seqbelt.data.sources.names import part_of, shorten
from seqbelt.data.sources.raw_tables import Columns
from seqbelt.data.sources.tables import names_items
from seqbelt.errors import SettingsError
from seqbelt.words import count_of

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_COLUMN = "file_name"
"""Column of such a table with the paths, relative to it."""


def find_metadata(folder: Path) -> dict[str, Path]:
    """The tables of a folder by the part they are of: ``""`` of the folder itself, or those in its
    folders of parts; empty where there is none with a column ``file_name``."""
    if (table := _table_in(folder)) is not None:
        return {"": table}
    parts = {
        subfolder.name: subfolder
        for subfolder in sorted(folder.iterdir())
        if subfolder.is_dir() and part_of(subfolder.name)
    }
    found = {name: _table_in(subfolder) for name, subfolder in parts.items()}
    return {name: table for name, table in found.items() if table is not None}


def _table_in(folder: Path) -> Path | None:
    columns = Columns(path=FILE_COLUMN, text=FILE_COLUMN)
    tables = [folder / name for name in NAMES if (folder / name).is_file()]
    tables = [table for table in tables if names_items(table, columns)]
    if len(tables) > 1:
        raise SettingsError(
            f"{folder}: {' and '.join(table.name for table in tables)} both list the files; remove "
            "one, or name one as data.source"
        )
    return tables[0] if tables else None


def read_metadata(
    folder: Path, tables: Mapping[str, Path], read: Callable[[Path], Manifest]
) -> Manifest:
    """The rows of such tables, with paths relative to ``folder``. A row without a split is of the
    part that its table, or the first folder of its path, is named for."""
    parts = {table: _with_part(name, read(table)) for name, table in tables.items()}
    manifest = concatenate(parts, folder)
    listed = ", ".join(str(table) for table in tables.values())
    notes = [f"{folder}: the files and labels are those of {listed}", *manifest.notes]
    if others := _not_listed(manifest):
        notes.append(
            f"{count_of(len(others), 'file')} of {folder} with such an ending "
            f"{'is' if len(others) == 1 else 'are'} not listed, and not read: {shorten(others)}"
        )
    return replace(manifest, notes=tuple(notes))


def _not_listed(manifest: Manifest) -> list[str]:
    """Files of the folder with the ending of a listed file, that are not listed; hidden ones are
    passed over."""
    if manifest.contents or "path" not in manifest.table.column_names:
        return []
    columns = ["path"] if manifest.joined is None else manifest.joined.path_columns
    listed = {os.path.normpath(path) for name in columns for path in manifest.paths(name) if path}
    endings = {Path(path).suffix.lower() for path in listed}
    files = (file.relative_to(manifest.root) for file in manifest.root.rglob("*"))
    return sorted(
        str(file)
        for file in files
        if file.suffix.lower() in endings
        and file.name not in NAMES
        and str(file) not in listed
        and not any(part.startswith(".") for part in file.parts)
    )


def _with_part(name: str, manifest: Manifest) -> Manifest:
    """The rows of one table with paths relative to the folder above, and their parts."""
    if name and manifest.contents:
        raise SettingsError(f"{manifest.root}: name the table that holds the files as data.source")
    given = zip(manifest.column("split"), manifest.column("path"), strict=True)
    first = [split or part_of(name or _first_folder(path)) or "" for split, path in given]
    manifest = manifest.with_column("split", first)
    if not name:
        return manifest
    columns = ["id", "path"]
    if manifest.joined is not None:
        columns += manifest.joined.path_columns
    for column in dict.fromkeys(columns):
        values = [f"{name}/{value}" if value else "" for value in manifest.column(column)]
        manifest = manifest.with_column(column, values)
    moved = {
        column: {row: f"{name}/{value}" for row, value in values.items()}
        if column in columns
        else values
        for column, values in manifest.overrides.items()
    }
    return replace(manifest, overrides=moved)


def _first_folder(path: str) -> str:
    return path.partition("/")[0] if "/" in path else ""
