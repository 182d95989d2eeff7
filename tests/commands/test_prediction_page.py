"""``predict --report``: what is gathered while predicting, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from toys import PLAIN

from seqbelt.data.labels.targets import TARGETS
from seqbelt.data.sources import remote
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.encoding import encode_sources
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.reference import Reference, short_hash
from seqbelt.inference.row_quantities import signal_names, summarize_signal
from seqbelt.inference.training_reference import reference_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.workflow.prediction_run import predict
from seqbelt.workflow.prepared_data import prepare_data

RATE = 8000
FEATURES = LogMel(kind="log_mel", sample_rate=RATE, num_bands=8)


def write(folder, count, seed, loudness=0.1):
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        samples = loudness * random.normal(size=random.integers(1500, 4000))
        soundfile.write(folder / f"{number:02}.wav", samples, RATE)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A bundle whose reference is that of 60 recordings of noise."""
    root = tmp_path_factory.mktemp("model")
    files = sorted(write(root / "train", 60, seed=0).glob("*.wav"))
    encoded = [*encode_sources(FEATURES, FEATURES, enumerate(files))]
    torch.manual_seed(0)
    settings = Model(cell="gru", hidden_size=4, **PLAIN)
    network = build_network(settings, 8, 2, is_tokens=False).eval()
    reference = Reference(
        signal_names(8),
        np.stack([summarize_signal(one.sequence) for one in encoded]),
        np.zeros(0, np.float32),
        np.unique(np.array([short_hash(one.content_hash) for one in encoded], np.uint64)),
        np.zeros(0, np.float32),
    )
    bundle = Bundle(
        "toy", FEATURES, {}, settings, ("a", "b"), 8, weights_of(network), {}, reference=reference
    )
    bundle.save(root / "bundle")
    replace(bundle, reference=None).save(root / "old")
    about = {"class_counts": {"a": 30, "b": 45}, "data": {"num_sequences": {"train": 60}}}
    several = {"target": TARGETS["several"], "thresholds": (0.01, 0.99)}
    replace(bundle, about=about, **several).save(root / "several")
    return root


def report(model, folder, *settings, bundle="bundle", **options):
    output = folder.parent / "out.jsonl"
    options = {"report": folder.parent / "out.html", **options}
    result = predict(str(model / bundle), [str(folder), *settings], output, **options)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    return result, (folder.parent / "out.html").read_text(), rows


def test_shares_of_several_labels_are_of_all_predictions(model, tmp_path):
    _, page, rows = report(model, write(tmp_path / "in", 8, seed=1), bundle="several")
    assert all(row["labels"] == ["a"] for row in rows)
    text = re.sub(r"<[^>]+>", " ", page)
    assert "An input may have several labels" in text and "All 8 recordings" in text
    assert re.search(r"\ba\s+8\s+100\.0 %\s+50\.0 %", text)
    assert re.search(r"\bb\s+0\s+0\.0 %\s+75\.0 %", text)


def test_inputs_like_the_training_rows_and_quieter_ones(model, tmp_path):
    result, page, _ = report(model, write(tmp_path / "same" / "in", 30, seed=1))
    assert result["drift"]["alarms"] == [] and "No: in nothing" in page
    result, page, _ = report(model, write(tmp_path / "quiet" / "in", 30, seed=1, loudness=0.02))
    assert any(name.startswith("mean") for name in result["drift"]["alarms"])
    assert "quantities differ from the training data" in page


def test_a_second_run_has_the_statistics_without_predicting_again(model, tmp_path):
    folder = write(tmp_path / "in", 24, seed=1)
    first, _, _ = report(model, folder)
    second, _, _ = report(model, folder)
    assert second["num_reused"] == 24 and second["drift"] == first["drift"]


