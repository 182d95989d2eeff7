"""Manifests as spreadsheets, databases and people write them."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workbook_files import write_workbook

from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.raw_tables import Columns, Style
from seqbelt.data.sources.tables import is_manifest, names_items, read_manifest
from seqbelt.errors import SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Word

WORD = Word(kind="word")
LOG_MEL = LogMel(kind="log_mel", sample_rate=8000)


def read(path: Path, content: str | bytes | None = None, columns: Columns | None = None, **style):
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_manifest(path, columns or Columns(), Style(**style))


def rows(manifest) -> list[tuple[str, str]]:
    return [*zip(manifest.column("text"), manifest.column("label"))]


TWO = [("good, film", "007"), ("bad", "1e3")]


@pytest.mark.parametrize(
    "content",
    [
        'text,label\n"good, film",007\nbad,1e3\n',
        'text,label,,\n"good, film",007,,\nbad,1e3,,\n',
        'text,label\n"good, film",007,\nbad,1e3,,\n',
        'text,label,note,note\n"good, film",007,x,y\nbad,1e3,,\n',
        'text, label\n"good, film", 007\nbad, 1e3\n',
        '\ufefftext ,label\u200b\n"good, film",007\nbad,1e3\n',
        'sep=,\ntext,label\n"good, film",007\nbad,1e3\n',
        'sep=;\r\ntext;label\r\n"good, film";007\r\nbad;1e3\r\n',
        '"sep=\t"\ntext\tlabel\ngood, film\t007\nbad\t1e3\n',
        '\n\ntext,label\n"good, film",007\n\nbad,1e3\n',
        'Reviews of May\n\ntext,label\n"good, film",007\nbad,1e3\n',
        ',text,label\n0,"good, film",007\n1,bad,1e3\n',
        'Text,LABEL\n"good, film",007\nbad,1e3\n',
        'text,label\r"good, film",007\rbad,1e3\r',
    ],
)
def test_a_table_is_read_however_its_beginning_and_end_are_written(tmp_path, content):
    assert rows(read(tmp_path / "m.csv", content)) == TWO


def test_what_is_read_otherwise_than_written_is_said(tmp_path):
    notes = read(tmp_path / "m.csv", "Reviews\nText,label\na,x\n").notes
    assert any("above the header" in note for note in notes)
    assert any("'Text' is read as 'text'" in note for note in notes)
    assert read(tmp_path / "m.csv", "text,label\na,x\n").notes == ()


@pytest.mark.parametrize("column", ["text", "label"])
def test_only_columns_that_are_read_must_be_unique(tmp_path, column):
    with pytest.raises(SettingsError, match=rf"'{column}' appears twice.*data\.{column}_column"):
        read(tmp_path / "m.csv", f"text,label,{column}\na,x,b\n")


@pytest.mark.parametrize(
    ("content", "line"),
    [("text,label\na,x\nb, c,y\n", 3), ('sep=,\ntext,label\n"a\nb",x\nc\n', 5),
     ("title\n\ntext,label\n\na,x\n\nb,y,z\n", 7)],
)  # fmt: skip
def test_a_row_of_another_width_is_refused_with_its_line(tmp_path, content, line):
    with pytest.raises(SettingsError, match=rf"m\.csv, line {line}: .*data\.quoting"):
        read(tmp_path / "m.csv", content)


@pytest.mark.parametrize(
    ("columns", "is_said"),
    [("start,end", True), ("Start_s,duration [s]", True), ("onset,offset_ms", True),
     ("duration,mood", False), ("starter,ending", False)],
)  # fmt: skip
def test_columns_that_name_a_part_of_each_file_are_said_not_to_be_read(tmp_path, columns, is_said):
    (tmp_path / "a.wav").write_bytes(b"0")
    path = tmp_path / "list.csv"
    path.write_text(f"path,label,{columns}\na.wav,x,0.5,1.5\n")
    notes = " ".join(read(path).notes)
    assert ("each file is read whole" in notes and columns.split(",")[0] in notes) == is_said


def test_a_header_that_is_there_all_the_same_is_no_row(tmp_path):
    manifest = read(tmp_path / "m.csv", "Text, label\na,x\n", header=("text", "label"))
    assert rows(manifest) == [("a", "x")] and "repeats data.header" in manifest.notes[0]
    with pytest.raises(SettingsError, match="another order"):
        read(tmp_path / "m.csv", "label,text\nx,a\n", header=("text", "label"))


@pytest.mark.parametrize("delimiter", ["\\t", "tab", "\t", "TAB"])
def test_delimiters_are_taken_as_people_type_them(tmp_path, delimiter):
    (tmp_path / "m.csv").write_text("text\tlabel\na\tx\nb\ty\n")
    data = Data(source=str(tmp_path / "m.csv"), delimiter=delimiter)
    assert rows(data.list_items()) == [("a", "x"), ("b", "y")]


def test_the_hint_at_a_delimiter_can_be_typed_as_it_stands(tmp_path):
    import yaml

    for delimiter in "\t;|":
        with pytest.raises(SettingsError) as error:
            read(tmp_path / "m.csv", f"text{delimiter}label\na{delimiter}x\n")
        hint = str(error.value).rpartition("data.delimiter: ")[2]
        assert Data(source="x", delimiter=yaml.safe_load(hint)).delimiter == delimiter


def test_numbers_truth_and_what_is_missing_are_labels_in_every_format_alike(tmp_path):
    values = [1, 1.0, 0, "a ", None, float("nan"), 2.5]
    (tmp_path / "m.jsonl").write_text(
        "".join(json.dumps({"text": "t", "label": value}) + "\n" for value in values)
    )
    expected = ["1", "1", "0", "a", "", "", "2.5"]
    assert read(tmp_path / "m.jsonl").column("label").tolist() == expected
    numbers = pa.table({"text": ["t"] * 4, "label": [1.0, 0.0, float("nan"), None]})
    pyarrow.parquet.write_table(numbers, tmp_path / "m.parquet")
    assert read(tmp_path / "m.parquet").column("label").tolist() == ["1", "0", "", ""]
    cells = [["text", "label"], ["t", 1], ["t", "007"], ["t", 2.5], ["t", ""]]
    write_workbook(tmp_path / "m.xlsx", {"one": cells})
    assert read(tmp_path / "m.xlsx").column("label").tolist() == ["1", "007", "2.5", ""]


def test_a_list_as_label_costs_its_row_and_says_so(tmp_path):
    lines = [{"text": "t", "label": ["a", "b"]}, {"text": "t", "label": "a"}]
    content = "\n" + "".join(json.dumps(line) + "\n" for line in lines)
    manifest = read(tmp_path / "m.jsonl", content)
    assert manifest.column("label").tolist() == ["", "a"]
    assert "line 2" in manifest.problems[0] and '["a", "b"]' in manifest.problems[0]


def test_labels_and_groups_are_one_unless_they_are_kept_as_written(tmp_path):
    content = "text,label,group\na,pos,anna\nb,pos ,anna \nc,\u200bpos,\u00a0anna\n"
    manifest = read(tmp_path / "m.csv", content)
    assert {*manifest.column("label")} == {"pos"} and {*manifest.column("group")} == {"anna"}
    kept = read(tmp_path / "m.csv", labels_as_written=True)
    assert len({*kept.column("label")}) == len({*kept.column("group")}) == 3


def test_a_broken_json_line_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"m\.jsonl, line 3"):
        read(tmp_path / "m.jsonl", '{"text": "a"}\n\n{"text": \n')


def test_an_unknown_split_is_named_with_its_place(tmp_path):
    with pytest.raises(SettingsError, match=r"m\.csv, line 3: .*'later'.*data\.split_column"):
        read(tmp_path / "m.csv", "text,split\na,Train \nb,later\n")


def test_a_sheet_is_chosen_by_its_columns_or_by_name(tmp_path):
    table = [["Text", "label"], ["a", "x"], ["", ""], ["b", "y"]]
    path = write_workbook(tmp_path / "m.XLSX", {"about": [["Title"]], "data": [["May"], *table]})
    manifest = read(path)
    assert rows(manifest) == [("a", "x"), ("b", "y")]
    assert any("'data'" in note and "about" in note for note in manifest.notes)
    two = write_workbook(tmp_path / "two.xlsx", {"one": table, "two": table[:2]})
    with pytest.raises(SettingsError, match=r"data\.sheet: one, two"):
        read(two)
    assert rows(read(two, sheet="two")) == [("a", "x")]
    with pytest.raises(SettingsError, match="no sheet 'three'"):
        read(two, sheet="three")
    wide = write_workbook(tmp_path / "wide.xlsx", {"one": [["text"], ["a", "b"]]})
    with pytest.raises(SettingsError, match="row 2: a value 'b'"):
        read(wide)


def test_features_decide_between_a_path_and_its_transcript(tmp_path):
    (tmp_path / "m.csv").write_text("path,text,label\na.wav,hello,x\n")
    data = Data(source=str(tmp_path / "m.csv"))
    assert data.list_items(LOG_MEL).source(0) == tmp_path / "a.wav"
    assert data.list_items(WORD).source(0) == "hello"
    (tmp_path / "t.csv").write_text("text,label\nhello,x\n")
    with pytest.raises(SettingsError, match=r"data\.path_column"):
        Data(source=str(tmp_path / "t.csv")).list_items(LOG_MEL)


def test_one_function_tells_a_manifest_by_its_ending_in_any_case(tmp_path):
    table, numbers, text = (tmp_path / n for n in ("m.CSV", "n.Csv", "t.TXT"))
    table.write_text("text,label\na,x\n")
    numbers.write_text("x,y\n1,2\n")
    text.write_text("a good film")
    channels = Channels(kind="channels")
    assert is_manifest(table, WORD) and is_manifest(table, channels)
    assert not is_manifest(numbers, channels) and not is_manifest(text, WORD)
    assert is_manifest(text, WORD, has_table_settings=True)
    assert rows(Data(source=str(table)).list_items()) == [("a", "x")]
    book = write_workbook(tmp_path / "b.xlsx", {"one": [["x", "y"], [1, 2]]})
    assert not names_items(book, Columns())


def test_a_column_with_a_label_for_every_row_is_asked_about(tmp_path):
    lines = [f"t{n},{n},{'ab'[n % 2]}" for n in range(40)]
    (tmp_path / "m.csv").write_text("text,label,sentiment\n" + "\n".join(lines))
    data = Data(source=str(tmp_path / "m.csv"), test_fraction=0, validation_fraction=0)
    assert any("sentiment" in note and "?" in note for note in data.load().notes)
    good = data.model_copy(update={"label_column": "sentiment"})
    assert good.load().notes == ()


@pytest.mark.parametrize("content", ["text,klass\na,x\n", "text,label\na,\n"])
def test_a_missing_label_column_lists_those_that_are_there(tmp_path, content):
    (tmp_path / "m.csv").write_text(content)
    found = content.split("\n")[0].replace(",", ", ")
    with pytest.raises(SettingsError, match=rf"found {found}.*data\.label_column"):
        Data(source=str(tmp_path / "m.csv")).load()


def test_texts_in_files_are_read_by_the_encoding(tmp_path):
    for name, encoding in (("a", "cp949"), ("b", "utf-16"), ("c", "utf-8")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_bytes("좋은 영화".encode(encoding))
    data = Data(source=str(tmp_path), encoding="cp949")
    assert [WORD.read(source) for source in data.list_items(WORD).sources()] == ["좋은 영화"] * 3
    with pytest.raises(SettingsError, match="'klingon' is unknown"):
        Data(source=str(tmp_path), encoding="klingon").list_items(WORD)


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "euc-kr", "utf-8"])
def test_a_table_is_read_by_its_encoding_and_utf8_always(tmp_path, encoding):
    content = "text,label\n재미있다,긍정\n지루하다,부정\n"
    path = tmp_path / "m.csv"
    assert rows(read(path, content.encode(encoding), encoding=encoding))[1] == ("지루하다", "부정")
    if encoding in ("cp949", "euc-kr"):
        manifest = read(path, content, encoding=encoding)
        assert rows(manifest)[0] == ("재미있다", "긍정") and "UTF-8" in manifest.notes[0]


def test_a_named_encoding_that_does_not_read_the_table_is_refused_with_others(tmp_path):
    content = "text,label\n" + "Отличный фильм,да\nплохо,нет\n" * 3
    with pytest.raises(SettingsError, match=r"not written in cp949.*data\.encoding: cp1251"):
        read(tmp_path / "m.csv", content.encode("cp1251"), encoding="cp949")


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1)


@settings(max_examples=30)
@given(
    values=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    sep=st.booleans(),
    title=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_random_tables_are_read_cell_by_cell(
    tmp_path_factory, values, delimiter, sep, title, end, encoding
):
    def quote(value: str) -> str:
        return '"' + value.replace('"', '""') + '"'

    lines = [f"sep={delimiter}"] * sep + ["a title"] * (title and not sep)
    lines += [f"note{delimiter}text{delimiter}id"]
    lines += [delimiter.join((quote("x"), quote(text), quote(name))) for text, name in values]
    path = tmp_path_factory.mktemp("random") / "m.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    style = Style(encoding=encoding, delimiter=None if sep else delimiter)
    manifest = read_manifest(path, Columns(), style)
    assert [*zip(manifest.column("text"), manifest.column("id"))] == values


def test_types_are_never_guessed_however_a_table_begins(tmp_path):
    content = "made by hand\n\nid,text,label\n007,1.50,01\n08,2020-01-01,1e3\n"
    manifest = read(tmp_path / "m.csv", content)
    assert manifest.column("id").tolist() == ["007", "08"]
    assert manifest.column("label").tolist() == ["01", "1e3"]
    assert np.all(manifest.column("text") == ["1.50", "2020-01-01"])


def test_rows_that_are_none_are_refused_by_their_lines(tmp_path):
    rows = "good,pos\nbad,neg\nfine,pos\n"
    path = tmp_path / "m.csv"
    path.write_text(f"text,label\n{rows}text,label\n{rows}Total,7\n")
    manifest = read_manifest(path, Columns(), Style())
    assert manifest.problems == {
        3: "line 5: the row repeats the header",
        7: "line 9: the row 'total' sums the others up",
    }
    assert set(manifest.column("label")) == {"pos", "neg", ""}


@pytest.mark.parametrize(
    ("below", "head"),
    [
        ("label,text\npos,film", "'label, text' has the names of the columns in another order"),
        ("\nlabel,meaning\npos,positive", "'label, meaning' names columns below an empty line"),
        ("\nfile name,Category\nx,dog", "'file name, Category' stands below an empty line"),
        (",\nfile,category (main)\nx,dog", "'file, category (main)' stands below an empty line"),
    ],
)
def test_a_second_table_below_the_first_is_refused_by_its_line(tmp_path, below, head):
    path = tmp_path / "m.csv"
    said = re.escape(f"line {4 + below.count(chr(10)) // 2}: {head}")
    with pytest.raises(SettingsError, match=said):
        read(path, f"text,label\ngood,pos\nbad,neg\n{below}\n")
    cells = [line.split(",") for line in f"text,label\ngood,pos\nbad,neg\n{below}".split("\n")]
    with pytest.raises(SettingsError, match=rf"sheet 'one', row \d: {re.escape(head)}"):
        read(write_workbook(tmp_path / "m.xlsx", {"one": cells}))


@pytest.mark.parametrize(
    "rows",
    ["label,pos\nbad,neg", "good,pos\nbad,neg\n\nA film, as I said\\, of length,rare",
     "good,pos\n\nbad,neg\n\nfine,other", "good,pos\nbad,neg\n\nfine,pos"],
)  # fmt: skip
def test_rows_below_empty_lines_are_rows(tmp_path, rows):
    rows = rows.replace(", as I said\\,", "; as I said")
    assert not read(tmp_path / "m.csv", f"text,label\n{rows}\n").problems


def test_lines_drawn_and_sums_within_a_table_are_no_rows(tmp_path):
    some = "good|pos\nbad|neg\n" * 2
    content = f"text|label\n:---|---:\n{some}Subtotal|4\n{some}Total|8\n"
    manifest = read(tmp_path / "m.csv", content, delimiter="|")
    assert manifest.problems == {
        0: "line 2: the row is a line drawn between others",
        5: "line 7: the row 'subtotal' sums others up",
        10: "line 12: the row 'total' sums the others up",
    }
    assert set(manifest.column("label")) == {"pos", "neg", ""}
    numbers = "text,label\ngood,4\nbad,1\ntotal,8\nfine,1\n"
    assert not read(tmp_path / "m.csv", numbers).problems


def test_labels_that_one_row_alone_has_are_said_with_their_lines(tmp_path):
    some = "good,pos\nbad,neg\n" * 2
    (note,) = read(tmp_path / "m.csv", f'text,label\n{some}"# 4 rows",done\n').notes
    assert note.endswith("m.csv: one row alone has the label 'done' (line 6)")
    assert not read(tmp_path / "m.csv", "text,label\na,pos\nb,pos\nc,x\nd,y\n").notes


@pytest.mark.parametrize(
    "content",
    ["text,label,\ngood,pos\nbad,neg,\n", "text,label\ngood,pos\n   \nbad,neg,\n"],
)
def test_cells_without_a_name_and_lines_of_blanks_may_be_missing(tmp_path, content):
    assert rows(read(tmp_path / "m.csv", content)) == [("good", "pos"), ("bad", "neg")]
    with pytest.raises(SettingsError, match="1 values"):
        read(tmp_path / "m.csv", content.replace("bad,neg,", "bad"))


def test_a_list_written_as_text_is_no_label(tmp_path):
    content = "text,label\nfine,[pos]\ngood,['pos']\nbad,\"['neg', 'x']\"\n"
    manifest = read(tmp_path / "m.csv", content)
    assert "line 3: column 'label' holds a list, ['pos']; expected one" in manifest.problems[1]
    assert [*manifest.column("label")] == ["[pos]", "", ""] and len(manifest.problems) == 2
    assert not read(tmp_path / "m.csv", labels_as_written=True).problems


def test_an_id_that_two_rows_have_is_said_with_both_lines(tmp_path):
    rows = "a,x,pos\nb,y,neg\n\na,z,pos\nb,y,neg\n"
    (note,) = read(tmp_path / "m.csv", f"id,text,label\n{rows}").notes[1:]
    assert "the id 'a', and 1 more ids stand in several rows ('a' in line 2 and line 5)" in note
    assert not read(tmp_path / "m.csv", "id,text,label\na,x,pos\nb,x,pos\n").notes


def test_a_spreadsheets_error_is_neither_a_label_nor_a_text(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("text,label\ngood,pos\nbad,#REF!\n#NAME?,neg\n#name?,neg\n")
    manifest = read_manifest(path, Columns(), Style())
    assert "line 3: column 'label' holds '#REF!', a spreadsheet's error" in manifest.problems[1]
    assert "line 4: column 'text' holds '#NAME?', a spreadsheet's error" in manifest.problems[2]
    assert len(manifest.problems) == 2 and set(manifest.column("label")) == {"pos", "neg", ""}
    kept = read_manifest(path, Columns(), Style(labels_as_written=True))
    assert [*kept.problems] == [2]


def test_empty_lines_between_rows_are_said(tmp_path):
    for end in ("\n", "\r\n"):
        content = end.join(["text,label", "good,pos", "", "bad,neg", "", ""])
        assert "empty lines between" in " ".join(read(tmp_path / "m.csv", content).notes)
    assert not read(tmp_path / "m.csv", "\ntext,label\n\ngood,pos\nbad,neg\n\n\n").notes
    cells = [["text", "label"], ["good", "pos"], ["", ""], ["bad", "neg"]]
    assert "empty lines" in read(write_workbook(tmp_path / "m.xlsx", {"one": cells})).notes[-1]


def test_a_row_that_only_resembles_a_sum_is_a_row(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("text,label\ngood,pos\nbad,neg\ntotal,pos\n")
    assert not read_manifest(path, Columns(), Style()).problems


def test_a_header_below_a_stated_one_is_said(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("Review,Class\n" + "good,pos\nbad,neg\n" * 3)
    manifest = read_manifest(path, Columns(), Style(header=["text", "label"]))
    assert "line 1 is taken as values" in " ".join(manifest.notes)


def test_blanks_before_quotation_marks_are_no_values(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text('label, text\n"pos", "good, fine"\n"neg", "bad ""as"" ever"\n')
    manifest = read_manifest(path, Columns(), Style())
    assert [*manifest.column("text")] == ["good, fine", 'bad "as" ever']
    assert [*manifest.column("label")] == ["pos", "neg"]


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": "a", "label": "x", "label": "y"}\n')
    with pytest.raises(SettingsError, match=r"line 2: .*'label' appears twice"):
        read_manifest(path, Columns(), Style())


def test_a_row_without_a_path_is_named_by_its_line(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("path,label\na.wav,x\n,y\n")
    manifest = read_manifest(path, Columns(), Style())
    assert manifest.problems == {1: "line 3: the row has no path (column 'path')"}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_table_in_utf_16_without_a_mark_is_named_as_that(tmp_path, encoding):
    path = tmp_path / "m.csv"
    rows = "".join(f"나쁜 영화였습니다 시간이 아까웠어요 {n},부정\n" for n in range(20))
    path.write_bytes(f"text,label\n{rows}".encode(encoding))
    with pytest.raises(SettingsError, match=f"data.encoding: {encoding}"):
        read_manifest(path, Columns(), Style())
