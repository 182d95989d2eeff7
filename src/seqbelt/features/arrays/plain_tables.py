"""Tables whose every cell is a plain number, or a word in a column of words, parsed by Arrow."""

import io
import re

import numpy as np

from seqbelt.features.arrays.number_cells import ARROW_MISSING, Cell, Signs, is_missing
from seqbelt.features.arrays.row_kinds import is_number
from seqbelt.features.arrays.table_cells import (
    DECIMAL_COMMAS,
    GAPS,
    HALVES,
    Lines,
    Table,
    is_bare_exponent,
    may_be_halves,
    may_be_parts,
    without_empty_columns,
)
from seqbelt.features.arrays.table_layout import Layout, TableOptions
from seqbelt.features.arrays.text_rows import COMMENT, Head

_SHORT_WHOLE = re.compile(r"(?:^|,)[+-]?[1-9]\d{0,2}(?=[,\r\n]|\Z)", re.MULTILINE)
"""A cell between commas, of three digits at most."""


def read_plain_table(text: str, head: Head, layout: Layout, options: TableOptions) -> Table | None:
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
    if any(is_bare_exponent(cell) for _, row in head.rows[layout.first :] for cell in row):
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
    gaps: list[str] = []
    names, columns = without_empty_columns(layout.names, columns, gaps)
    notes = (*layout.notes, *gaps) + ((DECIMAL_COMMAS,) if decimal == "," else ())
    notes += (GAPS,) if has_empty_lines else ()
    if may_be_halves(head.delimiter, layout, options) and (
        "." not in body or may_be_parts([cells for _, cells in head.rows[layout.first :]])
    ):
        notes += (HALVES,)
    signs = Signs(decimal)
    return Table(names, columns, lines, notes, layout.names_are_a_comment, layout.units, signs)


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


def _decimal_of_head(head: Head, layout: Layout) -> str | None:
    """The sign that the first rows show; None where they leave it open."""
    cells = [str(cell) for _, row in head.rows[layout.first :] for cell in row if is_number(cell)]
    if any("," in cell for cell in cells):
        sure = any(re.fullmatch(r"[+-]?(0*,\d+|\d+,(\d{1,2}|\d{4,}))", cell) for cell in cells)
        return "," if sure or any(re.fullmatch(r"[+-]?0+,\d+", cell) for cell in cells) else None
    return "."


def _is_evident(body: str, head: Head, layout: Layout, decimal: str, options: TableOptions) -> bool:
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
    body: str, head: Head, layout: Layout, decimal: str
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
    for index, (name, is_one) in enumerate(zip(names, layout.is_number, strict=True)):
        column = table[name].combine_chunks()
        if is_one:
            columns.append(column.to_numpy(zero_copy_only=False))
            continue
        words = [word.strip() for word in column.to_pylist()]
        is_shown = any(not is_missing(row[index]) for row in shown if index < len(row))
        if not is_shown and any(words):  # only later rows show what it contains
            return None
        if is_number(next((word for word in words if not is_missing(word)), "")):
            return None  # perhaps numbers throughout
        columns.append(words)
    num_named = layout.width if layout.num_named is None else layout.num_named
    if any(not isinstance(each, list) or any(each) for each in columns[num_named:]):
        return None
    last = [(each[-1], isinstance(each, np.ndarray)) for each in columns]
    if all(np.isnan(cell) if is_numeric else cell == "" for cell, is_numeric in last):
        return None  # nothing in the last row: it may be no row
    return columns
