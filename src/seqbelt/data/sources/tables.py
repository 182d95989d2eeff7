"""Tables as a source: manifests (csv, jsonl, parquet, workbooks) and ``.ts`` files of sequences."""

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, cast

import pyarrow as pa

from seqbelt.data.labels.label_sets import LabelReader, SeveralStyle, pack_labels, read_flags
from seqbelt.data.sources.delimited import RawTable, find_header, read_head, read_values
from seqbelt.data.sources.manifest import Manifest, make_manifest
from seqbelt.data.sources.names import clean_name, clean_names, part_of, shorten
from seqbelt.data.sources.text_encoding import check_encoding, read_table_bytes
from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.arrays.table_layout import SUMMARY_WORDS
from seqbelt.features.arrays.ts_format import read_ts
from seqbelt.features.arrays.workbook_texts import (
    WORKBOOK_ENDINGS,
    is_workbook,
    last_filled,
    read_sheet,
    sheet_names,
)
from seqbelt.features.base import Features
from seqbelt.features.text.text import ESCAPED

ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", *WORKBOOK_ENDINGS)
SERIES_ENDING = ".ts"
"""Of the UEA and UCR archives: many sequences in one file."""
_JSON_LINES = (".jsonl", ".ndjson")
MANY_CLASSES = 0.5
"""Share of different labels among the rows from which the column may be the wrong one."""
ROWS_TO_JUDGE = 20
MAX_SUM = 80
"""Letters of a column's name or of a word like "total"."""


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


