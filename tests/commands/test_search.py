"""A search tries what it says, forgets nothing, and ends the same after a kill."""

import sys

import pytest
from toys import toy_store

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.models.classifier import build_network
from seqbelt.tracking.run import TrackedRun
from seqbelt.workflow.search import Search
from seqbelt.workflow.search_report import log_search
from seqbelt.workflow.tuned_variants import build_variants

SETTINGS = {
    "name": "toy",
    "data": {"source": "nowhere"},
    "features": {"kind": "vectors"},
    "model": {"hidden_size": 48},
    "training": {
        "num_epochs": 2,
        "batch_size": 8,
        "device": "cpu",
        "clip_norm": 5.0,
        "monitor": "loss",
    },
    "comparison": {"cells": ["lstm", "rnn", "rnn_relu"], "num_trials": 2},
    "tuning": {
        "training": {"learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}},
        "model": {"forget_bias": [0.0, 1.0, "chrono"]},
    },
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A prepared store, and a tracking store of the tests' own."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield toy_store(folder / "store", count=40)


def search(store, output, num_trials=3, **changes):
    experiment = Experiment.parse({**SETTINGS, "output": str(output), **changes})
    return Search(experiment, store, num_trials)


def told(study):
    """What was tried and what it gave, of the trials that were not cut off."""
    trials = study.get_trials(deepcopy=False)
    return [(one.params, one.value, one.state.name) for one in trials if one.state.name != "FAIL"]


def test_every_trial_is_a_run_and_the_first_is_as_given(store, tmp_path):
    wanted = search(store, tmp_path)
    study = wanted.run()
    found = wanted.result(study)
    assert len(told(study)) == len(found.trials) == 3
    assert found.trials[0].params["model.forget_bias"] == 1.0  # as it is by default
    assert found.score == min(one.value for one in found.trials if one.value is not None)
    assert found.experiment.training.learning_rate == found.best["training.learning_rate"]
    from seqbelt.tracking.connection import connect, experiment_id

    client = connect()
    tag = f"tags.`tuning.study` = '{study.study_name}'"
    runs = client.search_runs([experiment_id(client, "toy-tuning")], tag)
    assert len(runs) == 3 and {run.info.status for run in runs} == {"FINISHED"}
    rates = {run.data.params["training.learning_rate"] for run in runs}
    assert rates == {str(one.params["training.learning_rate"]) for one in found.trials}
    assert not any("test" in metric for run in runs for metric in run.data.metrics)

    summary = client.get_run(log_search(wanted, study))
    assert log_search(wanted, study) == summary.info.run_id  # once, and brought up to date
    assert f"{found.score:.4g}" in summary.data.tags["mlflow.note.content"]
    paths = {item.path for item in client.list_artifacts(summary.info.run_id, "pictures")}
    assert paths == {"pictures/tuning_history.png", "pictures/tuning_importance.png"}


def test_asked_again_it_tries_nothing_and_asked_for_more_only_the_rest(store, tmp_path):
    before = told(search(store, tmp_path, 2).run())
    assert told(search(store, tmp_path, 2).run()) == before
    longer = search(store, tmp_path, 3).run()
    assert told(longer)[:2] == before and len(told(longer)) == 3
    short = search(store, tmp_path, 2)
    assert len(short.result(longer).trials) == 2  # what came later has no say


@pytest.mark.parametrize(
    "dies_at_epoch",
    [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(5, marks=pytest.mark.slow)],
)
def test_cut_off_it_ends_as_it_would_have(store, tmp_path, monkeypatch, dies_at_epoch):
    undisturbed = told(search(store, tmp_path / "undisturbed", 3).run())
    log_epoch, calls = TrackedRun.log_epoch, []

    def die(run, epoch):
        calls.append(epoch)
        if len(calls) == dies_at_epoch:
            raise SystemExit("killed")
        log_epoch(run, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(TrackedRun, "log_epoch", die)
        with pytest.raises(SystemExit):
            search(store, tmp_path / "cut", 3).run()
    assert told(search(store, tmp_path / "cut", 3).run()) == undisturbed


def test_settings_that_explode_are_given_up_not_the_search(store, tmp_path):
    wild = {"training": {"learning_rate": [1e30], "clip_norm": [1e30]}, "model": {}}
    wanted = search(store, tmp_path, 2, tuning=wild)
    study = wanted.run()
    assert [state for *_, state in told(study)] == ["PRUNED", "PRUNED"]
    with pytest.raises(SeqbeltError, match="none of 2 trials"):
        wanted.result(study)


def test_two_commands_do_not_share_a_search(store, tmp_path):
    first = search(store, tmp_path)
    first.folder.mkdir(parents=True)
    with first._locked(), pytest.raises(SeqbeltError, match="another process"):
        search(store, tmp_path).run()


def test_without_optuna_the_message_names_the_extra(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SettingsError, match=r"seqbelt\[tune\]"):
        search(store, tmp_path).run()


def test_without_validation_rows_nothing_is_searched(store, tmp_path, monkeypatch):
    monkeypatch.setattr(type(store), "split", lambda self, name: self.select([]))
    with pytest.raises(SettingsError, match="validation_fraction"):
        search(store, tmp_path)


@pytest.mark.slow
def test_workers_share_the_trials_and_make_no_more(store, tmp_path):
    study = search(store, tmp_path, 5).run(num_workers=2)
    assert len(told(study)) == 5


@pytest.mark.parametrize("protocol", ["equal_parameters", "equal_compute"])
def test_variants_are_equal_within_two_per_cent(store, tmp_path, protocol):
    experiment = search(store, tmp_path, comparison={**SETTINGS["comparison"], "protocol": protocol,
                        }).experiment  # fmt: skip
    entries, words = build_variants(experiment, store)
    networks = [build_network(entry.model, 3, 2, False) for entry in entries.values()]
    sizes = [
        one.num_parameters if protocol == "equal_parameters" else one.recurrent.flops_per_step
        for one in networks
    ]
    assert [f"{size:,}" in words for size in sizes] == [True] * 3
    assert sizes == pytest.approx([sizes[0]] * 3, rel=0.02)
    assert entries["rnn_relu"].model.nonlinearity == "relu"
    assert {entry.training for entry in entries.values()} == {experiment.training}


def test_equally_tuned_variants_had_as_many_trials_each(store, tmp_path):
    comparison = {"cells": ["lstm", "rnn_relu"], "num_trials": 2, "protocol": "equal_tuning"}
    experiment = search(store, tmp_path, comparison=comparison).experiment
    entries, words = build_variants(experiment, store)
    assert "2 trials for each cell" in words
    import optuna

    names = set()
    for database in (tmp_path / "toy-tuning").glob("*.db"):
        (study,) = optuna.get_all_study_summaries(f"sqlite:///{database}")
        assert study.n_trials == 2
        names.add(database.name.partition("-")[0])
    assert names == {"lstm", "rnn_relu"}
    assert entries["rnn_relu"].model.recurrent_init == "identity"  # that is what it is
    assert entries["lstm"].model.cell == "lstm" and entries["rnn_relu"].model.cell == "rnn"
