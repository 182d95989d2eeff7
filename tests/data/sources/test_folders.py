from collections import Counter
from pathlib import Path

import pytest

from seqbelt.data.sources.folders import list_files, read_class_folders, read_recordings
from seqbelt.errors import SettingsError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(manifest) -> list[tuple[str, str]]:
    return sorted({*zip(manifest.column("split"), manifest.column("label"))})


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"),
     ("1.Training", "2.Test"), ("학습", "테스트"), ("train_set", "test_set"),
     ("seg_train", "seg_test"), ("train-clean-100", "test-clean"),
     ("Trainingsdaten", "Testdaten"), ("entrenamiento", "prueba")],
)  # fmt: skip
@pytest.mark.parametrize("beside", [None, "__MACOSX/._x", ".git/config", "README.md"])
def test_parts_are_understood_however_they_are_spelled(tmp_path, train, test, beside):
    touch(tmp_path, f"{train}/a/1", f"{train}/b/2", f"{test}/a/3", f"{test}/b/4")
    touch(tmp_path, *([beside] if beside else []))
    manifest = read_class_folders(tmp_path)
    assert found(manifest) == [("test", "a"), ("test", "b"), ("train", "a"), ("train", "b")]


def test_a_folder_beside_the_parts_is_left_out_and_named(tmp_path):
    touch(tmp_path, "train/a/1", "train/b/2", "test/a/3", "docs/readme.txt", "extra/a/5")
    manifest = read_class_folders(tmp_path)
    assert len(manifest) == 3
    assert any("docs, extra" in note for note in manifest.notes)


@pytest.mark.parametrize(
    "names",
    [
        ("train/a/1", "train/b/2", "unlabelled/c/3"),  # one part and something else
        ("train/steam/1", "test/blood/2", "bus/city/3"),  # parts that share no class
        ("test/a/1", "dev/a/2"),  # no training part
        ("train/a/1", "test/a/2", "eval/a/3"),  # validation or test?
        ("train/1", "test/2", "bus/3"),  # classes that are called so, or parts without classes
        ("train/1", "test/2"),
        ("train1/a/1", "test1/b/2"),
    ],
)
def test_folders_that_may_be_parts_or_classes_are_a_question(tmp_path, names):
    touch(tmp_path, *names)
    with pytest.raises(SettingsError, match=r"data\.split_folders"):
        read_class_folders(tmp_path)
    tops = sorted({name.split("/")[0] for name in names})
    assert sorted({*read_class_folders(tmp_path, False).column("label")}) == tops


def test_a_setting_answers_the_question(tmp_path):
    touch(tmp_path, "train/a/1", "train/b/2", "unlabelled/c/3")
    assert found(read_class_folders(tmp_path, True)) == [("train", "a"), ("train", "b")]
    touch(tmp_path / "none", "a/1", "b/2")
    with pytest.raises(SettingsError, match=r"data\.split_folders: true.*train"):
        read_class_folders(tmp_path / "none", True)


def test_parts_may_lie_below_the_classes(tmp_path):
    touch(tmp_path, "a/train/1", "a/test/2", "b/train/3", "b/Test/deep/4")
    manifest = read_class_folders(tmp_path)
    assert found(manifest) == [("test", "a"), ("test", "b"), ("train", "a"), ("train", "b")]
    assert any("below" in note for note in manifest.notes)
    touch(tmp_path, "c/5")
    with pytest.raises(SettingsError, match=r"\(c\).*data\.split_folders: false"):
        read_class_folders(tmp_path)
    assert len(read_class_folders(tmp_path, False)) == 5


@pytest.mark.parametrize("inner", [("a/1", "b/2"), ("train/a/1", "test/a/2")])
def test_a_folder_around_the_classes_is_named(tmp_path, inner):
    touch(tmp_path, *(f"data/{name}" for name in inner))
    with pytest.raises(SettingsError, match=rf"data\.source.*{tmp_path.name}/data"):
        read_class_folders(tmp_path)


def test_class_folders_without_files_are_named(tmp_path):
    touch(tmp_path, "a/1", "b/2")
    (tmp_path / "c" / "below").mkdir(parents=True)
    (note,) = read_class_folders(tmp_path).notes
    assert "without any file" in note and note.endswith("c")


def test_sub_folders_of_classes_are_walked_and_said(tmp_path):
    touch(tmp_path, "a/1", "a/x/2", "b/y/z/3")
    manifest = read_class_folders(tmp_path)
    assert manifest.column("label").tolist() == ["a", "a", "b"]
    assert any("2 files" in note and "a/x, b/y/z" in note for note in manifest.notes)