def read_manifest(
    path: Path, columns: Columns, style: Style, more: Mapping[str, str] | None = None
) -> Manifest:
    """Read a manifest; every value is read as text. ``more`` columns of the table (name -> name in
    the manifest) must be there.

    Raises SettingsError, with the line where there is one, for what cannot be read as it is meant.
    """
    notes: list[str] = []
    may_lack_path = more is not None  # one of several inputs may be missing
    more = more or {}
    table = _read_table(path, style, columns, notes, [*more])
    places = _find_columns(path, table.names, columns, notes)
    contents, file_names = _find_contents(path, columns, notes)
    if contents:
        places.pop("path", None)
    label_place = places.pop("label", None) if style.several else None
    if "path" not in places and "text" not in places and not contents and not more:
        raise SettingsError(
            f"{path}: no column '{columns.path}' or '{columns.text}'; found "
            f"{_listed(table.names)}. Name yours in data.path_column or data.text_column"
            f"{_delimiter_hint(table.names, style.delimiter_of(path))}"
        )
    if table.num_rows == 0:
        raise SettingsError(f"{path}: the manifest has no rows")
    problems: dict[int, str] = {}
    values = {
        name: _as_strings(table.column(at), name, getattr(columns, name), problems)
        for name, at in places.items()
    }
    found_more = dict(zip(more.values(), _find_named(path, table.names, [*more], "features")))
    given = {
        name: _as_strings(table.column(at), "", table.names[at], problems)
        for name, at in found_more.items()
    }
    if style.several:
        values["label"] = _read_several(path, table, label_place, columns, style, problems)
    for name in ("group",) if style.several else ("label", "group"):
        if name in values and not style.labels_as_written:
            values[name] = clean_names(values[name])
    _refuse_broken_labels(values.get("label", ()), problems)
    for row in (row for row, path in enumerate(values.get("path", ())) if not path.strip()):
        if "text" not in values and not may_lack_path:
            problems.setdefault(row, f"the row has no path (column '{columns.path}')")
    _leave_out_other_rows(table, places, values, problems)
    if style.header and "label" in values:
        _say_if_header(table, values["label"], notes)
    blank = [""] * table.num_rows
    split = clean_names(values.get("split", blank))
    parts = {name: part_of(name) for name in set(split)}
    _refuse_unknown_splits(split, parts, path, table)
    return make_manifest(
        path=file_names or values.get("path"),
        text=values.get("text"),
        label=values.get("label", blank),
        split=[parts[name] or "" for name in split],
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


def _leave_out_other_rows(
    table: RawTable,
    places: Mapping[str, int],
    values: Mapping[str, list[str]],
    problems: dict[int, str],
) -> None:
    """Make a problem of rows that repeat the header, as in joined files, and of a last row that
    sums the others up."""
    names = {field: clean_name(table.names[at]).casefold() for field, at in places.items()}
    if len(names) < 2:
        return
    first, last = next(iter(names)), table.num_rows - 1
    others: dict[int, str] = {}
    for row, value in enumerate(values[first]):
        if len(value) > MAX_SUM or clean_name(value).casefold() != names[first]:
            continue
        if all(clean_name(values[field][row]).casefold() == name for field, name in names.items()):
            others[row] = "the row repeats the header"
    cells = [values[field][last].strip().casefold().rstrip(":") for field in names]
    sums = [cell for cell in cells if cell in SUMMARY_WORDS]
    if sums and all(cell in (*sums, "", str(last)) for cell in cells):
        others[last] = f"the row '{sums[0]}' sums the others up"
    problems.update(others)
    for row in others if "label" in values else ():
        values["label"][row] = ""


def _say_if_header(table: RawTable, labels: Sequence[str], notes: list[str]) -> None:
    """Say that a first row may be a header where data.header states that there is none."""
    counts = Counter(labels)
    if labels[0] and counts[labels[0]] == 1 and min([*counts.values()][1:], default=1) > 1:
        notes.append(
            f"{table.place(0)} is taken as values since data.header is set; its label "
            f"'{labels[0]}' is nowhere else: if it is a header, remove data.header"
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
    path: Path, style: Style | None = None, header_names: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The columns of a table by name, every value as text.

    The header is the first row with one of ``header_names``, or else the first row. Raises
    SettingsError for a file that is no table, and for two columns of one name.
    """
    table = _read_table(path, style or Style(), None, [], header_names=header_names)
    names = [clean_name(name) for name in table.names]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise SettingsError(f"{path}: column '{twice[0]}' appears twice")
    problems: dict[int, str] = {}
    columns = {
        name: _as_strings(table.column(at), name, name, problems)
        for at, name in enumerate(names)
        if name
    }
    for row, why in sorted(problems.items()):
        raise SettingsError(f"{path}, {table.place(row)}: {why}")
    return columns


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


def is_manifest_file(path: Path) -> bool:
    """Whether the name ends like a manifest's."""
    return ending_of(path) in ENDINGS


def is_manifest(path: Path, features: Features, told_how: bool = False) -> bool:
    """Whether these features take a file for a list of items and not for an item.

    ``told_how`` says that somebody told how it is read as a manifest.
    """
    if not path.is_file():
        return False
    if is_series_file(path):
        return True
    if not is_manifest_file(path):
        return False
    if told_how:
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
    if ending in _JSON_LINES:
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
                _has_items(path, name, (columns.path, columns.text)) for name in sheet_names(path)
            )
        else:
            with path.open("rb") as file:
                content = file.read(1 << 20).removeprefix(b"\xef\xbb\xbf")
            default = Style().delimiter_of(path)
            wanted = (columns.path, columns.text)
            header = read_head(content, None, default, True, None, wanted, []).names
    except (BadInput, pa.ArrowException, OSError):
        return False  # whoever reads it as an item will say why not
    names = {clean_name(name).casefold() for name in header}
    return bool(names & {clean_name(name).casefold() for name in (columns.path, columns.text)})


def check_labels(manifest: Manifest, label_column: str) -> str | None:
    """A question where nearly every row has a label of its own; None for other columns."""
    labels = [label for label in manifest.column("label") if label]
    num_classes = len(set(labels))
    if len(labels) < ROWS_TO_JUDGE or num_classes < MANY_CLASSES * len(labels):
        return None
    others = [name for name in manifest.columns_found if name != label_column]
    others_text = f" The other columns: {_listed(others)}." if others else ""
    return (
        f"{num_classes:,} different labels in {len(labels):,} rows: is '{label_column}' the column "
        f"with the classes (data.label_column)?{others_text}"
    )


def _delimiter_hint(names: Sequence[str], delimiter: str) -> str:
    """What to do where the header was not taken apart."""
    if len(names) != 1:
        return ""
    delimiter_found = next(
        (sign for sign in ";\t,|^~" if sign != delimiter and sign in names[0]), None
    )
    shown = {"\t": r'"\t"', "|": '"|"'}.get(delimiter_found or "", f"'{delimiter_found}'")
    return "" if delimiter_found is None else f", or the delimiter in data.delimiter: {shown}"


def _listed(names: Sequence[str]) -> str:
    return shorten([clean_name(name) or "''" for name in names], 30)


def _find_columns(
    path: Path, names: Sequence[str], columns: Columns, notes: list[str]
) -> dict[str, int]:
    """Where the columns are that are read: by their very names, else by the names in another case.

    Raises SettingsError where two could be meant.
    """
    clean = [clean_name(name) for name in names]
    places: dict[str, int] = {}
    for field, wanted in columns._asdict().items():
        exact = [at for at, name in enumerate(names) if name == wanted]
        exact = exact or [at for at, name in enumerate(clean) if name == clean_name(wanted)]
        folded = [at for at, name in enumerate(clean) if name.casefold() == wanted.casefold()]
        matches = exact or folded
        if len(matches) > 1:
            raise SettingsError(
                f"{path}: column '{clean[matches[0]]}' appears twice (columns "
                f"{matches[0] + 1} and {matches[1] + 1}); rename one, or name another in "
                f"data.{field}_column"
            )
        if matches:
            places[field] = matches[0]
            if not exact:
                notes.append(f"column '{clean[matches[0]]}' is read as '{wanted}'")
    return places


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
        clean_name(table.names[at]): _as_strings(table.column(at), "", table.names[at], problems)
        for at in _find_named(path, table.names, style.several.columns, "data.label_columns")
    }
    reader = LabelReader(columns.label, style.several.separator, style.labels_as_written)
    if flags:

        def read(row: int) -> list[str]:
            return read_flags(flags, row)

    else:
        cells = [] if label_place is None else table.column(label_place)
        if style.several.separator is None and cells and all(isinstance(v, str) for v in cells):
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


