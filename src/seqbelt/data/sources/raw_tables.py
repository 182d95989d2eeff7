"""Tables as they are written (csv, jsonl, parquet, workbooks), and their columns by name."""

import difflib
import json
import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.label_sets import SeveralStyle
from seqbelt.data.sources.delimited import RawTable, find_header, read_head, read_values
from seqbelt.data.sources.names import clean_name, shorten
from seqbelt.data.sources.text_encoding import check_encoding, read_table_bytes
from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.arrays.number_cells import EXACT
from seqbelt.features.arrays.workbook_texts import is_workbook, last_filled, read_sheet, sheet_names

JSON_LINES = (".jsonl", ".ndjson")
GAPS = "empty lines between the rows are left out"


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
    """How a table is written."""

    header: Sequence[str] | None = None
    """Names of the columns where the first line is already data."""
    quoting: bool = True
    encoding: str = "utf-8"
    delimiter: str | None = None
    """None takes a comma in .csv and a tab in other files."""
    sheet: str | None = None
    """Of a workbook; None takes the only one that can be meant."""
    labels_as_written: bool = False
    """Keep names apart that differ only in what cannot be seen."""
    several: SeveralStyle | None = None
    """How several labels are written; None where rows have one."""

    def delimiter_of(self, path: Path) -> str:
        return self.delimiter or ("," if ending_of(path) == ".csv" else "\t")


def ending_of(path: Path) -> str:
    """A file's ending as it decides what the file is: in lower case."""
    return path.suffix.lower()


def listed(names: Sequence[str]) -> str:
    return shorten([clean_name(name) or "''" for name in names], 30)


def find_columns(
    path: Path, names: Sequence[str], columns: Columns, notes: list[str]
) -> dict[str, int]:
    """Where the columns are that are read: by their very names, else by the names in another case.

    Raises SettingsError where two could be meant.
    """
    clean = [clean_name(name) for name in names]
    indices: dict[str, int] = {}
    for field, wanted in columns._asdict().items():
        exact = [index for index, name in enumerate(names) if name == wanted]
        exact = exact or [index for index, name in enumerate(clean) if name == clean_name(wanted)]
        folded = [index for index, name in enumerate(clean) if name.casefold() == wanted.casefold()]
        matches = exact or folded
        if len(matches) > 1:
            raise SettingsError(
                f"{path}: column '{clean[matches[0]]}' appears twice (columns "
                f"{matches[0] + 1} and {matches[1] + 1}); rename one, or name another in "
                f"data.{field}_column"
            )
        if matches:
            indices[field] = matches[0]
            if not exact:
                notes.append(f"column '{clean[matches[0]]}' is read as '{wanted}'")
    return indices


def find_named(path: Path, names: Sequence[str], wanted: Sequence[str], setting: str) -> list[int]:
    """Where the columns that a setting names are. Raises SettingsError for one that is missing."""
    clean = [clean_name(name) for name in names]
    for name in wanted:
        if clean.count(clean_name(name)) != 1:
            times = "no column" if clean_name(name) not in clean else "two columns"
            near = difflib.get_close_matches(clean_name(name), clean, n=3) or clean
            raise SettingsError(f"{path}: {setting}: {times} '{name}'; nearest: {listed(near)}")
    return [clean.index(clean_name(name)) for name in wanted]


