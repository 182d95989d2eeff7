"""Workbooks of spreadsheet programs (.xlsx, .xlsm, .xlsb, .xls, .ods): sheets and cells as text."""

import datetime
import re
import zipfile
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seqbelt.errors import UNREADABLE, BadInput

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

WORKBOOK_ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
MAX_BYTES = 1 << 30
"""Of a workbook's parts, unpacked; more is not opened."""
_BOOK, _RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
_SHEET = re.compile(rb"<(?:\w+:)?sheet\b[^>]*>")
_NAME_AND_KEY = re.compile(rb'\bname="([^"]*)".*\br:id="([^"]*)"')
_RELATION = re.compile(rb"<Relationship\b[^>]*>")
_TARGET = re.compile(rb'\bTarget="([^"]*)"')
_HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\b[^>]*\bhidden="(?:1|true)"[^>]*(?<!/)>')
_HIDDEN_COLUMN = re.compile(rb'<(?:\w+:)?col\b[^>]*\bhidden="(?:1|true)"')
_NO_VALUE = re.compile(rb"(?:</f>|<f\b[^>]*/>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")
_FORMULA = re.compile(rb"<f[ >/]")
_EXACT = 1e15
"""Whole numbers below this are exact in a spreadsheet's floating point."""


def is_workbook(path: Path) -> bool:
    """Whether a file's name ends like a workbook's."""
    return path.suffix.lower() in WORKBOOK_ENDINGS


def sheet_names(path: Path) -> list[str]:
    """Names of the visible sheets of cells, in order. Raises BadInput for what is no workbook."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    workbook = _open(path)
    return [
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet
    ]


def read_sheet(
    path: Path, name: str, max_rows: int | None = None, notes: list[str] | None = None
) -> list[list[str]]:
    """The cells of a sheet as text, row by row from the first, empty ones as ``""``.

    A whole number has no decimals, a truth value is TRUE or FALSE, a date is in ISO form. Merged
    cells have their value in each of their rows. What a person sees otherwise on the sheet is added
    to ``notes``. Raises BadInput where there is no such sheet, or the file is no workbook.
    """
    workbook = _open(path)
    if name not in workbook.sheet_names:
        found = ", ".join(workbook.sheet_names)
        raise BadInput(UNREADABLE, f"no sheet '{name}' in {path}; found {found}")
    sheet = workbook.get_sheet_by_name(name)
    rows = sheet.to_python(skip_empty_area=False, nrows=max_rows)
    added = [] if notes is None else notes
    fill_merged(rows, sheet.merged_cell_ranges, added)
    if notes is not None and zipfile.is_zipfile(path):
        with path.open("rb") as file:
            notes += describe_hidden(file, name)
    return [[cell_text(value) for value in row] for row in rows]


def fill_merged(
    rows: list[list[Any]], ranges: Any, notes: list[str], kinds: type | tuple[type, ...] = object
) -> None:
    """Give the rows of merged cells their value, if it is one of ``kinds``; a file holds it in the
    first of them. Rows that hold nothing stay empty. Where a value was given, ``notes`` says so."""
    is_filled, num_cells = False, 0
    for (first, column), (last, _) in ranges or ():
        if first >= len(rows) or not isinstance(value := rows[first][column], kinds):
            continue
        num_cells += min(last, len(rows)) - first
        if num_cells > sum(map(len, rows)):
            raise BadInput(UNREADABLE, "merged cells that overlap")
        for row in rows[first + 1 : last + 1]:
            if value != "" and any(cell != "" for cell in row):
                row[column], is_filled = value, True
    if is_filled:
        notes.append("merged cells have their value in each of their rows")


def describe_hidden(file: IO[bytes], name: str) -> list[str]:
    """What a person sees otherwise on a sheet of an .xlsx than its cells are read."""
    with zipfile.ZipFile(file) as packed:
        sheet = _sheet_member(packed, name)
    counts = {
        "rows are hidden, and are read": len(_HIDDEN_ROW.findall(sheet)),
        "columns are hidden, and are read": len(_HIDDEN_COLUMN.findall(sheet)),
        "formulas have no saved value: open and save the workbook": len(_NO_VALUE.findall(sheet)),
    }
    hidden = [f"{number:,} {what}" for what, number in counts.items() if number]
    *above, last_row = sheet.partition(b"</sheetData>")[0].rpartition(b"<row")
    if _FORMULA.search(last_row) and not _FORMULA.search(above[0]):
        hidden.append("the last row alone has formulas, as sums are, and is read")
    return [f"sheet '{name}': {text}" for text in hidden]


def _sheet_member(packed: zipfile.ZipFile, name: str) -> bytes:
    """The XML of a sheet; nothing where it is not to be found, as in other kinds of workbooks."""
    members = set(packed.namelist())
    if not {_BOOK, _RELATIONS} <= members:
        return b""
    key = next(
        (
            found[2]
            for tag in _SHEET.findall(packed.read(_BOOK))
            if (found := _NAME_AND_KEY.search(tag)) and unescape(found[1].decode()) == name
        ),
        b"\0",
    )
    for tag in _RELATION.findall(packed.read(_RELATIONS)):
        target = _TARGET.search(tag)
        if target and b'Id="' + key + b'"' in tag:
            member = target[1].decode().removeprefix("/").removeprefix("xl/")
            return packed.read(f"xl/{member}") if f"xl/{member}" in members else b""
    return b""


def cell_text(value: object) -> str:
    """What a person reads in a cell."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        is_day = value.time() == datetime.time()
        return value.date().isoformat() if is_day else value.isoformat(" ")
    return str(value)


def last_filled(row: Sequence[str]) -> int:
    """How many cells a row has up to the last that is not empty."""
    return next((count for count in range(len(row), 0, -1) if row[count - 1]), 0)


def _open(path: Path) -> "CalamineWorkbook":
    from python_calamine import CalamineError, PasswordError, load_workbook

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                size = sum(part.file_size for part in packed.infolist())
            if size > MAX_BYTES:
                raise BadInput(
                    UNREADABLE, f"{path} unpacks to {size:,} bytes; {MAX_BYTES:,} at most"
                )
        return load_workbook(path)
    except PasswordError:
        raise BadInput(UNREADABLE, f"{path} is locked by a password; save it without") from None
    except (CalamineError, OSError, ValueError, zipfile.BadZipFile) as error:
        hint = "it is a text: name it .csv, .tsv or .jsonl"
        if not _is_text(path):
            hint = "it is damaged or no workbook: copy it again, or open and save it once more"
        raise BadInput(
            UNREADABLE, f"{path} cannot be read as a workbook ({error}); {hint}"
        ) from None


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            content = file.read(512)
    except OSError:
        return False
    return bool(content) and b"\0" not in content and not content.startswith(b"PK")
