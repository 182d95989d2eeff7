import csv
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from seqbelt.data.sources.folders import read_class_folders
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store import parts
from seqbelt.data.store.parts import part_paths
from seqbelt.data.store.preparation import Prepared, prepare
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError
from seqbelt.features import base, encoding
from seqbelt.features.audio.audio import Waveform


def features(**settings) -> Waveform:
    framing = {"sample_rate": 8000, "window_ms": 1.0, "hop_ms": 1.0}
    return Waveform(kind="waveform", **(framing | settings))


def run(source: Path, folder: Path, chosen: Waveform | None = None, **options) -> Prepared:
    manifest = read_class_folders(source)
    manifest = manifest.with_column("split", ["train"] * len(manifest))
    return prepare(manifest, chosen or features(), folder, {}, **options)


def content(store: SequenceStore) -> dict[str, tuple[str, bytes]]:
    rows = store.select(range(len(store.index)))
    return {
        name: (store.classes[rows.labels[n]], rows[n].tobytes())
        for n, name in enumerate(rows.column("id"))
    }


@pytest.fixture
def reads(monkeypatch):
    """Counts the files that are decoded."""
    names = []
    read = Waveform.read

    def counting(self, source):
        names.append(source)
        return read(self, source)

    monkeypatch.setattr(Waveform, "read", counting)
    return names


def test_every_good_file_is_in_the_store(tmp_path, wav_folder):
    done = []
    prepared = run(wav_folder, tmp_path / "s", progress=done.append)
    assert (prepared.num_encoded, prepared.num_quarantined, prepared.skipped) == (8, 0, False)
    assert sum(done) == 8
    for name, (label, values) in content(prepared.store).items():
        (oracle,) = features().encode([features().read(wav_folder / name)])
        assert values == oracle.tobytes()
        assert label == Path(name).parent.name


def test_a_second_run_decodes_nothing_and_changes_nothing(tmp_path, wav_folder, reads):
    first = run(wav_folder, tmp_path / "s")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.*")}
    reads.clear()
    done = []
    second = run(wav_folder, tmp_path / "s", progress=done.append)
    assert second.skipped
    assert reads == []
    assert sum(done) == 8
    assert second.store.fingerprint == first.store.fingerprint
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.*")} == before


def test_a_changed_file_redoes_that_file_alone(tmp_path, wav_folder, reads, wav_bytes, noise):
    first = run(wav_folder, tmp_path / "s")
    (wav_folder / "low/000.wav").write_bytes(wav_bytes(noise(700, 99)))
    reads.clear()
    second = run(wav_folder, tmp_path / "s")
    assert len(reads) == second.num_encoded == 1
    assert second.store.fingerprint != first.store.fingerprint
    changed = {k for k, v in content(second.store).items() if content(first.store).get(k) != v}
    assert changed <= {"low/000.wav"}
    assert content(second.store) == content(run(wav_folder, tmp_path / "fresh").store)


def test_a_touched_file_is_not_encoded_again(tmp_path, wav_folder, reads):
    first = run(wav_folder, tmp_path / "s")
    os.utime(wav_folder / "low/000.wav", ns=(5, 5))
    reads.clear()
    second = run(wav_folder, tmp_path / "s")
    assert reads == []
    assert second.num_encoded == 0
    assert second.store.fingerprint == first.store.fingerprint


def test_an_unchanged_file_is_not_even_opened(tmp_path, wav_folder, monkeypatch, wav_bytes, noise):
    run(wav_folder, tmp_path / "s")
    (wav_folder / "low/000.wav").write_bytes(wav_bytes(noise(700, 99)))
    opened = []
    read_bytes = base.read_bytes
    monkeypatch.setattr(base, "read_bytes", lambda p, *how: opened.append(p) or read_bytes(p, *how))
    run(wav_folder, tmp_path / "s")
    assert opened == [wav_folder / "low/000.wav"]


def test_added_and_removed_files_come_and_go(tmp_path, wav_folder, reads, wav_bytes, noise):
    run(wav_folder, tmp_path / "s")
    (wav_folder / "low/000.wav").unlink()
    (wav_folder / "low/new.wav").write_bytes(wav_bytes(noise(500, 98)))
    reads.clear()
    second = run(wav_folder, tmp_path / "s")
    assert len(reads) == 1
    assert content(second.store) == content(run(wav_folder, tmp_path / "fresh").store)


def test_a_renamed_file_is_not_encoded_again(tmp_path, wav_folder, reads):
    first = run(wav_folder, tmp_path / "s")
    (wav_folder / "low/000.wav").rename(wav_folder / "high/renamed.wav")
    reads.clear()
    second = run(wav_folder, tmp_path / "s")
    assert reads == []
    assert second.num_encoded == 0
    label, values = content(second.store)["high/renamed.wav"]
    assert label == "high"
    assert values == content(first.store)["low/000.wav"][1]
    assert second.store.fingerprint != first.store.fingerprint