def test_a_run_without_report_is_completed_by_one_with_it(model, tmp_path):
    folder = write(tmp_path / "in", 24, seed=1)
    predict(str(model / "bundle"), [str(folder)], tmp_path / "out.jsonl")
    result, _, rows = report(model, folder)
    assert result["drift"]["num_inputs"] == 24 and len(rows) == 24


def test_known_inputs_old_bundles_and_errors_are_told(model, tmp_path):
    _, page, _ = report(model, model / "train", report=model / "out.html")
    assert "were used to train or choose this model" in page
    folder = write(tmp_path / "in", 3, seed=1)
    (folder / "odd.wav").write_bytes(b"")
    result, page, _ = report(model, folder, bundle="old")
    assert result["drift"] is None and "earlier version" in page and "odd.wav" in page
    _, page, _ = report(model, folder)
    assert "takes at least 20 recordings" in page


def test_the_least_sure_input_comes_first_and_can_be_played(model, tmp_path):
    folder = write(tmp_path / "in", 30, seed=1)
    _, page, rows = report(model, folder)
    confidences = {row["path"]: row["confidence"] for row in rows}
    least = sorted(confidences, key=confidences.get)
    assert page.count("data:audio/wav;base64,") == 24
    places = [page.index(f'class="name">{name}<') for name in least[:5]]
    assert places == sorted(places) and f'class="name">{least[-1]}<' not in page


def test_folders_that_name_the_class_are_no_groups_of_their_own(model, tmp_path):
    for site in ("north", "south"):
        for name in ("a", "b"):
            write(tmp_path / "in" / site / name, 3, seed=1)
    _, page, _ = report(model, tmp_path / "in", "report.language=ko")
    assert "<td>north</td>" in page and "north/a</td>" not in page and "하위 폴더별" in page


def test_a_column_divides_the_inputs_and_is_not_kept_unless_asked(model, tmp_path):
    folder = write(tmp_path / "in", 4, seed=1)
    table = folder / "m.csv"
    table.write_text("path,label,site\n00.wav,a,x\n01.wav,a,x\n02.wav,b,y\n03.wav,b,y\n")
    options = {"report": tmp_path / "o.html"}
    args = (str(model / "bundle"), [str(table), "report.group_by=site"], tmp_path / "o.jsonl")
    predict(*args, **options)
    page = (tmp_path / "o.html").read_text()
    assert "By &#39;site&#39;" in page and "<td>x</td>" in page
    assert "site" not in (tmp_path / "o.jsonl").read_text()
    predict(*args, **options, keep_columns=True)
    row = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    assert (row["site"], row["input_label"]) == ("x", "a")


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (["report.language=ko"], {}, "needs --report"),
        (["report.language=de"], {"report": "o.html"}, "language"),
        (["report.group_by=site"], {"report": "o.html"}, "no column 'site'"),
        ([], {"report": "o.pdf"}, r"ends in \.html"),
        ([], {"report": "o.html", "timeline": {}}, "timeline"),
    ],
)
def test_what_cannot_be_reported_is_refused(model, tmp_path, settings, options, message):
    folder = write(tmp_path / "in", 1, seed=1)
    if "report" in options:
        options = {**options, "report": tmp_path / options["report"]}
    with pytest.raises(SettingsError, match=message):
        predict(str(model / "bundle"), [str(folder), *settings], tmp_path / "o.csv", **options)


