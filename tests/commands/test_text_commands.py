"""A text project from a csv to predictions: what is reported, and what starts from vectors."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seqbelt.cli import main
from seqbelt.commands.train import train
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.text.text import Word
from seqbelt.tracking.run import TrackedRun
from seqbelt.workflow.inputs import list_items, parse_inputs

CONFIG = """
name: reviews
data: {source: reviews.csv, validation_fraction: 0.1}
features: {kind: word, min_count: 1, max_length: 4}
model: {hidden_size: 4, embedding_size: 3}
training: {num_epochs: 1, batch_size: 8, device: cpu}
"""
VECTORS = "good 1 2 3\nbad -1 -2 -3\nelsewhere 9 9 9\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    return write_project(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project, and what training there printed; tracking takes seconds to set up."""
    with pytest.MonkeyPatch.context() as patch:
        folder = write_project(tmp_path_factory.mktemp("trained"), patch)
        done = train(Experiment.load("reviews.yaml")).result
        yield folder, folder / done["bundle"], done["run_id"]


def write_project(folder, patch):
    """Reviews of two words, one of them five words long, and vectors for some of the words."""
    patch.chdir(folder)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with Path("reviews.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "split"])
        for number in range(48):
            word = ("bad", "good")[number % 2]
            split = ("train", "train", "validation", "test")[number // 2 % 4]
            text = f"{word} film" if number else "bad bad bad bad film"
            rows.writerow([text, word, split])
        rows.writerow(["good cinema", "good", "test"])
    Path("reviews.yaml").write_text(CONFIG)
    Path("vectors.txt").write_text(VECTORS)
    return folder


def run(capsys, *arguments):
    """Exit code, the JSON of the last line of standard output, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.splitlines()[-1]) if out.strip() else None, err


def test_prepare_says_what_is_cut_and_unknown(project, capsys):
    _, first, said = run(capsys, "prepare", "reviews.yaml")
    line = (
        "tokens: 101; features.truncate_tokens cuts 2.04 % of the texts, 0.99 % of the tokens; "
        "unknown: 0.00 % train, 0.00 % validation, 3.85 % test"
    )
    assert line in said
    about = json.loads(Path(first["store"], "store.json").read_text())
    assert about["tokens"]["test"]["num_unknown"] == 1
    _, second, said = run(capsys, "prepare", "reviews.yaml")
    assert second["skipped"] and line in said
    assert first["tokens"] == second["tokens"]
    assert first["tokens"]["test"] == {
        "num_texts": 13, "num_tokens": 26, "cut_share": 0, "lost_share": 0, "unknown_share": 1 / 26
    }  # fmt: skip
    assert first["tokens"]["train"]["cut_share"] == 1 / 24


def test_the_run_tells_what_is_cut_and_unknown(trained):
    _, _, run_id = trained
    metrics = TrackedRun.attach(run_id).client.get_run(run_id).data.metrics
    told = {name: value for name, value in metrics.items() if name.startswith("data/")}
    assert len(told) == 9 and told["data/test_unknown_share"] == 1 / 26
    assert told["data/train_cut_share"] == 1 / 24 and told["data/validation_cut_share"] == 0


@pytest.mark.slow
def test_a_table_to_predict_is_read_as_it_is_told(project, trained, capsys):
    """Another column, a quotation mark that is text; .txt would be one text without settings."""
    _, bundle, _ = trained
    told = ("data.text_column=document", "data.quoting=false")
    for name in "new.tsv", "new.txt":
        Path(name).write_text('id\tdocument\n7\t"good\n8\tbad film"\n')
        code, found, _ = run(capsys, "predict", bundle, name, *told, "--output", f"{name}.jsonl")
        assert code == 0 and found["num_predicted"] == 2
        rows = [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]
        assert [(row["id"], row["num_steps"]) for row in rows] == [("7", 2), ("8", 3)]
    code, found, _ = run(capsys, "explain", bundle, name, *told, "--id", "7")
    assert code == 0 and found["num_steps"] == 2


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            ["reviews.csv", "data.test_fraction=0.1"],
            "data.test_fraction: does not apply to a manifest",
        ),
        (
            ["reviews.csv", "data.quoting=maybe"],
            'quoting: Input should be a valid boolean; found "',
        ),
        (["good.wav", "data.quoting=false"], "data.quoting=false: applies to a manifest only"),
        (["data.quoting=false"], "INPUT: give a file or a folder"),
        (["reviews.csv", "data.text_column=review"], "no column 'path' or 'review'"),
        (["reviews.csv", "missing.csv"], "INPUT missing.csv: no such file or folder"),
    ],
)
def test_settings_that_read_no_manifest_are_refused(project, inputs, message):
    Path("good.wav").write_text("good")
    with pytest.raises(SettingsError, match=re.escape(message)):
        paths, settings = parse_inputs(inputs)
        list_items(paths, Word(kind="word"), settings)


def test_a_file_named_like_a_setting_is_a_file(project):
    Path("data.quoting=false").write_text("good")
    assert parse_inputs(["data.quoting=false"]) == ([Path("data.quoting=false")], [])


def test_a_model_starts_from_vectors_and_predicts_without_their_file(project, capsys):
    code, trained, said = run(
        capsys, "train", "reviews.yaml", "model.vectors={path: vectors.txt, frozen: true}"
    )
    assert code == 0
    # The vocabulary is padding, unknown, bad, film, good; 27 of the 50 training steps are found.
    assert "vectors.txt: vectors for 2 of 5 tokens of the vocabulary, 54.0 % of the" in said
    bundle = Path(trained["bundle"])
    rows = load_file(bundle / "weights.safetensors")["embed.weight"]
    vocabulary = json.loads((bundle / "learned/tokenizer.json").read_text())["model"]["vocab"]
    np.testing.assert_array_equal(rows[vocabulary["good"]], [1, 2, 3])
    np.testing.assert_array_equal(rows[vocabulary["bad"]], [-1, -2, -3])
    assert rows[vocabulary["film"]].any()
    Path("vectors.txt").unlink()
    code, found, _ = run(capsys, "predict", bundle, "reviews.csv", "--output", "answers.csv")
    assert code == 0 and found["num_predicted"] == 49


def test_vectors_that_do_not_fit_are_named(project, capsys):
    code, _, said = run(
        capsys, "train", "reviews.yaml", "model.vectors.path=vectors.txt", "model.embedding_size=5"
    )
    assert code == 2 and "set model.embedding_size to 3" in said
    code, _, said = run(capsys, "train", "reviews.yaml", "model.vectors.path=missing.vec")
    assert code == 2 and "missing.vec: No such file" in said


def test_vectors_are_for_texts(project, capsys):
    Path("tables").mkdir()
    for number in range(24):
        folder = Path("tables", ("low", "high")[number % 2])
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{number}.npy", np.full((5, 2), number, np.float32))
    Path("tables.yaml").write_text(
        CONFIG.replace("reviews.csv", "tables").replace(
            "{kind: word, min_count: 1, max_length: 4}", "{kind: channels}"
        )
    )
    code, _, said = run(capsys, "train", "tables.yaml", "model.vectors.path=vectors.txt")
    assert code == 2 and "model.vectors: word vectors need texts" in said
