"""Whatever the statistics say they say in Korean too: no English word is left."""

import re
from dataclasses import replace

import numpy as np
import pytest
from comparison_toys import model, rights

from seqbelt.comparison.advice_report import AdviceByCell
from seqbelt.comparison.baselines.baseline import (
    BaselineResult,
    input_baseline,
    no_recurrence_baseline,
)
from seqbelt.comparison.baselines.fitted import _COLUMNS, _LENGTH, _MAJORITY, _SIGNALS, _STEPS
from seqbelt.comparison.baselines.remarks import remarks
from seqbelt.comparison.baselines.signal_baselines import shuffled_order_baseline
from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.conclusion_page import RunResult
from seqbelt.comparison.diagnostics import Diagnostics
from seqbelt.comparison.looks import Looks
from seqbelt.comparison.metrics import Metric, RunPredictions
from seqbelt.comparison.verdict_rule import VerdictRule
from seqbelt.texts import Text, text
from seqbelt.training.advice import Advice

NAMES = {
    "LSTM", "RNN", "GRU", "ReLU", "p", "x", "nat", "Holm", "F", "mAP", "ROCKET", "group", "seeds",
    "stem", "seqbelt", "tune",
}  # fmt: skip
"""Words of the field that Korean uses, and names of settings."""


def english_in(found: str) -> set[str]:
    """English words in the Korean of a text; names of settings have a dot."""
    assert isinstance(found, Text) or not found
    words = re.findall(r"[A-Za-z][A-Za-z_.\-]*", getattr(found, "korean", ""))
    return {word for word in words if "." not in word.rstrip(".")} - NAMES


@pytest.mark.parametrize("looks", [None, Looks(3), Looks(3, (2,)), Looks(3, (3,))])
@pytest.mark.parametrize("groups", [None, np.arange(1000) // 10])
@pytest.mark.parametrize("share", [0.5, 0.79, 0.8, 0.8001, 0.95])
@pytest.mark.parametrize("num_seeds", [1, 3])
def test_verdicts(num_seeds, share, groups, looks):
    cells = {
        cell: np.stack([rights(value, seed=seed) for seed in range(num_seeds)])
        for cell, value in (("lstm", 0.8), ("rnn", share), ("rnn_relu", 0.8))
    }
    for verdict in VerdictRule().judge(cells, groups, looks=looks):
        assert not english_in(verdict.sentence) | english_in(verdict.short)


@pytest.mark.parametrize(
    "name", ["macro_f1", "log_loss", "recall:1", "balanced_accuracy", "quadratic_kappa"]
)
def test_the_conclusion_on_any_metric(name):
    def run(seed):
        labels = np.arange(60) % 3
        draw = np.random.default_rng(seed)
        predicted = np.where(draw.random(60) < 0.7, labels, draw.integers(0, 3, 60))
        answers = RunPredictions(labels, predicted, draw.random(60))
        return RunResult((f"r{seed}",), seed, answers, {"accuracy": 0.7}, 100, 2.0, 1.0)

    runs = {cell: [run(at), run(at + 9)] for at, cell in enumerate(("lstm", "rnn", "none"))}
    controls = [
        BaselineResult(control, 0.1, rights(0.4, 60, at)[None], 0.4)
        for at, control in enumerate(
            [_MAJORITY, _LENGTH, _COLUMNS, *_SIGNALS, *_STEPS, shuffled_order_baseline("lstm"),
             no_recurrence_baseline(False), input_baseline("1")]
        )
    ]  # fmt: skip
    comparison = Comparison(metric=name, seeds=(0, 1))
    scope = text("scope_one_group", name="1")
    found = comparison.conclude(runs, ["0", "1", "2"], None, controls, {}, "row", scope, Looks(2))
    found = replace(found, leaks=(text("leak_groups", count=1, total=2),))
    assert not english_in(found.markdown()) | english_in(found.sentence)
    assert "판정" in found.markdown().korean and "verdict" in found.markdown()


@pytest.mark.parametrize("value", [0.3, 0.78, 0.8, 0.815, 0.95])
@pytest.mark.parametrize("num_seeds", [1, 3])
def test_what_the_controls_say(num_seeds, value):
    cells = np.stack([rights(0.8, seed=seed) for seed in range(num_seeds)])
    for own in (_MAJORITY, _SIGNALS[0], _SIGNALS[2], no_recurrence_baseline(True)):
        reached = ((own, value), (_SIGNALS[1], 0.97), (input_baseline("1"), value),
                   (input_baseline("2"), 0.5))  # fmt: skip
        controls = [
            BaselineResult(control, 0.1, rights(share, seed=seed)[None], 0.5)
            for seed, (control, share) in enumerate(reached, 3)
        ]
        remedy = AdviceByCell({"lstm": [[]]}, is_tokens=num_seeds == 1).remedy("lstm")
        found = remarks(VerdictRule(), "lstm", cells, controls, remedy=remedy)
        said = (found.warning, found.caveat, found.inputs)
        assert any(said)
        assert not set().union(*map(english_in, said))


def test_what_can_be_shown_advice_and_diagnostics():
    rule = Comparison()
    for looks, rows, groups in ((Looks(5), 300, None), (Looks(5), 10**6, 40), (Looks(1), 30, None),
                                (Looks(3), 300, 1), (Looks(2), 2, None)):  # fmt: skip
        assert not english_in(rule.detectable(looks, rows, groups))
    advice = Advice(text("finding_unread", share="5"), "model.crop", text("remedy_unread"))
    lines = AdviceByCell({"lstm": [[advice]], "none": [[advice], []]}, True).markdown()
    assert not english_in(lines) - {"windows"}
    reasons = {"lstm": [model(0.9, 8)], "rnn": [replace(model(0.5, 2), has_learned=False)]}
    assert not english_in(Diagnostics(reasons).markdown())
    assert not english_in(Metric("recall:1").label)
