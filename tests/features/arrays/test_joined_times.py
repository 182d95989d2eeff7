"""A time that stands in several columns of a table is none of its channels, and that is said."""

import io

import pyarrow
import pyarrow.parquet
import pytest

from seqbelt.errors import BadInput
from seqbelt.features.arrays.channels import Channels

TOGETHER = "are rising time together: no channels"


def look(content: bytes | str, **told):
    """Names of the channels, and what is said."""
    features = Channels.parse({"kind": "channels", **told})
    raw = features.read(content.encode() if isinstance(content, str) else content)
    remarks = features.remarks(raw, features.encoder(features.learn([raw])))
    assert len(set(remarks)) == len(remarks)
    return raw.names, " ".join(remarks)


@pytest.mark.parametrize(
    ("table", "names", "said"),
    [
        (
            "year,month,day,hour,minute,second,x\n2023,12,31,23,59,59.5,7\n2024,1,1,0,0,0.5,9\n",
            ("x",),
            f"'minute', 'second' {TOGETHER}; a row every 1 s",
        ),
        ("년,월,일,시,분,값\n2024,2,28,23,59,1\n2024,2,29,0,0,2\n", ("값",), "a row every 60 s"),
        ("Jahr;Monat;Tag;Wert\n2024;1;31;1,5\n2024;2;1;0,5\n", ("Wert",), TOGETHER),
        ("Year,DOY,hhmm,x\n2024,366,2350,1\n2024,366,2400,2\n2025,1,10,3\n", ("x",), "6e+02 s"),
        ("YY MM DD hh mm x\n24 1 31 23 50 120\n24 2 1 0 0 130\n", ("x",), "a row every 6e+02 s"),
        ("hour,min,sec,x\n23,59,59,1\n0,0,0,2\n", ("x",), "a row every 1 s"),
        ("date,time,x\n2024-01-31,20:00:00,1\n2024-02-01,08:00:00,2\n", ("x",), TOGETHER),
        ("Uhrzeit;Datum;x\n20:00:00;31.01.2024;1\n08:00:00;01.02.2024;2\n", ("x",), TOGETHER),
        ("Datum;Stunde;x\n31.01.2024;23;1\n01.02.2024;0;2\n", ("x",), "a row every 3.6e+03 s"),
        ("Year,Week,x\n2023,52,1\n2024,1,2\n", ("x",), "'Year', 'Week' are rising time together"),
        ("year,Quarter,x\n2023,4,7\n2024,1,9\n", ("x",), "'year', 'Quarter' are rising time"),
        ("Date,Time,x\n45292,0.75,7\n45293,0.25,9\n", ("x",), "a row every 4.3e+04 s"),
        ("year,quarter,week,x\n2024,1,13,7\n2024,2,14,9\n", ("x",), "a row every 6e+05 s"),
        ("연도,분기,값\n2024,1,7\n2024,2,9\n", ("값",), "a row every 7.9e+06 s"),
        ("date,hour,x\n2024-01-31,5,1\n2024-01-31,4,2\n", ("hour", "x"), "'date' is rising time"),
        ("date,time,x\n20240131,235959,1\n20240201,000000,2\n", ("x",), "a row every 1 s"),
        ("date,time,x\n2024-01-31,23:59:59,1\n2024-01-31,00:00:00,2\n", ("x",), "'date' is rising"),
        ("hour,minute,x\n12,30,1\n12,29,2\n", ("hour", "minute", "x"), "do not give one"),
        ("year,month,day,x\n2024,2,29,1\n2024,2,30,2\n", ("year", "month", "day", "x"), "do not"),
        ("hour,min,max\n1,2,7\n2,1,9\n", ("hour", "min", "max"), ""),
        ("year,x\n2020,1\n2021,5\n", ("year", "x"), ""),
        ("2024 1 31 23 7.5\n2024 2 1 0 9.5\n", None, "0, 1, 2, 3 rise together as the parts"),
    ],
)  # fmt: skip
def test_parts_of_a_time_are_no_channels(table, names, said):
    found, remarks = look(table)
    assert found == names and said in remarks


@pytest.mark.parametrize(("shift", "is_said"), [(0, False), (0.25, True)])
def test_a_second_column_of_times_is_none_of_the_channels(shift, is_said):
    names, remarks = look(f"time,a,time,b\n0,5,{shift},6\n1,4,{1 + shift},7\n")
    assert names == ("a", "b")
    assert ("times 'time' and 'time.1' differ: a row is not of one time" in remarks) == is_said


def test_times_in_parts_that_fall_are_refused_by_their_line():
    table = "year,month,day,x\n2024,1,3,1\n2024,1,2,2\n"
    with pytest.raises(BadInput, match=r"line 3, columns 'year', 'month', 'day': the time is ear"):
        look(table)
    assert look(table, ignore=("year", "month", "day"))[0] == ("x",)


def test_parts_of_a_time_in_parquet_and_for_a_model_that_knows_them():
    columns = {"year": [2024, 2024], "month": [1, 2], "day": [31, 1], "x": [1.5, 0.5]}
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert look(file.getvalue())[0] == ("x",)
    features = Channels.parse({"kind": "channels"})
    earlier = features.encoder(features.learn_shape((4,), ("year", "month", "day", "x")))
    (encoded,) = earlier.encode([features.read(file.getvalue())])
    assert encoded.tolist() == [[2024, 1, 31, 1.5], [2024, 2, 1, 0.5]]
