"""Labels for every step: from a table's own column, from segments beside a recording."""

from pathlib import Path

import numpy as np
import pytest

from seqbelt.data.batches import make_batch
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sources.dataset import Data
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import BadInput, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.workflow.prepared_data import prepare_data

ROWS = ["x,y,label", "1,2,sit", "3,4,", "5,6,NA", "7,8,sit", "9,10,?"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store_of(folder: Path, **settings) -> SequenceStore:
    features = {"kind": "channels", "sample_rate": 10, **settings.pop("features", {})}
    data = {"source": str(folder), "labels": "per_step", "validation_fraction": 0}
    values = {"name": "t", "data": data | {"test_fraction": 0} | settings, "features": features}
    return prepare_data(Experiment.parse(values)).store


def names_of(store: SequenceStore, row: int = 0) -> list[str]:
    names = [*store.classes, ""]
    return [names[min(label, len(names) - 1) if label >= 0 else -1]
            for label in store.step_labels(row)]  # fmt: skip


def ledger(store: SequenceStore) -> str:
    return (store.folder / "quarantine.csv").read_text("utf-8-sig")


class TestColumnOfTheTable:
    def test_words_are_labels_and_no_channel(self, folder):
        (folder / "rec").mkdir()
        (folder / "rec/a.csv").write_text("\n".join(ROWS))
        store = store_of(folder / "rec")
        assert store.num_features == 2 and store.classes == ("NA", "sit")
        assert names_of(store) == ["sit", "", "NA", "sit", ""]

    def test_the_label_of_a_table_is_never_read_as_a_channel(self, folder):
        (folder / "rec").mkdir()
        (folder / "rec/a.csv").write_text("x,activity\n1,0\n2,1\n")
        with pytest.raises(SettingsError, match=r"'activity' is also a channel.*ignore"):
            store_of(folder / "rec", label_column="activity")
        features = {"ignore": ["activity"]}
        store = store_of(folder / "rec", label_column="activity", features=features)
        assert store.num_features == 1 and names_of(store) == ["0", "1"]

    def test_resampled_steps_have_the_nearest_rows_label(self, folder):
        (folder / "rec").mkdir()
        rows = [f"{k},{'a' if k < 6 else 'b'}" for k in range(12)]
        (folder / "rec/a.csv").write_text("\n".join(["x,label", *rows]))
        store = store_of(folder / "rec", features={"resample_rate": 5})
        assert names_of(store) == ["a"] * 3 + ["b"] * 3

    def test_parquet(self, folder):
        import pandas

        (folder / "rec").mkdir()
        frame = pandas.DataFrame({"x": [1.0, 2, 3], "label": ["a", None, "b"]})
        frame.to_parquet(folder / "rec/a.parquet")
        assert names_of(store_of(folder / "rec")) == ["a", "", "b"]

    def test_what_has_no_label_is_quarantined_alone(self, folder):
        (folder / "rec").mkdir()
        (folder / "rec/a.csv").write_text("\n".join(ROWS))
        (folder / "rec/b.csv").write_text("x,y\n1,2\n")
        (folder / "rec/c.csv").write_text("x,y,label\n1,2,\n")
        store = store_of(folder / "rec")
        assert store.split("train").column("id") == ["a.csv"]
        assert "b.csv,,unknown label,no column 'label'" in ledger(store)
        assert "c.csv,,unknown label,no step has a label" in ledger(store)


class TestSegments:
    """Ten steps a second."""

    @pytest.fixture
    def recording(self, folder) -> Path:
        (folder / "rec").mkdir()
        np.savetxt(folder / "rec/a.csv", np.zeros((10, 1)), header="x", comments="")
        return folder / "rec"

    def test_a_step_has_the_label_of_the_segment_that_it_begins_in(self, recording):
        (recording / "a.segments.csv").write_text(
            "start_s,end_s,label\n0.35,0.6,talk\n0.1,0.3,sing\n0.9,7,talk\n"
        )
        found = names_of(store_of(recording))
        assert found == ["", "sing", "sing", "", "talk", "talk", "", "", "", "talk"]

    def test_a_manifest_names_tables(self, recording, folder):
        (folder / "other.tsv").write_text("start_s\tend_s\tlabel\n0\t0.2\tsing\n")
        (folder / "manifest.csv").write_text("path,segments\nrec/a.csv,other.tsv\n")
        assert names_of(store_of(folder / "manifest.csv"))[:3] == ["sing", "sing", ""]

    def test_other_labels_are_noticed_and_nothing_is_encoded_again(self, recording):
        table = recording / "a.segments.csv"
        table.write_text("start_s,end_s,label\n0,0.2,sing\n")
        first = store_of(recording)
        table.write_text("start_s,end_s,label\n0,0.2,talk\n0.2,0.4,talk\n")
        second = store_of(recording)
        assert (first.classes, second.classes) == (("sing",), ("talk",))
        assert first.fingerprint != second.fingerprint
        assert len(list(second.folder.glob("parts-*/part-*"))) == 1

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("start_s,end_s,label\n0,0.5,a\n0.4,0.8,b\n", "'b' begins at 0.4 s, before 'a'"),
            ("start_s,end_s,label\n0.5,0.5,a\n", "from '0.5' to '0.5'"),
            ("start_s,end_s,label\n0,soon,a\n", "to 'soon'"),
            ("start_s,end_s,label\n0,1,\n", "with the label ''"),
            (
                "begin,end_s,label\n0,1,a\n",
                "no column 'start_s'; found begin, end_s, label; name the times start_s, end_s (",
            ),
            ("start_s,end_s,label\n5,6,a\n", "begins at 5 s, after the end of the recording (1 s)"),
        ],
        ids=["overlap", "no-duration", "no-time", "no-label", "no-column", "outside"],
    )
    def test_a_broken_table_costs_its_recording(self, recording, content, said):
        np.savetxt(recording / "b.csv", np.ones((10, 1)), header="x", comments="")
        (recording / "b.segments.csv").write_text("start_s,end_s,label\n0,0.2,sing\n")
        (recording / "a.segments.csv").write_text(content)
        store = store_of(recording)
        assert store.split("train").column("id") == ["b.csv"]
        assert said in ledger(store).replace('""', '"')

    def test_steps_without_a_time_are_refused(self, recording):
        with pytest.raises(SettingsError, match=r"features\.source_rate_hz"):
            store_of(recording, features={"sample_rate": None})


def test_a_split_keeps_recordings_whole_and_needs_no_label(folder):
    (folder / "rec").mkdir()
    for name in "abcdefgh":
        (folder / f"rec/{name}.csv").write_text(f"x,label\n{ord(name)},a\n2,b\n")
    data = Data(source="rec", labels="per_step", test_fraction=0.25, validation_fraction=0.25)
    split = data.load().column("split").tolist()
    assert sorted(split) == ["test"] * 2 + ["train"] * 4 + ["validation"] * 2


def test_a_batch_pads_labels_with_none(folder):
    (folder / "rec").mkdir()
    (folder / "rec/a.csv").write_text("x,label\n1,u\n2,v\n3,\n")
    (folder / "rec/b.csv").write_text("x,label\n1,v\n")
    batch = make_batch(store_of(folder / "rec").split("train"), np.array([1, 0]))
    none = UNLABELLED
    assert batch.labels.tolist() == [[1, none, none], [0, 1, none]]


def test_a_word_that_is_no_table_has_no_column():
    from seqbelt.features.arrays.reading import read_words

    with pytest.raises(BadInput, match="no column"):
        read_words(b"\x93NUMPY\x01\x00", "label", 1e6)
