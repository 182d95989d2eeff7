"""A text project from a csv to predictions: what is reported, and what starts from vectors."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seqbelt.cli import main

CONFIG = """
name: reviews
data: {source: reviews.csv}
features: {kind: word, min_count: 1, max_length: 4}
model: {hidden_size: 4, embedding_size: 3}
training: {num_epochs: 1, batch_size: 8, device: cpu}
"""
VECTORS = "good 1 2 3\nbad -1 -2 -3\nelsewhere 9 9 9\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Reviews of two words, one of them five words long, and vectors for some of the words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
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
    return tmp_path


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
        "tokens: 101; features.max_length cuts 2.04% of the texts, 0.99% of the tokens; "
        "unknown: 0.00% train, 0.00% validation, 3.85% test"
    )
    assert line in said
    about = json.loads(Path(first["store"], "store.json").read_text())
    assert about["tokens"]["test"]["num_unknown"] == 1
    _, second, said = run(capsys, "prepare", "reviews.yaml")
    assert second["skipped"] and line in said


def test_a_model_starts_from_vectors_and_predicts_without_their_file(project, capsys):
    code, trained, said = run(
        capsys, "train", "reviews.yaml", "model.vectors={path: vectors.txt, frozen: true}"
    )
    assert code == 0
    # The vocabulary is padding, unknown, bad, film, good; 27 of the 50 training steps are found.
    assert "vectors.txt: vectors for 2 of 5 tokens of the vocabulary, 54.0% of the" in said
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
    assert code == 2 and "model.vectors: word vectors are for texts" in said
