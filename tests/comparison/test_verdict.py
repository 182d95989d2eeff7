import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from seqbelt.comparison.verdict import headline, in_order
from seqbelt.comparison.verdict_rule import VerdictRule
from seqbelt.errors import SeqbeltError, SettingsError

RULE = VerdictRule(margin=0.02)


def _load_benchmark(name):
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


simulation = _load_benchmark("verdict_simulation")
shuffled = _load_benchmark("shuffled_labels")


def _cell(accuracy, num_seeds=5, num_examples=1000, seed=0):
    return np.random.default_rng(seed).random((num_seeds, num_examples)) < accuracy


@pytest.mark.parametrize(
    ("num_seeds", "num_examples", "spreads"),
    [
        ((2, 2), 100, (0.3, 0.3)),
        ((3, 3), 40, (0.3, 0.3)),
        ((3, 3), 400, (0.1, 0.4)),
        ((5, 5), 400, (0.3, 0.3)),
        ((2, 5), 400, (0.3, 0.3)),
    ],
)
def test_false_claims_stay_below_one_in_twenty(num_seeds, num_examples, spreads):
    world = simulation.World(num_seeds, num_examples, seed_spreads=spreads)
    verdicts = simulation.judge_many(world, RULE, repeats=300, seed=0)
    # 300 draws at a true 5 % exceed 8 % once in 100 times.
    assert simulation.claim_rate(verdicts) <= 0.08
    assert simulation.coverage(verdicts, 0.0) >= 0.92


def test_on_random_labels_no_cell_is_better():
    """How seldom it is claimed over many draws: ``benchmarks/shuffled_labels.py``."""
    verdict = shuffled.judge_shuffled(0, RULE)
    assert verdict.word in ("undecided", "equivalent")
    assert verdict.low < 0 < verdict.high


@pytest.mark.parametrize(
    ("num_seeds", "num_examples", "accuracy"),
    [(2, 40, 0.8), (3, 100, 0.9), (5, 20, 0.9), (10, 100, 0.6), (10, 400, 0.95)],
)
def test_intervals_of_a_cell_cover_new_seeds_and_new_rows(num_seeds, num_examples, accuracy):
    """1 000 draws at 95 % lie within 2 points of it 996 times in 1 000; over seeds alone they
    do not."""
    world = simulation.World((num_seeds, 1), num_examples, (accuracy, accuracy))
    over_seeds, over_both = simulation.mean_coverage(world, repeats=1000, seed=0)
    assert 0.925 <= over_both <= 0.98
    assert over_seeds < 0.92


def test_intervals_cover_a_true_difference_and_find_it():
    world = simulation.World((5, 5), 1000, (0.9, 0.8), seed_spreads=(0.1, 0.2))
    verdicts = simulation.judge_many(world, RULE, repeats=150, seed=0)
    assert simulation.coverage(verdicts, 0.1) >= 0.92
    assert sum(verdict.word == "better" for verdict in verdicts) >= 0.95 * len(verdicts)


def test_a_difference_of_the_margin_is_rarely_called_equivalent():
    world = simulation.World((5, 5), 2000, (0.90, 0.88), seed_spreads=(0.05, 0.05))
    verdicts = simulation.judge_many(world, RULE, repeats=200, seed=0)
    assert simulation.equivalence_rate(verdicts) <= 0.09


def test_alike_cells_on_many_examples_are_equivalent():
    world = simulation.World((5, 5), 20_000, (0.9, 0.9), seed_spreads=(0.05, 0.05))
    verdicts = simulation.judge_many(world, RULE, repeats=20, seed=0)
    assert simulation.equivalence_rate(verdicts) >= 0.9


def test_words_and_sentences():
    better, *_ = RULE.judge({"lstm": _cell(0.95), "rnn": _cell(0.7, seed=1)})
    assert (better.word, better.cell, better.other) == ("better", "lstm", "rnn")
    assert better.low > 0.15
    assert better.sentence.startswith("lstm (95.")
    assert "is better than rnn (69." in better.sentence or "rnn (70." in better.sentence
    worse, *_ = RULE.judge({"rnn": _cell(0.7, seed=1), "lstm": _cell(0.95)})
    assert worse.word == "worse"
    assert worse.difference == -better.difference
    assert (worse.low, worse.high) == (-better.high, -better.low)


