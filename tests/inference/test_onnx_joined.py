"""The ONNX file of several inputs gives the network's answers, whatever is missing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

from joined_toys import joined_bundle

from seqbelt.checks.export_parity import certify_export
from seqbelt.features.manifest_columns import Column, columns_from_bytes, columns_to_bytes
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.onnx_export import OnnxNetwork, export_bytes, run_file
from seqbelt.models.ensemble import Ensemble
from seqbelt.workflow.export_check import make_cases


def feeds(rows: int = 1) -> dict[str, np.ndarray]:
    """Rows as the file reads them."""
    random = np.random.default_rng(0)
    return {
        "inputs.tone": random.normal(2, 3, (rows, 6, 2)).astype(np.float32),
        "lengths.tone": np.full(rows, 6),
        "inputs.note": random.integers(2, 6, (rows, 4)),
        "lengths.note": np.full(rows, 4),
        "columns.age": np.full(rows, 30.0),
        "columns.ward": np.zeros(rows, np.int64),
    }


def run(exported: OnnxNetwork, changes=None, **more) -> np.ndarray:
    given = feeds() | {
        name.replace("_", ".", 1): np.asarray(value)
        for name, value in ((changes or {}) | more).items()
    }
    return exported.session.run(["logits"], given)[0]


@pytest.mark.parametrize(
    "settings",
    [{}, {"cell": "gru", "bidirectional": False, "pooling": "last"},
     {"cell": "rnn", "pooling": "concat", "stem": "none"}, {"cell": "none"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "sequences"])
def test_the_file_answers_as_the_network(settings, columns):
    bundle = joined_bundle(columns=columns, **settings)
    cases = make_cases(bundle, None)
    counts = [
        bundle.layout.num_steps(item) for case in cases for item in case.inputs.numpy()
    ]  # fmt: skip
    assert (np.array(counts) == 0).any(axis=0).all()  # each is missing somewhere
    found = certify_export(bundle.network, run_file(bundle, export_bytes(bundle)), cases)
    assert found.passed and 0 < found.max_difference < 1e-4, found.sentence


def test_an_ensemble_and_several_labels():
    one, other = joined_bundle(), joined_bundle()
    torch.nn.init.normal_(other.network.classify.weight)
    both = replace(one, weights=weights_of(Ensemble([one.network, other.network])))
    cases = make_cases(both, None)
    assert certify_export(both.network, run_file(both, export_bytes(both)), cases).passed
    several = joined_bundle(target="several")
    exported = run_file(several, export_bytes(several))
    logits, shares = exported.session.run(["logits", "probabilities"], feeds())
    np.testing.assert_allclose(shares, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_a_missing_input_does_not_depend_on_what_stands_there():
    bundle = joined_bundle()
    exported = run_file(bundle, export_bytes(bundle))
    missing = run(exported, {"lengths_tone": [0]})
    garbage = np.full((1, 9, 2), np.nan, np.float32)
    np.testing.assert_array_equal(missing, run(exported, inputs_tone=garbage, lengths_tone=[0]))
    nothing = np.zeros((1, 0, 2), np.float32)
    np.testing.assert_array_equal(missing, run(exported, inputs_tone=nothing, lengths_tone=[0]))
    assert np.abs(missing - run(exported)).max() > 1e-3
    given = feeds()["inputs.tone"]
    longer = np.concatenate([given, 7 + 0 * given], axis=1)
    np.testing.assert_allclose(run(exported, inputs_tone=longer), run(exported), atol=1e-6)


def test_no_rows_and_rows_without_anything():
    bundle = joined_bundle(columns=False)
    exported = run_file(bundle, export_bytes(bundle))
    given = {name: of for name, of in feeds(3).items() if not name.startswith("columns")}
    given["lengths.tone"] = np.array([6, 0, 0])
    given["lengths.note"] = np.array([0, 4, 0])
    (logits,) = exported.session.run(["logits"], given)
    assert np.isnan(logits).all(axis=1).tolist() == [False, False, True]
    whole = joined_bundle()
    no_rows = {name: of[:0] for name, of in feeds().items()}
    (logits,) = run_file(whole, export_bytes(whole)).session.run(["logits"], no_rows)
    assert logits.shape == (0, 3)


def test_cells_are_read_as_the_model_reads_them():
    bundle = joined_bundle()
    exported = run_file(bundle, export_bytes(bundle))
    age, ward = columns_from_bytes(bundle.learned["columns.json"])
    assert (age.kind, ward.values) == ("number", ("x", "y"))
    for known in (0, 1, 2, 3):
        for other in range(known):
            assert not np.array_equal(run(exported, columns_ward=[known]),
                                      run(exported, columns_ward=[other]))  # fmt: skip
    for unheard in (-1, 4, 99):
        np.testing.assert_array_equal(
            run(exported, columns_ward=[unheard]), run(exported, columns_ward=[2])
        )
    missing, mean = run(exported, columns_age=[np.nan]), run(exported, columns_age=[age.mean])
    assert np.isfinite(missing).all() and not np.array_equal(missing, mean)


def test_a_number_far_from_zero_keeps_its_digits():
    """Float32 has no room for a tenth of a second in a time of the day, counted from 1970."""
    bundle = joined_bundle()
    age, ward = columns_from_bytes(bundle.learned["columns.json"])
    late = replace(age, mean=1.7e9, std=0.5)
    far = replace(
        bundle, learned={**bundle.learned, "columns.json": columns_to_bytes([late, ward])}
    )
    near = run(run_file(bundle, export_bytes(bundle)), columns_age=[age.mean + 0.2 * age.std])
    np.testing.assert_allclose(
        run(run_file(far, export_bytes(far)), columns_age=[1.7e9 + 0.1]), near, atol=1e-5
    )


def test_a_column_may_have_any_name():
    bundle = joined_bundle()
    _, ward = columns_from_bytes(bundle.learned["columns.json"])
    odd = [Column("체온 (°C)", "number", 1.0, 2.0), replace(ward, name="inputs.tone")]
    named = replace(bundle, learned={**bundle.learned, "columns.json": columns_to_bytes(odd)})
    session = OnnxNetwork(export_bytes(named)).session
    names = [value.name for value in session.get_inputs()]
    assert names[-2:] == ["columns.체온 (°C)", "columns.inputs.tone"]
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["learned/columns.json"])[0]["name"] == "체온 (°C)"
    assert {"learned/note-tokenizer.json", "classes"} <= set(about)
