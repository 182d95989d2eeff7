"""Quotation marks in a csv or tsv file: do they begin values, or are they part of a text?

A mark that nobody closed lets a value run on, over line ends and delimiters, to the next mark; the
rows between are lost without a word. So marks are looked at before a table is believed.
"""

import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from seqbelt.errors import SettingsError

REMEDY = (
    "Where quotation marks are text, set data.quoting: false; where they begin values, correct the "
    "line"
)
MAX_LINES_TRIED = 2000
"""Lines of values that are taken apart, of a table with many long values."""


def check_quotes(
    path: Path, rows: bytes, table: pa.Table | None, delimiter: str, lines_before: int
) -> None:
    """Raise SettingsError, naming a line, where quotation marks swallow rows or close too early.

    ``rows`` is the file in UTF-8 from the first row of values on, ``lines_before`` the lines above
    it; ``table`` has all columns, read with values in quotation marks, None where it could not be.
    """
    if b'"' not in rows:
        return
    mark = re.escape(delimiter.encode())
    # Marks inside a value are doubled: a single one that no delimiter or line end is beside to.
    single = re.compile(b'"(?<=[^\\r\\n"' + mark + b']")(?=[^\\r\\n"' + mark + b"])")
    multiline = None if table is None else _values_of_lines(table)
    if table is None or multiline or single.search(rows):
        _scan(path, rows.decode("utf-8", errors="replace"), delimiter, lines_before)
    if table is None:
        return
    for row, column, value in multiline or ():
        if _holds_rows(value, column, table, delimiter):
            line = lines_before + _line_of(rows.decode("utf-8", "replace"), row, delimiter)
            raise SettingsError(
                f"{path}, line {line}: a quotation mark opens a value that runs over "
                f"{value.count(chr(10)) + 1} lines and holds whole rows: '{_excerpt(value)}'. "
                f"{REMEDY}"
            )


def _scan(path: Path, text: str, delimiter: str, lines_before: int) -> None:
    """Raise for a value in quotation marks after whose closing one the value goes on."""
    started: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        for number, line in enumerate(io.StringIO(text, newline=""), lines_before + 1):
            started.append((number, line))
            yield line

    with _long_values():
        reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        try:
            for _ in reader:
                started.clear()
        except csv.Error:
            first, line = started[0]
            last = started[-1][0]
            over = "" if last == first else f" and runs on to line {last}"
            raise SettingsError(
                f"{path}, line {first}: a quotation mark opens a value{over} without a closing "
                f"one at the value's end: '{_excerpt(line)}'. {REMEDY}"
            ) from None


def _values_of_lines(table: pa.Table) -> list[tuple[int, int, str]]:
    """Row, column and value of values that hold line ends."""
    import pyarrow.compute as pc

    values = []
    for number, column in enumerate(table.columns):
        has = pc.greater(pc.find_substring(column, b"\n"), -1)  # pyright: ignore[reportAttributeAccessIssue]
        for row in pc.indices_nonzero(has).to_pylist():  # pyright: ignore[reportAttributeAccessIssue]
            value = column[row].as_py()
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            if text.strip().count("\n"):
                values.append((row, number, text))
    return values


def _holds_rows(value: str, column: int, table: pa.Table, delimiter: str) -> bool:
    """Whether a line of a value is a row: as many cells, and one of them is a value of its column
    that other rows have too."""
    *lines, _ = value.split("\n")[:MAX_LINES_TRIED]
    width = table.num_columns
    for number, line in enumerate(lines):
        before = 0 if number else column  # the first line lacks the columns before the value's
        cells = line.rstrip("\r").split(delimiter)
        if len(cells) != width - before or len(cells) < 2:
            continue
        for index, cell in enumerate(cells, start=before):
            if cell.strip() and index != column and _is_usual(table, index, cell):
                return True
    return False


def _is_usual(table: pa.Table, column: int, cell: str) -> bool:
    """Whether a column of few values, as one of labels, has this one."""
    import pyarrow.compute as pc

    values = table.column(column)
    few = pc.count_distinct(values).as_py() * 2 <= len(values)  # pyright: ignore[reportAttributeAccessIssue]
    wanted = pa.scalar(cell.encode(), values.type) if pa.types.is_binary(values.type) else cell
    return few and pc.index(values, wanted).as_py() >= 0  # pyright: ignore[reportAttributeAccessIssue]


def _line_of(text: str, row: int, delimiter: str) -> int:
    """The line, from 1, at which a row of values begins; empty lines are none."""
    with _long_values():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        line, num_rows = 1, 0
        for cells in reader:
            if cells and num_rows == row:
                return line
            num_rows += bool(cells)
            line = reader.line_num + 1
    return line


@contextmanager
def _long_values() -> Iterator[None]:
    """Values of any length: one that runs on is longer than the module allows by itself."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _excerpt(text: str) -> str:
    return text[:60].replace("\n", "⏎").replace("\r", "").replace("\t", " ").strip()
