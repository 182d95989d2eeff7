import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.data.sources.names import (
    clean_name,
    find_folds,
    find_lookalikes,
    find_lost_digits,
    find_mangled,
    find_missing,
    part_of,
    resembles_part,
)
from seqbelt.data.sources.raw_tables import as_text


@pytest.mark.parametrize(
    "written",
    ["긍정", "긍정 ", "\u200b긍정", "긍정\xa0", "\ufeff긍정", "긍정\u200d", "\u3000긍정",
     unicodedata.normalize("NFD", "긍정")],
)  # fmt: skip
def test_what_looks_like_one_name_is_one(written):
    assert clean_name(written) == "긍정"


def test_names_that_people_tell_apart_stay_apart():
    names = ["POS", "pos", "C", "C++", "C#", "1", "-1", "+", "-", "❤\ufe0f", "👩\u200d🚀"]
    assert [clean_name(name) for name in names] == names


@given(st.text())
def test_a_clean_name_stays_as_it_is(name):
    assert clean_name(clean_name(name)) == clean_name(name)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Train", "train"), ("TRAINING", "train"), ("1.Training", "train"), ("train_set", "train"),
        ("trainset", "train"), ("학습", "train"), ("학습용", "train"), ("训练集", "train"),
        ("Val", "validation"), ("valid", "validation"), ("dev", "validation"),
        ("검증", "validation"), ("2.Validation", "validation"), ("Testing", "test"),
        ("test-data", "test"), ("테스트", "test"),
        ("테스트셋", "test"), ("测试", "test"), (unicodedata.normalize("NFD", "학습"), "train"),
        ("dog", None), ("trains", None), ("blood_test", None), ("train1", None), ("eval", None),
        ("test tube", None), ("", None), ("12", None),
    ],
)  # fmt: skip
def test_parts_are_known_in_usual_spellings_and_no_others(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("name", "part"),
    [("train-clean-100", "train"), ("seg_test", "test"), ("train1", "train"), ("eval", "?"),
     ("holdout", "?"), ("dog", None), ("contest", None), ("brainwave", None)],
)  # fmt: skip
def test_names_that_speak_of_a_part_are_noticed(name, part):
    assert resembles_part(name) == part


@pytest.mark.parametrize(
    "names",
    [("POS", "pos"), ("wave-left", "wave_left"), ("ＡＢ", "ab"), ("1", "1.0"), ("07", "7"),
     ("a ", "a"), ("❤", "❤\ufe0f"), ("KIZ", "kız"), ("cat", "c\u0430t"), ("a–b", "a-b"),
     ("'x'", "x")],
)  # fmt: skip
def test_look_alikes_are_found_with_their_counts(names):
    (finding,) = find_lookalikes({names[0]: 3, names[1]: 40, "other": 5}, "classes")
    assert "(3)" in finding and "(40)" in finding and "other" not in finding


def test_other_names_are_no_look_alikes():
    apart = ["1", "-1", "+", "-", "a", "b", "1.5", "15", "10", "100", "wave left", "wave"]
    assert find_lookalikes(dict.fromkeys(apart, 1), "classes") == []


def test_a_class_that_a_spreadsheet_made_a_date_is_said():
    (said,) = find_mangled({"1-2": 5, "02-Jan": 3, "Mary": 1}, "class")
    assert said.startswith("class '02-Jan' (3) looks like a date")
    assert not find_mangled({"Jan-24": 5, "Feb-24": 5}, "class")


def test_long_numbers_are_apart_and_those_that_lost_digits_are_said():
    assert not find_lookalikes({str(2**64): 1, str(2**64 + 1): 1}, "classes")
    (said,) = find_lost_digits({"1.23457E+17": 3, "9007199254740992.0": 1, "7": 2}, "group")
    assert said.startswith("group '1.23457E+17' (3), '9007199254740992.0' (1) may have lost digits")
    assert not find_lost_digits({str(2**64): 1, "1e5": 1, "1E": 1}, "group")
    assert as_text(float(2**53 + 2)) == "9007199254740994.0"


def test_classes_that_are_called_like_folds_are_said():
    (said,) = find_folds(["fold1", "Fold_2", "fold10"])
    assert said.startswith("classes fold1, Fold_2, fold10 are called like folds")
    assert not find_folds(["fold1"]) and not find_folds(["fold1", "dog"])
    assert not find_folds(["speaker1", "speaker2"])


def test_a_class_that_is_a_missing_value_is_said():
    assert len(find_missing({"nan": 6, "NULL": 1, "good": 5, "none of these": 2}, "class")) == 2
