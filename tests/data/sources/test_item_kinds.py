"""Which features ``init`` proposes for texts."""

import pytest

from seqbelt.data.sources import item_kinds
from seqbelt.data.sources.item_kinds import FEW_TEXTS, look_into_texts
from seqbelt.features.arrays.channels import Channels

KOREAN, ENGLISH = ["정말 재미있는 영화"], ["a great film"]


@pytest.mark.parametrize(
    ("texts", "num_texts", "is_installed", "kind", "word"),
    [
        (KOREAN, FEW_TEXTS, True, "morpheme", "stems and endings"),
        (KOREAN, FEW_TEXTS, False, "subword", "seqbelt[korean]"),
        (KOREAN, FEW_TEXTS - 1, True, "jamo", "few"),
        (ENGLISH, FEW_TEXTS, True, "subword", "enough"),
        (ENGLISH, FEW_TEXTS - 1, True, "character", "few"),
    ],
)
def test_the_kind_for_texts(monkeypatch, texts, num_texts, is_installed, kind, word):
    monkeypatch.setattr(item_kinds, "find_spec", lambda name: is_installed or None)
    look = look_into_texts(texts, num_texts)
    assert look.settings == {"kind": kind}
    assert word in look.reasons["kind"]


@pytest.fixture
def tables(tmp_path):
    """Twenty tables of text files: those of the first class are short, one of the others broken."""
    paths = [tmp_path / f"{'ab'[number // 10]}{number}.txt" for number in range(20)]
    for number, path in enumerate(paths):
        path.write_text("1 2 3\n4 5 7\n" * (2 if number < 10 else 50))
    paths[18].write_text("1 2 3\nthe battery was changed here\n")
    return paths


def test_files_of_all_classes_are_looked_into(tables):
    look = item_kinds.look_into_files(tables[0].parent, [path.name for path in tables])
    assert look.kind == "tables"
    assert look.lengths.startswith("4 to 100 steps")
    assert any("a19" not in warning and "b18" in warning for warning in look.warnings)


def test_long_lengths_are_written_out(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("1 2\n3 5\n" * (20_000 if number else 5_000))
    look = item_kinds.look_into_files(tmp_path, ["0.csv", "1.csv", "2.csv"])
    assert look.lengths == "10,000 to 40,000 steps, median 40,000"


def test_one_table_among_texts_does_not_make_them_tables(tables):
    for path in tables[1:]:
        path.write_text("a great film")
    look = item_kinds.look_into_files(tables[0].parent, [path.name for path in tables])
    assert look.kind == "text"


def test_a_table_is_read_once(tables, monkeypatch):
    read = []

    class Counting(Channels):
        def read(self, source):
            read.append(source)
            return super().read(source)

    monkeypatch.setattr(item_kinds, "CHANNELS", Counting(kind="channels"))
    tables[18].write_text("1 2 3\n" * 9)
    item_kinds.look_into_files(tables[0].parent, [path.name for path in tables])
    assert len(read) == len(set(read)) > 4


def write_tables(folder, header, row):
    paths = [folder / f"{number}.csv" for number in range(4)]
    for path in paths:
        path.write_text("\n".join([header, *(row(step) for step in range(9))]))
    return paths


def test_columns_of_words_and_labels_are_left_out(tmp_path):
    paths = write_tables(
        tmp_path, "session,label,x,y", lambda step: f"a_{step},1,{step * 7 % 5},{step}.5"
    )
    look = item_kinds.look_into_files(tmp_path, [path.name for path in paths])
    assert look.settings == {"kind": "channels", "ignore": ("label", "session")}
    assert "'a_0' in line 2" in look.reasons["ignore"]
    assert "column 'label' is ignored" in look.reasons["kind"]
    assert not look.warnings


def test_missing_values_are_interpolated(tmp_path):
    paths = write_tables(
        tmp_path, "x,y", lambda step: f"{step * 7 % 5},{'' if step == 4 else step}"
    )
    look = item_kinds.look_into_files(tmp_path, [path.name for path in paths])
    assert look.settings == {"kind": "channels", "missing": "interpolate"}
    assert "line 6" in look.reasons["missing"]
    assert "features." not in look.reasons["missing"]
    assert not look.warnings
