"""Workbooks (.xlsx) as tables of numbers."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta

from seqbelt.errors import EMPTY, UNREADABLE, WRONG_TYPE, BadInput
from seqbelt.features.arrays.number_cells import Cell
from seqbelt.features.arrays.row_kinds import Row
from seqbelt.features.arrays.table_cells import Table, read_rows
from seqbelt.features.arrays.table_layout import TableOptions
from seqbelt.features.arrays.workbook_texts import describe_hidden, fill_merged

WORKBOOK = "xl/workbook.xml"
"""The member by which a zip is known as a workbook."""
SHARED = "xl/sharedStrings.xml"
"""The member with the texts of all cells, each once."""
BYTES_A_CELL = 64
LONG_TEXT = 1000
"""Bytes above which it matters how often a text is repeated."""
_TEXT = re.compile(rb"<(?:\w+:)?si\b(?:[^>]*/>|.*?</(?:\w+:)?si>)", re.DOTALL)
_SHARED_CELL = re.compile(rb"<(?:\w+:)?c\b[^>]*?\bt=\"s\"[^>]*>\s*<(?:\w+:)?v\b[^>]*>\s*(\d{1,9})")
_PLACE = re.compile(rb'<(?:\w+:)?c\b[^>]*?\br="([A-Z]{1,3})(\d{1,7})"')


def read_workbook(
    content: bytes,
    options: TableOptions,
    refuse_size: Callable[[int], None],
    words: str | None = None,
) -> Table:
    """The table on one sheet of a workbook: the one that ``options.sheet`` names, or the only one
    that is not empty.

    ``refuse_size`` raises for too many bytes, before memory is taken for them; ``words`` names a
    column to be left as words. Raises BadInput where there is no such sheet, or several are filled.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    _check_extent(content, refuse_size)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    except CalamineError as error:
        raise BadInput(UNREADABLE, f"a workbook (.xlsx) that cannot be opened: {error}") from None
    found = book.sheet_names
    if options.sheet is not None:
        if options.sheet not in found:
            raise BadInput(
                WRONG_TYPE,
                f"no sheet '{options.sheet}' (features.sheet); found: {', '.join(found)}",
            )
        name = options.sheet
    else:
        filled = [name for name in found if book.get_sheet_by_name(name).start is not None]
        if len(filled) != 1:
            if not filled:
                raise BadInput(EMPTY, "no sheet of the workbook has a cell")
            raise BadInput(
                WRONG_TYPE, f"name a sheet in features.sheet; found: {', '.join(filled)}"
            )
        name = filled[0]
    sheet, notes = book.get_sheet_by_name(name), list[str]()
    rows = sheet.to_python(skip_empty_area=False)
    fill_merged(rows, sheet.merged_cell_ranges, notes, float)  # names stand in their first row
    notes += describe_hidden(io.BytesIO(content), name)
    table = read_rows(_rows(rows, options.skip_rows), options, "", None, words=words)
    return table._replace(notes=(*notes, *table.notes))


def _check_extent(content: bytes, refuse_size: Callable[[int], None]) -> None:
    """Refuse sheets whose cells lie so far apart that the rectangle around them is too large, or
    repeat a long text too often."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = file.namelist()
        lengths = [len(match[0]) for match in _TEXT.finditer(file.read(SHARED))] if (
            SHARED in members
        ) else []  # fmt: skip
        for member in members:
            if not re.fullmatch(r"xl/worksheets/[^/]+\.xml", member):
                continue
            sheet = file.read(member)
            columns, last_row = set[bytes](), 0
            for found in _PLACE.finditer(sheet):
                columns.add(found[1])
                last_row = max(last_row, int(found[2]))
            num_cells = max(map(_column_number, columns), default=0) * last_row
            # Cells need not name their places.
            num_cells = max(num_cells, sheet.count(b"<c"), sheet.count(b":c "))
            refuse_size(num_cells * BYTES_A_CELL)
            if max(lengths, default=0) > LONG_TEXT:
                indices = (int(found[1]) for found in _SHARED_CELL.finditer(sheet))
                refuse_size(sum(lengths[index] for index in indices if index < len(lengths)))


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def _rows(rows: Sequence[Sequence[object]], skip_rows: int) -> Iterator[Row]:
    """Rows that hold something, with their numbers; cells beyond the last one of all are left
    out."""
    for number, values in enumerate(rows, start=1):
        cells = [_cell(value) for value in values]
        if number > skip_rows and any(cell != "" for cell in cells):
            if (
                isinstance(cells[0], str)
                and cells[0].startswith("#")
                and not any(cell != "" for cell in cells[1:])
            ):
                continue  # a comment
            yield number, cells


def _cell(value: object) -> Cell:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        hours, rest = divmod(value.total_seconds(), 3600)
        minutes, seconds = divmod(rest, 60)
        return f"{hours:.0f}:{minutes:02.0f}:{seconds:09.6f}"
    return "" if value is None else str(value).strip()
