"""A comparison that is killed goes on, to the table that it would have given."""

import json
import multiprocessing
import time
from pathlib import Path

import psutil
import pytest

from seqbelt.cli import main
from seqbelt.data.generated.demo_data import DemoData
from seqbelt.experiment import Experiment
from seqbelt.workflow.comparison_run import FINISHED, CompareJournal

WAIT_S = 300

CONFIG = """
name: words
data: {source: words, validation_fraction: 0.1}
features: {kind: log_mel, sample_rate: 8000, num_bands: 16}
model: {hidden_size: 12, dropout: 0.2}
training: {num_epochs: 10, batch_size: 16, learning_rate: 3e-3, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0, 1], controls: false}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    DemoData(kind="audio", num_per_class=8).write(tmp_path / "words")
    (tmp_path / "words.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def compare(capsys, *overrides):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["compare", "words.yaml", "--json", *overrides])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    return json.loads(out.strip().splitlines()[-1]), err


def table(found):
    """All that does not tell the time."""
    cells = {
        cell: {key: result[key] for key in ("test_accuracy", "test_macro_f1", "epochs")}
        for cell, result in found["cells"].items()
    }
    return found["verdict"], cells


def kill_when(is_time, *overrides):
    """Start the comparison and kill it at a moment; whether it still ran then, and its workers."""
    # Processes of one server share its imports, which take longer than the training.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seqbelt.commands.compare"])
    process = context.Process(target=main, args=(["compare", "words.yaml", *overrides],))
    process.start()
    deadline = time.monotonic() + WAIT_S
    while not is_time() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    ran = process.is_alive()
    workers = psutil.Process(process.pid).children(recursive=True) if ran else []
    process.kill()
    process.join()
    return ran, workers


@pytest.mark.slow
def test_killed_three_times_it_gives_the_undisturbed_table(project, capsys):
    models = Path("outputs/words")

    def files(name):
        return len(list(models.glob(f"*/{name}")))

    moments = [
        lambda: files("checkpoint.safetensors") >= 1,
        lambda: files("finished.json") >= 1 and files("checkpoint.safetensors") >= 2,
        lambda: files("finished.json") >= 3,
    ]
    for is_time in moments:
        ran, _ = kill_when(is_time)
        assert ran
        assert list(models.glob("compare-*.json"))
    found, err = compare(capsys)
    assert "resuming the interrupted comparison" in err and "loaded from" in err
    (journal,) = models.glob("compare-*.json")
    assert json.loads(journal.read_text())["begun"] == []

    from seqbelt.tracking.connection import connect, experiment_id

    client = connect()
    runs = client.search_runs([experiment_id(client, "words")])
    cells = [run for run in runs if "model.cell" in run.data.tags]
    assert len(cells) == 4 and len({run.data.tags["compare.id"] for run in runs}) == 1
    assert {run.info.status for run in runs} == {"FINISHED"}

    undisturbed, err = compare(capsys)
    assert "resuming" not in err and "loaded from" not in err
    assert table(found) == table(undisturbed)


@pytest.mark.slow
def test_a_comparison_asked_for_anew_is_made_anew(project, capsys):
    small = ["training.num_epochs=1", "comparison.cells=[lstm]"]
    first, _ = compare(capsys, *small)
    second, err = compare(capsys, *small)
    assert "loaded from" not in err
    runs = (set(found["cells"]["lstm"]["runs"]) for found in (first, second))
    assert not set.intersection(*runs)
    assert table(first) == table(second)


@pytest.mark.slow
def test_killed_with_its_workers_it_gives_the_undisturbed_table(project, capsys):
    """Models that train beside each other: a killed parent takes them along, and none is lost."""
    models, beside = Path("outputs/words"), "comparison.num_workers=2"
    ran, workers = kill_when(
        lambda: len(list(models.glob("*/checkpoint.safetensors"))) >= 2, beside
    )
    assert ran and workers
    _, alive = psutil.wait_procs(workers, timeout=WAIT_S)
    assert not alive  # nobody trains on
    found, err = compare(capsys, beside)
    assert "resuming the interrupted comparison" in err
    undisturbed, _ = compare(capsys)  # one after the other
    assert table(found) == table(undisturbed)


def journal_of(**comparison):
    values = {"name": "words", "data": {"source": "words"}, "features": {"kind": "log_mel"}}
    return CompareJournal(Experiment.parse({**values, "comparison": comparison}))


def look(tmp_path, seeds, data="data", **comparison):
    """Make a comparison without training; its look and which models were read back."""
    journal = journal_of(seeds=seeds, **comparison)
    journal.check_data(data)
    kept = []
    for seed in seeds:
        folder = tmp_path / f"{data}-{seed}"
        folder.mkdir(exist_ok=True)
        if journal.begin(folder) and (folder / FINISHED).exists():
            kept.append(seed)
        (folder / FINISHED).write_text("{}")
    looks = journal.looks
    journal.close()
    return looks, kept


def test_a_longer_seed_list_goes_on_with_what_is_trained_and_is_the_next_look(project):
    first, kept = look(project, [0, 1, 2])
    assert (first.words, kept) == ("look 1 of 5", [])
    again, kept = look(project, [0, 1, 2])
    assert (again, kept) == (first, [])  # made anew, and no further look
    # What is said of the models does not change them, and is no other comparison.
    second, kept = look(project, [0, 1, 2, 3, 4], margin=0.02, confidence=0.9)
    assert (second.words, kept) == ("look 2 of 5", [0, 1, 2])
    assert second.earlier == (3,) and second.is_grown
    other, kept = look(project, [5, 6, 7])
    assert (other.num_seeds, other.earlier, other.is_grown, kept) == (8, (3, 5), False, [])
    by_f1, _ = look(project, [0, 1, 2, 3, 4], metric="macro_f1")
    assert by_f1.earlier == ()  # looks are counted for each metric
    new, kept = look(project, [0, 1, 2, 3, 4], data="other data")
    assert (new.earlier, kept) == ((), [])


def test_a_journal_of_an_earlier_version_is_gone_on_with(project):
    """Its name held the seeds; it had no looks."""
    journal = journal_of(seeds=[0, 1])
    old = journal._old_path
    assert old != journal.path
    old.parent.mkdir(parents=True)
    begun = project / "data-0"
    begun.mkdir()
    (begun / FINISHED).write_text("{}")
    old.write_text(json.dumps({"compare_id": "abc", "begun": [str(begun)]}))
    resumed = journal_of(seeds=[0, 1])
    assert resumed.compare_id == "abc" and resumed.begin(begun) and (begun / FINISHED).exists()
    resumed.check_data("data")
    resumed.close()
    assert not old.exists() and journal.path.exists()


@pytest.mark.parametrize(
    "features, name",
    [
        ({"kind": "channels", "sample_rate": 10}, "compare-95fc1cd1.json"),
        ({"kind": "word"}, "compare-2cbe8ce8.json"),
    ],
)
def test_a_journal_is_found_under_the_name_that_the_first_version_gave(features, name):
    """Settings that were added since must not change it where they change nothing."""
    values = {"data": {"source": "x.csv"}, "comparison": {"cells": ["lstm", "rnn"]}}

    def found(**training):
        given = {"name": "tw", "features": features, "training": training, **values}
        return CompareJournal(Experiment.parse(given))._old_path.name

    assert found(distillation=0) == name
    assert found(distillation=0, num_networks=2) != name
    # Models of texts are trained otherwise now: those of before are not theirs.
    assert (found() == name) == (features["kind"] != "word")


@pytest.mark.slow
def test_a_longer_seed_list_gives_the_table_of_one_comparison(project, capsys):
    small = ["training.num_epochs=1", "comparison.max_seeds=3"]
    first, err = compare(capsys, *small)
    assert "2 seeds x" in err and "can show a difference of" in err
    longer, err = compare(capsys, *small, "comparison.seeds=[0,1,2]")
    assert "look 2 of 2" in err and err.count("loaded from") == 4
    assert longer["verdicts"][0]["looks"] == 2
    assert longer["cells"]["lstm"]["runs"][:2] == first["cells"]["lstm"]["runs"]
    assert "can show a difference of" in longer["protocol"]
