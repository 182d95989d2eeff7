import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.data.sources.folders import list_files, read_class_folders
from seqbelt.data.sources.manifest import escape_invalid_utf8, make_manifest
from seqbelt.data.sources.raw_tables import Columns, Style
from seqbelt.data.sources.tables import names_items, read_manifest
from seqbelt.errors import SettingsError
from seqbelt.features.encoding import hash_content

ROWS = [
    {"path": "a/1.wav", "label": "001", "split": "train", "group": "x", "id": "007"},
    {"path": "b, c/2.wav", "label": "1e3", "split": "Val", "group": "", "id": "08"},
    {"path": 'say "3".wav', "label": "NA", "split": "TEST", "group": "y", "id": "null"},
    {"path": "ü 4.wav", "label": "2020-01-01", "split": "", "group": "1", "id": "1.50"},
]


def write(folder: Path, suffix: str, rows: list[dict]) -> Path:
    path = folder / f"manifest{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        mark = "," if suffix == ".csv" else "\t"
        lines = [mark.join(rows[0])]
        for row in rows:
            lines.append(mark.join('"' + v.replace('"', '""') + '"' for v in row.values()))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, columns: Columns | None = None, header=None, quoting: bool = True):
    return read_manifest(path, columns or Columns(), Style(header, quoting))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_texts(tmp_path, suffix):
    manifest = read(write(tmp_path, suffix, ROWS))
    for name in ("path", "label", "group", "id"):
        assert manifest.column(name).tolist() == [row[name] for row in ROWS]
    assert manifest.column("split").tolist() == ["train", "validation", "test", ""]
    assert manifest.source(1) == tmp_path / "b, c/2.wav"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_optional_columns_may_be_absent(tmp_path, suffix):
    rows = [{"path": row["path"], "label": row["label"]} for row in ROWS]
    manifest = read(write(tmp_path, suffix, rows))
    assert manifest.column("id").tolist() == [row["path"] for row in rows]
    assert set(manifest.column("split")) == set(manifest.column("group")) == {""}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_missing_column_names_the_file_what_was_found_and_the_setting(tmp_path, suffix):
    path = write(tmp_path, suffix, [{"file": "a", "class": "1"}])
    with pytest.raises(SettingsError) as error:
        read(path)
    for word in (str(path), "file, class", "data.path_column", "data.text_column"):
        assert word in str(error.value)


def test_columns_can_have_other_names(tmp_path):
    rows = [{"file": "a", "class": "1", "part": "dev", "who": "g"}]
    columns = Columns(path="file", label="class", split="part", group="who")
    manifest = read(write(tmp_path, ".csv", rows), columns)
    found = [manifest.column(name)[0] for name in ("path", "label", "split", "group")]
    assert found == ["a", "1", "validation", "g"]


def test_typed_columns_become_text(tmp_path):
    rows = [{"path": "a", "label": 1, "id": 7, "group": None}, {"path": "b", "label": 2, "id": 8}]
    for suffix in (".jsonl", ".parquet"):
        manifest = read(write(tmp_path, suffix, rows))
        assert manifest.column("label").tolist() == ["1", "2"]
        assert manifest.column("id").tolist() == ["7", "8"]
        assert manifest.column("group").tolist() == ["", ""]


def test_json_lines_may_differ_in_type_and_keys(tmp_path):
    rows = [{"path": "a", "label": "x"}, {"label": 3, "path": "b", "id": "z"}]
    manifest = read(write(tmp_path, ".jsonl", rows))
    assert manifest.column("label").tolist() == ["x", "3"]
    assert manifest.column("id").tolist() == ["", "z"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_text_may_be_longer_than_a_block(tmp_path, suffix):
    rows = [{"text": "x" * 3_000_000, "label": "1"}, {"text": "y", "label": "2"}]
    manifest = read(write(tmp_path, suffix, rows))
    assert [len(manifest.source(row)) for row in (0, 1)] == [3_000_000, 1]


def test_a_header_setting_names_the_columns_of_a_file_without_one(tmp_path):
    (tmp_path / "m.csv").write_text("1,a.wav\n2,b.wav\n")
    manifest = read(tmp_path / "m.csv", header=("label", "path"))
    assert manifest.column("path").tolist() == ["a.wav", "b.wav"]
    assert manifest.column("label").tolist() == ["1", "2"]


def test_quotes_are_text_when_quoting_is_off(tmp_path):
    (tmp_path / "m.tsv").write_text('text\tlabel\n"open\t1\nshut"\t2\nsay "it" now\t3\n')
    manifest = read(tmp_path / "m.tsv", quoting=False)
    assert [manifest.source(row) for row in range(3)] == ['"open', 'shut"', 'say "it" now']


def test_quoted_values_may_hold_newlines_and_separators(tmp_path):
    (tmp_path / "m.csv").write_text('text,label\n"a,\nb ""c""",1\n')
    assert read(tmp_path / "m.csv").source(0) == 'a,\nb "c"'


def test_byte_order_marks_and_windows_line_ends_are_no_text(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfpath,label\r\na,1\r\n")
    manifest = read(tmp_path / "m.csv")
    assert (manifest.column("path")[0], manifest.column("label")[0]) == ("a", "1")
    (tmp_path / "m.jsonl").write_bytes(b'\xef\xbb\xbf{"path": "a", "label": 1}\r\n\r\n')
    assert len(read(tmp_path / "m.jsonl")) == 1


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training", "train"), ("val", "validation"), ("VALID", "validation"),
        ("dev", "validation"), ("validation", "validation"), ("test", "test"), ("testing", "test"),
    ],
)  # fmt: skip
def test_splits_have_aliases(tmp_path, name, split):
    manifest = read(write(tmp_path, ".csv", [{"path": "a", "label": "1", "split": name}]))
    assert manifest.column("split").tolist() == [split]


