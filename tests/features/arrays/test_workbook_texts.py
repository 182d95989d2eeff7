import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from workbook_files import write_workbook

from seqbelt.errors import BadInput
from seqbelt.features.arrays import workbook_texts
from seqbelt.features.arrays.table_layout import TableOptions
from seqbelt.features.arrays.workbook_numbers import read_workbook
from seqbelt.features.arrays.workbook_texts import cell_text, fill_merged, read_sheet, sheet_names


@pytest.mark.parametrize(
    ("value", "text"),
    [("007", "007"), (1.0, "1"), (-0.5, "-0.5"), (1e20, "1e+20"), (True, "TRUE"), ("", ""),
     (None, ""), (3, "3"), (datetime.date(2024, 5, 1), "2024-05-01"),
     (datetime.datetime(2024, 5, 1), "2024-05-01"),
     (datetime.datetime(2024, 5, 1, 9, 30), "2024-05-01 09:30:00")],
)  # fmt: skip
def test_a_cell_is_the_text_that_a_person_reads(value, text):
    assert cell_text(value) == text


def test_sheets_are_read_from_their_first_row(tmp_path):
    path = write_workbook(
        tmp_path / "a.xlsx", {"one": [["", ""], ["id", "n"], ["007", 5]], "둘": []}
    )
    assert sheet_names(path) == ["one", "둘"]
    rows = [row for row in read_sheet(path, "one") if any(row)]
    assert rows == [["id", "n"], ["007", "5"]]
    with pytest.raises(BadInput, match=r"no sheet 'two'.*one, 둘"):
        read_sheet(path, "two")


def test_what_is_no_workbook_is_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(BadInput, match=r"a\.xlsx"):
        sheet_names(tmp_path / "a.xlsx")
    monkeypatch.setattr(workbook_texts, "MAX_BYTES", 100)
    path = write_workbook(tmp_path / "b.xlsx", {"one": [["x"] * 20] * 50})
    with pytest.raises(BadInput, match=r"unpacks to"):
        sheet_names(path)


def workbook_with(path: Path, change: Callable[[Any, Any], object]) -> Path:
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("one & two")
        for row, cells in enumerate((["x", "y"], [1.5, 2], [3.5, 4], [5.5, 6])):
            sheet.write_row(row, 0, cells)
        change(book, sheet)
    return path


def hide_a_row(book, sheet):
    sheet.set_row(2, None, None, {"hidden": True})


def hide_a_column(book, sheet):
    sheet.set_column(1, 1, None, None, {"hidden": True})


def leave_a_formula_open(book, sheet):
    sheet.write_formula("B2", "=1+1", None, "")


def add_sums(book, sheet):
    sheet.write_formula("A5", "=SUM(A2:A4)", None, 10.5)
    sheet.write_formula("B5", "=SUM(B2:B4)", None, 12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (hide_a_row, "1 rows are hidden, and are read"),
        (hide_a_column, "1 columns are hidden, and are read"),
        (leave_a_formula_open, "1 formulas have no saved value"),
        (add_sums, "the last row alone has formulas"),
        (lambda book, sheet: None, ""),
    ],
)
def test_what_a_person_sees_otherwise_is_said(tmp_path, change, said):
    path, notes = workbook_with(tmp_path / "a.xlsx", change), list[str]()
    read_sheet(path, "one & two", notes=notes)
    table = read_workbook(path.read_bytes(), TableOptions(), lambda size: None)
    for one in (notes, table.notes):
        assert (len(one) == 1 and said in one[0]) if said else not one


def test_merged_cells_have_their_value_in_each_row(tmp_path):
    def merge(book, sheet):
        sheet.merge_range("A2:A3", 1.5)
        sheet.merge_range("A8:A9", "below")

    path, notes = workbook_with(tmp_path / "a.xlsx", merge), list[str]()
    rows = read_sheet(path, "one & two", notes=notes)
    assert [row[0] for row in rows] == ["x", "1.5", "1.5", "5.5", "", "", "", "below"]
    assert notes == ["merged cells have their value in each of their rows"]
    with pytest.raises(BadInput, match="overlap"):
        fill_merged([[1], [2]], [((0, 0), (9, 0))] * 3, [])


def test_a_sheet_with_one_line_is_filled(tmp_path):
    path = workbook_with(
        tmp_path / "a.xlsx", lambda book, _: book.add_worksheet("b").write(0, 0, 1)
    )
    with pytest.raises(BadInput, match="found: one & two, b"):
        read_workbook(path.read_bytes(), TableOptions(), lambda size: None)
