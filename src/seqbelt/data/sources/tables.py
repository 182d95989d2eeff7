"""Tables as a source: manifests (csv, jsonl, parquet, workbooks) and ``.ts`` files of sequences."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqbelt.data.labels.label_sets import LabelReader, pack_labels, read_flags, read_list
from seqbelt.data.sources.delimited import RawTable, read_head
from seqbelt.data.sources.manifest import Manifest, make_manifest
from seqbelt.data.sources.manifest_checks import find_problems, note_doubts
from seqbelt.data.sources.names import clean_name, clean_names, part_of
from seqbelt.data.sources.raw_tables import (
    JSON_LINES,
    Columns,
    Style,
    as_strings,
    ending_of,
    find_columns,
    find_named,
    listed,
    read_raw_table,
    sheet_has_items,
)
from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.arrays.ts_format import read_ts
from seqbelt.features.arrays.workbook_texts import WORKBOOK_ENDINGS, is_workbook, sheet_names
from seqbelt.features.base import Features

ENDINGS = (".csv", ".tsv", ".txt", *JSON_LINES, ".parquet", *WORKBOOK_ENDINGS)
SERIES_ENDING = ".ts"
"""Of the UEA and UCR archives: many sequences in one file."""


def read_manifest(
    path: Path, columns: Columns, style: Style, more: Mapping[str, str] | None = None
) -> Manifest:
    """Read a manifest; every value is read as text. ``more`` columns of the table (name -> name in
    the manifest) must be there.

    Raises SettingsError, with the line where there is one, for what cannot be read as it is meant.
    """
    notes: list[str] = []
    names = [*(more or {})]
    table = read_raw_table(path, style, columns, notes, names)
    indices = find_columns(path, table.names, columns, notes)
    contents, file_names = _find_contents(path, columns, notes)
    if contents:
        indices.pop("path", None)
    label_place = indices.pop("label", None) if style.several else None
    if "path" not in indices and "text" not in indices and not contents and not names:
        raise SettingsError(
            f"{path}: no column '{columns.path}' or '{columns.text}'; found "
            f"{listed(table.names)}. Name yours in data.path_column or data.text_column"
            f"{_delimiter_hint(table.names, style.delimiter_of(path))}"
        )
    if table.num_rows == 0:
        raise SettingsError(f"{path}: the manifest has no rows")
    problems: dict[int, str] = {}
    values = {
        name: as_strings(table.column(index), name, getattr(columns, name), problems)
        for name, index in indices.items()
    }
    found_more = dict(zip((more or {}).values(), find_named(path, table.names, names, "features")))
    given = {
        name: as_strings(table.column(index), "", table.names[index], problems)
        for name, index in found_more.items()
    }
    if style.several:
        values["label"] = _read_several(path, table, label_place, columns, style, problems)
    for name in ("group",) if style.several else ("label", "group"):
        if name in values and not style.labels_as_written:
            values[name] = clean_names(values[name])
    find_problems(path, table, indices, values, columns, style, problems)
    if "path" in values and "text" not in values and more is None:
        for row in (row for row, name in enumerate(values["path"]) if not name.strip()):
            problems.setdefault(row, f"the row has no path (column '{columns.path}')")
    note_doubts(table, indices, values, {*found_more.values()}, style, notes)
    blank = [""] * table.num_rows
    return make_manifest(
        path=file_names or values.get("path"),
        text=values.get("text"),
        label=values.get("label", blank),
        split=_read_splits(values.get("split", blank), path, table),
        group=values.get("group"),
        id=values.get("id"),
        segments=values.get("segments"),
        root=path.parent,
        contents=contents,
        problems={row: f"{table.place(row)}: {why}" for row, why in problems.items()},
        notes=[note if note.startswith(str(path)) else f"{path}: {note}" for note in notes],
        columns_found=[clean_name(name) for name in table.names],
        more=given,
    )


def _find_contents(
    path: Path, columns: Columns, notes: list[str]
) -> tuple[Sequence[bytes], list[str] | None]:
    """The bytes of the items' files and their names, where a Parquet file holds them."""
    if ending_of(path) != ".parquet":
        return (), None
    from seqbelt.data.sources.parquet_contents import find_contents

    contents_of = find_contents(path, columns.path)
    if contents_of is None:
        return (), None
    column, contents = contents_of
    notes.append(f"column '{column}' holds the files' bytes")
    return contents, contents.names()


def read_columns(
    path: Path,
    style: Style | None = None,
    header_names: Sequence[str] = (),
    lists_as_json: bool = False,
    needed: Collection[str] | None = None,
) -> dict[str, list[str]]:
    """The columns of a table by name, every value as text.

    The header is the first row with one of ``header_names``, or else the first row. Raises
    SettingsError for a file that is no table, for two columns of one name, and for a list or an
    object in a cell unless it is to be written as JSON; columns with such cells that are not
    ``needed`` are left out where these are named.
    """
    table = read_raw_table(path, style or Style(), None, [], header_names=header_names)
    names = [clean_name(name) for name in table.names]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise SettingsError(f"{path}: column '{twice[0]}' appears twice")
    problems: dict[int, str] = {}
    columns = dict[str, list[str]]()
    for index, name in enumerate(names):
        values, found = table.column(index), dict[int, str]()
        if lists_as_json:
            values = [_list_as_json(value) for value in values]
        strings = as_strings(values, name, name, found)
        if name and (not found or needed is None or name in needed):
            columns[name] = strings
            problems |= found
    for row, why in sorted(problems.items()):
        raise SettingsError(f"{path}, {table.place(row)}: {why}")
    return columns


