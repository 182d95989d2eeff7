"""Delimited text (csv, tsv) to columns: every value as it is written, no type ever guessed."""

import csv
import io
import re
import sys
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from seqbelt.data.sources.names import clean_name
from seqbelt.data.sources.quotes import check_quotes
from seqbelt.errors import SettingsError

HEAD_ROWS = 20
"""Rows among which the header is looked for."""
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_SEP = re.compile(r'"?sep=(.|\\t)"?[;,\t| ]*', re.IGNORECASE)
SHOWN = 120


class RawTable(NamedTuple):
    """A table before its columns have a meaning."""

    names: Sequence[str]
    """Of the columns, as they are written."""
    column: Callable[[int], Sequence[object]]
    """The values of the column at a place."""
    num_rows: int
    number: Callable[[int], int]
    """Of the line at which a row begins."""
    gaps: Callable[[], Collection[int]] = tuple
    """Rows above which empty lines stand."""
    where: str = "line"

    def place(self, row: int) -> str:
        """Where a row stands, in words: ``line 7``."""
        return f"{self.where} {self.number(row)}"


class Head(NamedTuple):
    """The beginning of a delimited file."""

    names: list[str]
    offset: int
    """Where the first row of values begins, in bytes."""
    line: int
    """The number of the header's last line; 0 without."""
    delimiter: str


def read_head(
    content: bytes,
    delimiter: str | None,
    default: str,
    quoting: bool,
    header: Sequence[str] | None,
    wanted: Sequence[str],
    notes: list[str],
) -> Head:
    """Find the header: the first row that has one of the ``wanted`` names, or else the first.

    A first line ``sep=;`` names the delimiter where none is given. A given ``header`` stands for
    one that is not there; where it is there all the same, a note states it.
    """
    start, skipped = 0, 0
    first = _LINE.match(content)
    assert first is not None  # it matches nothing too
    beginning = first[0] if len(first[0]) < SHOWN else b""
    if named := _SEP.fullmatch(beginning.decode("utf-8", "replace").rstrip("\r\n")):
        delimiter = delimiter or named[1].replace("\\t", "\t")
        start, skipped = first.end(), 1
    delimiter = delimiter or default
    rows = list(_head_rows(content, start, delimiter, quoting))
    filled = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if header:
        first_row, given = _fold(filled[0].cells) if filled else [], _fold(header)
        line = filled[0].line + skipped if filled else 0
        if first_row == given:
            notes.append(f"line {line} repeats data.header and is not read as a row")
            return Head(list(header), filled[0].end, line, delimiter)
        if sorted(first_row) == sorted(given):
            raise SettingsError(
                f"data.header: line {line} is a header with the same names in another order "
                f"({', '.join(first_row)}); remove the setting"
            )
        return Head(list(header), start, skipped, delimiter)
    if not filled:
        return Head([], len(content), skipped, delimiter)
    num_above = find_header([row.cells for row in filled], wanted)
    if num_above:
        last = filled[num_above - 1].line + skipped
        lines = f"lines {skipped + 1} to {last} stand"
        if last == skipped + 1:
            lines = f"line {last} stands"
        notes.append(f"{lines} above the header: left out")
    row = filled[num_above]
    return Head(row.cells, row.end, row.line + skipped, delimiter)


def find_header(rows: Sequence[Sequence[str]], wanted: Sequence[str]) -> int:
    """The first row that has a wanted name among its cells, in any case; 0 where none has."""
    names = {clean_name(name).casefold() for name in wanted}
    for index, row in enumerate(rows[:HEAD_ROWS]):
        if names & _fold_set(row):
            return index
    return 0


def read_values(
    path: Path, content: bytes, head: Head, quoting: bool, columns: Sequence[int]
) -> RawTable:
    """The rows below a header; only ``columns`` can be asked for.

    Raises SettingsError, with the line, for rows that have more or fewer values than the header.
    """
    import pyarrow.csv

    num_columns = len(head.names)

    @cache
    def lines() -> tuple[Sequence[int], Collection[int]]:
        return _find_lines(content, head, quoting)

    def as_table(column: Callable[[int], Sequence[object]], num_rows: int) -> RawTable:
        return RawTable(
            head.names, column, num_rows, lambda row: lines()[0][row], lambda: lines()[1]
        )

    rest = memoryview(content)[head.offset :]
    if not bytes(rest[:4096]).strip() and not bytes(rest).strip():
        return as_table(lambda _: [], 0)
    names = [str(number) for number in range(num_columns)]
    has_quotes = quoting and b'"' in bytes(rest)
    if has_quotes and (rows := _read_spaced(path, bytes(rest), head)) is not None:
        return as_table(lambda index: [row[index] for row in rows], len(rows))
    # Whether a quotation mark swallows rows shows in all columns.
    chosen = names if has_quotes else [names[number] for number in columns] or names[:1]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(pa.py_buffer(rest)),
            pyarrow.csv.ReadOptions(
                column_names=names,
                block_size=min(len(rest) + 1, 1 << 30),  # a row must fit in a block
            ),
            pyarrow.csv.ParseOptions(
                delimiter=head.delimiter,
                quote_char='"' if quoting else False,
                newlines_in_values=quoting,
            ),
            # Binary, because one line of broken UTF-8 must cost one row, not the file.
            pyarrow.csv.ConvertOptions(
                column_types={name: pa.binary() for name in names}, include_columns=chosen
            ),
        )
    except pa.ArrowInvalid as error:
        if has_quotes:
            check_quotes(path, bytes(rest), None, head.delimiter, head.line)
        rows = _read_ragged(path, bytes(rest), head, quoting, error)
        return as_table(lambda index: [row[index] for row in rows], len(rows))
    if has_quotes:
        check_quotes(path, bytes(rest), table, head.delimiter, head.line)
    return as_table(lambda index: _texts(table[str(index)]), table.num_rows)


