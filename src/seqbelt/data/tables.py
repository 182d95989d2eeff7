"""Tables as a source: manifests in csv, tsv, jsonl and parquet, and ``.ts`` files of sequences."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from seqbelt.data.manifest import SPLIT_NAMES, Manifest, make_manifest
from seqbelt.data.quotes import check_quotes
from seqbelt.data.text_encoding import check_encoding
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


class Style(NamedTuple):
    """How a csv or tsv file is written."""

    header: Sequence[str] | None = None
    """Names of the columns where the first line is already data."""
    quoting: bool = True
    encoding: str = "utf-8"
    delimiter: str | None = None
    """None takes a comma in .csv and a tab in other files."""

    def delimiter_of(self, path: Path) -> str:
        return self.delimiter or ("," if path.suffix == ".csv" else "\t")


def read_manifest(path: Path, columns: Columns, style: Style) -> Manifest:
    """Read a .csv, .tsv, .jsonl or .parquet manifest; every value is read as text."""
    table = _read_table(path, style)
    if columns.path not in table and columns.text not in table:
        raise SettingsError(
            f"{path}: no column '{columns.path}' or '{columns.text}'; found "
            f"{', '.join(table)}. Name yours in data.path_column or data.text_column"
            f"{_delimiter_hint(list(table), style.delimiter_of(path))}"
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
    table = _read_table(path, Style())
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


def _delimiter_hint(names: Sequence[str], delimiter: str) -> str:
    """What to do where the header was not taken apart."""
    if len(names) != 1:
        return ""
    found = next((one for one in ";\t,|" if one != delimiter and one in names[0]), None)
    return "" if found is None else f", or the delimiter in data.delimiter: {found!r}"


def _read_table(path: Path, style: Style) -> dict[str, list]:
    """The columns by name. Raises SettingsError for a file that is no table."""
    if path.suffix != ".parquet":
        check_encoding(path, style.encoding)
    if path.suffix == ".jsonl":
        return _read_json_lines(path, style.encoding)
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(path)
        else:
            table = _read_delimited(path, style)
    except (pa.ArrowException, OSError) as error:
        raise SettingsError(f"{path}: the manifest cannot be read: {error}") from None
    if twice := sorted({n for n in table.column_names if table.column_names.count(n) > 1}):
        raise SettingsError(f"{path}: column '{twice[0]}' is there twice")
    return {name: table[name].to_pylist() for name in table.column_names}


def _read_delimited(path: Path, style: Style) -> pa.Table:
    import pyarrow.csv

    parse = pyarrow.csv.ParseOptions(
        delimiter=style.delimiter_of(path),
        quote_char='"' if style.quoting else False,
        newlines_in_values=style.quoting,
    )
    read = pyarrow.csv.ReadOptions(
        column_names=list(style.header) if style.header else None,
        encoding="utf8" if style.encoding == "utf-8" else style.encoding,
        block_size=min(path.stat().st_size + 1, 1 << 30),  # a row must fit in a block
    )
    names = style.header or _first_line(path, style)
    # Binary, because one line of broken UTF-8 must cost one row, not the file.
    convert = pyarrow.csv.ConvertOptions(column_types={name: pa.binary() for name in names})
    try:
        table = pyarrow.csv.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid:
        if style.quoting:
            check_quotes(path, None, style.delimiter_of(path), style.encoding)
        raise
    if style.quoting:
        check_quotes(path, table, style.delimiter_of(path), style.encoding)
    return table


def _read_json_lines(path: Path, encoding: str) -> dict[str, list]:
    """The columns of a .jsonl file. Not by Arrow, which would read a text "2020-01-01" as a date
    and wants one type in a column."""
    try:
        with path.open(encoding=_python_name(encoding), errors="surrogateescape") as file:
            rows = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: the manifest cannot be read: {error}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise SettingsError(f"{path}: expected one JSON object a line")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _first_line(path: Path, style: Style) -> list[str]:
    quoting = csv.QUOTE_MINIMAL if style.quoting else csv.QUOTE_NONE
    with path.open(encoding=_python_name(style.encoding), errors="replace", newline="") as file:
        return next(csv.reader(file, delimiter=style.delimiter_of(path), quoting=quoting), [])


def _python_name(encoding: str) -> str:
    """Excel begins UTF-8 with a mark, which is no part of the first column's name."""
    return "utf-8-sig" if encoding == "utf-8" else encoding


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
        found = _first_line(path, Style())
    return columns.path in found or columns.text in found
