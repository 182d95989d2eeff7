"""The board: which sets, which half, what is done already, what the page says."""

import random
from pathlib import Path

import pytest
from archive_board import NAMES, table
from board import (
    CHOOSE,
    DEFAULT,
    REPORT,
    SETTING_FREE_CONTROLS,
    Job,
    Results,
    chosen_sets,
    half_of,
    in_rounds,
    remaining,
    with_training,
)
from board_layout import BoardSet, read_sets, smallest_hashes, split_by_hash, write_config
from board_table import ORDER_FREE, row_of, tables, write_between

from seqbelt.comparison.baselines.fitted import _SIGNALS, _texts
from seqbelt.experiment import Experiment
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training

SETS = read_sets()
CONFIG = {"name": "a", "data": {"source": "a.csv"}, "features": {"kind": "channels"}}


def board_set(name, **about):
    return BoardSet(name, "signals", {"features.kind": "channels"}, f"{name}.csv", **about)


def job(name="a", what="lstm", seed=0, label=DEFAULT, **training):
    config = with_training(CONFIG, "lstm", seed)
    config["training"].update(training)
    return Job(label, board_set(name), config, what, seed)


def test_halves_are_disjoint_and_hold_every_counted_set():
    counted = {name for name, one in SETS.items() if not one.extra}
    assert len(CHOOSE) == len(REPORT) == 13
    assert set(CHOOSE) | set(REPORT) == counted
    assert not set(CHOOSE) & set(REPORT)


def test_halves_are_drawn_as_they_say():
    draw, drawn = random.Random(0), []
    for kind in sorted({one.kind for one in SETS.values()}):
        names = sorted(n for n, one in SETS.items() if one.kind == kind and not one.extra)
        draw.shuffle(names)
        drawn += names
    assert (tuple(drawn[::2]), tuple(drawn[1::2])) == (CHOOSE, REPORT)


def test_an_extra_row_is_in_the_half_of_its_data():
    for one in SETS.values():
        assert half_of(one) == half_of(SETS[one.base]), one.name


@pytest.mark.parametrize("name", SETS)
def test_every_config_is_understood_and_says_no_more_than_it_must(name, tmp_path):
    experiment = Experiment.load(write_config(SETS[name], tmp_path))
    named = {
        *(f"data.{key}" for key in experiment.data.model_fields_set),
        *(f"features.{key}" for key in experiment.features.model_fields_set),
    }
    assert named <= {
        "data.source", "data.folds", "data.test_groups", "features.kind", "features.layout"
    }  # fmt: skip
    assert experiment.model_fields_set == {"name", "data", "features"}


def test_sets_are_chosen_by_name_or_by_half():
    assert [one.name for one in chosen_sets(SETS, "libras,sst2-word", "all")] == [
        "libras", "sst2-word"
    ]  # fmt: skip
    halves = [chosen_sets(SETS, "", half) for half in ("choose", "report")]
    whole = chosen_sets(SETS, "", "all")
    assert sorted(one.name for half in halves for one in half) == sorted(one.name for one in whole)
    assert {one.extra for one in whole} == {"", "beside"}
    with pytest.raises(SystemExit, match="no such set"):
        chosen_sets(SETS, "libra", "all")


def test_a_split_by_hash_keeps_equal_texts_together_and_the_asked_share(tmp_path):
    texts = [f"text {number}" for number in range(500)] + ["twice"] * 2
    test = smallest_hashes(texts, 0.2)
    assert sum(text in test for text in texts) == pytest.approx(100, abs=2)
    assert smallest_hashes(texts[::-1], 0.2) == test
    (tmp_path / "manifest.csv").write_text("text,label\n" + "\n".join(f"{t},x" for t in texts))
    split_by_hash(tmp_path, 0.2)
    lines = (tmp_path / "manifest_split.csv").read_text("utf-8").splitlines()[1:]
    assert {line.split(",")[0] for line in lines if line.endswith(",test")} == test
    assert len(lines) == len(texts)


def test_what_has_a_result_is_not_done_again(tmp_path):
    jobs = [job("a"), job("b"), job("a", seed=1)]
    results = Results(tmp_path / "results.json")
    assert remaining(jobs, results) == jobs
    results.add(jobs[1], {"seconds": 1.0})
    again = Results(tmp_path / "results.json")
    assert remaining(jobs, again) == [jobs[0], jobs[2]]
    again.add(jobs[0], {"error": "out of memory"})
    assert remaining(jobs, again) == [jobs[0], jobs[2]]


def test_other_settings_make_a_result_stale_but_not_that_of_a_control_without_them(tmp_path):
    results = Results(tmp_path / "results.json")
    for what in ("lstm", "control-statistics", "control-embeddings"):
        results.add(job(what=what), {})
    changed = [job(what=what, num_epochs=7) for what in ("lstm", "control-embeddings")]
    assert remaining(changed, results) == changed
    assert remaining([job(what="control-statistics", num_epochs=7)], results) == []


def test_two_boards_may_add_to_one_file(tmp_path):
    first, second = (Results(tmp_path / "results.json") for _ in range(2))
    first.add(job("a"), {})
    second.add(job("b"), {})
    assert remaining([job("a"), job("b")], Results(tmp_path / "results.json")) == []


def test_what_is_quick_and_the_first_seed_of_every_set_come_first():
    whats = ("lstm", "control-embeddings", "control-statistics")
    sets = [[job(name, seed=1), *(job(name, what) for what in whats)] for name in "ab"]
    rounds = [
        (one.what.removeprefix("control-"), one.one.name, one.seed) for one in in_rounds(sets)
    ]
    assert rounds == [
        ("lstm", "a", 0), ("statistics", "a", 0), ("lstm", "b", 0), ("statistics", "b", 0),
        ("embeddings", "a", 0), ("embeddings", "b", 0), ("lstm", "a", 1), ("lstm", "b", 1),
    ]  # fmt: skip


