"""Tables as a source: manifests in csv, tsv, jsonl and parquet, and ``.ts`` files of sequences."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from seqbelt.data.manifest import SPLIT_NAMES, Manifest, make_manifest
from seqbelt.errors import SettingsError
from seqbelt.features.ts_format import read_ts

ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")


class Columns(NamedTuple):
    """Names of a manifest's columns."""

    path: str = "path"
    text: str = "text"
    label: str = "label"
    split: str = "split"
    group: str = "group"
    id: str = "id"
    segments: str = "segments"


def read_manifest(
    path: Path, columns: Columns, header: Sequence[str] | None, quoting: bool
) -> Manifest:
    """Read a .csv, .tsv, .jsonl or .parquet manifest; every value is read as text.

    ``header`` names the columns of a csv or tsv file whose first line is already data.
    """
    table = _read_table(path, header, quoting)
    if columns.path not in table and columns.text not in table:
        raise SettingsError(
            f"{path}: no column '{columns.path}' or '{columns.text}'; found "
            f"{', '.join(table)}. Name yours in data.path_column or data.text_column"
        )
    values = {name: _as_strings(table[name]) for name in columns if name in table}
    num_rows = len(next(iter(values.values())))
    if num_rows == 0:
        raise SettingsError(f"{path}: the manifest has no rows")
    return make_manifest(
        path=values.get(columns.path),
        text=values.get(columns.text),
        label=values.get(columns.label) or [""] * num_rows,
        split=[_split_name(name, path) for name in values.get(columns.split) or [""] * num_rows],
        group=values.get(columns.group),
        id=values.get(columns.id),
        segments=values.get(columns.segments),
        root=path.parent,
    )


def read_columns(path: Path) -> dict[str, list[str]]:
    """The columns of a .csv, .tsv, .jsonl or .parquet file by name, every value as text.

    Raises SettingsError for a file that is no table.
    """
    table = _read_table(path, header=None, quoting=True)
    return {name: _as_strings(column) for name, column in table.items()}


def read_ts_files(path: Path) -> Manifest:
    """A ``.ts`` file's sequences; ``X_TRAIN.ts`` takes ``X_TEST.ts`` beside it as the test part."""
    files = {path: ""}
    test = path.with_name(path.name.replace("_TRAIN.ts", "_TEST.ts"))
    if test != path and test.is_file():
        files = {path: "train", test: "test"}
    found = [(file, split, one) for file, split in files.items() for one in read_ts(file)]
    return make_manifest(
        id=[f"{file.name}:{one.line}" for file, _, one in found],
        label=[one.label or "" for _, _, one in found],
        split=[split for _, split, _ in found],
        arrays=[one.values for _, _, one in found],
        root=path.parent,
    )


def _read_table(path: Path, header: Sequence[str] | None, quoting: bool) -> dict[str, list]:
    """The columns by name. Raises SettingsError for a file that is no table."""
    if path.suffix == ".jsonl":
        return _read_json_lines(path)
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(path)
        else:
            table = _read_delimited(path, header, quoting)
    except (pa.ArrowException, OSError) as error:
        raise SettingsError(f"{path}: the manifest cannot be read: {error}") from None
    if twice := sorted({n for n in table.column_names if table.column_names.count(n) > 1}):
        raise SettingsError(f"{path}: column '{twice[0]}' is there twice")
    return {name: table[name].to_pylist() for name in table.column_names}


def _read_delimited(path: Path, header: Sequence[str] | None, quoting: bool) -> pa.Table:
    import pyarrow.csv

    parse = pyarrow.csv.ParseOptions(
        delimiter="," if path.suffix == ".csv" else "\t",
        quote_char='"' if quoting else False,
        newlines_in_values=quoting,
    )
    read = pyarrow.csv.ReadOptions(
        column_names=list(header) if header else None,
        block_size=min(path.stat().st_size + 1, 1 << 30),  # a row must fit in a block
    )
    names = header or _first_line(path, parse.delimiter, quoting)
    # Binary, because one line of broken UTF-8 must cost one row, not the file.
    convert = pyarrow.csv.ConvertOptions(column_types={name: pa.binary() for name in names})
    return pyarrow.csv.read_csv(path, read, parse, convert)


def _read_json_lines(path: Path) -> dict[str, list]:
    """The columns of a .jsonl file. Not by Arrow, which would read a text "2020-01-01" as a date
    and wants one type in a column."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: the manifest cannot be read: {error}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise SettingsError(f"{path}: expected one JSON object a line")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _first_line(path: Path, delimiter: str, quoting: bool) -> list[str]:
    style = csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter, quoting=style), [])


def _as_strings(column: Sequence[object]) -> list[str]:
    return ["" if value is None else _as_string(value) for value in column]


def _as_string(value: object) -> str:
    if isinstance(value, bytes):
        # Broken bytes survive as lone surrogates; the text reader refuses them by row.
        return value.decode("utf-8", errors="surrogateescape")
    return str(value)


def _split_name(name: str, path: Path) -> str:
    if name and name.lower() not in SPLIT_NAMES:
        raise SettingsError(
            f"{path}: split '{name}' is not known; expected train, validation or test"
        )
    return SPLIT_NAMES.get(name.lower(), "")


def is_manifest_file(path: Path) -> bool:
    """Whether the name ends like a manifest's."""
    return path.suffix in ENDINGS


def names_items(path: Path, columns: Columns) -> bool:
    """Whether a table has a column that names items, so that it is a manifest and not an item."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        found = pyarrow.parquet.read_schema(path).names
    elif path.suffix == ".jsonl":
        return True
    else:
        found = _first_line(path, "," if path.suffix == ".csv" else "\t", quoting=True)
    return columns.path in found or columns.text in found
