import json

import numpy as np
import pandas
import pyarrow.csv
import pyarrow.parquet
import pytest

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.inference.journal import Row
from seqbelt.inference.output import check_output, is_prediction_file, kept_names, write_predictions

CLASSES = ("no", 'ye"s, é')
COLUMNS = [
    "label", "confidence", "p_no", 'p_ye"s, é', "num_steps", "error", "content_hash", "model",
]  # fmt: skip
SUFFIXES = (".csv", ".parquet", ".jsonl", ".xlsx")
ROWS = [
    Row("a/1.wav", "h1", 7, np.array([0.25, 0.75], np.float32), None),
    Row('odd, "name"\nline.wav', "h2", None, None, "silent: no sound,\nnone"),
    Row("missing.wav", None, None, None, "unreadable: gone"),
    Row("é.wav", "h3", 1, np.array([1.0, 0.0], np.float32), None),
]


def read(path) -> list[dict]:
    if path.suffix == ".xlsx":
        frame = pandas.read_excel(path, engine="calamine", keep_default_na=False, na_values=[""])
        return frame.astype(object).where(frame.notna(), None).to_dict("records")
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert).to_pylist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("key", ["path", "id"])
def test_the_columns_are_the_contracts_in_its_order(tmp_path, suffix, key):
    path = tmp_path / f"out{suffix}"
    write_predictions(path, ROWS, key, CLASSES, "models:/toy/1")
    for record in read(path):
        assert list(record) == [key, *COLUMNS]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_input_is_one_row_in_order(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_predictions(path, ROWS, "path", CLASSES, "m")
    records = read(path)
    assert [record["path"] for record in records] == [row.name for row in ROWS]
    assert [record["label"] for record in records] == ['ye"s, é', None, None, "no"]
    assert [record["confidence"] for record in records] == [0.75, None, None, 1.0]
    assert [record["p_no"] for record in records] == [0.25, None, None, 1.0]
    assert [record["num_steps"] for record in records] == [7, None, None, 1]
    assert [record["error"] for record in records] == [row.error for row in ROWS]
    assert [record["content_hash"] for record in records] == ["h1", "h2", None, "h3"]
    assert {record["model"] for record in records} == {"m"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_inputs_give_an_empty_file(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_predictions(path, [], "path", CLASSES, "m")
    assert read(path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_the_older_file_as_it_was(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_text("older")

    def failing():
        yield ROWS[0]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_predictions(path, failing(), "path", CLASSES, "m")
    assert path.read_text() == "older"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["out", "out.txt", "out.CSV.gz", ".csv"])
def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(SettingsError, match=r"\.parquet, \.csv, \.xlsx or \.jsonl"):
        check_output(tmp_path / name)


def test_a_folder_and_a_place_below_a_file_are_refused(tmp_path):
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(SettingsError, match="folder"):
        check_output(tmp_path / "out.csv")
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be created"):
        check_output(tmp_path / "file" / "out.csv")


def test_neither_the_input_nor_what_is_no_prediction_is_replaced(tmp_path):
    mine, earlier = tmp_path / "mine.csv", tmp_path / "earlier.csv"
    mine.write_text("text,label\na,b\n")
    (tmp_path / "link.csv").symlink_to(mine)
    for name in ("mine.csv", "link.csv"):
        with pytest.raises(SettingsError, match="no file of predictions"):
            check_output(tmp_path / name)
    write_predictions(earlier, ROWS, "path", CLASSES, "m")
    check_output(earlier, [mine])
    with pytest.raises(SettingsError, match="is the input too"):
        check_output(earlier, [mine, earlier])
    (tmp_path / "empty.jsonl").touch()  # what no rows at all leave
    check_output(tmp_path / "empty.jsonl")


def test_a_missing_folder_is_made(tmp_path):
    check_output(tmp_path / "a/b/out.csv")
    assert (tmp_path / "a/b").is_dir()


@pytest.mark.parametrize("ending", [".csv", ".CSV"])
def test_a_csv_begins_with_the_mark_of_spreadsheets_where_that_is_asked(tmp_path, ending):
    plain, marked = (tmp_path / f"{name}{ending}" for name in ("plain", "marked"))
    write_predictions(plain, ROWS, "path", CLASSES, "m")
    write_predictions(marked, ROWS, "path", CLASSES, "m", byte_order_mark=True)
    assert marked.read_bytes() == b"\xef\xbb\xbf" + plain.read_bytes()


def test_kept_columns_stand_behind_the_key_and_never_replace_a_prediction(tmp_path):
    names = kept_names(["text", "label", "model", "input_label", "p_no"], "id", CLASSES)
    assert names == ["text", "input_label", "input_model", "input_input_label", "input_p_no"]
    rows = [row._replace(kept=(f"text {number}", "no")) for number, row in enumerate(ROWS)]
    write_predictions(tmp_path / "o.xlsx", rows, "id", CLASSES, "m", kept=["text", "input_label"])
    records = read(tmp_path / "o.xlsx")
    assert list(records[0])[:4] == ["id", "text", "input_label", "label"]
    assert [one["text"] for one in records] == ["text 0", "text 1", "text 2", "text 3"]


def test_a_workbook_has_texts_as_they_are_and_is_known_as_predictions(tmp_path):
    odd = [Row("=1+1", "007", 1, np.array([0.1, 0.9], np.float32), None)]
    write_predictions(tmp_path / "o.xlsx", odd, "path", CLASSES, "m")
    (record,) = pandas.read_excel(tmp_path / "o.xlsx", engine="calamine", dtype=str).to_dict(
        "records"
    )
    assert (record["path"], record["content_hash"]) == ("=1+1", "007")
    assert is_prediction_file(tmp_path / "o.xlsx")
    pandas.DataFrame({"x": [1]}).to_csv(tmp_path / "x.csv")
    (tmp_path / "other.xlsx").write_bytes(b"PK nothing")
    assert not is_prediction_file(tmp_path / "other.xlsx")


def test_a_sheet_is_never_overfull(tmp_path, monkeypatch):
    monkeypatch.setattr("seqbelt.inference.output.MAX_SHEET_ROWS", 4)
    with pytest.raises(SeqbeltError, match=r"4 rows at most; write \.csv"):
        write_predictions(tmp_path / "o.xlsx", ROWS, "path", CLASSES, "m")
    assert not list(tmp_path.iterdir())


def test_texts_longer_than_a_cell_are_cut_with_a_word(tmp_path, caplog):
    texts = ["x" * 32_767, "x" * 40_000, "\N{GRINNING FACE}" * 20_000]
    rows = [ROWS[0]._replace(kept=(text,)) for text in texts]
    write_predictions(tmp_path / "o.xlsx", rows, "id", CLASSES, "m", kept=["text"])
    found = [record["text"] for record in read(tmp_path / "o.xlsx")]
    assert found == ["x" * 32_767, "x" * 32_767, "\N{GRINNING FACE}" * 16_383]
    assert "2 cells in the workbook cut to the 32,767 characters" in caplog.text