def _find_lines(content: bytes, head: Head, quoting: bool) -> tuple[Sequence[int], Collection[int]]:
    """The line at which each row begins, and the rows above which empty lines stand; of use where
    something is wrong with a row."""
    csv.field_size_limit(sys.maxsize)
    text = content[head.offset :].decode("utf-8", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), **_dialect(head.delimiter, quoting))
    numbers, gaps, last = array("q"), set[int](), 0
    for row in reader:
        if not _is_empty(row, head):
            numbers.append(head.line + last + 1)
        else:
            gaps.add(len(numbers))
        last = reader.line_num
    return numbers, gaps


def _texts(column: pa.ChunkedArray) -> list[object]:
    try:
        return column.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:  # some are not UTF-8
        return column.to_pylist()


def _read_spaced(path: Path, rest: bytes, head: Head) -> list[list[str]] | None:
    """The rows where blanks stand before quotation marks, as in ``a, "b, c"``; else None."""
    mark = re.escape(head.delimiter.encode())
    if head.delimiter.isspace() or not re.search(
        mark + rb'[ \t]+"[^"\r\n]*"[ \t]*(?=[\r\n]|\Z|' + mark + rb")", rest
    ):
        return None
    try:
        return _read_ragged(path, rest, head, True, ValueError("no rows"), skipinitialspace=True)
    except SettingsError:
        return None


def _read_ragged(
    path: Path,
    rest: bytes,
    head: Head,
    quoting: bool,
    error: Exception,
    skipinitialspace: bool = False,
) -> list[list[str]]:
    """Rows that may have empty values too many at the end; others are an error with its line."""
    csv.field_size_limit(sys.maxsize)
    text = rest.decode("utf-8", "surrogateescape")
    dialect = _dialect(head.delimiter, quoting)
    dialect["skipinitialspace"] = skipinitialspace
    reader = csv.reader(io.StringIO(text, newline=""), **dialect)
    expected, rows, last = len(head.names), [], 0
    num_named = max((n for n, name in enumerate(head.names, 1) if name.strip()), default=expected)
    try:
        for row in reader:
            line, last = head.line + last + 1, reader.line_num
            if _is_empty(row, head):
                continue
            while len(row) > expected and not row[-1].strip():
                row.pop()
            if num_named <= len(row) < expected:  # what is missing has no name
                row += [""] * (expected - len(row))
            if len(row) != expected:
                shown = head.delimiter.join(row)[:SHOWN]
                raise SettingsError(
                    f"{path}, line {line}: {len(row)} values, but the header has {expected}; found "
                    f"{shown!r}. A value that holds the delimiter {head.delimiter!r} must be in "
                    "double quotes; data.delimiter and data.quoting say how the file is written"
                )
            rows.append(row)
    except csv.Error as problem:
        raise SettingsError(
            f"{path}, line {head.line + last + 1}: cannot be read ({problem})"
        ) from None
    if not rows:
        raise SettingsError(f"{path}: the manifest cannot be read: {error}") from None
    return rows


def _is_empty(row: Sequence[str], head: Head) -> bool:
    """Whether a line holds nothing, or nothing but blanks where there are several columns."""
    return not row or (len(row) == 1 < len(head.names) and not row[0].strip())


class _Row(NamedTuple):
    cells: list[str]
    line: int
    """Its last line."""
    end: int
    """Where the next row begins, in bytes."""


def _head_rows(content: bytes, start: int, delimiter: str, quoting: bool) -> Iterator[_Row]:
    ends: list[int] = []

    def lines() -> Iterator[str]:
        offset = start
        while offset < len(content):
            line = _LINE.match(content, offset)
            assert line is not None
            offset = line.end()
            ends.append(offset)
            yield line[0].decode("utf-8", "surrogateescape")

    try:
        reader = csv.reader(lines(), **_dialect(delimiter, quoting))
        for _, cells in zip(range(HEAD_ROWS), reader):
            yield _Row(cells, reader.line_num, ends[reader.line_num - 1])
    except csv.Error:  # a value too long for a header
        return


def _dialect(delimiter: str, quoting: bool) -> dict[str, Any]:
    return {"delimiter": delimiter, "quoting": csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE}


def _fold(cells: Sequence[str]) -> list[str]:
    names = [clean_name(cell).casefold() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _fold_set(cells: Sequence[str]) -> set[str]:
    return {clean_name(cell).casefold() for cell in cells}