@pytest.mark.parametrize("column", ["label", "split", "group"])
def test_a_changed_label_split_or_group_decodes_nothing(tmp_path, wav_folder, reads, column):
    manifest = read_class_folders(wav_folder)
    first = prepare(manifest, features(), tmp_path / "s", {})
    reads.clear()
    changed = manifest.with_column(column, ["other", *manifest.column(column)[1:]])
    second = prepare(changed, features(), tmp_path / "s", {})
    assert not second.skipped
    assert reads == []
    assert second.store.fingerprint != first.store.fingerprint
    rows = second.store.select([0])
    found = second.store.classes[rows.labels[0]] if column == "label" else rows.column(column)[0]
    assert found == "other"


def test_a_changed_setting_encodes_into_new_parts_and_the_old_ones_serve_again(
    tmp_path, wav_folder, reads
):
    first = run(wav_folder, tmp_path / "s")
    other = run(wav_folder, tmp_path / "s", features(hop_ms=2.0))
    assert other.num_encoded == 8
    assert other.store.about["parts"] != first.store.about["parts"]
    assert other.store.fingerprint != first.store.fingerprint
    reads.clear()
    back = run(wav_folder, tmp_path / "s")
    assert reads == []
    assert back.store.fingerprint == first.store.fingerprint


def test_a_raised_feature_version_encodes_again(tmp_path, wav_folder, monkeypatch):
    run(wav_folder, tmp_path / "s")
    monkeypatch.setattr(Waveform, "version", Waveform.version + 1)
    assert run(wav_folder, tmp_path / "s").num_encoded == 8


def test_the_same_content_twice_is_stored_once(tmp_path, wav_folder):
    twin = wav_folder / "high/twin.wav"
    twin.write_bytes((wav_folder / "low/000.wav").read_bytes())
    prepared = run(wav_folder, tmp_path / "s")
    assert prepared.num_encoded == 8
    found = content(prepared.store)
    assert found["high/twin.wav"][1] == found["low/000.wav"][1]
    assert found["high/twin.wav"][0] == "high"


@pytest.fixture
def bad_folder(wav_folder, wav_bytes):
    whole = (wav_folder / "low/000.wav").read_bytes()
    (wav_folder / "low/empty.wav").touch()
    (wav_folder / "low/cut.wav").write_bytes(whole[:-10])
    (wav_folder / 'high/text, "so".wav').write_text("hello")
    (wav_folder / "high/silent\nline.wav").write_bytes(wav_bytes(np.zeros(400)))
    (wav_folder / "high/gone.wav").symlink_to("gone")
    return wav_folder


LEDGER = {
    "low/empty.wav": "empty",
    "low/cut.wav": "truncated",
    'high/text, "so".wav': "wrong type",
    "high/silent\nline.wav": "silent",
    "high/gone.wav": "unreadable",
}


