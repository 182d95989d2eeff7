"""Several labels: bundles, prediction files, ONNX files and explanations."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
import torch

from seqbelt.data.labels.targets import ORDERED, TARGETS
from seqbelt.errors import SeqbeltError
from seqbelt.evaluation.attribution import explain
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_files import write_hashes
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.decision import Decision, choose_separator
from seqbelt.inference.journal import Row
from seqbelt.inference.output import is_prediction_file, kept_names, write_predictions
from seqbelt.inference.segment_merging import Timeline, merge
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

CLASSES = ("a", "b", "c")
THRESHOLDS = (0.5, 0.25, 0.75)


@pytest.fixture
def bundle():
    torch.manual_seed(0)
    model = Model(hidden_size=4, stem="none", dropout=0.0, input_dropout=0.0)
    return Bundle(
        name="tags",
        features=Vectors(kind="vectors"),
        learned={},
        model=model.resolve(False, np.array([5])),
        classes=CLASSES,
        num_features=2,
        weights=weights_of(build_network(model, 2, 3, False, np.array([5]))),
        about={"step_s": None},
        temperature=2.0,
        target=TARGETS["several"],
        thresholds=THRESHOLDS,
    )


def test_a_bundle_keeps_target_and_thresholds_and_older_versions_refuse_it(bundle, tmp_path):
    bundle.save(tmp_path / "b")
    stored = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert stored["format"] == 3 and stored["labels"] == "several"
    loaded = Bundle.load(tmp_path / "b")
    assert loaded.target is TARGETS["several"] and loaded.thresholds == THRESHOLDS
    logits = np.array([[0.0, -2.0, 2.0]], np.float32)
    probabilities = loaded.probabilities(logits)
    assert np.allclose(probabilities, 1 / (1 + np.exp(-logits / 2)))
    assert loaded.predicted_names(probabilities[0]) == ["a", "b"]
    assert loaded.fingerprint == bundle.fingerprint


def test_a_bundle_of_ordered_classes_decides_by_the_median(bundle, tmp_path):
    replace(bundle, target=ORDERED, thresholds=()).save(tmp_path / "b")
    loaded = Bundle.load(tmp_path / "b")
    assert loaded.predicted_names(np.array([0.4, 0.25, 0.35], np.float32)) == ["b"]
    assert loaded.confidence(np.array([0.4, 0.25, 0.35])) == 0.25


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": [0.5]},
        {"thresholds": [0.5, 2, 0.5]},
        {"labels": "many"},
        {"num_networks": 2},
    ],
)
def test_a_bundle_with_impossible_values_is_refused(bundle, tmp_path, change):
    bundle.save(tmp_path / "b")
    path = tmp_path / "b" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    write_hashes(tmp_path / "b")
    with pytest.raises(SeqbeltError, match=next(iter(change))):
        Bundle.load(tmp_path / "b")


def rows():
    probabilities = [(0.6, 0.2, 0.8), (0.1, 0.1, 0.1), None]
    return [
        Row(
            name=f"r{n}",
            content_hash="h",
            num_steps=5,
            probabilities=None if one is None else np.array(one, np.float32),
            error="empty: no steps" if one is None else None,
        )
        for n, one in enumerate(probabilities)
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p.parquet", [["a", "c"], [], None]),
        ("p.jsonl", [["a", "c"], [], None]),
        ("p.csv", ["a|c", "", ""]),
    ],
)
def test_labels_are_lists_or_joined_in_flat_tables(tmp_path, name, expected):
    path = tmp_path / name
    decision = Decision(TARGETS["several"], np.array(THRESHOLDS, np.float32))
    write_predictions(path, rows(), "path", CLASSES, "m", decision=decision)
    if name.endswith("parquet"):
        found = pyarrow.parquet.read_table(path).to_pylist()
    elif name.endswith("jsonl"):
        found = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        found = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["labels"] for row in found] == expected
    assert "label" not in found[0]
    assert float(found[0]["confidence"]) == pytest.approx(0.6 * 0.8 * 0.8)
    assert float(found[0]["p_b"]) == pytest.approx(0.2)
    assert is_prediction_file(path)


def test_kept_columns_give_way_and_the_separator_is_in_no_name():
    kept = kept_names(["labels", "label"], "path", CLASSES, is_several=True)
    assert kept == ["input_labels", "input_label"]
    assert choose_separator(["a|b", "c"]) == ";"


def test_segments_of_several_labels_may_overlap_and_each_has_its_threshold():
    decision = Decision(TARGETS["several"], np.array([0.5, 0.25], np.float32))
    cells = np.array([[0.9, 0.1], [0.6, 0.3], [0.4, 0.4], [np.nan, np.nan], [0.1, 0.3]])
    edges_s = np.arange(6.0)

    def merged(**options):
        segments = merge(edges_s, cells, Timeline(1.0, 1.0, **options), decision)
        return [(segment.start_s, segment.end_s, segment.label) for segment in segments]

    assert merged() == [(0, 2, 0), (1, 3, 1), (4, 5, 1)]
    assert merged(max_gap_s=1.0) == [(0, 2, 0), (1, 5, 1)]
    assert merged(threshold=0.35) == [(0, 2, 0), (1, 3, 1)]
    assert merged(threshold=0.5) == [(0, 2, 0)]


def test_an_explanation_is_of_one_label_s_own_log_odds(bundle):
    sequence = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    with torch.no_grad():
        logits = bundle.network(torch.from_numpy(sequence)[None], torch.tensor([6]))[0]
    for label in range(3):
        found = explain(bundle.network, sequence, predicted=label, is_several=True)
        assert found.predicted == label
        assert found.log_odds == pytest.approx(float(logits[label]), abs=1e-5)
        assert found.gap < 0.05


def test_an_onnx_file_has_a_probability_of_each_label(bundle):
    onnxruntime = pytest.importorskip("onnxruntime")
    from seqbelt.inference.onnx_export import export_bytes, file_metadata

    session = onnxruntime.InferenceSession(export_bytes(bundle))
    inputs = np.random.default_rng(0).normal(size=(2, 6, 2)).astype(np.float32)
    logits, probabilities = session.run(
        ["logits", "probabilities"], {"inputs": inputs, "lengths": np.array([6, 4])}
    )
    assert np.allclose(probabilities, bundle.probabilities(logits), atol=1e-6)
    assert json.loads(file_metadata(bundle)["thresholds"]) == [*THRESHOLDS]
