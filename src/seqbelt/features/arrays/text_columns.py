"""Text columns: .csv, .tsv, or anything between spaces; with names above them or without.

A table whose every cell is a plain number, or a word in a column of words, is parsed by Arrow.
As soon as one is not, the whole table is read again line by line by the rules of ``table_layout``
and ``number_cells``; both ways give the same where both can read.
"""

import re
from collections.abc import Iterator

from seqbelt.errors import TRUNCATED, WRONG_TYPE, BadInput, Place
from seqbelt.features.arrays.joined_times import part_of_time
from seqbelt.features.arrays.plain_tables import read_plain_table
from seqbelt.features.arrays.table_cells import HEAD_ROWS, Table, read_rows
from seqbelt.features.arrays.table_encoding import decode_table
from seqbelt.features.arrays.table_layout import Layout, TableOptions, find_layout
from seqbelt.features.arrays.text_rows import Head, numbered_lines, read_first_rows, text_rows
from seqbelt.features.arrays.time_columns import is_time_name
from seqbelt.features.base import GIT_LFS_MARK

MAX_HEAD_ROWS = 2000
"""Rows that are looked at where the first ones hold no numbers."""
_OTHER_FORMATS = (
    *((start, "HTML") for start in ("<!doctype html", "<html", "<table")), ("<?xml", "XML"),
    ("{", "JSON"), ("[{", "JSON"), ("[[", "a list of lists"), ("@relation", "ARFF"),
    (GIT_LFS_MARK, "a pointer of Git LFS: run git lfs pull"),
)  # fmt: skip
_CODE = re.compile(r"0\d+")
_QUOTED_WHOLE = re.compile(r'"[+-]?\d+"')


def read_text_table(content: bytes, options: TableOptions, words: str | None = None) -> Table:
    """Read a table of text columns, one of them perhaps as ``words`` though it holds numbers.

    Raises BadInput for one that cannot be read as it was meant."""
    text, notes = decode_table(content)
    beginning = text[:200].lstrip()
    for start, kind in _OTHER_FORMATS:
        if beginning.lower().startswith(start):
            shown = beginning[:30].splitlines()[0]
            raise BadInput(WRONG_TYPE, Place(1), f": '{shown}' begins {kind}; expected a table")
    _refuse_cut_number(text)
    head, layout = _find_layout(text, options)
    if layout.names is not None and words in layout.names:
        index = layout.names.index(words)
        kinds = (*layout.is_number[:index], False, *layout.is_number[index + 1 :])
        layout = layout._replace(is_number=kinds)
    table = read_plain_table(text, head, layout, options)
    if table is None:
        rows = text_rows(text, head.delimiter, options.skip_rows)
        are_whole = options.decimal == "," == head.delimiter and _QUOTED_WHOLE.search(text)
        table = read_rows(
            rows, options, head.delimiter, head.comment, len(head.rows), words, bool(are_whole)
        )
    return table._replace(notes=(*notes, *table.notes, *_describe_codes(head, layout)))


def _find_layout(text: str, options: TableOptions) -> tuple[Head, Layout]:
    """The first rows and their layout: of more rows where the first ones hold no numbers."""
    try:
        head = read_first_rows(text, options, HEAD_ROWS)
        layout = find_layout(head.rows, options, head.comment)
        if any(layout.is_number):
            return head, layout
    except BadInput:
        pass  # more lines of titles than that, perhaps
    head = read_first_rows(text, options, MAX_HEAD_ROWS)
    return head, find_layout(head.rows, options, head.comment)


def _describe_codes(head: Head, layout: Layout) -> Iterator[str]:
    """Notes on columns of whole numbers that begin with 0, as bits and codes do."""
    rows = [row for _, row in head.rows[layout.first :]]
    for index, (name, is_one) in enumerate(zip(layout.names or (), layout.is_number)):
        cells = (str(row[index]) for row in rows if index < len(row))
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
        line = sum(1 for _ in numbered_lines(text, 0))
        raise BadInput(
            TRUNCATED,
            Place(line),
            f": '{last[0][-40:]}' ends behind its decimal sign, where the file ends: it "
            "was cut off; copy it again, or remove the line",
        )
