"""Alarms where inputs have changed, and hardly any where they have not."""

from dataclasses import replace

import numpy as np
import pytest

from seqbelt.evaluation.drift import LEAST_INPUTS, Drift, measure_drift
from seqbelt.inference.reference import Reference
from seqbelt.inference.row_quantities import signal_names, summarize_signal


def signals(random, count, shift=0.0, stretch=1.0, scale=1.0):
    lengths = (random.integers(20, 60, count) * stretch).astype(int)
    shared = random.normal(size=(count, 1, 1))  # features are correlated, as bands are
    return np.stack(
        [
            summarize_signal(
                (scale * (random.normal(size=(length, 20)) + level) + shift).astype(np.float32)
            )
            for length, level in zip(lengths, shared, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def reference():
    random = np.random.default_rng(0)
    none = np.zeros(0, np.float32)
    return Reference(
        signal_names(20), signals(random, 400), random.beta(8, 1, 200), np.zeros(0, np.uint64), none
    )


@pytest.mark.slow
def test_few_clean_folders_raise_an_alarm(reference):
    """At most 5 %: 11 of 100 would be less likely than one in a hundred."""
    alarms = 0
    for seed in range(100):
        random = np.random.default_rng(seed + 1)
        found = measure_drift(reference, signals(random, 60), random.beta(8, 1, 60))
        alarms += bool(found.alarms)
    assert alarms <= 11


@pytest.mark.parametrize(
    ("change", "name"),
    [({"shift": 2.0}, "mean"), ({"scale": 2.0}, "std"), ({"stretch": 1.6}, "num_steps")],
)
def test_a_change_is_found_in_the_quantity_that_changed(reference, change, name):
    random = np.random.default_rng(7)
    found = measure_drift(reference, signals(random, 60, **change), random.beta(8, 1, 60))
    assert found.alarms[0].name.startswith(name)
    unchanged = {"mean", "std", "num_steps", "confidence"} - {name}
    if name != "std":
        assert not any(one.name.split()[0] in unchanged for one in found.alarms)


def test_low_confidences_are_an_alarm_and_few_inputs_are_not_tested(reference):
    random = np.random.default_rng(7)
    found = measure_drift(reference, signals(random, 60), random.beta(2, 2, 60))
    assert [one.name for one in found.alarms] == ["confidence"]
    assert found.alarms[0].median < found.alarms[0].reference_median
    assert found.to_dict()["alarms"] == ["confidence"]
    assert measure_drift(reference, signals(random, LEAST_INPUTS - 1), []) is None


def test_a_slight_difference_of_many_inputs_is_no_alarm(reference):
    many = replace(reference, summaries=np.repeat(reference.summaries, 50, axis=0))
    summaries = many.summaries.copy()
    summaries[np.random.default_rng(0).random(len(summaries)) < 0.08, -1] += 1000
    found = measure_drift(many, summaries, reference.confidences)
    assert found.quantities[0].p_adjusted < 1e-6  # significant, but small
    assert 0.07 < found.quantities[0].distance < 0.09
    assert not found.alarms


def test_a_quantity_is_compared_where_it_is_there_and_fractions_by_their_means():
    random = np.random.default_rng(0)
    none = np.zeros(0, np.float32)

    def rows(count, missing, level=0.0):
        values = random.normal(level, 1, count)
        is_missing = random.random(count) < missing
        rare = np.where(np.arange(count) < LEAST_INPUTS - 1, values, np.nan)
        return np.stack([np.where(is_missing, np.nan, values), is_missing, rare], 1).astype("f4")

    names = ("tone: mean 1", "tone: missing", "note: mean 1")
    trained = Reference(names, rows(400, 0.1), none, np.zeros(0, np.uint64), none)
    assert not measure_drift(trained, rows(60, 0.1), []).alarms
    changed = measure_drift(trained, rows(200, 0.6), [])
    assert [one.name for one in changed.alarms] == ["tone: missing"]
    assert {one.name for one in changed.quantities} == {"tone: missing", "tone: mean 1"}
    assert changed.alarms[0].reference_median == pytest.approx(0.1, abs=0.04)
    assert changed.alarms[0].median == pytest.approx(0.6, abs=0.1)
    louder = measure_drift(trained, rows(60, 0.1, level=2.0), [])
    quantities = (*changed.alarms, *louder.alarms, replace(louder.alarms[0], name="age: value"))
    alarms = Drift(60, quantities).alarms
    assert [one.name for one in alarms] == ["tone: missing", "age: value", "tone: mean 1"]
    assert [one.name for one in louder.alarms] == ["tone: mean 1"]
