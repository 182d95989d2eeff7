"""Arrays that are none: each in the ledger with its reason, and nothing of a pickle runs."""

import csv
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np

from seqbelt.experiment import Experiment
from seqbelt.workflow.prepared_data import prepare_data


class Trap:
    """Writes a file as soon as somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def zip_bomb() -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 28, 1)}
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(1 << 24))
    return file.getvalue()


def test_broken_arrays_are_in_the_ledger_and_pickles_do_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sprung, folder = tmp_path / "sprung", tmp_path / "arrays/a"
    folder.mkdir(parents=True)
    good = np.random.default_rng(0).normal(size=(6, 3))
    for number in range(4):
        np.save(folder / f"good{number}.npy", good + number)
    np.save(folder / "nan.npy", np.where(good > 1, np.nan, good) * np.nan)
    np.save(folder / "rank.npy", good[None])
    np.save(folder / "object.npy", np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    (folder / "pickled.npy").write_bytes(pickle.dumps(Trap(sprung)))
    (folder / "bomb.npz").write_bytes(zip_bomb())
    (folder / "cut.npy").write_bytes((folder / "good0.npy").read_bytes()[:-9])
    values = {
        "name": "t",
        "data": {"source": "arrays", "validation_fraction": 0, "test_fraction": 0},
        "features": {"kind": "channels", "max_size_mb": 1.0},
    }
    store = prepare_data(Experiment.parse(values)).store
    assert len(store.split("train")) == 4
    text = (store.folder / "quarantine.csv").read_text("utf-8-sig")
    reasons = {Path(row["id"]).name: row["reason"] for row in csv.DictReader(text.splitlines())}
    assert set(reasons) == {
        "nan.npy", "rank.npy", "object.npy", "pickled.npy", "bomb.npz", "cut.npy"
    }  # fmt: skip
    assert reasons["nan.npy"] == "not finite" and reasons["rank.npy"] == "wrong shape"
    assert reasons["object.npy"] == reasons["pickled.npy"] == "wrong type"
    assert reasons["bomb.npz"] == "too long"
    assert not sprung.exists()
