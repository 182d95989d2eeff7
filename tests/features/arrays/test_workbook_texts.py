import datetime

import pytest
from workbook_files import write_workbook

from seqbelt.errors import BadInput
from seqbelt.features.arrays import workbook_texts
from seqbelt.features.arrays.workbook_texts import cell_text, read_sheet, sheet_names


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
