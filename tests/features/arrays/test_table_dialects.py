"""Tables with known values in every dialect: equal cell by cell, or refused by the right line."""

import io
import random
import re
from datetime import datetime

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from features.arrays.table_dialects import judge, workbook_bytes, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

from seqbelt.errors import BadInput
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.reading import read_words
from seqbelt.features.arrays.table_layout import TableOptions
from seqbelt.features.arrays.text_columns import read_text_table


def read(content: bytes, **told):
    """Values, names and remarks of a table that is read for itself."""
    features = Channels.parse({"kind": "channels", "missing": "mask", **told})
    raw = features.read(content)
    encoder = features.encoder(features.learn([raw]))
    return encoder.select(raw).tolist(), raw.names, " ".join(features.remarks(raw, encoder))


def refusal(content: bytes, **told) -> str:
    with pytest.raises(BadInput) as caught:
        read(content, **told)
    return str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_a_table_is_read_as_it_was_meant_or_refused_by_its_line(seed):
    table = write_table(random.Random(seed))
    verdict = judge(table)
    assert verdict.word in ("equal", "refused"), f"{verdict}\n{table.describe()}"


@pytest.mark.parametrize(
    "seed", [9676, 9755, 9901, 10682, 12098, 16450, 501165, 517892, 700374, 706754, 713691, 2016519]
)
def test_tables_that_once_were_read_otherwise(seed):
    verdict = judge(write_table(random.Random(seed)))
    assert verdict.word in ("equal", "refused"), verdict


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1.234,5\n-17.272,91\n382,4\n", True),  # one number a line, or two
        (b"4,653.01\n7,120.5\n", True),
        (b"4,653.01\n-17,2.5\n", False),  # no group of thousands
        (b"0.234,5\n1.272,9\n", False),
        (b"a,b\n1.234,5\n2.272,9\n", False),  # the names tell how many
    ],
)
def test_commas_that_may_part_a_number_are_said(content, said):
    _, _, notes = read(content)
    assert ("numbers between commas" in notes) == said


def test_most_tables_are_read():
    """A reader that refused everything would pass the test above."""
    words = [judge(write_table(random.Random(seed))).word for seed in range(100)]
    assert words.count("equal") > 60


