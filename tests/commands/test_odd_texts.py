"""Odd texts from file to label: what is prepared, what is quarantined, and why."""

import csv
import json
from pathlib import Path

import pytest

from seqbelt.cli import main
from seqbelt.data.store.store import SequenceStore
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network

CONFIG = """
name: odd
data: {source: SOURCE, test_fraction: 0, validation_fraction: 0}
features: {kind: KIND, max_length: 30, max_characters: 5000}
model: {hidden_size: 4, embedding_size: 4}
"""
GOOD = {
    "one character": "가",
    "emoji": "😀👩‍👩‍👧👍🏽❤️",
    "scripts": "좋아요 great 映画 русский العربية",
    "controls": "좋\x00아\x07요\x1b[0m good",
    "marks": "\ufeff좋\u200b아요\u202e good",
    "decomposed": "조\u1107\u1161ㅎ",
    "quotes": '"좋아요 ""good',
    "long": "아주 좋은 영화 " * 500,
}
EMPTY = {"empty": "", "spaces": " \u3000", "invisible": "\u200b\ufe0f", "null": "\x00\x01"}
REASONS = {
    **{f"{name}.txt": "empty" for name in EMPTY},
    "too long.txt": "too long",
    "latin.txt": "unreadable",
    "cut.txt": "unreadable",
}


def run(capsys, *arguments):
    """Exit code, the JSON of the last line of standard output, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.splitlines()[-1]) if out.strip() else None, err


def write_folder(folder: Path) -> None:
    """One text a file; both classes have the same odd ones, spelled a little differently."""
    for label, suffix in (("negative", " 최악"), ("positive", " 최고")):
        (folder / label).mkdir(parents=True)
        for name, text in GOOD.items():
            (folder / label / f"{name}.txt").write_bytes((text + suffix).encode())
        for name, text in EMPTY.items():
            (folder / label / f"{name}.txt").write_bytes(text.encode())
        (folder / label / "too long.txt").write_text("영화 " * 2000, "utf-8")
        (folder / label / "latin.txt").write_bytes("café".encode("latin-1"))
        (folder / label / "cut.txt").write_bytes("영화".encode()[:-1])


def write_config(source: str, kind: str) -> None:
    Path("odd.yaml").write_text(CONFIG.replace("SOURCE", source).replace("KIND", kind), "utf-8")


def save_bundle(store: SequenceStore) -> None:
    """An untrained model: what it answers is not the question."""
    experiment = Experiment.load("odd.yaml")
    network = build_network(experiment.model, store.num_features, 2, True)
    Bundle(
        "odd", experiment.features, store.learned, experiment.model, store.classes,
        store.num_features, weights_of(network), about={},
    ).save(Path("bundle"))  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "kind",
    [
        "subword",
        "word",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("character", "jamo", "morpheme")),
    ],
)
def test_a_folder_of_odd_texts_is_prepared_and_predicted(project, capsys, kind):
    if kind == "morpheme":
        pytest.importorskip("kiwipiepy", reason="the extra korean is not installed")
    write_folder(Path("texts"))
    write_config("texts", kind)
    code, prepared, _ = run(capsys, "prepare", "odd.yaml")
    assert code == 3
    assert prepared["num_sequences"] == 2 * len(GOOD)
    with Path(prepared["store"], "quarantine.csv").open(newline="", encoding="utf-8-sig") as file:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons == {
        f"{label}/{name}": reason
        for label in ("negative", "positive")
        for name, reason in REASONS.items()
    }
    store = SequenceStore(prepared["store"])
    assert store.token_counts["train"].num_cut >= 2  # both long ones, at least
    save_bundle(store)
    code, _, _ = run(capsys, "predict", "bundle", "texts", "--output", "answers.jsonl")
    assert code == 3
    rows = [json.loads(line) for line in Path("answers.jsonl").read_text("utf-8").splitlines()]
    errors = {row["path"]: row["error"].partition(":")[0] for row in rows if row["error"]}
    assert errors == reasons
    steps = dict(zip(store.split("train").column("id"), store.split("train").lengths.tolist()))
    assert {row["path"]: row["num_steps"] for row in rows if not row["error"]} == steps


def test_a_table_without_header_and_quoting_costs_its_bad_rows_only(project, capsys):
    """Each row is a text and its label; a quotation mark and a broken byte are in one of them."""
    texts = [text.encode() for text in [*GOOD.values(), *EMPTY.values()]]
    texts += ["café".encode("latin-1"), ("영화 " * 2000).encode()]
    lines = [text + b"\t%d" % (row % 2) for row, text in enumerate(texts)]
    Path("odd.tsv").write_bytes(b"\n".join(lines) + b"\n")
    write_config("odd.tsv", "jamo")
    told = ("data.header=[review, sentiment]", "data.text_column=review", "data.quoting=false")
    code, prepared, _ = run(capsys, "prepare", "odd.yaml", *told, "data.label_column=sentiment")
    assert code == 3 and prepared["num_sequences"] == len(GOOD)
    ledger = Path(prepared["store"], "quarantine.csv").read_text("utf-8")
    assert ledger.count(",empty,") == len(EMPTY)
    assert ledger.count(",unreadable,") == ledger.count(",too long,") == 1
    save_bundle(SequenceStore(prepared["store"]))
    code, found, _ = run(capsys, "predict", "bundle", "odd.tsv", *told, "--output", "answers.jsonl")
    assert (code, found["num_predicted"]) == (3, len(GOOD))
    rows = [json.loads(line) for line in Path("answers.jsonl").read_text("utf-8").splitlines()]
    assert [row["id"] for row in rows] == [str(row) for row in range(len(texts))]
    assert [bool(row["error"]) for row in rows] == [False] * len(GOOD) + [True] * 6
