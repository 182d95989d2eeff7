"""Equal content is found before anything is encoded, and moves rows of splits taken here only."""

import numpy as np
import pytest
from toys import Ready

from seqbelt.data.sources import equal_content
from seqbelt.data.sources.equal_content import content_codes, count_split_rows
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.experiment import Experiment
from seqbelt.workflow import prepared_data
from seqbelt.workflow.prepared_data import prepare_data


def test_files_texts_and_arrays_are_compared_by_content(tmp_path, monkeypatch):
    contents = [b"a" * 5000, b"b" + b"a" * 4999, b"a" * 5000, b"a" * 4999, b"c" * 9]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}").write_bytes(content)
    read = []
    monkeypatch.setattr(
        equal_content, "hash_if_readable",
        lambda path, inner=equal_content.hash_if_readable: read.append(path.name)
        or inner(path),
    )  # fmt: skip
    names = [f"{number}" for number in range(5)] + ["missing", "gone"]
    files = make_manifest(label=["x"] * 7, path=names, root=tmp_path)
    assert content_codes(files).tolist() == [0, 1, 0, 2, 3, 4, 5]
    assert read == ["0", "1", "2"]  # of equal size and end
    texts = make_manifest(label=["x"] * 3, text=["So  good ", "so GOOD", "so good!"])
    assert content_codes(texts).tolist() == [0, 0, 1]
    long = "Ａ word, " * 100  # the white space of the second hides where its letters end
    texts = make_manifest(
        label=["x"] * 5,
        text=[
            long + "x",
            " " * 600 + long.replace(" ", "\n\t "),
            long + "X",
            long,
            "a word, " * 100,
        ],
    )
    assert content_codes(texts).tolist() == [0, 1, 0, 1, 1]
    arrays = [np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32)]
    assert content_codes(make_manifest(label=["x"] * 2, contents=arrays)).tolist() == [0, 1]


def test_rows_on_the_other_side_are_counted():
    split = np.array(["train", "test", "validation", "test", "train"])
    assert count_split_rows(split, np.array([0, 0, 0, 1, 1])) == 3
    assert count_split_rows(split, np.arange(5)) == 0


def experiment(folder, **data) -> Experiment:
    """One hundred short texts, of which ten stand there three times."""
    texts = [f"text number {n if n >= 30 else n % 10}" for n in range(100)]
    lines = [f"{text},{'ab'[len(text) % 2]}" for text in texts]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    settings = {"source": str(folder / "texts.csv"), "prepared": str(folder / "store"), **data}
    return Experiment.parse(
        {"name": "texts", "data": settings, "features": {"kind": "word", "min_count": 1}}
    )


def crossing(store) -> int:
    split, content = (np.array(store.index[c].to_pylist()) for c in ("split", "content_hash"))
    return count_split_rows(split, content)


@pytest.mark.parametrize("data", [{}, {"folds": 4, "fold": 2}])
def test_a_split_taken_here_keeps_equal_content_on_one_side(tmp_path, monkeypatch, data):
    lines = []
    monkeypatch.setattr(prepared_data, "echo", lines.append)
    first = prepare_data(experiment(tmp_path, **data))
    assert crossing(first.store) == 0
    assert any(line.startswith("equal content: ") for line in lines)
    again = prepare_data(experiment(tmp_path, **data))
    assert again.skipped and again.store.fingerprint == first.store.fingerprint


def test_a_store_that_was_split_before_keeps_its_split(tmp_path):
    """Also where one file changed since, and of all folds that share the folder."""
    old = experiment(tmp_path, folds=4, fold=1)
    manifest = old.data.load(old.features)
    settings = {"data": old.data.to_dict(), "features": old.features.to_dict()}
    store = prepare(manifest, old.features, tmp_path / "store", settings).store
    assert crossing(store)
    assert prepare_data(old).store.fingerprint == store.fingerprint
    other = experiment(tmp_path, folds=4, fold=2)
    expected = other.data.load(other.features).column("split").tolist()
    assert prepare_data(other).store.index["split"].to_pylist() == expected
    assert prepare_data(old).store.fingerprint == store.fingerprint
    assert not crossing(prepare_data(experiment(tmp_path, split_seed=1)).store)


def test_the_sources_own_split_is_not_changed(tmp_path):
    arrays = [np.full((3, 1), n % 40, np.float32) for n in range(80)]
    split = ["train"] * 40 + ["test"] * 40
    manifest = make_manifest(label=["a", "b"] * 40, split=split, contents=arrays)
    store = prepare(
        manifest, Ready(width=1), tmp_path, {}, split_again=lambda content: manifest
    ).store
    assert store.index["split"].to_pylist() == split
    assert store.about["equal_content"] == {"before": 40, "after": 40}
