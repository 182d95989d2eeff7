"""Text columns: .csv, .tsv, or anything between spaces; with names above them or without.

A table whose every cell is a plain number, or a word in a column of words, is parsed by Arrow.
As soon as one is not, the whole table is read again line by line by the rules of ``table_layout``
and ``number_cells``; both ways give the same where both can read.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from seqbelt.errors import EMPTY, TOO_LONG, TRUNCATED, UNREADABLE, WRONG_TYPE, BadInput
from seqbelt.features.arrays.joined_times import part_of_time
from seqbelt.features.arrays.number_cells import ARROW_MISSING, ERROR_WORDS, Cell, is_missing
from seqbelt.features.arrays.spelled_numbers import has_unit
from seqbelt.features.arrays.table_cells import (
    GAPS,
    HALVES,
    HEAD_ROWS,
    Lines,
    Table,
    may_be_halves,
    may_be_parts,
    read_rows,
    without_empty_columns,
)
from seqbelt.features.arrays.table_encoding import decode_table
from seqbelt.features.arrays.table_layout import (
    MAX_COLUMNS,
    Layout,
    Row,
    TableOptions,
    find_layout,
    is_number,
    is_word,
)
from seqbelt.features.arrays.time_columns import is_time_name

HEAD_CHARACTERS = 1 << 16
MAX_HEAD_ROWS = 2000
"""Rows that are looked at where the first ones hold no numbers."""
DELIMITERS = "\t;|,"
NO_DELIMITER = "\x1f"
"""What no table holds: a line is one cell."""
COMMENT = "#"
MARK = "\ufeff"
"""Of the order of bytes."""
_KOREAN_SIGNS = "℃㎏㎜㎝㎡㎧°±×÷′″Ω㎐㎷㎂·"
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)


_SHORT_WHOLE = re.compile(r"(?:^|,)[+-]?[1-9]\d{0,2}(?=[,\r\n]|\Z)", re.MULTILINE)
"""A cell between commas, of three digits at most."""
_TOO_NARROW = re.compile(r"##+[\t;|,]")
_OTHER_FORMATS = (
    *((start, "HTML") for start in ("<!doctype html", "<html", "<table")), ("<?xml", "XML"),
    ("{", "JSON"), ("[{", "JSON"),
    ("version https://git-lfs.github.com/", "a pointer of Git LFS: run git lfs pull"),
)  # fmt: skip
_CODE = re.compile(r"0\d+")
_QUOTED_WHOLE = re.compile(r'"[+-]?\d+"')


class UnclosedQuote(BadInput):
    """A quotation mark would swallow lines of numbers."""


class _Head(NamedTuple):
    """The beginning of a table."""

    rows: list[Row]
    starts: dict[int, int]
    """Where each row's line begins, in characters, by the line's number."""
    delimiter: str
    """A space stands for any number of blanks."""
    comment: Row | None
    """The last comment above the rows, as a row of cells."""


def read_text_table(content: bytes, options: TableOptions, words: str | None = None) -> Table:
    """Read a table of text columns, one of them perhaps as ``words`` though it holds numbers.

    Raises BadInput for one that cannot be read as it was meant."""
    text, notes = decode_table(content)
    beginning = text[:200].lstrip()
    for start, kind in _OTHER_FORMATS:
        if beginning.lower().startswith(start):
            shown = beginning[:30].splitlines()[0]
            raise BadInput(WRONG_TYPE, f"line 1: '{shown}' begins {kind}; expected a table")
    _refuse_cut_number(text)
    try:
        head = _read_head(text, options, HEAD_ROWS)
        layout = find_layout(head.rows, options, head.comment)
        is_found = any(layout.is_number)
    except BadInput:
        is_found, head, layout = False, None, None
    if not is_found or head is None or layout is None:  # more lines of titles than that, perhaps
        head = _read_head(text, options, MAX_HEAD_ROWS)
        layout = find_layout(head.rows, options, head.comment)
    if layout.names is not None and words in layout.names:
        place = layout.names.index(words)
        kinds = (*layout.is_number[:place], False, *layout.is_number[place + 1 :])
        layout = layout._replace(is_number=kinds)
    table = _read_by_arrow(text, head, layout, options)
    if table is None:
        rows = _rows(text, head.delimiter, options.skip_rows)
        are_whole = options.decimal == "," == head.delimiter and _QUOTED_WHOLE.search(text)
        table = read_rows(
            rows, options, head.delimiter, head.comment, len(head.rows), words, bool(are_whole)
        )
    return table._replace(notes=(*notes, *table.notes, *_say_codes(head, layout)))


def _say_codes(head: _Head, layout: Layout) -> Iterator[str]:
    """What is said of columns of whole numbers that begin with 0, as bits and codes do."""
    rows = [row for _, row in head.rows[layout.first :]]
    for place, (name, is_one) in enumerate(zip(layout.names or (), layout.is_number)):
        cells = (str(row[place]) for row in rows if place < len(row))
        code = next(filter(_CODE.fullmatch, cells), None) if is_one else None
        is_time = is_time_name(name) or is_time_name(name, weak=True) or part_of_time(name)
        if code and not is_time:
            yield f"column '{name}' holds '{code[:20]}', read as a decimal number"


def _refuse_cut_number(text: str) -> None:
    """Raise where the text ends behind a decimal sign, as nothing else in it does: in "1.5,2." the
    last number is cut off."""
    last = re.search(r"[^\r\n\t;|, ]*\d([.,])\Z", text[-80:])
    if last is None:
        return
    body, sign = text[: -len(last[0])], re.escape(last[1])
    is_usual = re.search(rf"\d{sign}(?:[\r\n\t;|, ]|\Z)", body)
    if is_usual is None and re.search(rf"\d{sign}\d", body):
        line = sum(1 for _ in _lines(text, 0))
        raise BadInput(
            TRUNCATED,
            f"line {line}: '{last[0][-40:]}' ends behind its decimal sign, where the file ends: it "
            "was cut off; copy it again, or remove the line",
        )


def is_comment(line: str) -> bool:
    """Whether a line is a remark: it begins with # and neither with a spreadsheet's error word nor
    with a cell of ####, as of a column that was too narrow."""
    if not line.startswith(COMMENT) or _TOO_NARROW.match(line):
        return False
    first = re.split(r"[\t;|,\s]", line, maxsplit=1)[0].lower()
    return first not in ERROR_WORDS