def _find_named(path: Path, names: Sequence[str], wanted: Sequence[str], setting: str) -> list[int]:
    """Where the columns that a setting names are. Raises SettingsError for one that is missing."""
    clean = [clean_name(name) for name in names]
    for name in wanted:
        if clean.count(clean_name(name)) != 1:
            times = "no column" if clean_name(name) not in clean else "two columns"
            near = difflib.get_close_matches(clean_name(name), clean, n=3) or clean
            raise SettingsError(f"{path}: {setting}: {times} '{name}'; nearest: {_listed(near)}")
    return [clean.index(clean_name(name)) for name in wanted]


def _read_table(
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
    if ending in _JSON_LINES:
        return _read_json_lines(path, content)
    default = Style().delimiter_of(path)
    head = read_head(content, style.delimiter, default, style.quoting, style.header, wanted, notes)
    if not head.names:
        raise SettingsError(f"{path}: the manifest cannot be read: the file is empty")
    if columns is None:
        chosen = [*range(len(head.names))]
    else:
        chosen = [*_find_columns(path, head.names, columns, []).values()]
        if style.several:
            chosen += _find_named(path, head.names, style.several.columns, "data.label_columns")
        chosen += _find_named(path, head.names, more, "features")
        chosen = [*dict.fromkeys(chosen)]
    return read_values(path, content, head, style.quoting, chosen)


def _read_parquet(path: Path) -> RawTable:
    import pyarrow.parquet

    from seqbelt.data.sources.parquet_contents import class_names, holds_bytes

    schema = pyarrow.parquet.read_schema(path)
    names = [field.name for field in schema if not holds_bytes(field.type)]
    table = pyarrow.parquet.read_table(path, columns=names)
    classes = class_names(schema)

    def place(row: int) -> str:
        return f"row {row + 1}"

    def column(at: int) -> list[object]:
        values = table.column(at).to_pylist()
        named = classes.get(names[at])
        return values if named is None else [_class_name(value, named) for value in values]

    num_rows = pyarrow.parquet.read_metadata(path).num_rows
    return RawTable(names, column, num_rows, place)


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
    rows = read_sheet(path, name)
    first = 0
    names: Sequence[str]
    filled = [at for at, row in enumerate(rows) if last_filled(row)]
    if style.header:
        names = style.header
    elif filled:
        first = filled[find_header([rows[at] for at in filled], wanted)]
        names = rows[first][: last_filled(rows[first])]
        if first > filled[0]:
            notes.append(f"sheet '{name}': rows above the header, row {first + 1}, are left out")
        first += 1
    else:
        raise SettingsError(f"{path}: sheet '{name}' is empty")
    kept = [(at + 1, row) for at, row in enumerate(rows[first:], start=first) if last_filled(row)]
    for number, row in kept:
        if last_filled(row) > len(names):
            beyond = row[len(names) :][: last_filled(row) - len(names)]
            raise SettingsError(
                f"{path}, sheet '{name}', row {number}: a value {beyond[-1]!r} stands right of the "
                f"last of {len(names)} columns; give its column a name or empty it"
            )

    def column(at: int) -> list[object]:
        return [row[at] if at < len(row) else "" for _, row in kept]

    return RawTable(names, column, len(kept), lambda row: f"sheet '{name}', row {kept[row][0]}")


def _choose_sheet(path: Path, wanted: Sequence[str], notes: list[str]) -> str:
    names = sheet_names(path)
    if len(names) == 1:
        return names[0]
    fitting = [name for name in names if _has_items(path, name, wanted)]
    lacking = "have no such columns"
    if not fitting:
        fitting = [name for name in names if any(map(last_filled, read_sheet(path, name, 50)))]
        lacking = "are empty"
        if len(fitting) > 1:
            raise SettingsError(
                f"{path}: none of its sheets has a column {_either(wanted)}; name one in "
                f"data.sheet: {_listed(names)}"
            )
    elif len(fitting) > 1:
        raise SettingsError(
            f"{path}: several of its sheets have a column {_either(wanted)}; name one in "
            f"data.sheet: {_listed(fitting)}"
        )
    if not fitting:
        raise SettingsError(f"{path}: all of its sheets are empty: {_listed(names)}")
    others = shorten([name for name in names if name != fitting[0]])
    notes.append(f"sheet '{fitting[0]}' is read; the others {lacking}: {others}")
    return fitting[0]


def _either(names: Sequence[str]) -> str:
    """E.g. ``'path' or 'text'``."""
    return " or ".join(f"'{name}'" for name in names[:2]) + (", …" if len(names) > 2 else "")


def _has_items(path: Path, sheet: str, wanted: Sequence[str]) -> bool:
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
                line.decode("utf-8", "surrogateescape"), object_pairs_hook=_distinct_keys
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
        lambda at: [row.get(names[at]) for row in rows],
        len(rows),
        lambda row: f"line {lines[row]}",
    )


def _distinct_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key '{name}' appears twice")
    return values


def _as_strings(
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
        if math.isnan(value):
            return ""
        if math.isfinite(value) and value == int(value) and abs(value) < 1e16:
            return str(int(value))
    return str(value)


def _refuse_broken_labels(labels: Sequence[str], problems: dict[int, str]) -> None:
    broken = {label: match for label in set(labels) if (match := ESCAPED.search(label))}
    for row, label in enumerate(labels if broken else ()):
        if label in broken:
            byte = ord(broken[label][0]) - 0xDC00
            problems.setdefault(row, f"the label is not UTF-8: byte 0x{byte:02x}")


def _refuse_unknown_splits(
    split: Sequence[str], parts: Mapping[str, str | None], path: Path, table: RawTable
) -> None:
    unknown = {name for name, part in parts.items() if name and part is None}
    for row, name in enumerate(split if unknown else ()):
        if name in unknown:
            raise SettingsError(
                f"{path}, {table.place(row)}: split '{name}' is not known; expected train, "
                "validation or test, or another column in data.split_column"
            )
