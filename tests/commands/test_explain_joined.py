"""``seqbelt explain`` for models of several inputs and columns."""

import csv
import json
from pathlib import Path

import pytest
from joined_toys import joined_bundle, write_rows, write_tone
from PIL import Image
from toys import PLAIN

from seqbelt.cli import main
from seqbelt.evaluation import attribution
from seqbelt.features.base import JoinedSource
from seqbelt.inference.predictor import Predictor

pytestmark = pytest.mark.usefixtures("drawn_figures")
NOTE = "a good <b>film</b> and 영화 no end"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle, and a manifest of five rows."""
    folder = tmp_path_factory.mktemp("joined")
    joined_bundle(**PLAIN).save(folder / "bundle")
    write_tone(folder / "0.csv")
    write_rows(folder / "items.csv", [
        ("0.csv", NOTE, "30", "x"), ("", "bad film", "", "unheard of"), ("0.csv", "", "50", "y"),
        ("", "", "61", ""), ("lost.csv", "a", "1", "x"),
    ])  # fmt: skip
    return folder


def run(capsys, folder, monkeypatch, *arguments):
    """Exit code, the JSON of the last line of standard output, standard error."""
    monkeypatch.chdir(folder)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["explain", "bundle", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.strip().splitlines()[-1]) if out.strip() else None, err


def read_table(folder, result) -> list[dict[str, str]]:
    with (folder / result["files"][0]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_step_and_column_has_its_share(capsys, folder, monkeypatch):
    code, result, err = run(capsys, folder, monkeypatch, "items.csv", "--id", "row 1")
    assert code == 0, err
    rows = read_table(folder, result)
    assert list(rows[0]) == ["input", "step", "token", "cell", "share"]
    tones = [row for row in rows if row["input"] == "tone"]
    notes = [row for row in rows if row["input"] == "note"]
    assert [int(row["step"]) for row in tones] == list(range(8))
    assert [row["token"] for row in notes][:3] == ["a", "good", "<"]
    assert [(row["input"], row["cell"]) for row in rows[-2:]] == [("age", "30"), ("ward", "x")]
    shares = [float(row["share"]) for row in rows]
    difference = result["log_odds"] - result["baseline_log_odds"]
    assert sum(shares) == pytest.approx(difference, rel=0.011) and abs(difference) > 0.1
    assert result["completeness_gap"] < 0.01 and result["num_steps"] == len(rows) - 2
    totals = {"tone": tones, "note": notes, "age": rows[-2:-1], "ward": rows[-1:]}
    found = {name: part["share"] for name, part in (result["inputs"] | result["columns"]).items()}
    for name, of in totals.items():
        assert found[name] == pytest.approx(sum(float(row["share"]) for row in of), abs=1e-4)
        assert f"{found[name]:+.2f}" in err
    source = JoinedSource((folder / "0.csv", NOTE), ("30", "x"))
    (answer,) = Predictor(joined_bundle(**PLAIN), "cpu").predict([(0, source)])
    assert result["confidence"] == pytest.approx(answer.probabilities.max(), abs=1e-5)


def test_a_figure_of_all_inputs_and_a_page_of_the_text(capsys, folder, monkeypatch):
    _, result, _ = run(capsys, folder, monkeypatch, "items.csv", "--id", "row 1")
    assert [Path(file).name for file in result["files"]] == [
        "row_1.csv", "row_1.png", "row_1-note.html"
    ]  # fmt: skip
    with Image.open(folder / result["files"][1]) as picture:
        assert picture.height > picture.width / 2 and len(picture.convert("RGB").getcolors(1 << 20))
    page = (folder / result["files"][2]).read_text("utf-8")
    assert "note: " in page and "<b>" not in page and "영화" in page


@pytest.mark.parametrize(
    ("row", "missing", "read_as"),
    [
        (2, ["tone"], {"age": "missing", "ward": "other"}),
        (3, ["note"], {"age": "value", "ward": "value"}),
        (4, ["tone", "note"], {"age": "value", "ward": "missing"}),
    ],
)
def test_what_is_missing_is_said_and_has_no_share(
    capsys, folder, monkeypatch, row, missing, read_as
):
    monkeypatch.setattr(attribution, "MOST_POINTS", 360)
    code, result, err = run(capsys, folder, monkeypatch, "items.csv", "--id", f"row {row}")
    assert code == 0 and f"without attributions: {', '.join(missing)}." in err
    absent = {name for name, part in result["inputs"].items() if part["share"] is None}
    assert absent == set(missing)
    assert {name: part["read_as"] for name, part in result["columns"].items()} == read_as
    rows = read_table(folder, result)
    assert not absent & {of["input"] for of in rows}
    assert sum(float(of["share"]) for of in rows) == pytest.approx(
        result["log_odds"] - result["baseline_log_odds"], rel=0.02, abs=1e-3
    )


def test_one_row_must_be_named(capsys, folder, monkeypatch):
    for arguments, code, words in (
        (["items.csv"], 2, "choose one with --id"),
        (["items.csv", "--id", "0.csv"], 2, "has 2 items with this name; choose one by its row"),
        (["items.csv", "--id", "row 9"], 2, "no such item"),
        (["items.csv", "--id", "lost.csv"], 1, "tone: no such file"),
        (["0.csv"], 2, "no column 'age'"),
        (["--text", "a good film"], 2, "give a manifest, and --id"),
    ):
        found, result, err = run(capsys, folder, monkeypatch, *arguments)
        assert (found, result) == (code, None) and words in err, (arguments, err)
