"""A comparison that is killed goes on, to the table that it would have given."""

import json
import multiprocessing
import time
from pathlib import Path

import psutil
import pytest

from seqbelt.cli import main
from seqbelt.data.generated.demo_data import DemoData

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
    assert not list(models.glob("compare-*.json"))

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
