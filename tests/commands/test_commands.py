"""The command's contract: JSON, exit codes, what is on disk afterwards. One small real project."""

import csv
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toys import run_json, write_tones

from seqbelt.cli import main
from seqbelt.inference.serving import ModelProcess

CONFIG = """
name: words
data: {source: words, validation_fraction: 0.1}
features: {kind: log_mel, sample_rate: 8000, num_bands: 16}
model: {hidden_size: 12}
training: {num_epochs: 2, batch_size: 16, learning_rate: 3e-3, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0, 1]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with data, a config and a tracking store of its own."""
    folder = tmp_path_factory.mktemp("project")
    write_tones(folder / "words", num_per_class=16)
    (folder / "words.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def run(capsys, *arguments):
    """Exit code, the JSON of the last line of standard output, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    is_json = "--json" in arguments and out.strip()
    return stop.value.code, json.loads(out.strip().splitlines()[-1]) if is_json else None, err


@pytest.fixture(scope="module")
def trained(project):
    """The result of one ``train``."""
    return run_json("train", "words.yaml")


def test_prepare_reports_and_the_second_time_skips(project, capsys):
    code, first, _ = run(capsys, "prepare", "words.yaml", "--json")
    assert code == 0
    assert set(first) == {
        "store", "num_sequences", "num_quarantined", "num_steps", "skipped", "prepare_s",
    }  # fmt: skip
    assert first["num_sequences"] == 48 and Path(first["store"], "store.json").is_file()
    _, second, _ = run(capsys, "prepare", "words.yaml", "--json")
    assert second["skipped"] and second["num_steps"] == first["num_steps"]


def test_train_reports_the_contract_s_fields(trained, project):
    assert set(trained) >= {
        "run_id", "model_uri", "bundle", "cell", "seed", "epochs", "num_parameters", "train_s",
        "validation", "test",
    }  # fmt: skip
    assert set(trained["test"]) == {"accuracy", "macro_f1", "loss"}
    assert trained["model_uri"] == "models:/words/1"
    assert Path(project, trained["bundle"], "weights.safetensors").is_file()


def test_train_logs_settings_epochs_data_and_pictures(trained, project):
    from seqbelt.tracking.connection import connect

    client = connect()
    run_info = client.get_run(trained["run_id"])
    assert run_info.data.params["model.cell"] == "lstm"
    assert run_info.data.params["features.num_bands"] == "16"
    assert run_info.info.status == "FINISHED"
    assert len(client.get_metric_history(trained["run_id"], "val/accuracy")) == 2
    assert run_info.data.metrics["test/accuracy"] == trained["test"]["accuracy"]
    assert run_info.inputs.dataset_inputs[0].dataset.digest
    pictures = {item.path for item in client.list_artifacts(trained["run_id"], "pictures")}
    assert {"pictures/test_confusion.png", "pictures/learning_curves.png"} <= pictures
    assert str(client.get_model_version_by_alias("words", "champion").version) == "1"


def test_nothing_saved_is_a_pickle(trained, project):
    artefacts = [p for p in (project / "mlruns/artifacts").rglob("*") if p.is_file()]
    assert any(path.suffix == ".safetensors" for path in artefacts)
    for path in artefacts:
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth", ".bin"}, path


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_undisturbed_result(trained, project):
    """SIGKILL after an epoch; ``--resume`` ends with the same weights in the same MLflow run."""
    killed = """
        import os, signal
        from seqbelt.tracking.run import TrackedRun
        from seqbelt.training import loop
        save = loop.save_checkpoint
        def save_and_die(*arguments):
            save(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        loop.save_checkpoint = save_and_die
        from seqbelt.cli import main
        main(["train", "words.yaml", "training.seed=7"])
    """
    command = [sys.executable, "-c", textwrap.dedent(killed)]
    assert subprocess.run(command, cwd=project).returncode == -signal.SIGKILL
    results = []
    for arguments in (["--resume"], ["output=elsewhere"]):
        done = subprocess.run(
            [sys.executable, "-m", "seqbelt", "train", "words.yaml", "training.seed=7", "--json",
             *arguments],
            cwd=project, capture_output=True, text=True, check=True,
        )  # fmt: skip
        results.append(json.loads(done.stdout.strip().splitlines()[-1]))
    resumed, undisturbed = results
    assert resumed["epochs"] == 2 and resumed["test"] == undisturbed["test"]
    one, other = (Path(project, result["bundle"], "weights.safetensors") for result in results)
    assert one.read_bytes() == other.read_bytes()


def test_predict_labels_a_folder_and_names_what_it_could_not(
    trained, project, capsys, predicting_in_a_child
):
    folder = project / "new"
    for number, path in enumerate(sorted((project / "words/test").rglob("*.wav"))[:3]):
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        (folder / "sub" / f"{number}.wav").write_bytes(path.read_bytes())
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not audio")
    soundfile.write(folder / "silent.wav", np.zeros(4000), 8000)
    code, result, _ = run(
        capsys, "predict", trained["model_uri"], "new", "--output", "out/p.csv", "--json"
    )
    assert code == 3
    assert (result["num_predicted"], result["num_quarantined"]) == (3, 3)
    with Path("out/p.csv").open() as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert [*rows] == ["empty.wav", "silent.wav", "text.wav", *(f"sub/{n}.wav" for n in range(3))]
    assert rows["silent.wav"]["error"].startswith("silent")
    assert rows["sub/0.wav"]["label"] in {"a", "i", "u"}
    assert rows["sub/0.wav"]["model"] == trained["model_uri"]
    code, again, _ = run(
        capsys, "predict", trained["bundle"], "new", "--output", "out/p.csv", "--json"
    )
    assert again["num_reused"] == 5  # all but the empty file, whose content is not there


def test_an_output_inside_the_folder_is_not_its_own_input(trained, project, capsys):
    folder = project / "inside"
    folder.mkdir()
    source = next((project / "words/test").rglob("*.wav"))
    (folder / "a.wav").write_bytes(source.read_bytes())
    for _ in range(2):
        code, result, _ = run(
            capsys, "predict", trained["bundle"], "inside", "--output", "inside/p.csv", "--json"
        )
        assert (code, result["num_predicted"], result["num_quarantined"]) == (0, 1, 0)


def test_evaluate_gives_the_training_s_own_test_scores(trained, project, capsys):
    code, result, _ = run(capsys, "evaluate", trained["bundle"], "words.yaml", "--json")
    assert code == 0
    assert result["test"]["accuracy"] == pytest.approx(trained["test"]["accuracy"])
    assert result["test"]["loss"] == pytest.approx(trained["test"]["loss"], abs=1e-5)
    _, _, err = run(capsys, "evaluate", trained["bundle"], "words.yaml")
    assert f"test accuracy {100 * trained['test']['accuracy']:.1f} %" in err


def test_evaluate_refuses_other_features(trained, project, capsys):
    code, _, err = run(capsys, "evaluate", trained["bundle"], "words.yaml", "features.num_bands=20")
    assert code == 2 and "num_bands" in err


def test_compare_reports_the_contract_s_fields(trained, project, capsys, monkeypatch):
    started = []
    monkeypatch.setattr(ModelProcess, "_start", lambda child: started.append(child))
    code, result, _ = run(capsys, "compare", "words.yaml", "--json")
    assert code == 0
    assert set(result) >= {"parent_run_id", "model_uri", "verdict", "cells"}
    for cell in ("lstm", "rnn"):
        accuracy = result["cells"][cell]["test_accuracy"]
        assert accuracy["low"] <= accuracy["mean"] <= accuracy["high"]
        assert len(result["cells"][cell]["runs"]) == 2
    from seqbelt.tracking.connection import connect

    summary = connect().get_run(result["parent_run_id"])
    assert result["verdict"] in " ".join(summary.data.tags["mlflow.note.content"].split())
    assert not started, "MLflow tries its example in this process"


def test_the_champion_is_the_best_by_validation(trained, project, capsys):
    from seqbelt.tracking.connection import connect

    client = connect()
    versions = client.search_model_versions("name='words'")
    scores = sorted((float(v.tags["validation.accuracy"]) for v in versions), reverse=True)
    for alias, score in zip(("champion", "challenger"), scores):
        holder = client.get_model_version_by_alias("words", alias)
        assert float(holder.tags["validation.accuracy"]) == score
        code, _, _ = run(
            capsys, "predict", f"models:/words@{alias}", "words", "--output", "alias.csv"
        )
        concrete = {
            row["model"] for row in csv.DictReader(Path("alias.csv").read_text().splitlines())
        }
        assert code == 0 and concrete == {f"models:/words/{holder.version}"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "missing.yaml"], "missing.yaml"),
        (["train", "words.yaml", "model.cel=gru"], "did you mean 'cell'"),
        (["train", "words.yaml", "training.num_epochs=many"], "training.num_epochs"),
        (["train", "words.yaml", "data.source=nowhere"], "data.source"),
        (["predict", "models:/words@champion", "nowhere", "--output", "p.csv"], "nowhere"),
        (["predict", "models:/words@champion", "words", "--output", "p.xls"], ".parquet"),
    ],
)
def test_bad_arguments_exit_with_2_and_say_what(project, capsys, arguments, words):
    code, _, err = run(capsys, *arguments)
    assert code == 2 and words in err


def test_an_unknown_model_exits_with_1(trained, project, capsys):
    code, _, err = run(capsys, "predict", "models:/nobody/1", "words", "--output", "p.csv")
    assert code == 1 and "nobody" in err


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        (  # for --help
            "seqbelt.cli",
            {"torch", "mlflow", "numpy", "pandas", "sklearn", "librosa", "pydantic"},
        ),
        (  # for predictions without a report: neither statistics nor tracking
            "seqbelt.workflow.prediction_run",
            {"mlflow", "pandas", "sklearn", "scipy.stats", "matplotlib"},
        ),
    ],
)
def test_nothing_heavy_is_imported(module, heavy):
    script = (
        f"import sys, {module}\n"
        f"found = {heavy!r} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["models:/words@champion", "models:/words/1"])
def test_a_model_of_the_project_is_found_as_mlflow_finds_it_without_its_import(
    trained, project, name
):
    from seqbelt.tracking.publish import resolve
    from seqbelt.tracking.registry_file import resolve_from_file

    assert resolve_from_file(name) == resolve(name)
    script = (
        "import sys; from seqbelt.workflow.models import load_folder\n"
        f"load_folder({name!r}); sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_moved_project_that_cannot_be_written_is_read_without_a_trace(
    trained, project, tmp_path, monkeypatch
):
    from seqbelt.tracking import connection
    from seqbelt.tracking.publish import resolve

    copy = tmp_path / "copy"
    shutil.copytree(project / "mlruns", copy / "mlruns")
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(connection, "_is_writable", lambda database: copy not in database.parents)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    bundle, version = resolve("models:/words@champion")
    assert copy in bundle.parents and version.startswith("models:/words/")
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_what_the_registry_file_does_not_tell_is_left_to_mlflow(
    trained, project, tmp_path, monkeypatch
):
    from seqbelt.tracking.registry_file import resolve_from_file

    for name in ("models:/words@nobody", "models:/words/9", "models:/cats/1", "models:/words",
                 f"runs:/{trained['run_id']}/model"):  # fmt: skip
        assert resolve_from_file(name) is None
    copy = tmp_path / "copy"
    shutil.copytree(project / "mlruns", copy / "mlruns")
    with monkeypatch.context() as patch:
        patch.chdir(copy)  # the artifacts' addresses are those of the former folder
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert resolve_from_file("models:/words/1") is None
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        assert resolve_from_file("models:/words/1") is None
    bundle, _ = resolve_from_file("models:/words/1")
    weights = bundle / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert resolve_from_file("models:/words/1") is None
    weights.write_bytes(content)
    with sqlite3.connect(project / "mlruns/mlflow.db") as stored:
        stored.execute("UPDATE model_versions SET current_stage = 'Deleted_Internal'")
    try:
        assert resolve_from_file("models:/words/1") is None
    finally:
        stored.execute("UPDATE model_versions SET current_stage = 'None'")
        stored.commit()
        stored.close()


@pytest.mark.slow
def test_mlflow_loads_the_model_and_a_bad_row_gets_its_own_error(trained, project, monkeypatch):
    import mlflow.pyfunc
    import pandas as pd

    from seqbelt.tracking.connection import connect

    connect()
    monkeypatch.setenv("SEQBELT_SERVE_ROOT", str(project))
    model = mlflow.pyfunc.load_model(trained["model_uri"])
    good = next((project / "words/test").rglob("*.wav"))
    rows = pd.DataFrame({"path": [str(good), "nowhere.wav"]})
    answers = model.predict(rows)
    assert answers["label"][0] in {"a", "i", "u"} and pd.isna(answers["error"][0])
    assert answers["error"][1].startswith("unreadable")
    example = model.input_example
    assert pd.isna(model.predict(example)["error"][0])