def read_raw_table(
    path: Path,
    style: Style,
    columns: Columns | None,
    notes: list[str],
    more: Sequence[str] = (),
    header_names: Sequence[str] = (),
) -> RawTable:
    """The columns as they are written: all, or those of ``columns``, of the style and ``more``.
    They stand below a row with the path's or text's column, or else one of ``header_names``. Raises
    SettingsError for a file that is no table."""
    ending = ending_of(path)
    wanted = (columns.path, columns.text) if columns else header_names
    try:
        if ending == ".parquet":
            return _read_parquet(path)
        if is_workbook(path):
            return _read_workbook(path, style, wanted or Columns()[:2], notes)
        check_encoding(path, style.encoding)
        content = read_table_bytes(path, style.encoding, notes)
    except (pa.ArrowException, OSError, BadInput) as error:
        why = error.args[0] if isinstance(error, BadInput) else error
        raise SettingsError(f"{path}: the manifest cannot be read: {why}") from None
    if ending in JSON_LINES:
        return _read_json_lines(path, content)
    default = Style().delimiter_of(path)
    head = read_head(content, style.delimiter, default, style.quoting, style.header, wanted, notes)
    if not head.names:
        raise SettingsError(f"{path}: the manifest cannot be read: the file is empty")
    rest = content[head.offset :].strip()
    if (b"\n\n" in rest or b"\n\r\n" in rest) and not (style.quoting and b'"' in rest):
        notes.append(GAPS)
    if columns is None:
        chosen = [*range(len(head.names))]
    else:
        chosen = [*find_columns(path, head.names, columns, []).values()]
        if style.several:
            chosen += find_named(path, head.names, style.several.columns, "data.label_columns")
        chosen += find_named(path, head.names, more, "features")
        chosen = [*dict.fromkeys(chosen)]
    return read_values(path, content, head, style.quoting, chosen)


def _read_parquet(path: Path) -> RawTable:
    import pyarrow.parquet

    from seqbelt.data.sources.parquet_contents import class_names, holds_bytes

    schema = pyarrow.parquet.read_schema(path)
    names = [field.name for field in schema if not holds_bytes(field.type)]
    table = pyarrow.parquet.read_table(path, columns=names)
    classes = class_names(schema)

    def column(index: int) -> list[object]:
        values = _to_values(table.column(index))
        named = classes.get(names[index])
        return values if named is None else [_class_name(value, named) for value in values]

    num_rows = pyarrow.parquet.read_metadata(path).num_rows
    return RawTable(names, column, num_rows, lambda row: row + 1, where="row")


def _to_values(column: pa.ChunkedArray) -> list[object]:
    """Python values; numbers of few digits as they are written, 0.1 and not 0.10000000149011612."""
    values = column.to_pylist()
    if not pa.types.is_float32(column.type) and not pa.types.is_float16(column.type):
        return values
    number = np.float16 if pa.types.is_float16(column.type) else np.float32
    return [None if value is None else float(str(number(value))) for value in values]


def _class_name(number: object, names: Sequence[str]) -> object:
    """The name of a class number; -1 stands for a missing label."""
    if not isinstance(number, int) or number >= len(names):
        return number
    return None if number < 0 else names[number]


def _read_workbook(path: Path, style: Style, wanted: Sequence[str], notes: list[str]) -> RawTable:
    """A sheet of a workbook: the named one, or the only one that can be a manifest, since it has
    one of the ``wanted`` columns or alone is filled."""
    if style.sheet is None:
        name = _choose_sheet(path, wanted, notes)
    else:
        name = style.sheet
    rows = read_sheet(path, name, notes=notes)
    first = 0
    names: Sequence[str]
    filled = [index for index, row in enumerate(rows) if last_filled(row)]
    if style.header:
        names = style.header
    elif filled:
        first = filled[find_header([rows[index] for index in filled], wanted)]
        names = rows[first][: last_filled(rows[first])]
        if first > filled[0]:
            notes.append(f"sheet '{name}': rows above the header, row {first + 1}, are left out")
        first += 1
    else:
        raise SettingsError(f"{path}: sheet '{name}' is empty")
    kept = [
        (index + 1, row) for index, row in enumerate(rows[first:], start=first) if last_filled(row)
    ]
    gaps = [index for index in range(1, len(kept)) if kept[index][0] > kept[index - 1][0] + 1]
    if gaps:
        notes.append(GAPS)
    for number, row in kept:
        if last_filled(row) > len(names):
            beyond = row[len(names) :][: last_filled(row) - len(names)]
            raise SettingsError(
                f"{path}, sheet '{name}', row {number}: a value {beyond[-1]!r} stands right of the "
                f"last of {len(names)} columns; give its column a name or empty it"
            )

    def column(index: int) -> list[object]:
        return [row[index] if index < len(row) else "" for _, row in kept]

    where = f"sheet '{name}', row"
    return RawTable(names, column, len(kept), lambda row: kept[row][0], lambda: gaps, where)


