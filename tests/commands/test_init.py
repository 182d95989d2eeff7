"""``seqbelt init`` on folders and tables as people keep them."""

import json
import os
import sys
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner
from workbook_files import write_workbook

from seqbelt.cli import app
from seqbelt.commands.init import init
from seqbelt.commands.prepare import prepare
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment

RANDOM = np.random.default_rng(0)
COMMAND = sys.modules[init.__module__]
"""The module, which the package has under this name no more once a test imported it anew."""
TEXTS = [f"the film number {n} was {('good', 'bad')[n % 2]} to see" for n in range(24)]


@pytest.fixture(autouse=True)
def _takes_three_minutes(monkeypatch):
    """Training steps are measured by the tests of tests/workflow/test_training_time.py."""
    monkeypatch.setattr(COMMAND, "measure_training_s", lambda experiment, manifest: 180.0)


def sound(path: Path, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(RANDOM.integers(-9000, 9000, rate // 4).astype("<i2").tobytes())


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def class_folders(at: Path) -> None:
    for n in range(20):
        sound(at / ("dog", "cat")[n % 2] / f"{n}.wav", (8000, 16000)[n == 3])
    write(at / "README.txt", "made in May")


def split_folders(at: Path) -> None:
    for n in range(24):
        sound(at / ("Training", "Training", "Test")[n % 3] / ("dog", "cat")[n % 2] / f"{n}.wav")


def groups_in_names(at: Path) -> None:
    for n in range(24):
        sound(at / ("yes", "no")[n % 2] / f"speaker{n // 4:02}_{n}.wav")


def labels_in_names(at: Path) -> None:
    for n in range(20):
        sound(at / f"{('stop', 'go')[n % 2]}{n}.wav")


def manifest_beside_files(at: Path) -> None:
    rows = []
    for n in range(20):
        sound(at / "clips" / f"{n}.wav")
        rows.append(f"clips/{n}.wav;{('up', 'down')[n % 2]};p{n // 4}")
    write(at / "list.csv", "\n".join(["Datei;class;speaker_id", *rows]))


def korean_table(at: Path) -> None:
    rows = [
        f"{n},이 영화는 정말 {('좋았어요', '별로예요')[n % 2]} {n}번 봤다,{n % 2}"
        for n in range(24)
    ]
    write(at, "\n".join(["번호,리뷰,라벨", *rows]), "cp949")


def workbook(at: Path) -> None:
    rows = [["comment", "sentiment"], *([t, ("pos", "neg")[n % 2]] for n, t in enumerate(TEXTS))]
    write_workbook(at, {"Sheet1": rows})


def titled_workbook(at: Path) -> None:
    """Titles above the header, and the second sheet that spreadsheet programs add."""
    rows = [[n, t, ("pos", "neg")[n % 2]] for n, t in enumerate(TEXTS)]
    write_workbook(
        at, {"data": [["Reviews of 2024"], ["번호", "리뷰", "감정"], *rows], "Sheet2": []}
    )


def tab_table(at: Path) -> None:
    rows = [f"{t}\t{('pos', 'neg')[n % 2]}\t{('train', 'dev', 'test')[n // 2 % 3]}" for n, t in
            enumerate(TEXTS)]  # fmt: skip
    write(at, "\n".join(["sentence\tkind\tsplit", *rows]))


def channel_tables(at: Path) -> None:
    for n in range(20):
        rows = [f"{k * 20};{RANDOM.normal():.3f};{RANDOM.normal():.3f}" for k in range(40)]
        table = "\n".join(["time_ms;ax;ay", *rows]).replace(".", ",")
        write(at / ("walk", "run")[n % 2] / f"{n}.csv", table)


def arrays(at: Path) -> None:
    for n in range(20):
        (at / ("a", "b")[n % 2]).mkdir(parents=True, exist_ok=True)
        np.save(at / ("a", "b")[n % 2] / f"{n}.npy", RANDOM.normal(size=(30 + n, 3)))


def text_files(at: Path) -> None:
    for n, text in enumerate(TEXTS):
        write(at / ("pos", "neg")[n % 2] / f"{n}.txt", text)


def mixed_kinds(at: Path) -> None:
    class_folders(at)
    for n in range(3):
        write(at / "dog" / f"{n}.csv", "x,y\n1,2\n3,4\n")


def two_labels(at: Path) -> None:
    rows = [f"{t},{('a', 'b')[n % 2]},{('x', 'y', 'z')[n % 3]}" for n, t in enumerate(TEXTS)]
    write(at, "\n".join(["text,mood,topic", *rows]))


def joined_labels(at: Path) -> None:
    tags = ("cat", "dog|cat", "dog", "")
    write(at, "text,tags\n" + "".join(f"{t},{tags[n % 4]}\n" for n, t in enumerate(TEXTS)))


def array_of_items(at: Path) -> None:
    np.savez(at, X=np.zeros((4, 2, 9)), y=np.arange(4))


def two_name_parts(at: Path) -> None:
    for n in range(24):
        sound(at / f"{n % 3}_{('ann', 'bob')[n // 12]}_{n}.wav")


READ = [
    (class_folders, "in", "audio", {"features.sample_rate": 8000}),
    (split_folders, "in", "audio", {}),
    (groups_in_names, "in", "audio", {"data.source": "in_items.csv"}),
    (labels_in_names, "in", "audio", {"data.source": "in_items.csv"}),
    (manifest_beside_files, "in", "audio", {"data.path_column": "Datei", "data.delimiter": ";",
                                            "data.label_column": "class"}),
    (korean_table, "in.csv", "text", {"data.encoding": "cp949", "data.text_column": "리뷰",
                                      "features.kind": "jamo"}),
    (workbook, "in.xlsx", "text", {"data.label_column": "sentiment"}),
    (titled_workbook, "in.xlsx", "text", {"data.text_column": "리뷰", "data.label_column": "감정"}),
    (tab_table, "in.csv", "text", {"data.delimiter": "\t", "data.label_column": "kind"}),
    (channel_tables, "in", "tables", {"features.source_rate_hz": 50.0}),
    (arrays, "in", "arrays", {}),
    (text_files, "in", "text", {}),
]  # fmt: skip
REFUSED = [
    (mixed_kinds, "in", "files of several kinds: audio 20 .*; tables 3"),
    (two_labels, "in.csv", "2 columns could be the label; .*data.label_column=topic"),
    (
        joined_labels,
        "in.csv",
        r"'dog\|cat' in column 'tags' may be one class or several labels; "
        r"choose: data.labels=several 'data.label_separator=\|', or "
        "data.labels=per_sequence",
    ),
    (array_of_items, "in.npz", "neither a folder nor a table.*SequenceClassifier.*a file of its"),
    (two_name_parts, "in", r"2 parts of the files' names could be the class(?s:.*)--pattern"),
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("make", "name", "kind", "expected"), READ, ids=lambda one: getattr(
    one, "__name__", None))  # fmt: skip
def test_messy_data_is_prepared_without_an_edit(make, name, kind, expected):
    make(Path(name))
    found = init(Path(name), show=False).result
    assert found["kind"] == kind and len(found["classes"]) == 2
    experiment = Experiment.load(found["config"])
    for key, value in expected.items():
        section, setting = key.split(".")
        name = {"source_rate_hz": "sample_rate"}.get(setting, setting)  # of the field
        assert getattr(getattr(experiment, section), name) == value
        assert found["reasons"][key]
    done = prepare(experiment).result
    assert done["num_quarantined"] == 0
    assert done["num_sequences"] == found["num_items"] == sum(found["classes"].values())


@pytest.mark.parametrize(("make", "name", "reason"), REFUSED, ids=lambda one: getattr(
    one, "__name__", None))  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused_and_nothing_is_written(make, name, reason):
    make(Path(name))
    with pytest.raises(SettingsError, match=reason):
        init(Path(name), show=False)
    assert [path.name for path in Path().iterdir()] == [name]
    assert CliRunner().invoke(app, ["init", name]).exit_code == 2


def test_a_refusal_is_settled_by_what_it_says():
    two_labels(Path("in.csv"))
    found = init(Path("in.csv"), overrides=["data.label_column=topic"], show=False).result
    assert set(found["classes"]) == {"x", "y", "z"}
    two_name_parts(Path("names"))
    with pytest.raises(SettingsError) as refused:
        init(Path("names"), show=False)
    pattern = str(refused.value).split("--pattern '")[2].split("'")[0]
    found = init(Path("names"), pattern=pattern, show=False).result
    assert set(found["classes"]) == {"ann", "bob"}


def test_joined_labels_are_read_as_they_are_said_to_be(capsys):
    joined_labels(Path("in.csv"))
    parted = ["data.labels=several", "data.label_separator=|"]
    found = init(Path("in.csv"), overrides=parted, show=False).result
    assert found["classes"] == {"cat": 12, "dog": 12}
    assert any("without a label: 6 items (data.unlabeled=" in one for one in found["warnings"])
    found = init(Path("in.csv"), overrides=["data.labels=per_sequence"], force=True).result
    assert found["classes"] == {"cat": 6, "dog": 6, "dog|cat": 6}
    assert "; 3 classes)" in capsys.readouterr().out


def test_recordings_with_audacity_s_labels_are_labelled_by_step():
    for n in range(4):
        sound(Path("calls") / f"{n}.wav")
        if n:
            write(Path("calls") / f"{n}.txt", "0.0\t0.1\tsong\n0.1\t0.2\trest\n")
    with pytest.raises(SettingsError, match=r"several kinds.*add data\.labels=per_step"):
        init(Path("calls"), show=False)
    found = init(Path("calls"), overrides=["data.labels=per_step"], show=False).result
    assert (found["kind"], found["num_items"]) == ("audio", 4)
    (missing,) = (text for text in found["warnings"] if "segments" in text)
    assert "without a table of segments: 1 item (data.background=CLASS" in missing
    assert not any("without a label" in text for text in found["warnings"])


def test_a_table_of_recordings_and_their_segments_is_labelled_by_step():
    rows = ["path,parts"]
    for n in range(4):
        sound(Path(f"{n}.wav"))
        write(Path(f"{n}.csv"), "start_s,end_s,label\n0.0,0.1,song\n0.1,0.2,rest\n")
        rows.append(f"{n}.wav,{n}.csv")
    write(Path("in.csv"), "\n".join(rows))
    given = ["data.labels=per_step", "data.segments_column=parts"]
    found = init(Path("in.csv"), overrides=given, show=False).result
    assert (found["kind"], found["num_items"], found["warnings"]) == ("audio", 4, [])
    assert Experiment.load(Path("in.yaml")).data.segments_column == "parts"


def test_columns_of_0_and_1_are_several_labels_where_they_are_named():
    rows = [f"{text},{n % 2},{n % 3 // 2},{'uv'[n % 2]}" for n, text in enumerate(TEXTS)]
    write(Path("in.csv"), "\n".join(["text,cat,dog,site", *rows]))
    with pytest.raises(SettingsError) as refused:
        init(Path("in.csv"), show=False)
    given = str(refused.value).partition("; or all columns of 0 and 1, each a label: ")[2]
    assert given == "data.labels=several 'data.label_columns=[cat,dog]'"
    overrides = [*given.replace("'", "").split(), "data.unlabeled=negative"]
    found = init(Path("in.csv"), overrides=overrides, show=False).result
    assert found["classes"] == {"cat": 12, "dog": 8}
    assert prepare(Experiment.load(found["config"])).result["num_sequences"] == len(TEXTS)


def test_a_column_of_dates_is_no_label():
    rows = [f"2024-03-{n % 5 + 1:02},{text},{'uv'[n % 2]}" for n, text in enumerate(TEXTS)]
    write(Path("in.csv"), "\n".join(["day,text,kind", *rows]))
    assert set(init(Path("in.csv"), show=False).result["classes"]) == {"u", "v"}


def test_classes_are_counted_as_they_are_read_and_rows_without_one_contradict_none():
    labels = ("good", "bad", "good ", "bad\u200b")
    rows = [f"{text},{labels[n % 4]}" for n, text in enumerate(TEXTS)]
    write(Path("in.csv"), "\n".join(["text,label", *rows, f"{TEXTS[0]},"]))
    found = init(Path("in.csv"), show=False).result
    assert found["reasons"]["data.label_column"] == "its name; 2 classes"
    assert not any("different labels" in warning for warning in found["warnings"])


def test_rows_without_a_path_are_counted_and_have_no_content():
    channel_tables(Path("logs"))
    files = sorted(str(path) for path in Path("logs").rglob("*.csv"))
    write(
        Path("in.csv"),
        "".join(["path,label\n", *(f"{f},{f[5:8]}\n" for f in files), *5 * [",run\n"]]),
    )
    said = init(Path("in.csv"), show=False).result["warnings"]
    assert "5 rows in all cannot be read; prepare lists them in quarantine.csv" in said
    assert not any(one.startswith(".:") for one in said)


def test_the_table_that_names_the_others_is_the_list_of_items():
    for n in range(20):
        write(Path("in", f"run {n}.csv"), "x,y\n" + "".join(f"{n},{k}.5\n" for k in range(30)))
    rows = "".join(f"run {n}.csv;{('ok', 'bad')[n % 2]}\n" for n in range(20))
    write(Path("in/overview.csv"), "file;state\n" + rows)
    found = init(Path("in"), show=False).result
    assert found["num_items"] == 20 and set(found["classes"]) == {"ok", "bad"}
    assert found["reasons"]["data.source"].startswith("the table that names the other files")
    write(Path("in/more.csv"), "file;state\n" + rows)
    with pytest.raises(SettingsError, match=r"2 tables name other files .*: seqbelt init in"):
        init(Path("in"), force=True, show=False)


def test_a_table_beside_class_folders_that_names_no_items_is_left_out():
    class_folders(Path("d"))
    write(Path("d/meta.csv"), "camera,year\nA,2020\nB,2021\n")
    done = init(Path("d"), Path("c.yaml")).result
    assert done["classes"] == {"cat": 10, "dog": 10}
    assert "meta.csv beside them names no items" in done["reasons"]["data.source"]


def test_columns_of_objects_that_nobody_needs_are_left_out():
    rows = [{"meta": {"n": n}, "text": t, "label": n % 2} for n, t in enumerate(TEXTS)]
    write(Path("m.jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    assert init(Path("m.jsonl"), Path("c.yaml")).result["classes"] == {"0": 12, "1": 12}
    rows = [{**row, "label": [row["label"]]} for row in rows]
    write(Path("m.jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SettingsError, match="column 'label' holds a list"):
        init(Path("m.jsonl"), Path("d.yaml"))


def test_an_archive_is_not_looked_into_and_the_way_is_named():
    write(Path("a.zip"), "x")
    with pytest.raises(SettingsError, match=r"unpack it, or write a config with data\.source"):
        init(Path("a.zip"), Path("c.yaml"))


def test_columns_that_are_not_read_are_named():
    two_labels(Path("in.csv"))
    found = init(Path("in.csv"), overrides=["data.label_column=topic"], show=False).result
    assert "3 columns; not read: mood (features.columns" in found["reasons"]["data.source"]


def test_the_config_names_the_data_and_the_next_command():
    text_files(Path("in"))
    done = CliRunner().invoke(app, ["init", "in", "--output", "pets.yaml"])
    assert Experiment.load(Path("pets.yaml")).name == "pets"  # of models:/pets@champion
    assert "next: seqbelt compare pets.yaml" in done.output


def test_the_time_that_training_takes_is_said_where_it_can_be_told(capsys, monkeypatch):
    text_files(Path("in"))
    init(Path("in"))
    assert "on this machine: about 3.0 minutes" in capsys.readouterr().out
    monkeypatch.setattr(COMMAND, "measure_training_s", lambda experiment, manifest: None)
    init(Path("in"), force=True)
    assert "on this machine" not in capsys.readouterr().out


def test_groups_in_names_are_kept_on_one_side():
    groups_in_names(Path("in"))
    experiment = Experiment.load(init(Path("in"), show=False).result["config"])
    manifest = experiment.data.load(experiment.features)
    sides = {}
    for group, split in zip(manifest.column("group"), manifest.column("split"), strict=True):
        sides.setdefault(group, set()).add(split)
    assert len(sides) == 6 and all(len(one) == 1 for one in sides.values())


@pytest.mark.parametrize(
    "form",
    [
        *("{group}_{take:02d}", "{group}{take}", "{take}-{group}", "{group}/{take}"),
        *("{take}-{words}-{group}", "{words}_{group}-{take}"),
    ],
)
def test_words_that_return_in_several_classes_are_offered_as_groups(form):
    for label, words in (("yes", "yes"), ("no", "not_now")):
        for group in ("anna", "ben", "carl"):
            for take in range(4):
                name = form.format(words=words, group=group, take=take)
                sound(Path("clips", label, f"{name}.wav"))
    found = init(Path("clips"), show=False).result
    (warning,) = [one for one in found["warnings"] if "anna, ben, carl" in one and "add" in one]
    pattern = warning.split("--pattern '")[1].split("'")[0]
    assert f"--pattern '{pattern}'" in Path("clips.yaml").read_text().replace("\\\\", "\\")
    again = init(Path("clips"), pattern=pattern, force=True, show=False).result
    assert not any("anna, ben, carl" in one for one in again["warnings"])
    groups = Counter(line.rsplit(",", 1)[1] for line in Path("clips_items.csv").read_text().split())
    assert groups == {"group": 1, "anna": 8, "ben": 8, "carl": 8}


@pytest.mark.parametrize("form", ["take_{take:02d}", "{label}{take}", "{take}", "{take}_{own}"])
def test_numbers_of_takes_and_words_of_one_class_are_no_groups(form):
    for label, own in (("yes", "loud"), ("no", "calm"), ("go", "low")):
        for take in range(6):
            name = form.format(label=label, take=take, own=own)
            sound(Path("clips", label, f"{name}.wav"))
    found = init(Path("clips"), show=False).result
    assert not any("several classes" in one for one in found["warnings"])


def test_letters_that_tell_takes_of_a_recording_apart_are_no_groups():
    for place, label in enumerate(("rain", "dog")):
        for number in range(8):
            for take in "AB" if number < 3 else "A":
                sound(Path("clips", label, f"{number % 5}-{100 * place + number}-{take}.wav"))
    warnings = init(Path("clips"), show=False).result["warnings"]
    (warning,) = [one for one in warnings if "--pattern" in one]
    assert "several takes of one recording: 0-100-A, 0-100-B" in warning
    pattern = warning.split("--pattern '")[1].split("'")[0]
    init(Path("clips"), pattern=pattern, force=True, show=False)
    lines = Path("clips_items.csv").read_text().split()[1:]
    assert {line.rsplit(",", 1)[1] for line in lines} == {
        f"{n % 5}-{100 * place + n}" for place in (0, 1) for n in range(8)
    }


def test_a_damaged_workbook_beside_class_folders_is_refused_with_a_remedy():
    for label in ("yes", "no"):
        for number in range(3):
            sound(Path("clips", label, f"{number}.wav"))
    Path("clips/list.xlsx").write_bytes(b"PK\x03\x04cut off")
    with pytest.raises(SettingsError, match=r"damaged(?s:.*)move clips/list.xlsx away") as refused:
        init(Path("clips"), show=False)
    assert "is a text" not in str(refused.value)
    Path("clips/list.xlsx").unlink()
    assert init(Path("clips"), show=False).result["classes"] == {"no": 3, "yes": 3}


def test_a_refusal_says_how_to_keep_the_other_part_on_one_side():
    two_name_parts(Path("in"))
    with pytest.raises(SettingsError) as refused:
        init(Path("in"), show=False)
    pattern = str(refused.value).rpartition("--pattern '")[2].rstrip("'")
    found = init(Path("in"), pattern=pattern, show=False).result
    assert "3 groups, each kept on one side of a split" in found["reasons"]["data.source"]


def test_texts_longer_than_a_name_may_be_are_no_paths():
    rows = "".join(f"{text} {'길고 지루하다 ' * 40},{n % 2}\n" for n, text in enumerate(TEXTS))
    write(Path("t.csv"), "text,label\n" + rows)
    assert init(Path("t.csv"), show=False).result["kind"] == "text"


def test_the_rate_of_rounded_times_is_that_of_their_mean(capsys):
    for n in range(6):
        times = "".join(f"{int(62.5 * at) / 1000:.3f},{at}\n" for at in range(40))
        write(Path("in", "ab"[n % 2], f"{n}.csv"), "time_s,x\n" + times)
    config = Path(init(Path("in")).result["config"]).read_text()
    assert "source_rate_hz: 16.0\n" in config
    assert "features.kind: channels (tables of numbers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("head", "time"),
    [
        ("Date,Time,x", lambda ms: f"2024-03-05,10:00:{ms // 1000:02}.{ms % 1000:03}"),
        ("Datum;Uhrzeit;x", lambda ms: f"05.03.2024;10:00:{ms // 1000:02},{ms % 1000:03}"),
        ("time,x\ns,g", lambda ms: f"{ms / 1000:.2f}"),
        ("time,x\nms,g", str),
        ("time [ms],x", str),
    ],
)
def test_the_rate_is_found_of_a_date_beside_a_clock_and_by_a_row_of_units(head, time):
    sign = ";" if ";" in head else ","
    for n in range(6):
        rows = "".join(f"{time(20 * at)}{sign}{at % 7}\n" for at in range(40))
        write(Path("in", "ab"[n % 2], f"{n}.csv"), f"{head}\n{rows}")
    config = Path(init(Path("in")).result["config"]).read_text()
    assert "source_rate_hz: 50.0\n" in config and "a row every 0.02 s" in config


def test_faults_of_the_data_are_reported():
    class_folders(Path("in"))
    one = Path("in/dog/0.wav").read_bytes()
    for path in ("in/cat/twin.wav", "in/Dog/other.wav"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(one)
    said = "\n".join(init(Path("in"), show=False).result["warnings"])
    assert "'Dog' (1)" in said and "differ only in case" in said
    assert "classes with one item" in said and "several sample rates" in said
    assert "3 items have the same content as another and different labels" in said


def test_classes_that_may_be_grades_are_said_to_have_no_order():
    rows = [f"{'abcde'[n % 5]} film {n},{n % 5 + 1}" for n in range(50)]
    write(Path("in.csv"), "\n".join(["text,label", *rows]))
    (said,) = init(Path("in.csv"), show=False).result["warnings"]
    setting = said.partition("set ")[2]
    assert setting == "data.order: [1, 2, 3, 4, 5]"
    override = setting.replace(": ", "=")
    found = init(Path("in.csv"), overrides=[override], force=True, show=False).result
    assert not found["warnings"] and Experiment.load(Path("in.yaml")).data.order[-1] == "5"


def test_a_config_is_not_overwritten_without_force():
    text_files(Path("in"))
    init(Path("in"), show=False)
    Path("in.yaml").write_text("mine")
    with pytest.raises(SettingsError, match=r"in.yaml exists.*--force"):
        init(Path("in"), show=False)
    assert Path("in.yaml").read_text() == "mine"
    init(Path("in"), force=True, show=False)
    assert Path("in.yaml").read_text() != "mine"


def test_json_has_the_promised_keys_and_prepare_of_a_folder_proposes_init():
    text_files(Path("in"))
    result = CliRunner().invoke(app, ["init", "in", "--output", "my.yaml", "--json"])
    assert result.exit_code == 0
    keys = {"config", "kind", "num_items", "classes", "reasons", "warnings"}
    assert set(json.loads(result.stdout.splitlines()[-1])) == keys
    result = CliRunner().invoke(app, ["prepare", "in"])
    assert result.exit_code == 2 and "seqbelt init in" in result.output


def test_a_table_without_a_header_is_refused_with_the_setting_that_names_its_columns():
    rows = "".join(f"{text},{('pos', 'neg')[n % 2]}\n" for n, text in enumerate(TEXTS))
    write(Path("t.csv"), rows)
    with pytest.raises(SettingsError, match=r"line 1 .*'pos' .*data\.header=\[text,label\]"):
        init(Path("t.csv"), show=False)
    found = init(Path("t.csv"), overrides=["data.header=[text,label]"], show=False).result
    prepared = prepare(Experiment.load(found["config"])).result
    assert prepared["num_sequences"] == len(TEXTS)


def test_a_label_column_that_is_named_may_be_called_as_a_label():
    rows = [f"comment number {row} of them,{['hate', 'none'][row % 2]}" for row in range(20)]
    write(Path("t.csv"), "\n".join(["text,hate", *rows]))
    with pytest.raises(SettingsError, match=r"data\.label_column=NAME"):
        init(Path("t.csv"), show=False)
    found = init(Path("t.csv"), overrides=["data.label_column=hate"], show=False).result
    assert found["classes"] == {"hate": 10, "none": 10}


@pytest.mark.parametrize("label", ["label", None])
def test_a_table_with_many_sequences_is_refused_with_what_parts_it(label):
    """The code that the message gives makes a folder that init reads."""
    random = np.random.default_rng(0)
    rows = [
        {
            "id": number, "time": step / 10, "x": random.normal(), "state": step // 6,
            label or "more": "ab"[number % 2],
        }
        for number in range(20)
        for step in range(12)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    (table if label else table.drop(columns="more")).to_csv("long.csv", index=False)
    with pytest.raises(SettingsError, match="the 20 values of 'id'") as refused:
        init(Path("long.csv"), show=False)
    code = str(refused.value).partition("in Python:\n")[2]
    exec(code, {"pandas": pd, "os": os})
    if label:
        found = init(Path("items"), show=False).result
        assert found["classes"] == {"a": 10, "b": 10}
    else:
        assert len(list(Path("items/CLASS").iterdir())) == 20