def test_the_controls_that_are_spoken_of_exist():
    found = {control.key for control in (*_SIGNALS, *_texts(Model(), Training()))}
    found |= {"majority", "length"}
    assert found >= SETTING_FREE_CONTROLS
    assert found >= ORDER_FREE
    assert found - SETTING_FREE_CONTROLS >= {"embeddings"}


def entry(accuracy, **more):
    return {
        "test": {"accuracy": accuracy, "macro_f1": accuracy / 2},
        "seconds": 120.0,
        "rows": {"train": 8, "validation": 1, "test": 4},
        "cell_controls": {"shuffled": 0.25},
        **more,
    }


ENTRIES = {
    "default/a/lstm/s0": entry(0.80),
    "default/a/lstm/s1": entry(0.90),
    "default/a/lstm/s2": {"error": "out of memory"},
    "default/a/rnn/s0": entry(0.5),
    "default/a/control-statistics": entry(0.7, name="summary statistics"),
    "default/a/control-convolutions": entry(0.95, name="random convolutions"),
    "plain/a/lstm/s0": entry(0.75),
    "more/a/lstm/s0": entry(0.81),
    "more/a/lstm/s1": entry(0.91),
    "more/a/lstm/s3": entry(0.10),
    "default/b/lstm/s0/fold0": entry(0.6),
    "default/b/lstm/s0/fold1": entry(0.8),
}  # fmt: skip


def test_a_row_joins_seeds_folds_and_controls():
    published = {
        "recurrent": {"method": "x", "macro_f1": 42.0},
        "best": {"accuracy": 1, "note": "-"},
    }
    row = row_of(ENTRIES, board_set("a", published=published), "choose")
    assert row.lstm == pytest.approx((80, 90))
    assert row.rnn == pytest.approx(50)
    assert row.best() == ("random convolutions", pytest.approx(95))
    assert row.best(ORDER_FREE) == ("summary statistics", pytest.approx(70))
    assert row.minutes == pytest.approx(2)
    assert row.published("recurrent") == (pytest.approx(42.5), 42.0)
    assert row.published("best") is None  # what a note qualifies is no target
    assert row_of(ENTRIES, board_set("b"), "report").lstm == pytest.approx((70,))
    assert row_of(ENTRIES, board_set("c"), "report") is None


def test_tables_count_what_is_whole_and_compare_labels_by_the_same_seeds():
    sets = {"a": board_set("a"), "b": board_set("b")}
    text = tables(ENTRIES, sets, lambda one: {"a": "choose", "b": "report"}[one.name])
    lines = {line.split(" | ")[0]: line for line in text.splitlines()}
    assert "**85.0** (80.0, 90.0)" in lines["| `a`"]
    assert "95.0 random convolutions | 70.0 summary statistics | 25.0" in lines["| `a`"]
    assert lines["| choose"] == (
        "| choose | 1 of 1 | 85.0 | 95.0 | -10.0 | 1 of 1 | 0 of 1 | – | – |"
    )
    assert lines["| report"] == "| report | 0 of 1 | – | – | – | – | – | – | – |"
    assert lines["| `more`"] == "| `more` | 1 | +1.0 | – | +1.0 | +1.0 a | +1.0 a |"
    # Seed 0 alone is in both: 75 less 80.
    assert lines["| `plain`"] == "| `plain` | 1 | -5.0 | – | -5.0 | -5.0 a | -5.0 a |"


def test_a_page_is_written_between_its_markers_only(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- board: begin -->\nold\n<!-- board: end -->\nafter\n")
    for _ in range(2):
        write_between(page, "board", "new")
    assert page.read_text("utf-8") == (
        "before\n<!-- board: begin -->\n\nnew\n\n<!-- board: end -->\nafter\n"
    )
    with pytest.raises(SystemExit, match="no lines"):
        write_between(page, "archive board", "new")
    with pytest.raises(SystemExit, match=r"no\.md: no such page"):
        write_between(tmp_path / "no.md", "board", "new")


def test_the_page_of_results_has_both_places():
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
    for name in ("board", "archive board"):
        begin, end = page.index(f"<!-- {name}: begin -->"), page.index(f"<!-- {name}: end -->")
        assert begin < end


def test_the_archive_table_takes_the_mean_over_what_both_have_done(tmp_path):
    results = Results(tmp_path / "results.json")
    for name, accuracy in ((NAMES[0], 0.9), (NAMES[1], 0.6)):
        for seed in range(2):
            results.entries[f"default/{name}/lstm/s{seed}"] = entry(accuracy + 0.02 * seed)
    rivals = {name: {"accuracy": 0.8, "seconds": 60.0} for name in (NAMES[0], NAMES[2])}
    lines = {line.split(" | ")[0]: line for line in table(results, rivals).splitlines()}
    assert len(lines) == len(NAMES) + 3
    assert (
        "**91.0** (90.0, 92.0) | 2.0 | – | – | 80.0 | +11.0 | 2.0 | 1.0"
        in (lines[f"| `{NAMES[0]}`"])
    )
    assert "**61.0** (60.0, 62.0) | 2.0 | – | – | – | – | 2.0 | –" in lines[f"| `{NAMES[1]}`"]
    assert lines["| mean of 1"].split(" | ")[2] == "**91.0**"
