"""What a bundle keeps of its training rows, and the summaries that inputs are compared by."""

import numpy as np
import pytest
from toys import toy_store

from seqbelt.data.in_memory import ArrayStore
from seqbelt.data.sequences import Sequences
from seqbelt.errors import SeqbeltError
from seqbelt.evaluation.drift import measure_drift
from seqbelt.features.input_layout import ColumnSize, InputLayout, InputSize
from seqbelt.features.manifest_columns import Column, encode_cells
from seqbelt.inference.reference import Reference, short_hash
from seqbelt.inference.row_quantities import (
    MAX_BLOCKS,
    QuantityName,
    signal_names,
    summarize_signal,
)
from seqbelt.inference.training_reference import make_joined_reference, make_reference


def test_a_signals_summary_is_its_blocks_means_and_deviations():
    random = np.random.default_rng(0)
    steps = random.normal(3, 2, (50, 40)).astype(np.float32)
    found, names = summarize_signal(steps), signal_names(40)
    assert len(found) == len(names) == 2 * MAX_BLOCKS + 1
    by_name = dict(zip(names, found, strict=True))
    assert by_name["mean 1-2"] == pytest.approx(steps[:, :2].mean(), abs=1e-5)
    assert by_name["std 1-2"] == pytest.approx(steps[:, :2].std(0).mean(), abs=1e-5)
    assert by_name["num_steps"] == 50
    assert signal_names(2) == ("mean 1", "mean 2", "std 1", "std 2", "num_steps")


def test_a_reference_has_each_trained_content_and_survives_its_file(tmp_path):
    store = toy_store(tmp_path / "store")
    train, validation, test = (store.split(part) for part in ("train", "validation", "test"))
    made = make_reference(train, validation, np.full(len(validation), 0.9))
    found = Reference.from_bytes(made.to_bytes())
    assert found.names == made.names and found.summaries.shape == (len(train), 7)
    np.testing.assert_array_equal(found.summaries[3], summarize_signal(train[3]))
    for part, known in ((train, True), (validation, True), (test, False)):
        hashes = np.array([short_hash(one) for one in part.column("content_hash")], np.uint64)
        assert (found.are_known(hashes) == known).all()
    assert found.confidences.tolist() == pytest.approx([0.9] * len(validation))
    with pytest.raises(SeqbeltError, match="reference"):
        Reference.from_bytes(made.to_bytes()[:-30])


class Tokens(ArrayStore):
    """Token sequences of a vocabulary of 50."""

    num_features = 50

    def column(self, name, rows):
        return [f"{row:032x}" for row in rows]


def test_texts_of_rare_and_unknown_tokens_stand_out():
    random = np.random.default_rng(0)
    shares = np.arange(1, 51.0) / np.arange(1, 51.0).sum()
    texts = [random.choice(np.arange(50), 20, p=shares).astype(np.int32) for _ in range(300)]
    store = Tokens(texts, ("a", "b"), is_tokens=True)
    rows = Sequences(store, np.arange(300), np.full(300, 20), np.zeros(300, np.int64))
    reference = make_reference(rows, rows.take(np.arange(0)), np.zeros(0), unknown_id=1)
    assert reference.names == ("information", "unknown", "num_steps")
    new = random.choice(np.arange(50), 20, p=shares).astype(np.int32)
    rare = np.array([1, 1, 2, 3] * 5, np.int32)
    information = reference.summaries[np.isfinite(reference.summaries[:, 0]), 0]
    assert len(information) == 150  # the other half was counted
    usual, unusual = reference.summarize(new), reference.summarize(rare)
    assert abs(usual[0] - information.mean()) < 4 * information.std()
    assert unusual[0] > information.max() and unusual[1] == 0.5
    assert reference.unlike(np.stack([usual, unusual])) == [(), ()]
    one_known = reference.summarize(np.array([1, 1, 2], np.int32))
    known, (said,) = reference.unlike(np.stack([usual, one_known]))
    assert known == ()
    assert "most tokens are unknown" in said


def test_what_is_far_from_all_training_rows_is_said():
    random = np.random.default_rng(0)
    rows = [random.normal((0, 5), (1, 0.01), (30, 2)).astype(np.float32) for _ in range(9)]
    reference = Reference(
        signal_names(2),
        np.stack([summarize_signal(row) for row in rows]),
        *(np.zeros(0, np.float32) for _ in range(3)),
    )

    def said(steps):
        return reference.unlike(summarize_signal(steps)[None], ("x",))[0]

    for usual in (
        rows[0],
        rows[0] * np.float32([3, 1]),
        rows[0] + np.float32([9, 0.1]),
        rows[0][:1],
    ):
        assert said(usual) == ()
    assert said(rows[0] * 1000) == (
        "values of 'x', feature 2 are far from those of all training rows, as in another unit",
    )
    assert "values of 'x' are" in said(rows[0] * np.float32([50, 1]))[0]  # in its deviation alone
    assert "values of feature 2 are" in said(rows[0] + np.float32([0, 2]))[0]  # in its mean