@pytest.mark.parametrize(
    ("content", "values", "remark"),
    [
        ("x;y\n0,5;1,25\n2,5;3\n", [[0.5, 1.25], [2.5, 3]], "decimal commas"),
        ("0,5 1,5\n2,5 3,5\n", [[0.5, 1.5], [2.5, 3.5]], "decimal commas"),
        ('x,y\n"1,234.5",2\n"1,000",3\n', [[1234.5, 2], [1000, 3]], "thousands"),
        ("x;y\n1.234,5;2\n", [[1234.5, 2]], "thousands separated by points"),
        ("x;y\n1'234.5;2\n", [[1234.5, 2]], "thousands separated by apostrophes"),
        ("acc #1,acc #2\n1,2\n", [[1, 2]], ""),
        ("#,x\n1,0.5\n2,0.25\n", [[0.5], [0.25]], "numbers the rows"),
        ("# x,y\n1.5,2.5\n", [[1.5, 2.5]], "names are taken from line 1"),
        ("x,y\n#N/A,2\n1,-\n", [[None, 2], [1, None]], ""),
        ("A title\n\nx,y\n1,2\n", [[1, 2]], "titles"),
        ("x,y\n[V],m/s2\n1,2\n", [[1, 2]], "row of units"),
        ("0,1,2\n0.5,1.5,2.5\n", [[0.5, 1.5, 2.5]], "header of numbers"),
        (",x,y\n3,1,2\n4,5,6\n", [[1, 2], [5, 6]], "numbers the rows"),
        ("x,y\n1,2\n3,4\nTotal,6\n", [[1, 2], [3, 4]], "'Total' sums"),
        ("x,y\n1,2\n합계,\n", [[1, 2]], "sums the others up"),
        ("x,y,\n1,2,\n", [[1, 2]], ""),
        ("x,y\n1,2,\n3,4,\n", [[1, 2], [3, 4]], ""),
        ("sep=;\nx;y\n1;2\n", [[1, 2]], ""),
        ("time,x\n0,1\n1,2\n2,4\n", [[1], [2], [4]], "'time' is rising time: not a channel"),
        ("when;x\n01.05.2024 10:00;1\n02.05.2024 10:00;2\n", [[1], [2]], "'when' is rising time"),
        ("23:59:58,1\n23:59:59,2\n00:00:00,3\n", [[1], [2], [3]], "column 0 is rising time"),
        ("t,x\n0,1\n1,2\n2,3\n9,3\n10,3\n11,3\n12,3\n13,3\n14,3\n15,3\n16,3\n17,3\n",
         [[1], [2]] + [[3]] * 10, "with gaps"),
        ("t,x\n0,1\n1,2\n2,3\n4,3\n6,3\n7,3\n", [[1], [2]] + [[3]] * 4, "more than one rate"),
        ("x\n1\n\n2\n", [[1], [2]], ""),
        ("1.,2.\n3.,4.", [[1, 2], [3, 4]], ""),
        ("Sample Index, EXG 0, EXG 1\n0, 1.5, 2.5\n1, 1.5, 2\n", [[1.5, 2.5], [1.5, 2]], "numbers"),
        ("a\tb\nyyyy/mm/dd hh:mm:ss.000\tm/(s^2)\n2024/01/02 10:00:00.000\t1.5\n",
         [[1.5]], "row of units"),
        ("time,seconds_elapsed,x\n17,0.01,1\n18,0.02,2\n", [[1], [2]], "'seconds_elapsed' is"),
        ("1,2\n3,4\n", [[1, 2], [3, 4]], "features.decimal"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp949"])
def test_what_is_not_evident_is_said(content, values, remark, encoding):
    found, _, said = read(content.encode(encoding))
    expected = np.array(values, dtype=float)
    assert np.array_equal(np.array(found, dtype=float), expected, equal_nan=True)
    assert remark in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x,y\n0,439,1,250\n", r"line 2 has 4 values, line 1 names 2 .*features\.decimal"),
        ("x;y\n1,234;2\n", r"line 2, column 'x': '1,234' can be read in two ways.*decimal"),
        ("x;y\n0,5;1\n0.5;1\n", r"line 3, column 'x': '0.5' .*both a comma and a point"),
        ("x,y\n1,2\n3\n", r"line 3 has 1 values?, "),
        ("x,y\n1,2\n3,4,5\n", r"line 3 has 3 values"),
        ("x,y,\n1,2,\n3,4,5\n6,7,\n", r"line 3 .*names 2 columns: '5' has no column"),
        ("x,y\n1,2\n3,oops\n4,5\n", r"column 'y' holds 'oops' in line 3"),
        ("OVER,2.5\n1.5,2.5\n", r"line 1, column 0: 'OVER' is not a number.*features\.header"),
        ("0,1\n5,7\n", r"line 1: '0, 1' may be pandas' header.*features\.header"),
        ("time,x\n0,1\n5,2\n3,4\n", r"line 4, column 'time'.*earlier.*features\.ignore"),
        ("1,5,2,05\n", r"line 1, column 3: '05' may be the second half.*features\.decimal"),
        ("1 234\n5 678\n", r"line 1: '1 234' is one number or several; features\.thousands"),
        ('x,y\n1,"2\n3,4\n5,6\n', r"line 2"),
        ("x,y\n1.5,2.5\n1.1,2.", r"truncated: line 3: '2\.' ends behind its decimal sign"),
        ("x;y\n1,5;2,5\n1,1;2,", r"truncated: line 3: '2,' ends behind its decimal sign"),
        ("a b\tc\n1\t2\n3\t\t4\n5\t6\n", r"line 3 has 3 values, the columns .* are 2"),
        ("x,y\n#####,2\n1,3\n", r"line 2.*'#####'|'#####' in line 2"),
        ("x,y\n1,2\n3,1e300\n", r"line 3 \(step 1\), channel 'y': 1e\+300 does not fit"),
        ("<!DOCTYPE html><html>404</html>", r"line 1: '<!DOCTYPE.* begins HTML; expected a table"),
        ('{"x": 1, "y": 2}\n', r"line 1: '\{\"x\".* begins JSON"),
        ("[[1, 2],\n[3, 4]]\n", r"begins a list of lists"),
        ("@relation x\n@attribute a numeric\n@data\n1,2\n3,4\n", r"begins ARFF"),
        ("time\n0\n1\n", r"no channel .*'time'.*features\.channels"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_line_and_the_setting(content, said):
    assert re.search(said, refusal(content.encode()))


def test_settings_decide_what_is_open():
    assert read(b"x;y\n1,234;2\n", decimal=",")[0] == [[np.float32(1.234), 2]]
    assert read(b"x;y\n1,234;2\n", decimal=".")[0] == [[1234, 2]]
    assert read(b"x,y\n0,439,1,250\n", decimal=",")[0] == [[np.float32(0.439), 1.25]]
    assert read(b"x,y\n0,5,2,5\n", decimal=",")[0] == [[0.5, 2.5]]
    assert read(b"x,y\n8,5\n3,9\n", decimal=",")[0] == [[8, 5], [3, 9]]
    assert read(b'"8","5"\n"3","9"\n', decimal=",")[0] == [[8, 5], [3, 9]]
    assert read(b"1 234\n5 678\n", thousands=" ")[0] == [[1234], [5678]]
    assert read(b"0,1\n5,7\n", header=False)[0] == [[0, 1], [5, 7]]
    assert read(b"a, b, c\n1,2\n", skip_rows=1)[0] == [[1, 2]]
    assert read(b"time,x\n0,1\n5,2\n3,4\n", ignore=["time"])[0] == [[1], [2], [4]]
    assert read(b"time,x\n0,1\n5,2\n3,4\n", channels=["time"])[0] == [[0], [5], [3]]


def test_a_workbook_and_its_sheets():
    rows = [["Messung 12"], ["x", "y"], [0.5, 2.0], [1.5, "NA"], ["Total", 2.0]]
    values, names, said = read(workbook_bytes(rows))
    assert np.array_equal(values, [[0.5, 2], [1.5, np.nan]], equal_nan=True)
    assert names == ("x", "y") and "titles" in said and "'Total'" in said
    two = workbook_bytes(rows, [["x"], [7.0]])
    assert "features.sheet; found: Sheet1, Sheet2" in refusal(two)
    assert read(two, sheet="Sheet2")[0] == [[7]]
    assert "no sheet 'Other'" in refusal(two, sheet="Other")
    assert "line 4" in refusal(workbook_bytes([["x", "y"], [1.0, 2.0], [3.0, 4.0], [5.0, "oops"]]))


def test_times_are_no_channel_in_parquet_either():
    file = io.BytesIO()
    moments = [datetime(2024, 1, 1, 0, 0, second) for second in range(3)]
    pyarrow.parquet.write_table(pyarrow.table({"when": moments, "x": [1.0, 2.0, 4.0]}), file)
    values, names, said = read(file.getvalue())
    assert values == [[1], [2], [4]] and names == ("x",) and "rising time" in said


def test_labels_of_steps_belong_to_the_rows_that_are_read():
    table = "A title\nx;label\n[V];\n0,5;up\n1,5;NA\nTotal;\n".encode("utf-16")
    assert read(table)[0] == [[0.5], [1.5]]
    assert read_words(table, "label", 1e6).tolist() == ["up", "NA"]


def test_a_trailing_delimiter_hides_neither_a_header_of_0_nor_a_split_number():
    """A lone "0" above the values is named as a value; a header of one name has no two columns."""
    table = read_text_table(b'"0"\t\r\n"-8"\t\r\n"9"\t\r\n', TableOptions())
    assert any("'0', is a value and no header" in note for note in table.notes)
    with pytest.raises(BadInput, match=r"line 2 has 3 values, line 1 names 1 columns.*decimal"):
        read_text_table(b"gyr_z,\n0,149,\n0,539,\n-1,334,\n", TableOptions())


def test_a_row_index_is_none_of_the_channels_below_joined_names():
    """Two lines of names whose first cell is empty still leave the index without a name."""
    rows = "".join(f"{n}|{n % 3}.5|2.25\n" for n in range(7, 19))
    steps = Channels.parse({"kind": "channels"}).read(f"|low|high\n|acc|acc\n{rows}".encode())
    assert steps.names == ("low acc", "high acc")
    assert [aside.place for aside in steps.asides] == [0]


@pytest.mark.parametrize("first", ["NaN,NaN", "#DIV/0!,#NV", "NA,n.d.", "--,--"])
@pytest.mark.parametrize("names", ["", "x,y\n"])
def test_a_first_row_of_missing_values_is_a_row(first, names):
    values, found, notes = read(f"{names}{first}\n1.5,2.5\n3.5,2.25\n".encode())
    assert [row[:2] for row in values[1:]] == [[1.5, 2.5], [3.5, 2.25]]
    assert found == (("x", "y") if names else None)
    assert "names" not in notes


@pytest.mark.parametrize("cell", ["(1.5)", "1.5%", "1.5-", "$1.5", "Over", "-OL", "1.5*", "12:30"])
def test_a_first_row_of_what_is_no_number_is_refused_and_not_taken_for_names(cell):
    refused = refusal(f"x,y\n{cell},{cell}\n1.5,2.5\n3.5,2.25\n".encode())
    assert f"line 2, column 0: '{cell}'" in refused and "features.header" in refused


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@pytest.mark.parametrize("word", ["#WERT!", "#NV", "#Н/Д", "#N/D", "#VALEUR!", "#¡DIV/0!"])
def test_error_words_of_other_languages_are_no_comments(delimiter, word):
    table = delimiter.join(("1.5", "2.5")) + "\n" + delimiter.join((word, "3.5")) + "\n4.5"
    values, _, _ = read(f"{table}{delimiter}5.5\n".encode())
    np.testing.assert_array_equal(values, [[1.5, 2.5], [np.nan, 3.5], [4.5, 5.5]])


@pytest.mark.parametrize(
    ("table", "values", "remark"),
    [
        (
            "x,y\n1.5,2.5\n1.25,2.25\nx,y\n3.5,4.5\n",
            [[1.5, 2.5], [1.25, 2.25], [3.5, 4.5]],
            "repeat",
        ),
        ("x,y\n1.5,2.5\n1.25,2.25\nTotal rows: 100\n", [[1.5, 2.5], [1.25, 2.25]], "'Total rows"),
        ("x,y\n1.5,2.5\n1.25,2.25\n\n(2 rows affected)\n", [[1.5, 2.5], [1.25, 2.25]], "affected"),
        ("x,y\n,\n1.5,2.5\n", [[1.5, 2.5]], "above the values that hold nothing"),
        ("x;y\n1,23,456;2.5\n12,34,567.5;3\n", [[123456, 2.5], [1234567.5, 3]], "by commas"),
        ("x,y\n\u20131.5,2.5\n1.5,\uff0d2.5\n", [[-1.5, 2.5], [1.5, -2.5]], ""),
        ("x,y\n1.5D+02,２．５\n1.5,\u200e2.5\n", [[150, 2.5], [1.5, 2.5]], ""),
        ("0,0.5\n1,0.25\n2,0.75\n", [[0, 0.5], [1, 0.25], [2, 0.75]], "rises evenly"),
        (
            "일시,x\n2026년 1월 9일 오후 3:04:05,1\n2026년 1월 9일 15시 4분 6초,2\n",
            [[1], [2]],
            "rising",
        ),
        ("时间,x\n2026/1/9 上午 11:04:05,1\n2026年1月9日12时04分06秒,2\n", [[1], [2]], "rising"),
        ("1764420000.0\n4.0\n0.5\n0.25\n", [[0.5], [0.25]], "Empatica"),
        ("t,x\n00:59.5,1\n01:00.0,3\n", [[1], [3]], "rising time: not a channel; a row every 0.5"),
        (",x\n0 days 23:59:59.5,1\n1 days 00:00:00,3\n", [[1], [3]], "a row every 0.5 s"),
        ("t,x\n2024-10-27 01:59:59 CEST,1\n2024-10-27 03:00:00 CET,3\n", [[1], [3]], "rising"),
        ("x,y\n+  1.5,-  2.5\n-  1.25,+  9\n", [[1.5, -2.5], [-1.25, 9]], ""),
        ('"x" "y"\n"1" 1.5 2.5\n"2" 0.5 0.25\n', [[1.5, 2.5], [0.5, 0.25]], "as R writes them"),
        ("t,x,,t,y\n0,5,,0,7\n1,6,,1,3\n", [[5, 7], [6, 3]], "column 3 is empty; those right of"),
        ("x,y\n1.5,3\n\ufeffx,y\n0.5,4\n", [[1.5, 3], [0.5, 4]], "repeat the column names"),
        ("x,class\n1.5,0\n0.5,1\n", [[1.5, 0], [0.5, 1]], "'class' is a channel, though"),
        ("x,y\n1.5,1e20\n0.5,3\n", [[1.5, 1e20], [0.5, 3]], "1e+20, read as a value"),
    ],
)
def test_what_instruments_write_beside_numbers(table, values, remark):
    found, _, notes = read(table.encode())
    np.testing.assert_array_equal(np.float32(values), np.float32(found))
    assert remark in notes


def test_units_and_kinds_of_a_logger_are_no_names():
    head = '"TOA5","CR1000","1"\n"TIMESTAMP","RECORD","Temp"\n"TS","RN","Deg C"\n"","","Avg"\n'
    rows = '"2026-11-29 12:00:00",7,21.5\n"2026-11-29 12:01:00",8,21.25\n'
    values, names, notes = read((head + rows).encode(), missing="error")
    assert (values, names) == ([[21.5], [21.25]], ("Temp",))
    assert "'RECORD' numbers the rows" in notes


def test_a_time_that_counts_is_no_row_number_of_r():
    assert "line 2 has 3 values, line 1 names 2" in refusal(b"t x\n1 1.5 2.5\n2 0.5 0.25\n")


def test_names_in_several_lines_have_no_part_of_a_column_without_one():
    head = ",,Rotation,Rotation,Position\nFrame,Time (Seconds),X,Y,X\n"
    values, names, _ = read((head + "0,0.0,5,7,8\n1,0.5,6,4,2\n").encode())
    assert values == [[5, 7, 8], [6, 4, 2]]
    assert names == ("Rotation X", "Rotation Y", "Position X")
    values, names, _ = read(b"sensor,acc,acc,gyr\naxis,x,y,x\ntime,,,\n0,5,7,8\n1,6,4,2\n")
    assert names == ("acc x", "acc y", "gyr x")
    assert "features.decimal" in refusal(b"Logger 7, list below\ngyr\n-5,6154e+02\n")


@pytest.mark.parametrize("head", ["t,x", "t,x,z"])
def test_a_second_table_below_the_first_is_refused_by_its_line(head):
    rows = "".join(f"{step},{step % 7}\n" for step in range(60))
    more = "1,2,3\n"[: 2 * head.count(",") + 2].rstrip(",") + "\n"
    message = refusal(f"t,x\n{rows}\n{head.replace('x', 'y')}\n{more}{more}".encode())
    assert "line 63: 't, y" in message and "a second table" in message


def test_a_table_beside_another_that_is_longer_is_said():
    features = Channels.parse({"kind": "channels", "missing": "interpolate"})
    notes = " ".join(features.read(b"t,x,,Mean\n0,5,,4\n1,6,,\n2,7,,\n").notes)
    assert "column 3 is empty" in notes and "perhaps a second table" in notes


def test_a_header_longer_than_its_rows_by_remarks_is_read():
    rows = "".join(f"{number / 100:.6f}\t{number}.5\n" for number in range(40))
    head = "LabVIEW Measurement\t\nOperator\tme\nX_Value\tVoltage\tComment\n"
    values, names, _ = read((head + rows).encode(), missing="error")
    assert names == ("Voltage",) and values[3] == [3.5] and len(values) == 40


def test_numbers_that_begin_with_0_are_said_to_be_decimal():
    _, _, notes = read(b"x,bits,time,month\n0.5,0101,000102,01\n0.25,1101,000103,02\n")
    assert "column 'bits' holds '0101', read as a decimal number" in notes
    assert notes.count("decimal number") == 1


def test_a_first_column_that_rises_unevenly_is_said_to_be_a_channel():
    months = [202305 + n + 88 * (n > 7) for n in range(10)]
    rows = "".join(f"{month},{n % 3}.5\n" for n, month in enumerate(months))
    _, names, notes = read(f"ym,x\n{rows}".encode())
    assert names == ("ym", "x") and "column 'ym' rises throughout, as times do" in notes
    _, _, notes = read(f"ym,x\n{rows[: rows.index('202310')]}9,1\n".encode())
    assert "rises" not in notes


def test_the_line_below_the_names_of_markdown_is_drawn():
    values, names, notes = read(b"| x | y |\n|:--|-:|\n| 1.5 | 2 |\n| 1.25 | 3 |\n")
    assert names == ("x", "y") and values == [[1.5, 2], [1.25, 3]]
    assert "line 2 is drawn below the names: not a step" in notes


def test_dots_for_rows_that_were_left_out_are_no_names():
    assert "column 'x' holds '...' in line 3" in refusal(b"x,y\n1.5,2\n...,...\n2.5,1\n")


def test_an_overload_of_an_instrument_is_no_value():
    assert "line 3 (step 1), channel 'y'" in refusal(b"x,y\n1.5,2.5\n1.25,9.9E+37\n1.5,2.0\n")
    values, _, _ = read(b"x,y\n1.5,2.5\n1.25,9.91E+37\n1.5,2.0\n")
    np.testing.assert_array_equal(values, [[1.5, 2.5], [1.25, np.nan], [1.5, 2.0]])


def test_a_number_that_stands_for_none_is_said():
    _, _, notes = read(b"x,y\n1.5,2.5\n-9999,2.25\n1,2\n")
    assert "'x' holds -9999, read as a value" in notes
    assert "-999" not in read(b"x,y\n-999,2.5\n-998,2.25\n")[2]


@pytest.mark.parametrize(
    "periods",
    [
        ("2024-11", "2024-12", "2025-1"),
        ("11/2024", "12/2024", "01/2025"),
        ("Nov 2024", "December 2024", "Jan 2025"),
        ("Nov-24", "Dec-24", "Jan-25"),
        ("2024년 11월", "2024년 12월", "2025년 1월"),
        ("2024Q3", "2024-Q4", "2025 Q1"),
        ("3Q24", "Q4 2024", "2025년 1분기"),
        ("2024년", "2025년", "2026년"),
        ("2024-W9", "2024W10", "2024년 11주"),
    ],
)
def test_months_quarters_weeks_and_years_are_times(periods):
    rows = zip(periods, (1.5, 0.5, 3), (2, 1, 7), strict=True)
    content = "period,x,y\n" + "".join(f"{period},{x},{y}\n" for period, x, y in rows)
    values, _, remarks = read(content.encode())
    np.testing.assert_array_equal(values, [[1.5, 2], [0.5, 1], [3, 7]])
    assert "column 'period' is rising time: not a channel" in remarks


def test_months_may_name_columns():
    values, names, _ = read(b"2024-01,2024-02\n1.5,2.5\n0.5,1.5\n", header=True)
    assert names == ("2024-01", "2024-02")
    np.testing.assert_array_equal(values, [[1.5, 2.5], [0.5, 1.5]])


def test_years_alone_are_a_channel_that_is_said():
    _, names, remarks = read(b"year,x\n2001,1\n2002,7\n2003,2\n")
    assert names == ("year", "x")
    assert "column 'year' rises evenly, as times do, and is a channel" in remarks


def test_numbers_that_may_be_a_header_of_floats_are_said():
    values, _, remarks = read(b"0.0,1.0,2.0\n0.5,0.25,0.75\n0.1,0.5,0.25\n")
    assert len(values) == 3 and "line 1, of whole numbers above others" in remarks
    assert "features.header" not in read(b"4.0,1.0,2.0\n0.5,0.25,0.75\n0.1,0.5,0.25\n")[2]
