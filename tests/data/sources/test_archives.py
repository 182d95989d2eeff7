"""Archives and Parquet files with the bytes of files as sources, read in place."""

import io
import json
import pickle
import tarfile
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from seqbelt.data.sources.archives import read_archive
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError
from seqbelt.features.base import NoContent
from seqbelt.features.kinds import AnyFeatures
from seqbelt.features.text.text import Character
from seqbelt.settings import Settings
from seqbelt.workflow.inputs import list_items

FILES = {
    "set/train/cat/a.txt": b"meow",
    "set/train/dog/b.txt": b"woof",
    "set/test/cat/c.txt": b"purr",
    "set/test/dog/d.txt": b"bark",
    "__MACOSX/set/train/cat/._a.txt": b"junk",
}


def write_zip(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def write_tar(path, files, mode: Any = "w"):
    with tarfile.open(path, mode) as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def rows(manifest):
    """Name, label, split and content of each row."""
    columns = (manifest.column(name) for name in ("id", "label", "split"))
    return sorted(zip(*columns, manifest.sources(), strict=True))


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tgz"])
def test_class_folders_in_an_archive_are_read_as_folders_are(tmp_path, ending):
    inside = {name: content for name, content in FILES.items() if "MACOSX" not in name}
    if ending == ".zip":
        path = write_zip(tmp_path / "set.zip", FILES, compression=zipfile.ZIP_DEFLATED)
        inside = FILES
    else:
        path = write_tar(tmp_path / f"set{ending}", inside, "w:gz" if ending == ".tgz" else "w")
    for name, content in inside.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = Data(source=str(path)).list_items()
    folder = Data(source=str(tmp_path / "set")).list_items()
    expected = [(*row[:3], row[3].read_bytes()) for row in rows(folder)]
    assert rows(found) == expected and len(expected) == 4
    assert any("read from its folder 'set'" in note for note in found.notes)
    again = pickle.loads(pickle.dumps(found))
    assert rows(again) == expected
    assert rows(found.take(np.array([2, 0]))) == sorted([expected[2], expected[0]])


def test_what_cannot_be_read_is_one_row_s_fault(tmp_path):
    path = write_zip(tmp_path / "set.zip", {"a/x.txt": b"x" * 999, "b/y.txt": b"fine"})
    content = bytearray(path.read_bytes())
    content[content.index(b"xxx") + 5] ^= 1
    path.write_bytes(content)
    bad, good = Data(source=str(path)).list_items().sources()
    assert isinstance(bad, NoContent) and "CRC" in bad.reason
    assert good == b"fine"


def test_names_that_leave_the_archive_are_left_out(tmp_path):
    files = {"a/x.txt": b"1", "b/y.txt": b"2", "../c/z.txt": b"3", "/d/z.txt": b"4"}
    found = read_archive(write_tar(tmp_path / "set.tar", files), None, False)
    assert [row[0] for row in rows(found)] == ["a/x.txt", "b/y.txt"]
    assert not (tmp_path.parent / "c").exists()


def test_broken_and_empty_archives_are_refused(tmp_path):
    (tmp_path / "no.zip").write_bytes(b"PK nonsense")
    for path in (tmp_path / "no.zip", write_tar(tmp_path / "empty.tar", {})):
        with pytest.raises(SettingsError, match=str(path)):
            Data(source=str(path)).list_items()
    loose = write_zip(tmp_path / "loose.zip", {"x.txt": b"1"})
    with pytest.raises(SettingsError, match=rf"{loose} has no sub-folders"):
        Data(source=str(loose)).list_items()
    for labels in ("per_step", "several"):
        with pytest.raises(SettingsError, match=rf"labels: {labels}: .* one class"):
            Data.parse({"source": str(loose), "labels": labels}, origin="data").list_items()


def test_shards_of_a_webdataset_are_read_together(tmp_path):
    write_tar(tmp_path / "train-000.tar", {"k0.npy": b"0", "k0.cls": b"cat\n", "k1.npy": b"1",
                                           "k1.cls": b"dog"})  # fmt: skip
    about = json.dumps({"label": 3}).encode()
    write_tar(tmp_path / "train-001.tar", {"k0.npy": b"2", "k0.json": about})
    write_tar(tmp_path / "other.tar", {"k0.npy": b"9", "k0.cls": b"cat"})
    found = Data(source=str(tmp_path / "train-000.tar")).list_items()
    assert rows(found) == [
        ("train-000.tar/k0.npy", "cat", "train", b"0"),
        ("train-000.tar/k1.npy", "dog", "train", b"1"),
        ("train-001.tar/k0.npy", "3", "train", b"2"),
    ]
    write_tar(tmp_path / "bad.tar", {"k0.npy": b"0", "k0.wav": b"1", "k0.cls": b"cat"})
    with pytest.raises(SettingsError, match="sample 'k0' has 2 files besides its label"):
        Data(source=str(tmp_path / "bad.tar")).list_items()
    write_tar(tmp_path / "odd.tar", {"k0.npy": b"0", "k0.json": b'{"cls": 1, "cls": 2}'})
    with pytest.raises(SettingsError, match=r"k0\.json cannot be read: the key 'cls' appears tw"):
        Data(source=str(tmp_path / "odd.tar")).list_items()


def test_inputs_of_predict_may_be_an_archive_without_classes(tmp_path):
    path = write_zip(tmp_path / "new.zip", {"x.txt": b"one", "cat/y.txt": b"two"} | FILES)
    found = list_items([path], Character(kind="character"), classes=["cat"])
    items = [(item.name, item.source, item.label) for item in found.items]
    assert found.key == "path" and items[:2] == [
        ("x.txt", b"one", None),
        ("cat/y.txt", b"two", "cat"),
    ]
    assert len(items) == 6  # without what a system has written


class Section(Settings):
    features: AnyFeatures


def test_a_parquet_file_may_hold_the_bytes_and_names_of_classes(tmp_path):
    about = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    table = pa.table(
        {
            "audio": [{"bytes": b"RIFF0", "path": "a.wav"}, {"bytes": b"RIFF1", "path": "b.wav"},
                      {"bytes": None, "path": "c.wav"}],
            "path": ["/somewhere/a.wav", "/somewhere/b.wav", "/somewhere/c.wav"],
            "label": [1, 0, -1],
            "text": ["one", "two", "three"],
        }
    ).replace_schema_metadata({"huggingface": json.dumps(about)})  # fmt: skip
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    sounds = Section.parse({"features": {"kind": "log_mel"}}).features
    found = Data(source=str(path)).list_items(sounds)
    assert rows(found)[:2] == [("a.wav", "yes", "", b"RIFF0"), ("b.wav", "no", "", b"RIFF1")]
    (*_, last) = found.sources()
    assert isinstance(last, NoContent) and last.reason == "row 3 of data.parquet holds no bytes"
    assert list(found.column("label")) == ["yes", "no", ""]
    assert any("column 'audio' holds the files' bytes" in note for note in found.notes)
    texts = Data(source=str(path)).list_items(Character(kind="character"))
    assert list(texts.sources()) == ["one", "two", "three"]
    assert rows(pickle.loads(pickle.dumps(found)))[0][3] == b"RIFF0"


def test_several_columns_of_files_are_asked_about(tmp_path):
    cell = {"bytes": b"x", "path": "x"}
    table = pa.table({"left": [cell], "right": [cell], "label": ["a"]})
    pyarrow.parquet.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(SettingsError, match="left, right all hold files"):
        Data(source=str(tmp_path / "data.parquet")).list_items()
    data = Data(source=str(tmp_path / "data.parquet"), path_column="right")
    assert list(data.list_items().sources()) == [b"x"]