def _lines(text: str, skip_rows: int) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, without those that are left out at the top."""
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if number > skip_rows:
            yield number, line


def split_rows(lines: Iterator[tuple[int, str]], delimiter: str) -> Iterator[Row]:
    """Rows of cells out of numbered lines; comments and empty lines are none.

    A quoted cell may hold delimiters and line ends; a row has the number of its first line.
    """
    started: list[int] = []

    def feed() -> Iterator[str]:
        for number, line in lines:
            line = line.lstrip(MARK)  # where files with one were joined
            if not started and (is_comment(line) or not line.strip()):
                continue
            started.append(number)
            yield line.strip().replace("\t", " ") + "\n" if delimiter == " " else line

    reader = csv.reader(feed(), delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            line, num_lines, started[:] = started[0], len(started), []
            _refuse_width(line, len(cells))
            row = [cell.strip() for cell in cells]
            if num_lines > 1 and any(map(is_number, row)):
                raise UnclosedQuote(
                    UNREADABLE,
                    f"line {line}: a quotation mark that begins a value here is not closed in its "
                    "line, so the lines below it would be lost; remove it from the file",
                )
            yield line, row
    except csv.Error as error:
        raise BadInput(UNREADABLE, f"line {started[0] if started else 1}: {error}") from None


def _refuse_width(line: int, num_cells: int) -> None:
    if num_cells > MAX_COLUMNS:
        raise BadInput(
            TOO_LONG, f"line {line} has {num_cells} columns; at most {MAX_COLUMNS} are read"
        )


def _rows(text: str, delimiter: str, skip_rows: int) -> Iterator[Row]:
    lines = _lines(text, skip_rows)
    for row in split_rows(lines, delimiter):
        if len(row[1]) == 1 and _SEPARATOR_LINE.fullmatch(str(row[1][0])):
            continue
        if row[1][:1] and str(row[1][0]).lower() == "sep=" and not any(row[1][1:]):
            continue
        yield row


def _read_head(text: str, options: TableOptions, max_rows: int) -> _Head:
    """The first rows, and the delimiter that makes most of them rows of numbers."""
    size = HEAD_CHARACTERS
    while True:
        lines, starts, separator, comment_line, is_whole = _head_lines(
            text, size, options.skip_rows, max_rows
        )
        if is_whole or len(lines) > 2:
            break
        size *= 4  # very wide
    if not lines:
        why = f"line {comment_line[0]} is a comment, and no row follows" if comment_line else ""
        raise BadInput(EMPTY, why or "the table has no rows")
    for number, line in lines:
        _refuse_width(number, 1 + max(line.count(sign) for sign in f"{DELIMITERS} "))
    delimiter = separator or _find_delimiter(lines, options)
    rows = list(split_rows(iter(lines), delimiter))
    comment = None
    if comment_line is not None and delimiter != " ":
        number, line = comment_line
        cells = next(split_rows(iter([(number, line[1:])]), delimiter), (0, []))[1]
        comment = (number, cells)
        if line[1:2] == delimiter:  # a column is called #
            comment = (number, [COMMENT, *cells[1:]])
    if not is_whole and len(rows) > 1:
        rows.pop()  # a quoted cell of it may go on
    return _Head(rows, starts, delimiter, comment)


def _head_lines(
    text: str, size: int, skip_rows: int, max_rows: int
) -> tuple[list[tuple[int, str]], dict[int, int], str | None, tuple[int, str] | None, bool]:
    """Whole lines at the beginning, where each begins, the delimiter that a first line names, the
    last comment above them, and whether these are all lines."""
    lines: list[tuple[int, str]] = []
    starts: dict[int, int] = {}
    separator = comment = None
    start, is_whole = 0, len(text) <= size
    for number, line in enumerate(io.StringIO(text[:size], newline=""), start=1):
        begins, start = start, start + len(line)
        if start == size and not is_whole:
            break  # it may be cut
        if number <= skip_rows or not line.strip():
            continue
        if not lines and (found := _SEPARATOR_LINE.fullmatch(line)):
            separator = found[1]
        elif is_comment(line):
            comment = comment if lines else (number, line)
        else:
            starts[number] = begins
            lines.append((number, line))
            if len(lines) == max_rows and start < len(text):
                return lines, starts, separator, comment, False
    return lines, starts, separator, comment, is_whole


def _find_delimiter(lines: Sequence[tuple[int, str]], options: TableOptions) -> str:
    """The delimiter by which most cells are numbers, and rows alike."""
    best, best_score, best_widths = " ", -1.0, [1]
    unclosed, tabbed, has_whole_cells = None, 1, False
    for delimiter in (*DELIMITERS, " "):
        try:
            rows = [cells for _, cells in split_rows(iter(lines), delimiter)]
        except UnclosedQuote as error:
            unclosed = unclosed or error
            continue
        except BadInput:
            continue
        tail = rows[-max(1, 2 * len(rows) // 3) :]
        widths = [len(cells) for cells in tail]
        usual = _most_frequent(widths)
        if usual < 2 and delimiter != " ":
            continue
        cells = [cell for row in tail for cell in row]
        if delimiter == "\t":
            tabbed = _most_frequent([len(cells) for cells in rows])
            has_whole_cells = _has_whole_cells(cells)
        elif (delimiter, best) == (" ", "\t") and (usual == tabbed or has_whole_cells):
            continue  # two tabs with nothing between them would be one blank
        useful = sum(not is_word(cell) or has_unit(cell) for cell in cells)
        score = useful / max(1, len(cells)) * widths.count(usual) / len(widths)
        # Tables without numbers: whatever parts their lines alike.
        score += 1e-3 * (usual > 1)
        if score > best_score + 1e-9:
            best, best_score, best_widths = delimiter, score, widths
    if best != " ":
        return best
    if unclosed is not None:
        raise unclosed
    if max(best_widths) == 1 and (found := _delimiter_of_names(lines)) is not None:
        return found
    last = lines[-len(best_widths) :]
    blank = next(((n, one) for n, one in lines if " " in one.strip() and is_number(one)), None)
    if blank is not None and all(is_number(line) for _, line in last):
        # One number a line whose thousands are parted by blanks, or several numbers?
        if options.thousands is None and len(set(best_widths)) == 1:
            raise BadInput(
                WRONG_TYPE,
                f"line {blank[0]}: '{blank[1].strip()[:40]}' is one number or several; "
                "features.thousands: ' ' says that blanks separate thousands, '.' or ',' that "
                "they do not",
            )
        return best if options.thousands in (".", ",", "'") else NO_DELIMITER
    return best if max(set(best_widths), key=best_widths.count) > 1 else NO_DELIMITER


def _has_whole_cells(cells: Sequence[Cell]) -> bool:
    """Whether blanks stand within cells and none of these is a list of numbers."""
    blank = [str(cell) for cell in cells if " " in str(cell)]
    return bool(blank) and not any(
        is_word(cell) and all(map(is_number, cell.split())) for cell in blank
    )


def _most_frequent(widths: Sequence[int]) -> int:
    return max(set(widths), key=lambda width: (widths.count(width), width))


def _delimiter_of_names(lines: Sequence[tuple[int, str]]) -> str | None:
    """The delimiter by which a line of names has as many cells as a line of values."""
    for delimiter in DELIMITERS:
        rows = [cells for _, cells in split_rows(iter(lines), delimiter)]
        named = {len(cells) for cells in rows if all(map(is_word, cells)) and len(cells) > 1}
        if any(len(cells) in named and any(map(is_number, cells)) for cells in rows):
            return delimiter
    return None


def _read_by_arrow(text: str, head: _Head, layout: Layout, options: TableOptions) -> Table | None:
    """The table if it is plain throughout, else None: then it is read row by row."""
    if layout.first >= len(head.rows) or layout.width != len(head.rows[layout.first][1]):
        return None
    first_line = head.rows[layout.first][0]
    body = text[head.starts[first_line] :].rstrip("\r\n")
    # Single characters are found ten times as fast as pairs.
    has_comments = COMMENT in body and ("\n#" in body or "\r#" in body)
    if '"' in body or has_comments or options.thousands:
        return None
    decimal = options.decimal or _decimal_of_head(head, layout)
    if decimal is None or (decimal == "," and head.delimiter == ","):
        return None
    if not _is_evident(body, head, layout, decimal, options):
        return None
    has_empty_lines = "\n\n" in body or ("\r" in body and ("\n\r" in body or "\r\r" in body))
    if has_empty_lines and layout.width == 1:
        return None  # a value may be missing there
    plain = _single_blanks(body) if head.delimiter == " " else body
    columns = _parse(plain, head, layout, decimal)
    if columns is None:
        return None
    lines: Lines = _Consecutive(first_line)
    if has_empty_lines:
        lines = [first_line + n for n, line in enumerate(io.StringIO(body)) if line.strip()]
    said: list[str] = []
    names, columns = without_empty_columns(layout.names, columns, said)
    notes = (*layout.notes, *said) + (("decimal commas",) if decimal == "," else ())
    notes += (GAPS,) if has_empty_lines else ()
    if may_be_halves(head.delimiter, layout, options) and (
        "." not in body or may_be_parts([cells for _, cells in head.rows[layout.first :]])
    ):
        notes += (HALVES,)
    return Table(names, columns, lines, notes, layout.names_are_a_comment, layout.units)


class _Consecutive:
    """Numbers of lines where every line from the first on is a row."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __getitem__(self, row: int) -> int:
        return self._first + row