def test_a_reliable_difference_within_the_margin_is_equivalent():
    a = _cell(0.9, num_examples=50_000)
    verdict, *_ = VerdictRule(margin=0.05).judge({"a": a, "b": _cell(0.88, 5, 50_000, seed=1)})
    assert verdict.p_value < 0.01
    assert verdict.word == "equivalent"
    assert "equivalent within 5 points" in verdict.sentence


def test_undecided_for_want_of_seeds_says_how_many():
    """With the advised number of seeds of the same kind it is decided."""

    def cell(base, num_seeds, seed):
        luck = np.tile([0.05, -0.05], num_seeds)[:num_seeds, None]
        return np.random.default_rng(seed).random((num_seeds, 5000)) < base + luck

    few = {"a": cell(0.8, 2, 0), "b": cell(0.7, 2, 1)}
    verdict, *_ = RULE.judge(few)
    assert verdict.word == "undecided"
    assert verdict.more_seeds in range(1, 11)
    assert verdict.more_seeds
    assert f"{verdict.more_seeds} more seeds" in verdict.sentence
    total = 2 * -(-(2 + verdict.more_seeds) // 2)  # even, so that the luck stays balanced
    assert RULE.judge({"a": cell(0.8, total, 2), "b": cell(0.7, total, 3)})[0].word == "better"


def test_undecided_for_want_of_examples_says_so():
    """Every seed fails in the same rows: only other rows can tell."""
    cells = {name: np.tile(_cell(0.9, 1, 60, seed), (8, 1)) for name, seed in (("a", 0), ("b", 1))}
    verdict, *_ = RULE.judge(cells)
    assert verdict.word == "undecided"
    assert verdict.more_seeds is None
    assert verdict.min_examples
    assert verdict.min_examples > 300
    assert f"{verdict.min_examples:,} test examples" in verdict.sentence


def test_one_seed_is_never_decided():
    verdict, *_ = RULE.judge({"a": _cell(1.0, 1), "b": _cell(0.5, 1)})
    assert verdict.word == "undecided"
    assert np.isnan(verdict.low)
    assert verdict.more_seeds == 2
    assert "at least three" in verdict.sentence


def test_three_cells_are_corrected_and_lstm_against_rnn_leads():
    cells = {"rnn": _cell(0.6), "lstm": _cell(0.9, seed=1), "gru": _cell(0.88, seed=2)}
    verdicts = RULE.judge(cells)
    assert [(v.cell, v.other) for v in verdicts] == [
        ("rnn", "lstm"), ("rnn", "gru"), ("lstm", "gru")
    ]  # fmt: skip
    alone = RULE.judge({name: cells[name] for name in ("lstm", "gru")})[0]
    assert headline(verdicts) is verdicts[0]
    assert [(v.cell, v.other) for v in in_order(verdicts)] == [
        ("rnn", "lstm"), ("lstm", "gru"), ("rnn", "gru")
    ]  # fmt: skip
    without = RULE.judge({"gru": cells["gru"], "none": cells["rnn"], "lstm": cells["lstm"]})
    assert {headline(without).cell, headline(without).other} == {"lstm", "gru"}
    assert verdicts[2].p_value >= alone.p_value
    pair = RULE.judge({name: cells[name] for name in ("rnn", "lstm")})[0]
    assert verdicts[0].p_value == pytest.approx(min(3 * pair.p_value, 1), rel=0.6)
    assert verdicts[0].p_value > 1.5 * pair.p_value
    assert "Holm over 3 pairs" in verdicts[0].sentence


@pytest.mark.parametrize("seed", range(40))
def test_the_interval_excludes_zero_exactly_where_the_adjusted_p_value_does(seed):
    cells = {f"{k}": _cell(0.8 + 0.02 * k, 3, 300, seed=10 * seed + k) for k in range(4)}
    for verdict in VerdictRule(margin=1e-6).judge(cells):
        assert (verdict.low > 0 or verdict.high < 0) == (verdict.p_value <= 0.05)


def test_a_verdict_is_json_ready_and_names_its_unit():
    cells = {"lstm": _cell(0.9), "rnn": _cell(0.87, seed=1)}
    by_row, by_group = (RULE.judge(cells, groups)[0] for groups in (None, np.arange(1000) // 200))
    found = json.loads(json.dumps(by_group.to_dict()))
    assert found["pair"] == ["lstm", "rnn"] and found["metric"] == "accuracy"
    assert (found["unit"], found["num_units"]) == ("group", 5)
    assert found["low"] <= found["difference"] <= found["high"]
    assert found["p_adjusted"] == by_group.p_value and found["word"] == by_group.word
    assert by_row.to_dict()["unit"] == "row" and by_row.to_dict()["num_units"] == 1000
    assert "1,000 test examples of 5 groups not trained on" in by_group.sentence
    assert "1,000 test examples)" in by_row.sentence
    one_seed = RULE.judge({"lstm": _cell(0.9, 1), "rnn": _cell(0.9, 1)})[0].to_dict()
    assert one_seed["low"] is None and one_seed["high"] is None


def test_too_few_groups_are_what_lacks_and_not_seeds():
    """Four subjects who differ among each other: no number of seeds tells of a fifth."""
    subjects = np.repeat(np.arange(4), 100)
    gain = np.array([0.2, 0.0, 0.15, -0.05])[subjects]
    chance = np.random.default_rng(0)
    cells = {"lstm": chance.random((20, 400)) < 0.7 + gain, "rnn": chance.random((20, 400)) < 0.7}
    verdict = RULE.judge(cells, subjects)[0]
    assert verdict.word == "undecided" and verdict.more_seeds is None
    assert verdict.min_examples is not None and verdict.min_examples > 4
    assert f"at least {verdict.min_examples} groups that are not trained on" in verdict.sentence


def test_by_group_a_difference_of_the_tested_speakers_is_no_claim_about_others():
    """Three speakers, 100 rows each, no difference over all speakers: rows claim one too often."""
    chance = np.random.default_rng(5)
    claims = {"rows": 0, "groups": 0}
    for _ in range(100):
        cells, groups = simulation.draw_held_out(chance, 3, 100, num_seeds=3, spread=0.6)
        claims["rows"] += RULE.judge(cells)[0].word in ("better", "worse")
        claims["groups"] += RULE.judge(cells, groups)[0].word in ("better", "worse")
    assert claims["groups"] <= 8 < claims["rows"]


def test_groups_and_pairing_reach_the_verdict():
    cells = {"a": _cell(0.9), "b": _cell(0.87, seed=1)}
    plain, *_ = RULE.judge(cells)
    grouped, *_ = RULE.judge(cells, groups=np.arange(1000) // 200)
    paired, *_ = RULE.judge(cells, seeds_paired=True)
    assert len({plain.p_value, grouped.p_value, paired.p_value}) == 3


@pytest.mark.parametrize(
    ("cells", "groups", "paired", "message"),
    [
        ({"a": _cell(0.9)}, None, False, "at least two cells"),
        ({"a": _cell(0.9), "b": _cell(0.9, 5, 999)}, None, False, "same test examples"),
        ({"a": _cell(0.9), "b": _cell(0.9, 4)}, None, True, "as many for each"),
        ({"a": _cell(0.9), "b": _cell(0.9).astype(float)}, None, False, "booleans"),
        ({"a": _cell(0.9), "b": _cell(0.9)}, np.zeros(1000), False, "one group"),
        ({"a": _cell(0.9), "b": _cell(0.9)}, np.zeros(3), False, "3 groups"),
        ({"a": _cell(0.9, 5, 0), "b": _cell(0.9, 5, 0)}, None, False, "at least 1 seed"),
    ],
)
def test_unfit_input_is_explained(cells, groups, paired, message):
    with pytest.raises(SeqbeltError, match=message):
        RULE.judge(cells, groups, paired)


def test_a_margin_of_nothing_is_refused():
    with pytest.raises(SettingsError, match="margin"):
        VerdictRule.parse({"margin": 0})