def write_table(path, count, seed=1, level=0.0, shift=0, words="a fine good day", missing=4):
    """A manifest of two channels, a note and two columns; every so many rows have no note."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["id,path,text,age,ward,label"]
    for row in range(count):
        values = random.normal(level, 1, (random.integers(10, 20), 2))
        name = path.parent / f"{path.stem}-{row}.csv"
        np.savetxt(name, values, delimiter=",", header="x,y", comments="")
        text = " ".join(random.choice(words.split(), 6)) if row % missing else ""
        age, ward = random.normal(50 + shift, 9), ("north", "south")[random.integers(2)]
        lines.append(f"r{row},{name.name},{text},{age:.1f},{ward},{'ab'[row % 2]}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """A bundle of several inputs whose reference is that of 80 prepared rows."""
    root = tmp_path_factory.mktemp("joined")
    experiment = Experiment.parse({
        "name": "joined", "data": {"source": str(write_table(root / "train" / "rows.csv", 100)),
                                   "prepared": str(root / "prepared")},
        "features": {"tone": {"kind": "channels"}, "note": {"kind": "word", "min_count": 1},
                     "columns": ["age", "ward"]},
    })  # fmt: skip
    store = prepare_data(experiment).store
    train, validation = store.split("train"), store.split("validation")
    features, learned = experiment.features, store.learned
    torch.manual_seed(0)
    settings = Model(hidden_size=4)
    network = build_network(settings, store.num_features, 2, False, layout=store.layout).eval()
    reference = reference_of(features, learned, train, validation, np.zeros(0))
    bundle = Bundle("joined", features, learned, settings, store.classes, store.num_features,
                    weights_of(network), {}, reference=reference,
                    layout=network.layout)  # fmt: skip
    bundle.save(root / "bundle")
    return root


def test_rows_of_several_inputs_show_each_of_them_and_no_change(joined, tmp_path):
    result, page, rows = report(joined, write_table(tmp_path / "in" / "same.csv", 60))
    assert len(rows) == 60 and result["drift"]["alarms"] == []
    measured = {one["name"] for one in result["drift"]["quantities"]}
    assert {"tone: mean 1", "note: information", "note: missing", "age: value",
            "ward: share north"} <= measured  # fmt: skip
    assert "All 60 items have a prediction." in page
    num_missing = page.count("Missing in this row")
    assert num_missing > 0 and page.count("</blockquote>") == 24 - num_missing
    assert page.count("<polyline") == 2 * 24
    assert "ward: north" in page
    assert "tone: level of features 1" in page and "ward: fraction of “south”" in page
    assert "학습" in report(joined, tmp_path / "in" / "same.csv", "report.language=ko")[1]


@pytest.mark.parametrize(
    ("change", "alarms"),
    [
        ({"level": 2.0}, {"tone: mean 1", "tone: mean 2"}),
        ({"words": "a bad fine night"}, {"note: information", "note: unknown"}),
        ({"missing": 2}, {"note: missing"}),
        ({"shift": 20}, {"age: value"}),
    ],
)
def test_a_change_is_told_with_the_input_or_column_that_changed(joined, tmp_path, change, alarms):
    result, page, _ = report(joined, write_table(tmp_path / "in" / "new.csv", 90, **change))
    assert set(result["drift"]["alarms"]) == alarms
    assert "quantities differ from the training data" in page


def test_an_older_bundle_of_several_inputs_says_that_it_cannot_tell(joined, tmp_path):
    replace(Bundle.load(joined / "bundle"), reference=None).save(joined / "old")
    table = write_table(tmp_path / "in" / "same.csv", 24)
    result, page, _ = report(joined, table, bundle="old")
    assert result["drift"] is None and "made by an earlier version" in page


def test_predictions_are_written_to_an_object_store(model, tmp_path, monkeypatch):
    bucket = tmp_path / "store" / "bucket"
    bucket.mkdir(parents=True)
    files = SubTreeFileSystem(str(tmp_path / "store"), LocalFileSystem())
    monkeypatch.setattr(remote, "_open", lambda scheme: files)
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "in", 3, seed=1)
    args = str(model / "bundle"), [str(folder)], "s3://bucket/found.jsonl"
    result = predict(*args)
    assert (result["output"], result["num_predicted"]) == (args[-1], 3)
    assert len((bucket / "found.jsonl").read_text().splitlines()) == 3
    assert predict(*args)["num_reused"] == 3
    assert not Path("s3:").exists()
    with pytest.raises(SettingsError, match="--paths output: needs an --output on this machine"):
        predict(*args, paths_as="output")