def read_ledger(folder: Path) -> list[dict[str, str]]:
    with (folder / "quarantine.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_bad_files_go_to_the_ledger_with_label_and_reason(tmp_path, bad_folder):
    prepared = run(bad_folder, tmp_path / "s")
    rows = read_ledger(tmp_path / "s")
    assert {row["id"]: row["reason"] for row in rows} == LEDGER
    assert all(row["label"] == row["id"].split("/")[0] and row["message"] for row in rows)
    assert prepared.num_quarantined == 5
    assert prepared.store.about["quarantined"] == dict.fromkeys(LEDGER.values(), 1)
    assert len(content(prepared.store)) == 8
    assert run(bad_folder, tmp_path / "s").num_quarantined == 5


def test_a_mended_file_leaves_the_ledger(tmp_path, bad_folder, wav_bytes, noise):
    run(bad_folder, tmp_path / "s")
    (bad_folder / "low/empty.wav").write_bytes(wav_bytes(noise(500, 77)))
    prepared = run(bad_folder, tmp_path / "s")
    assert "low/empty.wav" in content(prepared.store)
    assert len(read_ledger(tmp_path / "s")) == 4


def test_a_row_without_a_label_goes_to_the_ledger(tmp_path, noise):
    arrays = [noise(200, n) for n in range(3)]
    manifest = make_manifest(label=["a", "", "b"], contents=arrays)
    prepared = prepare(manifest, features(), tmp_path, {})
    (row,) = read_ledger(tmp_path)
    assert (row["id"], row["reason"]) == ("1", "unknown label")
    assert prepared.store.classes == ("a", "b")


def test_nothing_good_at_all_is_an_error_that_names_the_ledger(tmp_path, noise):
    manifest = make_manifest(label=["a", "b"], contents=[np.zeros(9, np.float32)] * 2)
    with pytest.raises(SeqbeltError, match=r"none of 2 items.*silent.*quarantine\.csv"):
        prepare(manifest, features(), tmp_path, {})
    assert len(read_ledger(tmp_path)) == 2


def test_a_file_name_that_is_no_utf8_is_prepared(tmp_path, wav_folder):
    (wav_folder / "low/000.wav").rename(wav_folder / "low" / os.fsdecode(b"caf\xe9.wav"))
    prepared = run(wav_folder, tmp_path / "s")
    assert (prepared.num_encoded, prepared.num_quarantined) == (8, 0)


def test_two_preparations_of_one_store_are_refused(tmp_path, wav_folder):
    folder = tmp_path / "s"
    folder.mkdir()
    with (
        FileLock(folder / ".lock"),
        pytest.raises(SeqbeltError, match="another process is preparing"),
    ):
        run(wav_folder, folder)
    assert run(wav_folder, folder).num_encoded == 8


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_preparation_goes_on_to_the_undisturbed_result(
    tmp_path, wav_folder, monkeypatch, reads, stop
):
    monkeypatch.setattr(encoding, "CHUNK_ITEMS", 1)
    whole = run(wav_folder, tmp_path / "apart/whole").store
    done = []

    def progress(count):
        done.append(count)
        if len(done) == 4:
            raise stop

    with pytest.raises(stop):
        run(wav_folder, tmp_path / "s", progress=progress)
    with pytest.raises(SeqbeltError):
        SequenceStore(tmp_path / "s")
    reads.clear()
    resumed = run(wav_folder, tmp_path / "s")
    assert 0 < resumed.num_encoded <= 4
    assert len(reads) == resumed.num_encoded
    assert resumed.store.fingerprint == whole.fingerprint
    assert content(resumed.store) == content(whole)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from seqbelt.data.store import parts, preparation, writing
    from seqbelt.data.sources.folders import read_class_folders
    from seqbelt.features import encoding
    from seqbelt.features.audio.audio import Waveform

    encoding.CHUNK_ITEMS, parts.BATCH_BYTES, parts.PART_BYTES = 1, 1, 5_000
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
    done = []

    def progress(count):
        done.append(count)
        if sys.argv[3] == "encoding" and len(done) == 6:
            kill()

    if sys.argv[3] == "describing":
        writing.write_json = lambda path, values: kill()
    manifest = read_class_folders(Path(sys.argv[1]))
    manifest = manifest.with_column("split", ["train"] * len(manifest))
    features = Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=1.0)
    preparation.prepare(manifest, features, Path(sys.argv[2]), {}, progress)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["encoding", "describing"])
def test_a_killed_preparation_goes_on_to_the_undisturbed_result(
    tmp_path, wav_folder, wav_bytes, noise, moment
):
    folder = tmp_path / "s"
    if moment == "describing":  # an older store must not be paired with the newer index
        run(wav_folder, folder, features())
        (wav_folder / "low/new.wav").write_bytes(wav_bytes(noise(500, 55)))
    script = [sys.executable, "-c", textwrap.dedent(KILLED), str(wav_folder), str(folder), moment]
    assert subprocess.run(script, timeout=300).returncode == -signal.SIGKILL
    with pytest.raises(SeqbeltError):
        SequenceStore(folder)
    kept = {path: path.read_bytes() for path in part_paths(next(folder.glob("parts-*")))}
    assert kept
    resumed = run(wav_folder, folder)
    assert resumed.num_encoded <= (6 if moment == "encoding" else 0)
    assert {path: path.read_bytes() for path in kept} == kept
    assert not list(folder.rglob("*.tmp"))
    whole = run(wav_folder, tmp_path / "apart/whole").store
    assert resumed.store.fingerprint == whole.fingerprint
    assert content(resumed.store) == content(whole)


def test_the_result_does_not_depend_on_chunks_batches_and_parts(tmp_path, wav_folder, monkeypatch):
    whole = run(wav_folder, tmp_path / "apart/whole").store
    monkeypatch.setattr(encoding, "CHUNK_ITEMS", 3)
    monkeypatch.setattr(parts, "BATCH_BYTES", 5000)
    monkeypatch.setattr(parts, "PART_BYTES", 9000)
    cut = run(wav_folder, tmp_path / "cut").store
    assert len(part_paths(cut._parts_folder)) > 1
    assert cut.fingerprint == whole.fingerprint
    assert content(cut) == content(whole)


def test_another_store_of_the_same_features_beside_it_decodes_nothing(tmp_path, wav_folder, reads):
    first = run(wav_folder, tmp_path / "stores/one")
    reads.clear()
    second = run(wav_folder, tmp_path / "stores/two")
    assert not reads and second.num_encoded == 0
    assert content(first.store) == content(second.store)
    for path in first.store.folder.glob("parts-*/part-*"):
        path.unlink()  # each store has its files for itself
    assert content(SequenceStore(second.store.folder)) == content(second.store)
    other = run(wav_folder, tmp_path / "stores/three", features(hop_ms=2.0))
    assert other.num_encoded == 8