def _single_blanks(body: str) -> str:
    body = body.replace("\t", " ").replace("\r\n", "\n").replace("\r", "\n")
    while "  " in body:
        body = body.replace("  ", " ")
    return body.replace("\n ", "\n").replace(" \n", "\n").strip(" ")


def _decimal_of_head(head: _Head, layout: Layout) -> str | None:
    """The sign that the first rows show; None where they leave it open."""
    cells = [str(cell) for _, row in head.rows[layout.first :] for cell in row if is_number(cell)]
    if any("," in cell for cell in cells):
        sure = any(re.fullmatch(r"[+-]?(0*,\d+|\d+,(\d{1,2}|\d{4,}))", cell) for cell in cells)
        return "," if sure or any(re.fullmatch(r"[+-]?0+,\d+", cell) for cell in cells) else None
    return "."


def _is_evident(
    body: str, head: _Head, layout: Layout, decimal: str, options: TableOptions
) -> bool:
    """Whether the numbers can be read in one way only."""
    if options.decimal is not None:
        return True
    if decimal == "." and "." in body:
        is_decimal = re.search(r"(?<![\d.])0?\.\d|\d{4}\.\d|\.\d{1,2}(?!\d)|\.\d{4}", body)
        if is_decimal is None and (head.delimiter != "," or _SHORT_WHOLE.search(body)):
            return False
        if head.delimiter != ",":
            return True
    if head.delimiter == "," and layout.names is None and layout.width > 1:
        return re.search(r",[ \t]*-?0\d", body) is None
    return True


