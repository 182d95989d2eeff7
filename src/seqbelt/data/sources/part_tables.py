"""Tables of one folder that are named like the parts of a set, such as train.csv and test.csv."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from seqbelt.data.sources.manifest import Manifest, concatenate
from seqbelt.data.sources.names import part_among_words, shorten
from seqbelt.data.sources.raw_tables import ending_of
from seqbelt.data.sources.tables import is_manifest_file
from seqbelt.errors import SettingsError


def find_part_tables(
    folder: Path, lists_items: Callable[[Path], bool] = lambda table: True
) -> dict[Path, str]:
    """The tables at the top of a folder that ``lists_items`` and whose names differ in the word for
    a part, with that part; empty where there are none for training and for another part. Numbers in
    the names may differ too, as in shards.

    Raises SettingsError where several sets of tables are named so.
    """
    alike: dict[tuple[str, ...], dict[Path, str]] = {}
    for path in _tables_in(folder):
        named = part_among_words(path.stem)
        if named is not None and lists_items(path):
            part, others = named
            alike.setdefault((ending_of(path), *others), {})[path] = part
    sets = [tables for tables in alike.values() if {"train"} < {*tables.values()}]
    if len(sets) > 1:
        listed = "; ".join(shorten(path.name for path in tables) for tables in sets)
        raise SettingsError(
            f"{folder}: several sets of tables are named like parts ({listed}); move the others "
            "away, or name one table as data.source"
        )
    return sets[0] if sets else {}


def read_part_tables(
    folder: Path, tables: Mapping[Path, str], read: Callable[[Path], Manifest]
) -> Manifest:
    """The rows of such tables. A row without a split is of the part that its table is named for; a
    table without any label, beside others with labels, is left out."""
    manifests = {table: _with_part(table.name, part, read(table)) for table, part in tables.items()}
    labelled = {table: part for table, part in manifests.items() if any(part.column("label"))}
    if not labelled:
        labelled = manifests
    manifest = concatenate(labelled, folder)
    listed = ", ".join(f"{table.name} as {tables[table]}" for table in labelled)
    notes = [f"{folder}: the rows are those of {listed}"]
    if left_out := [table.name for table in tables if table not in labelled]:
        notes.append(f"{folder}: {shorten(left_out)}: no row has a label, so none is read")
    others = [path.name for path in _tables_in(folder) if path not in tables]
    if others:
        notes.append(f"{folder}: not read: {shorten(others)}")
    return replace(manifest, notes=(*notes, *manifest.notes))


def _tables_in(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and is_manifest_file(path) and not path.name.startswith(".")
    ]


def _with_part(name: str, part: str, manifest: Manifest) -> Manifest:
    """The rows of one table with their part, and with ids that other tables do not have."""
    manifest = manifest.with_column("split", [own or part for own in manifest.column("split")])
    if "path" in manifest.table.column_names and not manifest.contents:
        return manifest
    return manifest.with_column("id", [f"{name}:{row_id}" for row_id in manifest.column("id")])
