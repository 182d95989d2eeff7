"""Several inputs and columns from the manifest to the prediction file."""

import base64
import csv
import json

import numpy as np
import pytest

from seqbelt.data.audit import audit_store
from seqbelt.data.joined_views import each_input, view_input
from seqbelt.data.store.part_summary import data_record
from seqbelt.data.store.preparation import prepare
from seqbelt.errors import BadInput, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.base import JoinedSource
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.folder import predict_items
from seqbelt.inference.predictor import Predictor
from seqbelt.inference.request_rows import ServeLimits, read_joined_row
from seqbelt.inference.serving import _pack, _unpack
from seqbelt.training.loop import Loop
from seqbelt.workflow.export_check import certify_bundle, draw_sequences
from seqbelt.workflow.inputs import list_items
from seqbelt.workflow.networks import input_builder, network_builder

FEATURES = {
    "tone": {"kind": "channels"},
    "note": {"kind": "subword", "vocabulary_size": 40, "column": "remark"},
    "columns": ["age", "ward"],
}


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "remark", "age", "ward", "label", "leak"])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """40 items of a signal, a note, two columns, and one that gives the class away."""
    folder = tmp_path_factory.mktemp("project")
    random, rows = np.random.default_rng(0), []
    for row in range(60):
        np.save(folder / f"{row}.npy", random.normal(size=(5 + row % 4, 2)).astype(np.float32))
        rows.append({
            "path": f"{row}.npy" if row % 10 else "", "remark": f"it is {'ab'[row % 2]} {row}",
            "age": str(20 + row), "ward": "xyz"[row % 3], "label": ("no", "yes")[row // 3 % 2],
            "leak": f"{row // 3 % 2 + random.normal(0, 0.1):.3f}",
        })  # fmt: skip
    write_table(folder / "items.csv", rows)
    return folder, rows


def make(folder, features=None):
    experiment = Experiment.parse({
        "name": "x", "data": {"source": str(folder / "items.csv")},
        "features": features or FEATURES,
        "model": {"hidden_size": 3, "embedding_size": 3},
        "training": {"num_epochs": 1, "device": "cpu"},
    })  # fmt: skip
    manifest = experiment.data.load(experiment.features)
    store = prepare(manifest, experiment.features, folder / "store", {}).store
    return experiment.resolve(False, store.split("train")), store


@pytest.fixture(scope="module")
def bundle(project):
    folder, _ = project
    experiment, store = make(folder)
    train = store.split("train")
    network, _ = Loop(
        experiment.training, network_builder(experiment, store, train, None), train, None
    ).run()
    made = Bundle("x", experiment.features, store.learned, experiment.model, store.classes,
                  store.num_features, weights_of(network), {"step_s": None},
                  layout=network.layout)  # fmt: skip
    made.save(folder / "bundle")
    return made


def test_a_saved_bundle_predicts_as_before(bundle, project):
    folder, _ = project
    loaded = Bundle.load(folder / "bundle")
    stored = json.loads((folder / "bundle" / "bundle.json").read_text())
    assert stored["format"] == 4
    assert loaded.layout == bundle.layout and loaded.fingerprint == bundle.fingerprint
    assert loaded.layout.inputs[0].median_steps > 0
    _, store = make(folder)
    items = [store.sequence(row) for row in range(5)]
    found = [Predictor(one, "cpu").probabilities(items) for one in (bundle, loaded)]
    assert np.array_equal(*found)


def test_a_manifest_is_predicted_and_predicted_again_from_the_journal(bundle, project):
    folder, rows = project
    new = [{**rows[1], "age": ""}, {**rows[2], "ward": "w"}, {**rows[3], "age": "old"},
           {**rows[4], "path": "lost.npy"}, {**rows[5], "path": ""}]  # fmt: skip
    write_table(folder / "new.csv", new)
    predictor = Predictor(bundle, "cpu")
    for num_reused in (0, 4):  # what could not be read is read again
        inputs = list_items([folder / "new.csv"], bundle.features)
        summary = predict_items(
            predictor, inputs.items, folder / "out.csv", key=inputs.key, model="m"
        )
        assert (summary.num_predicted, summary.num_reused) == (3, num_reused)
    with (folder / "out.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [one["path"] for one in found] == ["1.npy", "2.npy", "3.npy", "lost.npy", "row 5"]
    assert "'old' is not a number" in found[2]["error"]
    assert "tone: no such file" in found[3]["error"]
    tokens = int(found[4]["num_steps"])
    assert int(found[0]["num_steps"]) > tokens > 0


def test_a_folder_and_a_table_without_a_column_are_refused(bundle, project):
    folder, _ = project
    with pytest.raises(SettingsError, match="is not a manifest"):
        list_items([folder], bundle.features)
    (folder / "short.csv").write_text("path,remark,age\n1.npy,it,3\n")
    with pytest.raises(SettingsError, match="no column 'ward'"):
        list_items([folder / "short.csv"], bundle.features)


def test_the_label_is_no_input(project):
    folder, _ = project
    with pytest.raises(SettingsError, match="column of the labels"):
        make(folder, {"kind": "channels", "columns": ["label"]})


def test_what_reads_one_sequence_refuses_several(bundle):
    with pytest.raises(SettingsError, match=r"--engine onnx: .* \(tone, note, age, ward\)"):
        Predictor(bundle, "cpu", engine="onnx")


def test_its_export_is_certified_on_real_items(bundle, project):
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    folder, _ = project
    _, store = make(folder)
    found = certify_bundle(bundle, store.split("train"))
    assert found is not None and found.passed and found.num_flips == 0, found
    draw, median, longest = draw_sequences(bundle, store.split("train"))
    assert bundle.layout is not None and 0 < median <= longest
    counts = [bundle.layout.num_steps(draw(3, number)) for number in range(20)]
    assert np.max(counts) == 3 and np.min(counts) == 0  # cut to so many, or missing


def test_a_request_has_a_column_for_each_input(bundle, project):
    folder, _ = project
    content = (folder / "1.npy").read_bytes()
    row = {"tone": base64.b64encode(content).decode(), "note": "it is a", "age": "30", "ward": None}
    source = read_joined_row(row, ServeLimits(), bundle.features)
    assert source == JoinedSource((content, "it is a"), ("30", ""))
    assert _unpack("JoinedSource", _pack(source)) == source
    (found,) = Predictor(bundle, "cpu").predict([(0, source)])
    assert found.probabilities.shape == (2,)
    for bad in ({"tone": "é"}, {"path": "1.npy"}):
        assert isinstance(read_joined_row(bad, ServeLimits(), bundle.features), BadInput)


def test_one_input_is_seen_alone(project):
    folder, _ = project
    experiment, store = make(folder)
    train = store.split("train")
    tone, note = view_input(train, 0), view_input(train, 1)
    present, _ = each_input(train)
    assert len(tone) == len(train) > len(present)
    assert tone[0].shape[1] == 2 and note.store.is_tokens
    build = input_builder(experiment, store, note, 1)
    network, _ = Loop(experiment.training, build, note, None).run()
    assert network.is_tokens


def test_small_data_without_a_validation_part_has_inputs_to_see_alone(project):
    _, store = make(project[0])
    nothing = store.split("validation")
    assert len(nothing) == 0  # 60 rows are too few for one
    assert len(view_input(nothing, 0)) == 0


def test_the_column_that_gives_the_class_away_is_named(project):
    folder, _ = project
    _, clean = make(folder)
    checks = {one.check: one for one in audit_store(clean).findings}
    assert checks["columns"].severity == "ok"
    experiment, store = make(folder, {**FEATURES, "columns": ["age", "leak"]})
    audit = audit_store(store, None, experiment.features)
    (leak,) = [one for one in audit.findings if one.check == "columns"]
    assert leak.severity == "leak" and "column 'leak' alone predicts" in leak.sentence
    assert "'age' alone" not in leak.sentence


def test_the_data_card_has_counts_hashes_and_the_schema(project):
    folder, _ = project
    _, store = make(folder)
    card = data_record(store, "items.csv")
    assert sum(card["num_sequences"].values()) == sum(card["class_counts"].values()) == 60
    names = [field["name"] for field in card["schema"]]
    assert names == ["tone", "note", "age", "ward", "label"]
    _, fewer = make(folder, {**FEATURES, "columns": ["age"]})
    assert data_record(fewer, "items.csv")["content"] != card["content"]
    assert json.loads(json.dumps(card)) == card
