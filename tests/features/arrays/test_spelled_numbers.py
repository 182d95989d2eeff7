"""Columns that spell numbers in one way throughout are read, and that is said; others refused."""

import pytest

from seqbelt.errors import BadInput
from seqbelt.features.arrays.channels import Channels


def look(content: str):
    """Values, names, and what is said."""
    features = Channels.parse({"kind": "channels", "missing": "mask"})
    raw = features.read(content.encode())
    if (problem := features.problem(raw)) is not None:
        raise problem
    return raw.values.tolist(), raw.names, " ".join(raw.notes)


@pytest.mark.parametrize(
    ("table", "values", "said"),
    [
        ("x,U\n3,12.5 mV\n1,-.5 mV\n", [[3, 12.5], [1, -0.5]], "'U': every cell has the unit 'mV'"),
        ("U,I\n1.5mV,2 A\n0.5mV,1 A\n", [[1.5, 2], [0.5, 1]], "'I': every cell has the unit 'A'"),
        ("x;T\n3;21.5 °C\n1;20.0 °C\n", [[3, 21.5], [1, 20]], "the unit '°C', which is left out"),
        ("x,code\n3,0x1F\n1,0X0a\n", [[3, 31], [1, 10]], "'code': numbers are hexadecimal"),
        ("x,valve\n3,ON\n1,off\n", [[3, 1], [1, 0]], "'valve': on and off are 1 and 0"),
        ("x,valve\n3,TRUE\n1,false\n", [[3, 1], [1, 0]], "'valve': true and false are 1 and 0"),
    ],
)
def test_numbers_spelled_in_one_way_are_read_and_said(table, values, said):
    found, _, notes = look(table)
    assert found == values and said in notes


@pytest.mark.parametrize(
    "table",
    [
        "x,U\n3,12.5 mV\n1,0.5 V\n",  # two units
        "x,U\n3,12.5 mV\n1,0.5\n",
        "x,U\n3,12.5 rooms\n1,0.5 rooms\n",  # no unit
        "x,R\n3,1.5k\n1,0.5k\n",  # thousands, and not kelvin
        "x;y;U\n3,5;1;1.200 mV\n1,5;2;0.500 mV\n",  # decimal commas: a point may be another sign
        "x,code\n3,0x1F\n1,10\n",
        "x,valve\n3,on\n1,open\n",
        "12.5 mV,0.5 V\n11.5 mV,0.5 V\n",  # the first line would be names
        "ON,OFF\nON,OFF\n",
    ],
)
def test_numbers_spelled_in_several_ways_or_without_names_are_refused(table):
    with pytest.raises(BadInput, match=r"line \d"):
        look(table)