def test_files_of_systems_are_no_items(tmp_path):
    touch(tmp_path, "a/1", "a/Thumbs.db", "a/desktop.ini", "a/.DS_Store", "a/~$x.doc", "b/2")
    touch(
        tmp_path, "@eaDir/x", "__MACOSX/a/1", ".ipynb_checkpoints/x", "a/@eaDir/1", "$RECYCLE.BIN/x"
    )
    assert [*list_files(tmp_path)] == ["a/1", "b/2"]
    assert sorted({*read_class_folders(tmp_path).column("label")}) == ["a", "b"]


def test_linked_class_folders_are_followed_and_said(tmp_path):
    touch(tmp_path, "top/a/1", "top/b/2", "disk/c/3", "disk/c/deep/4")
    (tmp_path / "top/c").symlink_to("../disk/c")
    manifest = read_class_folders(tmp_path / "top")
    assert Counter(manifest.column("label")) == {"a": 1, "b": 1, "c": 2}
    assert any("links to folders" in note for note in manifest.notes)
    assert manifest.source(2).read_bytes() == b"x"


def test_loops_of_links_end_and_are_said(tmp_path):
    touch(tmp_path, "top/a/1", "disk/b/2")
    (tmp_path / "top/b").symlink_to("../disk/b")
    (tmp_path / "disk/b/back").symlink_to("../../top")
    (tmp_path / "disk/b/self").symlink_to(".")
    notes = []
    assert [*list_files(tmp_path / "top", notes)] == ["a/1", "b/2"]
    assert any("left out" in note and "b/back" in note for note in notes)


def test_many_links_among_folders_do_not_multiply_the_files(tmp_path):
    names = [f"f{number}" for number in range(9)]
    for name in names:
        touch(tmp_path, f"{name}/x")
    for one in names:
        for other in names:
            (tmp_path / one / f"to_{other}").symlink_to(f"../{other}")
    assert len([*list_files(tmp_path)]) < 1000  # 9! paths without a bound


def test_links_to_parts_that_lie_beside_them_are_followed(tmp_path):
    touch(tmp_path, "all/a/1", "all/b/2")
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for name in ("a", "b"):
            (tmp_path / part / name).symlink_to(f"../all/{name}")
    assert len(read_class_folders(tmp_path)) == 4


def test_labels_of_folders_are_names_as_people_see_them(tmp_path):
    touch(tmp_path, "a /1", "b/2")
    assert found(read_class_folders(tmp_path)) == [("", "a"), ("", "b")]
    assert found(read_class_folders(tmp_path, None, True)) == [("", "a "), ("", "b")]


def test_recordings_have_their_parts_too(tmp_path):
    touch(tmp_path, "Train/1", "Test/2", "docs/3", "README")
    manifest = read_recordings(tmp_path)
    assert manifest.column("split").tolist() == ["test", "train"]
    assert any("docs" in note for note in manifest.notes)
    touch(tmp_path / "other", "1", "day/2")
    assert {*read_recordings(tmp_path / "other").column("split")} == {""}


def test_what_commands_have_written_below_a_folder_is_no_input(tmp_path):
    own = ["prepared/p/store.json", "prepared/p/parts-a7b10def23a3/part-00000.arrow",
           "outputs/p/lstm-h8/run.json", "outputs/p/lstm-h8/bundle/bundle.json",
           "models/bundle.json", "models/weights.safetensors", "mlruns/mlflow.db",
           "mlruns/artifacts/x.png"]  # fmt: skip
    touch(tmp_path, "a/1", "b/2", "b/parts-of-it/3", "b/run.json", *own)
    manifest = read_class_folders(tmp_path)
    assert sorted(manifest.column("path")) == ["a/1", "b/2", "b/parts-of-it/3", "b/run.json"]
    (note,) = [note for note in manifest.notes if "of Seqbelt are left out" in note]
    assert "mlruns" in note and "prepared/p" in note
    (tmp_path / "a/1").unlink()
    assert list(list_files(tmp_path / "models")) == ["bundle.json", "weights.safetensors"]


def test_links_to_files_outside_are_said(tmp_path):
    touch(tmp_path, "set/a/1", "set/b/2", "else/3")
    (tmp_path / "set/a/inside").symlink_to(tmp_path / "set/b/2")
    (tmp_path / "set/a/outside").symlink_to(tmp_path / "else/3")
    (note,) = [n for n in read_class_folders(tmp_path / "set").notes if "lead out" in n]
    assert "(1 file)" in note and "a/outside -> " in note and "inside" not in note


def test_folders_below_that_are_called_alike_everywhere_may_be_the_classes(tmp_path):
    touch(tmp_path, "fold1/cat/1", "fold1/dog/2", "fold2/cat/3", "fold2/dog/4")
    assert "called alike in all of them (cat, dog)" in " ".join(read_class_folders(tmp_path).notes)


def test_a_link_that_leads_nowhere_is_not_said_to_be_read(tmp_path):
    (tmp_path / "a.wav").symlink_to("/nowhere/a.wav")
    notes: list[str] = []
    assert list(list_files(tmp_path, notes)) == ["a.wav"] and not notes