def test_an_unknown_split_is_refused_by_file_and_name(tmp_path):
    path = write(tmp_path, ".csv", [{"path": "a", "label": "1", "split": "holdout"}])
    with pytest.raises(SettingsError, match=r"manifest\.csv.*'holdout'.*train, validation or test"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b""), ("m.csv", b"path,label\n"), ("m.csv", b"path,label\na,1\nb\n"),
        ("m.csv", b"path,path,label\na,b,1\n"), ("m.jsonl", b""), ("m.jsonl", b'{"path":\n'),
        ("m.jsonl", b"[1]\n"), ("m.jsonl", b"3\n"), ("m.parquet", b"PAR1 no"), ("m.parquet", b""),
    ],
    ids=[
        "csv-empty", "csv-no-rows", "csv-short-row", "csv-column-twice", "jsonl-empty",
        "jsonl-truncated", "jsonl-list", "jsonl-number", "parquet-garbage", "parquet-empty",
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=name):
        read(tmp_path / name)


def test_one_line_of_broken_utf8_costs_one_row(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"text,label\ngood,1\nb\xff\xfed,2\n")
    manifest = read(tmp_path / "m.csv")
    assert manifest.source(0) == "good"
    assert manifest.source(1).encode("utf-8", "surrogateescape") == b"b\xff\xfed"
    assert manifest.with_column("split", ["", ""]).source(1) == manifest.source(1)


@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), min_size=1))
def test_any_text_survives_a_manifest(rows):
    texts, labels = map(list, zip(*rows))
    manifest = make_manifest(text=texts, label=labels)
    assert [manifest.source(row) for row in range(len(rows))] == texts
    assert manifest.column("label").tolist() == labels


@given(st.text(st.characters()))  # lone surrogates too
def test_what_is_spelled_out_is_utf8_and_utf8_is_left_alone(text):
    escape_invalid_utf8(text).encode("utf-8")
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert escape_invalid_utf8(text) == text


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_class_folders_are_the_labels(tmp_path):
    touch(tmp_path, "10/a.wav", "9/b.wav", "9/deep/er/c.wav", "README.md", "9/.hidden", ".git/x")
    manifest = read_class_folders(tmp_path)
    assert dict(zip(manifest.column("path"), manifest.column("label"))) == {
        "10/a.wav": "10",
        "9/b.wav": "9",
        "9/deep/er/c.wav": "9",
    }
    assert set(manifest.column("split")) == {""}


def test_split_folders_stand_above_the_classes(tmp_path):
    touch(tmp_path, "train/a/1", "dev/b/2", "test/a/3", "train/README", "train/train/4")
    manifest = read_class_folders(tmp_path)
    found = sorted(zip(manifest.column("split"), manifest.column("label")))
    assert found == [("test", "a"), ("train", "a"), ("train", "train"), ("validation", "b")]


def test_classes_called_like_splits_are_classes_when_others_stand_beside_them(tmp_path):
    touch(tmp_path, "train/1", "bus/2")
    assert sorted(read_class_folders(tmp_path).column("label")) == ["bus", "train"]


@pytest.mark.parametrize("names", [[], ["a.wav"], [".hidden/a.wav"]])
def test_a_folder_without_class_folders_is_refused(tmp_path, names):
    touch(tmp_path, *names)
    with pytest.raises(SettingsError, match="sub-folders"):
        read_class_folders(tmp_path)


def test_class_folders_without_files_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(SettingsError, match="no files"):
        read_class_folders(tmp_path)


