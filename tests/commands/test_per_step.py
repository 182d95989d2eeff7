"""Labels for every step, from files to a table of segments."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from seqbelt.cli import main
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Predictor
from seqbelt.tracking.connection import connect
from seqbelt.training.step_scoring import label_steps

CONFIG = """
name: moves
data: {source: recordings, labels: per_step, validation_fraction: 0.2}
features: {kind: channels, sample_rate: 20}
model: {hidden_size: 8, max_steps: 64, crop: windows}
training: {num_epochs: 10, batch_size: 4, learning_rate: 0.02, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0, 1]}
"""
CLASSES = ("down", "up")


def run(capsys, *arguments: str) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--json"])
    lines = capsys.readouterr().out.strip().splitlines()
    return int(stop.value.code or 0), json.loads(lines[-1])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Twelve recordings of ramps up and down in noise: one step alone tells nothing. The first
    five steps are not labelled."""
    folder, random = tmp_path_factory.mktemp("project"), np.random.default_rng(0)
    for number in range(12):
        part = "test" if number % 3 == 0 else "train"
        (folder / "recordings" / part).mkdir(parents=True, exist_ok=True)
        labels = np.repeat(np.arange(8) % 2, random.integers(8, 30, 8))
        values = np.cumsum(2 * labels - 1) + 0.5 * random.normal(size=len(labels))
        words = [CLASSES[label] if k >= 5 else "" for k, label in enumerate(labels)]
        lines = [f"{value:.3f},{word}" for value, word in zip(values, words)]
        text = "\n".join(["height,label", *lines])
        (folder / "recordings" / part / f"{number:02d}.csv").write_text(text)
    (folder / "moves.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.mark.slow
def test_compare_judges_recordings_and_scores_segments(project, capsys):
    code, result = run(capsys, "compare", "moves.yaml")
    assert code == 0 and result["reasons"] == {}
    for found in result["cells"].values():
        assert found["test_accuracy"]["mean"] > 0.6
        assert 0 < found["test_segment_f1_50"]["mean"] <= found["test_segment_f1_10"]["mean"] <= 1
    names = [control["name"] for control in result["controls"]]
    assert names == [
        "no recurrence",
        "majority class",
        "single steps",
        "steps and their surroundings",
    ]
    assert all(control["error"] is None for control in result["controls"])
    client, (one, *_) = connect(), result["cells"]["lstm"]["runs"]
    pictures = {file.path for file in client.list_artifacts(one, "pictures")}
    assert "pictures/test_segments.png" in pictures
    assert client.get_run(one).data.metrics["test/segment_edit"] <= 1


def test_one_test_recording_is_not_enough_to_compare(project, capsys):
    only = [f"data.source={project / 'recordings/train'}", "data.test_fraction=0.1"]
    with pytest.raises(SystemExit) as stop:
        main(["compare", "moves.yaml", "name=one", *only])
    assert stop.value.code == 2
    assert "the test part has one recording" in capsys.readouterr().err


def test_prepare_prints_the_steps_of_each_label(project, capsys):
    words = [
        line.partition(",")[2]
        for path in Path("recordings").rglob("*.csv")
        for line in path.read_text().splitlines()[1:]
    ]
    with pytest.raises(SystemExit):
        main(["prepare", "moves.yaml"])
    printed = capsys.readouterr().err
    assert "by the items that have them: down 12, up 12" in printed
    counts = f"down {words.count('down')}, up {words.count('up')}"
    assert f"steps: {counts}; 60 without a label" in printed


def test_predictions_are_segments_of_the_whole_recording(project, capsys):
    code, trained = run(capsys, "train", "moves.yaml", "training.num_epochs=2")
    assert code == 0 and set(trained["test"]) > {"accuracy", "loss", "segment_f1_25"}
    new = project / "new"
    new.mkdir()
    for path in (project / "recordings/test").iterdir():
        rows = [line.partition(",")[0] for line in path.read_text().splitlines()]
        (new / path.name).write_text("\n".join(rows))  # nobody has labelled it
    (new / "00.segments.csv").write_text("start_s,end_s,label\n0,1,up\n")  # no recording
    (new / "broken.csv").write_text("height\nhigh\n")
    code, result = run(capsys, "predict", trained["bundle"], str(new), "--output", "out.csv")
    assert (code, result["num_predicted"], result["num_quarantined"]) == (3, 4, 1)
    with Path("out.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = "path start_s end_s label confidence error content_hash model"
    assert list(rows[0]) == columns.split()
    assert [row["error"] != "" for row in rows if row["path"] == "broken.csv"] == [True]
    bundle = Bundle.load(Path(trained["bundle"]))
    for path in sorted(new.glob("0*.csv"))[:1]:
        own = [row for row in rows if row["path"] == path.name]
        ends = [float(row["end_s"]) for row in own]
        assert [float(row["start_s"]) for row in own] == [0.0, *ends[:-1]]
        steps = Predictor(bundle).encode(path)
        assert ends[-1] == pytest.approx(len(steps) / 20)
        shares = np.exp(label_steps(bundle.network, [steps], np.array([len(steps)]))[0])
        classes = [bundle.classes[k] for k in shares.argmax(1)]
        at = [next(row["label"] for row in own if float(row["end_s"]) > k / 20 + 1e-9)
              for k in range(len(steps))]  # fmt: skip
        assert at == classes
    code, again = run(
        capsys, "predict", trained["bundle"], str(new), "--output", "out.csv",
        "--audacity", "marks", "--raven", "tables",
    )  # fmt: skip
    assert again["num_reused"] == 5
    marks = [line.split("\t") for line in Path("marks/00.csv.txt").read_text().splitlines()]
    own = [row for row in rows if row["path"] == "00.csv"]
    assert [mark[2] for mark in marks] == [row["label"] for row in own]
    assert [float(mark[1]) for mark in marks] == [float(row["end_s"]) for row in own]
    assert len(list(Path("tables").iterdir())) == 4 and not Path("marks/broken.csv.txt").exists()


@pytest.mark.slow
def test_evaluate_and_certify_a_model_of_steps(project, capsys):
    _, trained = run(capsys, "train", "moves.yaml", "training.num_epochs=1")
    code, found = run(capsys, "evaluate", trained["bundle"], "moves.yaml")
    assert code == 0 and found["test"] == pytest.approx(trained["test"])
    code, found = run(capsys, "certify", trained["bundle"], "moves.yaml", "training.num_epochs=1")
    assert code == 0 and found["padding"]["passed"] and found["determinism"]["passed"]
    assert found["export"] is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("model.pooling=mean", "pooling: mean cannot be used with data.labels: per_step"),
        ("features.sample_rate=null", "features.source_rate_hz"),
        ("training.augmentation={mixup_alpha: 0.2}", "mixup_alpha"),
    ],
)
def test_settings_that_do_not_go_with_labels_for_steps(project, capsys, changed, said):
    with pytest.raises(SystemExit) as stop:
        main(["train", "moves.yaml", changed])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_explain_says_that_it_explains_sequences(project, capsys):
    _, trained = run(capsys, "train", "moves.yaml", "training.num_epochs=1")
    with pytest.raises(SystemExit) as stop:
        main(["explain", trained["bundle"], "recordings/test/00.csv"])
    assert stop.value.code == 2 and "labels every step" in capsys.readouterr().err
