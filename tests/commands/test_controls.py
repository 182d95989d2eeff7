"""A comparison with its controls: in the JSON, on the tracking server, over folds."""

import json
from pathlib import Path

import numpy as np
import pytest

from seqbelt.cli import main

CONFIG = """
name: reviews
data: {source: reviews.jsonl, folds: 2}
features: {kind: word, min_count: 1}
model: {hidden_size: 4, embedding_size: 4, max_steps: 3, crop: windows}
training: {num_epochs: 1, batch_size: 16, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0]}
"""
ONE_MODEL = ("comparison.cells=[rnn]", "data.folds=null", "data.test_fraction=0.2")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Reviews of three to six words, by four critics, whole in two folds."""
    folder = tmp_path_factory.mktemp("project")
    random, lines = np.random.default_rng(0), []
    for row in range(90):
        word = ("bad", "good")[row % 2]
        filler = random.choice(["a", "film", "by", "them"], random.integers(2, 6))
        lines.append(
            {"text": " ".join([word, *filler]), "label": word, "group": "abcd"[row // 2 % 4]}
        )
    (folder / "reviews.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (folder / "reviews.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def compare(capsys, *overrides):
    """The JSON of ``compare`` and the runs of its comparison by name."""
    from seqbelt.tracking.connection import connect

    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["compare", "reviews.yaml", "--json", *overrides])
    assert stop.value.code == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    client = connect()
    summary = client.get_run(result["parent_run_id"])
    tag = f"tags.`compare.id` = '{summary.data.tags['compare.id']}'"
    runs = client.search_runs([summary.info.experiment_id], tag)
    return result, summary, {run.info.run_name: run for run in runs}


def version_of(result):
    """The version that a comparison registered."""
    from seqbelt.tracking.connection import connect

    return connect().get_model_version(*result["model_uri"].removeprefix("models:/").split("/"))


@pytest.mark.slow
def test_every_control_is_in_the_result_on_the_page_and_a_run_of_its_own(project, capsys):
    result, summary, runs = compare(capsys)
    controls = {control["name"]: control for control in result["controls"]}
    names = {
        "no recurrence": "control-no-recurrence",
        "majority class": "control-majority",
        "length only": "control-length",
        "bag of words": "control-bag-of-words",
        "mean of embeddings": "control-embeddings",
        "lstm, shuffled order": "control-shuffled-lstm",
        "rnn, shuffled order": "control-shuffled-rnn",
    }
    assert set(controls) == set(names)
    assert set(names.values()) == {name for name in runs if name.startswith("control-")}
    for name, control in controls.items():
        assert set(control) == {
            "name", "about", "knows_order", "test_accuracy", "macro_f1", "seconds", "error",
        }  # fmt: skip
        run = runs[names[name]]
        assert run.info.status == "FINISHED"
        assert run.data.metrics["test/accuracy"] == control["test_accuracy"]
        assert run.data.metrics["test/macro_f1"] == control["macro_f1"]
        assert (
            f"| {name} | {100 * control['test_accuracy']:.2f} %"
            in (summary.data.tags["mlflow.note.content"])
        )
    # Each review is a test row once: half of them are good.
    assert controls["majority class"]["test_accuracy"] * 90 == 45
    assert controls["bag of words"]["test_accuracy"] > 0.9
    assert "the control 'bag of words'" in result["verdict"].partition(". ")[0]
    assert "90 test examples" in result["verdict"]


@pytest.mark.slow
def test_controls_can_be_switched_off(project, capsys):
    result, summary, runs = compare(capsys, *ONE_MODEL, "comparison.controls=false")
    assert result["controls"] == []
    assert not any(name.startswith("control-") for name in runs)
    assert "control" not in summary.data.tags["mlflow.note.content"]
    assert "control" not in version_of(result).description


def test_the_cell_without_recurrence_is_trained_as_the_cells_are(project, capsys, monkeypatch):
    """The networks know no cell ``none`` here: an RNN in its place gives the RNN's very answers."""
    from seqbelt.workflow import baselines

    build = baselines.network_builder

    def build_rnn(experiment, *others):
        if experiment.model.cell == "none":
            experiment = experiment.with_model(experiment.model.model_copy(update={"cell": "rnn"}))
        return build(experiment, *others)

    monkeypatch.setattr(baselines, "network_builder", build_rnn)
    result, _, runs = compare(capsys, *ONE_MODEL)
    first = result["controls"][0]
    assert first["name"] == "no recurrence" and first["error"] is None
    assert first["test_accuracy"] == result["cells"]["rnn"]["test_accuracy"]["mean"]
    description = version_of(result).description
    assert description.startswith("Leak, so the test scores are too high: 2 of 22 test rows")
    assert "\n\nA control is more accurate: 'bag of wor" in description
    assert "control-no-recurrence" in runs and "'no recurrence'" in result["verdict"]


def test_a_control_without_answers_costs_nothing_else(project, capsys):
    """Texts of which no two share a word: a bag of words cannot be learned."""
    lines = [
        {"text": f"w{row}a w{row}b w{row}c", "label": ("bad", "good")[row % 2]} for row in range(30)
    ]
    Path("unlike.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    result, summary, runs = compare(
        capsys, *ONE_MODEL, "data.source=unlike.jsonl", "training.keep=best"
    )
    # Without validation rows: that is in the run and in the report.
    advice = "without validation rows the best epoch cannot be chosen"
    assert advice in summary.data.tags["mlflow.note.content"]
    assert advice in runs["rnn-h4-s0"].data.tags["mlflow.note.content"]
    controls = {control["name"]: control for control in result["controls"]}
    failed = controls.pop("bag of words")
    assert failed["test_accuracy"] is None and failed["error"].startswith("ValueError")
    assert all(control["error"] is None for control in controls.values())
    assert result["cells"]["rnn"]["test_accuracy"]["mean"] is not None
    run = runs["control-bag-of-words"]
    assert run.info.status == "FAILED" and failed["error"] in run.data.tags["mlflow.note.content"]
    assert failed["error"] in summary.data.tags["mlflow.note.content"]
