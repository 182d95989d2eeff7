"""The manifest: which items there are, apart from their content."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqbelt.errors import SettingsError
from seqbelt.features.base import Source

SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {name: name for name in SPLITS} | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
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

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> np.ndarray:
        """A column as an array of Python strings."""
        return np.asarray(self.table[name].to_pylist(), dtype=object)

    def source(self, row: int) -> Source:
        """Where the content of one item comes from."""
        if self.arrays:
            return self.arrays[row]
        if "text" in self.table.column_names:
            return self.table["text"][row].as_py()
        return self.root / self.table["path"][row].as_py()

    def with_column(self, name: str, values: Sequence[str]) -> "Manifest":
        """The same manifest with one column replaced."""
        column = pa.array(values, pa.string())
        index = self.table.column_names.index(name)
        return Manifest(self.table.set_column(index, name, column), self.root, self.arrays)


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
    schema = pa.schema([(name, pa.string()) for name in columns])
    return Manifest(pa.table(columns, schema=schema), root, arrays)


def list_files(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, relative, in sorted order, found lazily.

    Hidden files are left out; links to folders are not followed, so a loop cannot trap us.
    """
    pending = [""]
    while pending:
        relative = pending.pop()
        with os.scandir(folder / relative) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        below = []
        for entry in entries:
            name = os.path.join(relative, entry.name)
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(name)
            elif not entry.is_dir():  # a link to a folder is neither followed nor an item
                yield name
        pending.extend(reversed(below))


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
    found = {name: table[name] for name in columns if name in table.column_names}
    if columns.path not in found and columns.text not in found:
        raise SettingsError(
            f"{path}: no column '{columns.path}' or '{columns.text}'; found "
            f"{', '.join(table.column_names)}. Name yours in data.path_column or data.text_column"
        )
    values = {name: _as_strings(column) for name, column in found.items()}
    num_rows = table.num_rows
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


def _read_table(path: Path, header: Sequence[str] | None, quoting: bool) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path)
        if path.suffix == ".jsonl":
            import pyarrow.json

            return pyarrow.json.read_json(path)
        return _read_delimited(path, header, quoting)
    except (pa.ArrowInvalid, OSError) as error:
        raise SettingsError(f"{path}: the manifest cannot be read: {error}") from None


def _read_delimited(path: Path, header: Sequence[str] | None, quoting: bool) -> pa.Table:
    import pyarrow.csv

    parse = pyarrow.csv.ParseOptions(
        delimiter="," if path.suffix == ".csv" else "\t",
        quote_char='"' if quoting else False,
        newlines_in_values=quoting,
    )
    read = pyarrow.csv.ReadOptions(column_names=list(header) if header else None)
    names = header or _first_line(path, parse.delimiter, quoting)
    # Binary, because one line of broken UTF-8 must cost one row, not the file.
    convert = pyarrow.csv.ConvertOptions(column_types={name: pa.binary() for name in names})
    return pyarrow.csv.read_csv(path, read, parse, convert)


def _first_line(path: Path, delimiter: str, quoting: bool) -> list[str]:
    style = csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter, quoting=style), [])


def _as_strings(column: pa.ChunkedArray) -> list[str]:
    return ["" if value is None else _as_string(value) for value in column.to_pylist()]


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
