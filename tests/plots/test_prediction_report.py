"""What the report of a prediction tells of some facts."""

from dataclasses import replace

import numpy as np
import pytest

from seqbelt.evaluation.drift import Drift, Quantity
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.base import JoinedSource
from seqbelt.features.input_layout import ColumnSize, InputLayout, InputSize
from seqbelt.features.kinds import parse_stored
from seqbelt.features.text.text import Word
from seqbelt.plots.item_view import ShownItem, show_item
from seqbelt.plots.prediction_report import (
    Group,
    PredictionFacts,
    compare_groups,
    prediction_report,
)
from seqbelt.plots.report_page import Words

WORD = Word(kind="word")
FACTS = PredictionFacts(
    name="may",
    model="models:/pets/3",
    kind="text",
    labels_inputs=True,
    counts={"cat": 30, "dog": 10},
    training_share={"cat": 0.5, "dog": 0.5},
    num_predicted=40,
    num_missing=2,
    reasons={"empty": (2, "b.txt")},
    num_labelled=0,
    num_correct=0,
    mean_confidence=0.8,
    drift=None,
    no_drift="world_old",
    num_known=0,
)


def text(language="en", **changes):
    return prediction_report(replace(FACTS, **changes), WORD, language)


def test_the_title_has_the_name_and_counts_have_shares():
    page = text()
    assert "<title>may: predictions</title>" in page and "models:/pets/3" in page
    assert "40 of 42 texts have a prediction; without one: 2." in page
    assert "75.0 %" in page and "b.txt" in page and "Where the true class" not in page
    assert '<html lang="ko">' in text("ko") and "텍스트 42개 중 40개를" in text("ko")


def test_a_change_is_told_with_its_direction_and_no_change_too():
    quiet = Quantity("mean 1-2", 0.4, 0.001, 10.0, 7.0)
    same = Quantity("num_steps", 0.05, 1.0, 40.0, 40.0)
    page = text(drift=Drift(40, (quiet, same)), no_drift="")
    assert "1 of 2 quantities differ" in page
    assert "level of features 1–2: lower (10 in training, 7 here)" in page
    page = text(drift=Drift(40, (same,)), no_drift="")
    assert "No: in nothing" in page and "differ from the training data beyond chance (" in page
    assert "earlier version" in text()


def test_inputs_that_were_trained_on_are_told_from_a_half_on():
    assert "used to train" not in text(num_known=20)
    assert "50.0 % of these texts (21) were used to train" in text(num_known=21)


def test_the_worse_folder_is_named_and_the_others_are_not():
    groups = [Group("a", 50, 50, 48, 0.9), Group("b", 50, 50, 20, 0.6), Group("c", 50, 50, 47, 0.9)]
    p = compare_groups(groups)
    assert p[1] < 0.001
    page = text(groups=groups)
    assert page.count("less accurate than the rest") == 1
    assert compare_groups([Group("a", 5, 0, 0, 0.9), Group("b", 5, 5, 5, 0.9)]) == [1.0, 1.0]


@pytest.mark.parametrize("count", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_equal_folders_are_seldom_told_apart(count):
    random = np.random.default_rng(0)
    false = 0
    for _ in range(100):
        groups = [Group("", 40, 40, int(random.binomial(40, 0.8)), None) for _ in range(count)]
        false += min(compare_groups(groups)) < 0.05
    assert false <= 11  # 5 are expected at most


def test_an_item_is_played_read_or_drawn(tmp_path):
    words = Words("en")
    steps = np.random.default_rng(0).normal(size=(30, 9))
    shown = ShownItem("a", np.zeros(4000, np.float32) + 0.1, lambda: steps, ("<b>line</b>",))
    audio = LogMel(kind="log_mel", sample_rate=8000)
    page = show_item(shown, audio, words)
    assert 'src="data:audio/wav;base64,' in page and "&lt;b&gt;line" in page
    lost = replace(shown, source=tmp_path / "gone.wav")
    assert show_item(lost, audio, words).count("<polyline") == 6
    read = show_item(ShownItem("1", "so <good>", lambda: None, ()), WORD, words)
    assert "so &lt;good&gt;</blockquote>" in read
    gone = show_item(ShownItem("1", None, lambda: None, ()), WORD, words)
    assert "not available" in gone


def test_each_input_of_several_is_shown_by_its_kind(tmp_path):
    features = parse_stored({
        "kind": "inputs", "motion": {"kind": "channels"}, "note": {"kind": "word"},
        "sound": {"kind": "log_mel", "sample_rate": 8000},
        "columns": {"age": "auto", "ward": "auto"},
    })  # fmt: skip
    layout = InputLayout(
        (InputSize("motion", 2, False), InputSize("note", 9, True), InputSize("sound", 40, False)),
        (ColumnSize("age", 2), ColumnSize("ward", 1)),
    )
    steps = np.random.default_rng(0).normal(size=(30, 2))
    packed = layout.pack([steps, np.arange(3), None], np.zeros(3))
    source = JoinedSource((steps, "so <good>", None), ("61", ""))
    shown = ShownItem("1", source, lambda: packed, (), layout)
    words = Words("en")
    page = show_item(shown, features, words)
    assert page.count("<polyline") == 2 and "so &lt;good&gt;</blockquote>" in page
    assert "age: 61, ward: –" in page and page.count("Missing in this row") == 1
    gone = show_item(replace(shown, source=None), features, words)
    assert "not available" in gone and "<polyline" not in gone