def test_links_cannot_trap_the_listing(tmp_path):
    touch(tmp_path, "a/1.wav", "b/2.wav")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "link.wav").symlink_to("1.wav")
    (tmp_path / "a" / "broken").symlink_to("gone")
    (tmp_path / "a" / "self").symlink_to("self")
    # Links to files are items; broken ones too, so that they get a row with a reason.
    assert sorted(list_files(tmp_path)) == [
        "a/1.wav", "a/broken", "a/link.wav", "a/self", "b/2.wav",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_listed_is_an_error_or_an_item(tmp_path, monkeypatch):
    touch(tmp_path, "a")
    monkeypatch.chdir(tmp_path)
    for _ in range(22):  # longer than a path may be
        Path("d" * 200).mkdir()
        os.chdir("d" * 200)
    os.chdir(tmp_path)
    with pytest.raises(SettingsError, match="cannot be listed"):
        list(list_files(tmp_path))
    notes = []
    first, *others = list_files(tmp_path, notes, lists_failed=True)
    assert first == "a" and len(others) == 1 and set(others[0]) == {"d", "/"}
    assert "cannot be listed" in notes[0]


def test_pipes_are_not_items_and_that_is_said(tmp_path):
    touch(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    notes = []
    assert list(list_files(tmp_path, notes)) == ["a"]
    assert notes == ["pipes, sockets and devices are left out: pipe"]


def test_listing_is_lazy_and_its_order_does_not_depend_on_creation(tmp_path):
    names = ["b", "a", "c/2", "c/1", "B/x"]
    touch(tmp_path, *names)
    listed = list(list_files(tmp_path))
    assert sorted(listed) == sorted(names)
    touch(tmp_path / "again", *reversed(names))
    assert list(list_files(tmp_path / "again")) == listed
    files = list_files(tmp_path)
    assert next(files) == listed[0]
    touch(tmp_path, "c/3")
    assert "c/3" in files  # its folder had not been looked at


@pytest.mark.parametrize(
    "name",
    [b"new\nline.wav", b"caf\xe9.wav", b"quote\"',;.wav", b" .wav"],
    ids=["new-line", "latin-1", "quotes", "space"],
)
def test_any_file_name_leads_back_to_its_file(tmp_path, name):
    content = b"content of " + name
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / os.fsdecode(name)).write_bytes(content)
    manifest = read_class_folders(tmp_path)
    assert manifest.source(0).read_bytes() == content
    assert hash_content(manifest.source(0)) == hash_content(content)
    assert manifest.column("path")[0].encode("utf-8")
    assert manifest.with_column("split", ["test"]).source(0).read_bytes() == content


def test_ready_arrays_are_their_own_source():
    arrays = [np.zeros((2, 3)), np.ones((1, 3))]
    manifest = make_manifest(label=["a", "b"], contents=arrays)
    assert manifest.source(1) is arrays[1]
    assert manifest.column("id").tolist() == ["0", "1"]


def test_a_table_is_a_manifest_if_a_column_names_items(tmp_path):
    for suffix in (".csv", ".tsv", ".parquet"):
        assert names_items(write(tmp_path, suffix, [{"path": "a"}]), Columns())
        assert not names_items(write(tmp_path, suffix, [{"x": "1", "y": "2"}]), Columns())


def test_a_manifest_may_name_any_file_that_its_owner_may_read(tmp_path):
    """It is the user's own list, so paths that lead out of its folder are meant."""
    (tmp_path / "lists").mkdir()
    rows = [{"path": "../a.wav"}, {"path": str(tmp_path / "b.wav")}, {"path": "c/../d.wav"}]
    manifest = read(write(tmp_path / "lists", ".csv", rows))
    places = [os.path.normpath(source) for source in manifest.sources()]
    assert places == [str(tmp_path / name) for name in ("a.wav", "b.wav", "lists/d.wav")]
    assert manifest.column("id").tolist() == [row["path"] for row in rows]  # named as given


KOREAN = "text,label\n재미있다,good\n지루하다,bad\n배우들이 좋았다,good\n"


def test_a_table_in_another_encoding_is_read_as_it_is_told(tmp_path):
    for encoding in ("cp949", "utf-16"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(KOREAN.encode(encoding))
        found = read_manifest(path, Columns(), Style(encoding=encoding))
        assert [found.source(row) for row in range(3)] == [
            "재미있다",
            "지루하다",
            "배우들이 좋았다",
        ]


@pytest.mark.parametrize("encoding", ["cp949", "utf-16"])
def test_a_table_in_an_encoding_that_nobody_named_is_an_error_that_names_it(tmp_path, encoding):
    path = tmp_path / "reviews.csv"
    path.write_bytes((KOREAN * 5).encode(encoding))
    with pytest.raises(SettingsError, match=f"data.encoding: {encoding}"):
        read_manifest(path, Columns(), Style())


def test_one_broken_line_costs_its_row_and_not_the_table(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_bytes(KOREAN.encode() + b"\xb0\xa1,good\n")
    assert len(read_manifest(path, Columns(), Style())) == 4


def test_another_delimiter_is_read_and_suggested(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(KOREAN.replace(",", ";"), "utf-8")
    assert len(read_manifest(path, Columns(), Style(delimiter=";"))) == 3
    with pytest.raises(SettingsError, match=r"data.delimiter: ';'"):
        read_manifest(path, Columns(), Style())


def test_an_unknown_encoding_is_an_error(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(KOREAN, "utf-8")
    with pytest.raises(SettingsError, match=r"data.encoding: 'klingon' is unknown"):
        read_manifest(path, Columns(), Style(encoding="klingon"))
