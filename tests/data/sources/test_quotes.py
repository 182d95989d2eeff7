"""Quotation marks that swallow rows are noticed; those that begin values are not."""

import csv
from pathlib import Path

import pytest

from seqbelt.data.sources.raw_tables import Columns, Style
from seqbelt.data.sources.tables import read_manifest
from seqbelt.errors import SettingsError


def rows_of(path: Path, **style) -> list[str]:
    return read_manifest(path, Columns(), Style(**style)).column("text").tolist()


def write(path: Path, texts: list[str], delimiter: str = "\t", end: str = "\n") -> Path:
    lines = [delimiter.join(["text", "label"])]
    lines += [f"{text}{delimiter}{'pos' if n % 2 else 'neg'}" for n, text in enumerate(texts)]
    path.write_bytes((end.join(lines) + end).encode())
    return path


def texts(**odd: str) -> list[str]:
    found = [f"this film was number {n}" for n in range(60)]
    for name, form in odd.items():
        found[int(name[1:])] = form.format(found[int(name[1:])])
    return found


@pytest.mark.parametrize(
    ("odd", "line"),
    [
        ({"r10": '"{}', "r30": '"{}'}, 12),  # runs from one stray mark to the next
        ({"r10": '"{}', "r30": '{}"'}, 12),  # and is closed there as it should be
        ({"r10": '"{}', "r11": '{}"'}, 12),
        ({"r10": '"{}'}, 12),  # to the end of the file
        ({"r59": '"{}'}, 61),
        ({"r7": '"Oh" {}'}, 9),  # closes inside the value
        ({"r7": '"{}" he said'}, 9),
    ],
)
@pytest.mark.parametrize("delimiter", ["\t", ","])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_mark_that_is_no_quotation_is_refused_by_its_line(tmp_path, odd, line, delimiter, end):
    path = write(tmp_path / "reviews.tsv", texts(**odd), delimiter, end)
    with pytest.raises(SettingsError, match=rf"reviews\.tsv, line {line}: .*data\.quoting: false"):
        rows_of(path, delimiter=delimiter)
    assert rows_of(path, delimiter=delimiter, quoting=False) == texts(**odd)


def test_values_in_quotation_marks_are_read(tmp_path):
    written = [
        "two\nlines, and a comma",
        'she said "so"\nand left',
        '"',
        '5" pipe',
        "",
        "a list:\n- one, two\n- three, four\n\nend",
        *texts(),
    ]
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("text", "label"),
                *((text, "pos" if n % 2 else "neg") for n, text in enumerate(written)),
            ]
        )
    assert rows_of(path) == written
    unquoted = write(tmp_path / "pipes.tsv", ['5" pipe', 'a 5" and a 6" pipe', "plain"])
    assert rows_of(unquoted) == ['5" pipe', 'a 5" and a 6" pipe', "plain"]
