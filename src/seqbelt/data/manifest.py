"""The manifest: which items there are, apart from their content."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqbelt.errors import SettingsError
from seqbelt.features.base import Source
from seqbelt.features.ts_format import read_ts

SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {name: name for name in SPLITS} | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
SOURCES_AT_ONCE = 1024
_READERS = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Columns:
    """Names of a manifest's columns."""

    path: str = "path"
    text: str = "text"
    label: str = "label"
    split: str = "split"
    group: str = "group"
    id: str = "id"

    def __iter__(self) -> Iterator[str]:
        return iter((self.path, self.text, self.label, self.split, self.group, self.id))


@dataclass(frozen=True)
class Manifest:
    """One row an item: columns ``id``, ``path`` or ``text``, ``label``, ``split``, ``group``.

    Missing values are empty strings. ``arrays`` holds the items' content where the source was one
    file of ready sequences; otherwise content is read when it is needed.
    """

    table: pa.Table
    root: Path = Path()
    arrays: Sequence[np.ndarray] = field(default=())
    odd: Mapping[int, str] = field(default_factory=dict)
    """Paths and texts that are not valid UTF-8, by row; the table spells their bytes out."""

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> np.ndarray:
        """A column as an array of Python strings."""
        return np.asarray(self.table[name].to_pylist(), dtype=object)

    def source(self, row: int) -> Source:
        """Where the content of one item comes from."""
        return next(self.sources([row]))

    def sources(self, rows: Sequence[int] | None = None) -> Iterator[Source]:
        """Where the content of each item comes from, in order; of some rows only if named."""
        rows = range(len(self)) if rows is None else rows
        if self.arrays:
            yield from (self.arrays[row] for row in rows)
            return
        is_text = "text" in self.table.column_names
        column = self.table["text" if is_text else "path"]
        for start in range(0, len(rows), SOURCES_AT_ONCE):  # one by one is slow, all takes memory
            some = rows[start : start + SOURCES_AT_ONCE]
            for row, content in zip(some, column.take(pa.array(some)).to_pylist(), strict=True):
                content = self.odd.get(row, content)
                yield content if is_text else self.root / content

    def with_column(self, name: str, values: Sequence[str]) -> "Manifest":
        """The same manifest with one column replaced."""
        column = pa.array(values, pa.string())
        index = self.table.column_names.index(name)
        return replace(self, table=self.table.set_column(index, name, column))


def make_manifest(
    *,
    label: Sequence[str],
    path: Sequence[str] | None = None,
    text: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    group: Sequence[str] | None = None,
    id: Sequence[str] | None = None,
    root: Path = Path(),
    arrays: Sequence[np.ndarray] = (),
) -> Manifest:
    """Build a manifest from columns; ``id`` defaults to the path, or to the row's number."""
    count = len(label)
    blank = [""] * count
    columns = {
        "id": id or path or [str(row) for row in range(count)],
        **({"path": path or blank} if text is None else {"text": text}),
        "label": label,
        "split": split or blank,
        "group": group or blank,
    }
    odd = {row: text for row, text in enumerate(text or path or ()) if spell_out(text) != text}
    table = pa.table({name: [*map(spell_out, column)] for name, column in columns.items()})
    schema = pa.schema([(name, pa.string()) for name in columns])
    return Manifest(table.cast(schema), root, arrays, odd)


def spell_out(text: str) -> str:
    """Text that every file can hold: what is not valid UTF-8 is written as in ``\\udcff``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def list_files(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, relative, in sorted order, found lazily.

    Hidden files are left out; links to folders are not followed, so a loop cannot trap us.
    """
    pending = [""]
    while pending:
        relative = pending.pop()
        try:
            with os.scandir(folder / relative) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:  # all files in it would pass in silence
            raise SettingsError(f"{folder / relative}: cannot be listed ({error})") from None
        below = []
        for entry in entries:
            name = f"{relative}/{entry.name}" if relative else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(name)
            elif entry.is_file(follow_symlinks=False) or _links_to_file(entry):
                yield name  # not a pipe, which would never end
        pending.extend(reversed(below))


def _links_to_file(entry: os.DirEntry[str]) -> bool:
    """A link, also a broken one: it becomes a row with its reason. Not a link to a folder."""
    return entry.is_symlink() and not Path(entry).is_dir()


def read_class_folders(folder: Path) -> Manifest:
    """One sub-folder per class, or ``train/``, ``validation/``, ``test/`` above them."""
    names = sorted(e.name for e in os.scandir(folder) if e.is_dir() and e.name[0] != ".")
    if not names:
        raise SettingsError(
            f"data.source: {folder} has no sub-folders; expected one per class, "
            "or train/, validation/, test/ with one per class in each"
        )
    has_splits = "train" in names and all(name in _SPLIT_NAMES for name in names)
    paths, labels, splits = [], [], []
    for path in list_files(folder):
        parts = Path(path).parts
        split = _SPLIT_NAMES[parts[0]] if has_splits and len(parts) > 1 else ""
        below = parts[1:] if split else parts
        if len(below) < 2:
            continue  # a file beside the class folders (a README, say) is no item
        paths.append(path)
        labels.append(below[0])
        splits.append(split)
    if not paths:
        raise SettingsError(f"data.source: no files in the class folders of {folder}")
    return make_manifest(path=paths, label=labels, split=splits, root=folder)


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
        root=path.parent,
    )


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
    if name and name.lower() not in _SPLIT_NAMES:
        raise SettingsError(
            f"{path}: split '{name}' is not known; expected train, validation or test"
        )
    return _SPLIT_NAMES.get(name.lower(), "")


def is_manifest_file(path: Path) -> bool:
    """Whether the name ends like a manifest's."""
    return path.suffix in _READERS


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
