import os
import unicodedata
from pathlib import Path

import pytest

from seqbelt.data.sources.file_paths import find_files
from seqbelt.data.sources.manifest import make_manifest


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path))


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("소리/녹음.wav", nfd("소리/녹음.wav")),
        (nfd("소리/녹음.wav"), "소리/녹음.wav"),
        ("소리/" + nfd("녹음.wav"), nfd("소리") + "/녹음.wav"),
        ("a/b.wav", "a\\b.wav"), ("a/b.wav", ".\\a\\b.wav"), ("a/b.wav", "a/b.wav "),
        ("a/b.wav", "\ta/b.wav"), ("a/b.wav", '"a/b.wav"'), ("a/b.wav", "A/b.WAV"),
        ("a b.wav", "a%20b.wav"), ("소리.wav", "%EC%86%8C%EB%A6%AC.wav"),
        (nfd("소리/녹음.wav"), "소리\\녹음.WAV"),
    ],
)  # fmt: skip
def test_a_file_is_found_under_the_name_that_another_system_gives_it(tmp_path, there, written):
    touch(tmp_path / there)
    manifest = find_files(make_manifest(path=[written], label=["x"], root=tmp_path))
    assert manifest.source(0).read_bytes() == os.fsencode(tmp_path / there)
    assert manifest.column("id").tolist() == [written]  # named as given
    (note,) = manifest.notes
    assert written in note


def test_an_address_of_a_file_is_its_path(tmp_path):
    touch(tmp_path / "a b.wav")
    url = (tmp_path / "a b.wav").as_uri()
    manifest = find_files(make_manifest(path=[url], label=["x"], root=tmp_path / "lists"))
    assert manifest.source(0) == tmp_path / "a b.wav"


def test_paths_from_the_working_directory_are_found_and_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "clips/a.wav", tmp_path / "clips/b.wav", tmp_path / "lists/clips/b.wav")
    given = ["clips/a.wav", "clips/b.wav", "clips\\a.wav"]
    manifest = find_files(make_manifest(path=given, label=["x"] * 3, root=Path("lists")))
    found = [source.resolve().relative_to(tmp_path).as_posix() for source in manifest.sources()]
    assert found == ["clips/a.wav", "lists/clips/b.wav", "clips/a.wav"]  # beside the list first
    assert sum("working directory" in note for note in manifest.notes) == 2


def test_names_that_could_be_two_files_or_none_stay_as_they_are(tmp_path):
    touch(tmp_path / "a.wav", tmp_path / "A.wav", tmp_path / "100%25.wav")
    given = ["a.WAV", "gone.wav", "https://example.org/a.wav", "100%25.wav", "bad\0name"]
    manifest = find_files(make_manifest(path=given, label=["x"] * 5, root=tmp_path))
    assert [*manifest.sources()] == [tmp_path / name for name in given]
    assert manifest.notes == ()


def test_tables_of_segments_are_found_alike(tmp_path):
    touch(tmp_path / "a.wav", tmp_path / "s/a.csv")
    manifest = make_manifest(path=["a.wav"], label=[""], segments=["s\\a.csv"], root=tmp_path)
    assert find_files(manifest).segments() == [tmp_path / "s/a.csv"]


def test_paths_from_a_folder_above_the_manifest_are_found_and_said(tmp_path):
    touch(tmp_path / "data/sound/1.wav")
    manifest = make_manifest(path=["sound/1.wav"], label=["x"], root=tmp_path / "data/lists")
    found = find_files(manifest)
    assert found.source(0) == tmp_path / "data/sound/1.wav"
    assert "above the manifest" in " ".join(found.notes)