def _list_as_json(value: Any) -> Any:
    is_list = isinstance(value, list | tuple | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if is_list else value


def read_ts_files(path: Path, labels_as_written: bool = False) -> Manifest:
    """A ``.ts`` file's sequences; ``X_TRAIN.ts`` takes ``X_TEST.ts`` beside it as the test part."""
    files = {path: ""}
    test = path.with_name(re.sub(r"_TRAIN(?=\.ts$)", "_TEST", path.name, flags=re.IGNORECASE))
    beside = {file.name.casefold(): file for file in path.parent.glob("*") if file != path}
    if test != path and test.name.casefold() in beside:
        files = {path: "train", beside[test.name.casefold()]: "test"}
    cases = [(file, split, case) for file, split in files.items() for case in read_ts(file)]
    labels = [case.label or "" for _, _, case in cases]
    return make_manifest(
        id=[f"{file.name}:{case.line}" for file, _, case in cases],
        label=labels if labels_as_written else clean_names(labels),
        split=[split for _, split, _ in cases],
        contents=[case.values for _, _, case in cases],
        root=path.parent,
    )


def remedy_for_arrays(path: Path) -> str:
    """What to do with one array of many items, which is no source; empty for other files."""
    if path.suffix.lower() not in (".npy", ".npz"):
        return ""
    return (
        "; an array of many items is for Python (seqbelt.SequenceClassifier, seqbelt.compare), "
        "or write each item to a file of its own, and list them in a manifest"
    )


def is_manifest_file(path: Path) -> bool:
    """Whether the name ends like a manifest's."""
    return ending_of(path) in ENDINGS


def is_manifest(path: Path, features: Features, has_table_settings: bool = False) -> bool:
    """Whether these features take a file for a list of items and not for an item.

    ``has_table_settings`` says that settings on how a manifest is read are given.
    """
    if not path.is_file():
        return False
    if is_series_file(path):
        return True
    if not is_manifest_file(path):
        return False
    if has_table_settings:
        return True
    if features.reads_text and ending_of(path) == ".txt":
        return False  # a text, not a table of texts
    return not features.reads_tables or names_items(path, Columns())


def is_series_file(path: Path) -> bool:
    """Whether the name ends like that of a file with many sequences in it."""
    return ending_of(path) == SERIES_ENDING


def names_items(path: Path, columns: Columns) -> bool:
    """Whether a table has a column that names items, so that it is a manifest and not an item."""
    ending = ending_of(path)
    if ending in JSON_LINES:
        return True
    try:
        if ending == ".parquet":
            import pyarrow.parquet

            from seqbelt.data.sources.parquet_contents import holds_bytes

            schema = pyarrow.parquet.read_schema(path)
            if any(holds_bytes(field.type) for field in schema):
                return True
            header = schema.names
        elif is_workbook(path):
            return any(
                sheet_has_items(path, name, (columns.path, columns.text))
                for name in sheet_names(path)
            )
        else:
            with path.open("rb") as file:
                content = file.read(1 << 20).removeprefix(b"\xef\xbb\xbf")
            default = Style().delimiter_of(path)
            wanted = (columns.path, columns.text)
            header = read_head(content, None, default, True, None, wanted, []).names
    except (BadInput, pa.ArrowException, OSError):
        return False  # reading it as an item gives the reason
    names = {clean_name(name).casefold() for name in header}
    return bool(names & {clean_name(name).casefold() for name in (columns.path, columns.text)})


def _delimiter_hint(names: Sequence[str], delimiter: str) -> str:
    """What to do where the header was not taken apart."""
    if len(names) != 1:
        return ""
    delimiter_found = next(
        (sign for sign in ";\t,|^~" if sign != delimiter and sign in names[0]), None
    )
    shown = {"\t": r'"\t"', "|": '"|"'}.get(delimiter_found or "", f"'{delimiter_found}'")
    return "" if delimiter_found is None else f", or the delimiter in data.delimiter: {shown}"


def _read_several(
    path: Path,
    table: RawTable,
    label_place: int | None,
    columns: Columns,
    style: Style,
    problems: dict[int, str],
) -> list[str]:
    """The packed labels of each row; what cannot be read is a problem of its row."""
    assert style.several is not None
    flags = {
        clean_name(table.names[index]): as_strings(
            table.column(index), "", table.names[index], problems
        )
        for index in find_named(path, table.names, style.several.columns, "data.label_columns")
    }
    reader = LabelReader(columns.label, style.several.separator, style.labels_as_written)
    if flags:

        def read(row: int) -> list[str]:
            return read_flags(flags, row)

    else:
        cells = [] if label_place is None else table.column(label_place)
        are_texts = all(isinstance(v, str) and read_list(v) is None for v in cells)
        if style.several.separator is None and cells and are_texts:
            example = next((value for value in cells if isinstance(value, str) and value), "")
            raise SettingsError(
                f"{path}: data.labels: several: column '{columns.label}' holds texts, such as "
                f"'{example[:80]}'; set data.label_separator to the "
                "separator of the labels, or name columns of 0 and 1 in data.label_columns"
            )

        def read(row: int) -> list[str]:
            return reader.read(cells[row]) if cells else []

    packed = []
    for row in range(table.num_rows):
        names: list[str] = []
        try:
            names = read(row)
        except ValueError as error:
            problems.setdefault(row, str(error))
        packed.append(pack_labels(names))
    return packed


def _read_splits(split: Sequence[str], path: Path, table: RawTable) -> list[str]:
    """train, validation, test or "" for each row. Raises SettingsError for another word."""
    names = clean_names(split)
    parts = {name: part_of(name) for name in set(names)}
    for row, name in enumerate(names):
        if name and parts[name] is None:
            raise SettingsError(
                f"{path}, {table.place(row)}: split '{name}' is not known; expected train, "
                "validation or test, or another column in data.split_column"
            )
    return [parts[name] or "" for name in names]