def test_texts_that_are_repeated_are_measured_as_the_training_rows_were():
    random = np.random.default_rng(0)
    texts = [random.integers(2, 50, 20).astype(np.int32) for _ in range(6)]
    drawn = random.integers(0, 6, 100)
    store = Tokens([texts[at] for at in drawn], ("a", "b"), is_tokens=True)
    rows = Sequences(store, np.arange(100), np.full(100, 20), np.zeros(100, np.int64))
    reference = make_reference(rows, rows.take(np.arange(0)), np.zeros(0), unknown_id=1)
    new = np.stack([reference.summarize(texts[at]) for at in drawn])
    information = reference.summaries[:, 0]
    assert {*information[np.isfinite(information)]} <= {*new[:, 0]}  # tied with them exactly
    drift = measure_drift(reference, new, np.zeros(0))
    assert drift is not None and not drift.alarms


LAYOUT = InputLayout(
    (InputSize("tone", 2, False), InputSize("note", 9, True)),
    (ColumnSize("ward: east", 3), ColumnSize("age", 2)),
)
COLUMNS = (Column("ward: east", "category", values=("a",)), Column("age", "number", 40.0, 10.0))


class Packed(ArrayStore):
    """Items of two channels, a note of nine words, and two columns."""

    def column(self, name, rows):
        return [f"{row:032x}" for row in rows]


def packed_rows(count):
    """Every fourth item has no tone, every third no age."""
    random = np.random.default_rng(0)
    tones = [random.normal(row, 1, (5 + row % 3, 2)).astype(np.float32) for row in range(count)]
    notes = [random.integers(0, 9, 4 + row % 2).astype(np.int32) for row in range(count)]
    cells = [("ab"[row % 2], ["61", "40", ""][row % 3]) for row in range(count)]
    items = [
        LAYOUT.pack([tone if row % 4 else None, note], encode_cells(COLUMNS, of))
        for row, (tone, note, of) in enumerate(zip(tones, notes, cells, strict=True))
    ]
    store, lengths = Packed(items, ("x", "y"), layout=LAYOUT), np.array([*map(len, items)])
    rows = Sequences(store, np.arange(count), lengths, np.zeros(count, np.int64))
    return rows, tones, notes


def test_several_inputs_have_the_quantities_of_each_and_of_the_columns():
    rows, tones, notes = packed_rows(40)
    nobody = rows.take(np.arange(0))
    made = make_joined_reference(rows, nobody, np.full(9, 0.9), [-1, 0], COLUMNS)
    found = Reference.from_bytes(made.to_bytes())
    assert found.names == made.names == (
        *(f"tone: {name}" for name in signal_names(2)),
        "note: information", "note: unknown", "note: num_steps", "tone: missing", "note: missing",
        "ward: east: share a", "ward: east: other", "ward: east: missing", "age: value",
        "age: missing",
    )  # fmt: skip
    by_name = dict(zip(found.names, found.summaries.T, strict=True))
    assert np.isfinite(by_name["tone: num_steps"]).sum() == 30
    assert by_name["tone: missing"].mean() == 0.25 and by_name["note: missing"].mean() == 0
    ages = by_name["age: value"]
    assert sorted({*ages[np.isfinite(ages)].tolist()}) == [40.0, 61.0]
    assert by_name["age: missing"].sum() == np.isnan(ages).sum() == 13
    assert by_name["ward: east: share a"].mean() == by_name["ward: east: other"].mean() == 0.5
    for row in (3, 4):
        quantities = dict(zip(found.names, found.summarize(rows[row]), strict=True))
        tone = [quantities[f"tone: {name}"] for name in signal_names(2)]
        expected = summarize_signal(tones[row]) if row % 4 else np.full(5, np.nan)
        np.testing.assert_allclose(tone, expected, rtol=1e-6)
        assert quantities["note: num_steps"] == len(notes[row])
        assert quantities["note: unknown"] == pytest.approx((notes[row] == 0).mean())
        assert quantities["age: value"] == (61, 40)[row % 3]
    assert found.are_known(np.array([short_hash(rows.column("content_hash")[7])])).all()
    usual = found.summarize(rows[3])
    assert found.unlike(usual[None]) == [()]
    far = np.where([name == "tone: mean 2" for name in found.names], 1e6, usual)
    assert "values of feature 2 of tone are far" in found.unlike(far[None])[0][0]


def test_an_input_that_no_training_row_has_is_no_fault():
    rows, _, _ = packed_rows(8)
    without = rows.take(np.array([0, 4]))
    made = make_joined_reference(without, without.take(np.arange(0)), [], [-1, 0], COLUMNS)
    assert np.isnan(made.summaries[:, made.names.index("tone: num_steps")]).all()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("mean 1-2", ("", "mean", "1-2")),
        ("num_steps", ("", "num_steps", "")),
        ("confidence", ("", "confidence", "")),
        ("tone: std 3", ("tone", "std", "3")),
        ("ward: east: share a: b\nc", ("ward: east", "share", "a: b\nc")),
    ],
)
def test_the_name_of_a_quantity_has_parts(name, parts):
    assert QuantityName.of(name) == parts