def _parse(
    body: str, head: _Head, layout: Layout, decimal: str
) -> list[np.ndarray | list[Cell]] | None:
    """Columns of numbers or words; None where a cell or a row is not as the first ones are."""
    import pyarrow as pa
    import pyarrow.csv

    names = [str(column) for column in range(layout.width)]
    kinds = {
        name: pa.float64() if is_one else pa.string()
        for name, is_one in zip(names, layout.is_number, strict=True)
    }
    content = body.encode("utf-8", "surrogatepass")
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(content),
            pyarrow.csv.ReadOptions(
                use_threads=False, block_size=len(content) + 1, column_names=names
            ),
            pyarrow.csv.ParseOptions(delimiter=head.delimiter, quote_char=False),
            pyarrow.csv.ConvertOptions(
                column_types=kinds,
                null_values=ARROW_MISSING,
                strings_can_be_null=False,
                decimal_point=decimal,
            ),
        )
    except pa.ArrowInvalid:
        return None
    columns: list[np.ndarray | list[Cell]] = []
    shown = [row for _, row in head.rows[layout.first :]]
    for place, (name, is_one) in enumerate(zip(names, layout.is_number, strict=True)):
        column = table[name].combine_chunks()
        if is_one:
            columns.append(column.to_numpy(zero_copy_only=False))
            continue
        words = [word.strip() for word in column.to_pylist()]
        is_shown = any(not is_missing(row[place]) for row in shown if place < len(row))
        if not is_shown and any(words):  # only later rows show what it contains
            return None
        if is_number(next((word for word in words if not is_missing(word)), "")):
            return None  # perhaps numbers throughout
        columns.append(words)
    num_named = layout.width if layout.num_named is None else layout.num_named
    if any(not isinstance(one, list) or any(one) for one in columns[num_named:]):
        return None
    if all(np.isnan(one[-1]) if isinstance(one, np.ndarray) else one[-1] == "" for one in columns):
        return None  # nothing in the last row: it may be no row
    return columns
