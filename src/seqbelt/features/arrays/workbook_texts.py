"""Workbooks of spreadsheet programs (.xlsx, .xlsm, .xlsb, .xls, .ods): sheets and cells as text."""

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbelt.errors import UNREADABLE, BadInput

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

WORKBOOK_ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
MAX_BYTES = 1 << 30
"""Of a workbook's parts, unpacked; more is not opened."""
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
        one.name
        for one in workbook.sheets_metadata
        if one.visible == SheetVisibleEnum.Visible and one.typ == SheetTypeEnum.WorkSheet
    ]


def read_sheet(path: Path, name: str, max_rows: int | None = None) -> list[list[str]]:
    """The cells of a sheet as text, row by row from the first, empty ones as ``""``.

    A whole number has no decimals, a truth value is TRUE or FALSE, a date is in ISO form. Raises
    BadInput where there is no such sheet, or the file is no workbook.
    """
    workbook = _open(path)
    if name not in workbook.sheet_names:
        found = ", ".join(workbook.sheet_names)
        raise BadInput(UNREADABLE, f"no sheet '{name}' in {path}; found {found}")
    sheet = workbook.get_sheet_by_name(name)
    rows = sheet.to_python(skip_empty_area=False, nrows=max_rows)
    return [[cell_text(value) for value in row] for row in rows]


def cell_text(value: Any) -> str:
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
    return next((place for place in range(len(row), 0, -1) if row[place - 1]), 0)


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
        hint = "; it is a text: name it .csv, .tsv or .jsonl" if _is_text(path) else ""
        raise BadInput(UNREADABLE, f"{path} cannot be read as a workbook ({error}){hint}") from None


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            content = file.read(512)
    except OSError:
        return False
    return bool(content) and b"\0" not in content