def _choose_sheet(path: Path, wanted: Sequence[str], notes: list[str]) -> str:
    names = sheet_names(path)
    if len(names) == 1:
        return names[0]
    fitting = [name for name in names if sheet_has_items(path, name, wanted)]
    lacking = "have no such columns"
    if not fitting:
        fitting = [name for name in names if any(map(last_filled, read_sheet(path, name, 50)))]
        lacking = "are empty"
        if len(fitting) > 1:
            raise SettingsError(
                f"{path}: none of its sheets has a column {_either(wanted)}; name one in "
                f"data.sheet: {listed(names)}"
            )
    elif len(fitting) > 1:
        raise SettingsError(
            f"{path}: several of its sheets have a column {_either(wanted)}; name one in "
            f"data.sheet: {listed(fitting)}"
        )
    if not fitting:
        raise SettingsError(f"{path}: all of its sheets are empty: {listed(names)}")
    others = shorten([name for name in names if name != fitting[0]])
    notes.append(f"sheet '{fitting[0]}' is read; the others {lacking}: {others}")
    return fitting[0]


def _either(names: Sequence[str]) -> str:
    """E.g. ``'path' or 'text'``."""
    return " or ".join(f"'{name}'" for name in names[:2]) + (", …" if len(names) > 2 else "")


def sheet_has_items(path: Path, sheet: str, wanted: Sequence[str]) -> bool:
    rows = [row for row in read_sheet(path, sheet, max_rows=50) if last_filled(row)]
    header = rows[find_header(rows, wanted)] if rows else []
    names = {clean_name(name).casefold() for name in header}
    return bool(names & {clean_name(name).casefold() for name in wanted})


def _read_json_lines(path: Path, content: bytes) -> RawTable:
    """Not by Arrow, which would read a text "2020-01-01" as a date and wants one type in a
    column."""
    rows, lines = [], []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(
                line.decode("utf-8", "surrogateescape"), object_pairs_hook=distinct_keys
            )
        except (ValueError, RecursionError) as error:
            raise SettingsError(
                f"{path}, line {number}: the manifest cannot be read: {error}; expected one JSON "
                "object a line"
            ) from None
        if not isinstance(row, dict):
            raise SettingsError(f"{path}, line {number}: expected one JSON object a line")
        rows.append(row)
        lines.append(number)
    names = [*dict.fromkeys(name for row in rows for name in row)]
    return RawTable(
        names,
        lambda index: [row.get(names[index]) for row in rows],
        len(rows),
        lambda row: lines[row],
    )


def distinct_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON. Raises ValueError for a key that is there twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key '{name}' appears twice")
    return values


def as_strings(
    column: Sequence[object], field: str, name: str, problems: dict[int, str]
) -> list[str]:
    """Values as text; what is no single value is a problem of its row, and empty."""
    if {*map(type, column)} <= {str}:
        return cast(list[str], column if isinstance(column, list) else [*column])
    strings = []
    for row, value in enumerate(column):
        if isinstance(value, str):
            strings.append(value)
        elif isinstance(value, (list, dict, tuple)):
            what = "an object" if isinstance(value, dict) else "a list"
            shown = json.dumps(value, ensure_ascii=False, default=str)[:80]
            expected = "one value a row"
            if field == "label":
                expected = "one label a row (data.labels: several reads lists)"
            problems[row] = f"column '{name}' holds {what}, {shown}; expected {expected}"
            strings.append("")
        else:
            strings.append(as_text(value))
    return strings


def as_text(value: object) -> str:
    """A value as a person would write it into a csv file; empty where it is missing.

    Whole numbers have no decimals, however they are stored: 1.0 is ``1``.
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        # Broken bytes survive as lone surrogates; the text reader refuses them by row.
        return value.decode("utf-8", errors="surrogateescape")
    if isinstance(value, (float, Decimal)) and not isinstance(value, bool):
        if not math.isfinite(value):  # JSON's 1e400 too
            return ""
        if value == int(value) and (isinstance(value, Decimal) or abs(value) < EXACT):
            return str(int(value))
    return str(value)
