"""The ONNX file of one step gives the network's answers at every cut of a sequence."""

from dataclasses import replace

import pytest

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")

import onnx
from export_toys import CELLS, POOLINGS, STRIDED, assert_same_logits, expected_of, make, prefixes_of

from seqbelt.data.batches import pad
from seqbelt.errors import SettingsError
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.onnx_stream import OnnxStream, export_stream_bytes
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.stem import Stem


def assert_exact_at_every_cut(bundle: Bundle) -> None:
    prefixes = prefixes_of(bundle)
    found = OnnxStream(export_stream_bytes(bundle))(*pad(prefixes))
    assert_same_logits(found, expected_of(bundle, prefixes))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_and_pooling(cell, pooling):
    assert_exact_at_every_cut(
        make(**CELLS[cell], bidirectional=False, pooling=pooling, num_layers=2)
    )


@pytest.mark.parametrize("cell", ["lstm", "none"])
@pytest.mark.parametrize("stem", ["none", Stem(), STRIDED], ids=["none", "plain", "strided"])
def test_stems_and_differences(cell, stem):
    assert_exact_at_every_cut(
        make(cell=cell, bidirectional=False, stem=stem, differences=True, pooling="concat")
    )


def test_tokens():
    texts = ["abc abd", "bcd"]
    assert_exact_at_every_cut(
        make(Character(kind="character", min_count=1), texts, bidirectional=False)
    )


def test_an_ensemble_and_a_crop():
    bundle = make(bidirectional=False, max_steps=11, stem=STRIDED)
    other = make(bidirectional=False, max_steps=11, stem=STRIDED, seed=1).network
    networks = [*bundle.network.networks, *other.networks]
    assert_exact_at_every_cut(replace(bundle, weights=weights_of(Ensemble(networks))))


def test_all_shapes_are_fixed_and_every_state_comes_out_as_it_goes_in():
    model = onnx.load_from_string(export_stream_bytes(make(bidirectional=False, stem=STRIDED)))

    def shapes(values):
        return {
            one.name: [size.dim_value for size in one.type.tensor_type.shape.dim] for one in values
        }

    states, after = shapes(model.graph.input), shapes(model.graph.output)
    del states["step"]
    assert all(min(shape) > 0 for shape in states.values())
    assert {f"{name}_out": shape for name, shape in states.items()} == {
        name: shape for name, shape in after.items() if name not in ("logits", "probabilities")
    }


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"bidirectional": True}, "bidirectional: false"),
        ({"bidirectional": False, "max_steps": 9, "crop": "tail"}, "crop: head"),
    ],
)
def test_what_needs_the_end_is_refused_with_the_setting(settings, remedy):
    with pytest.raises(SettingsError, match=f"--format onnx-stream: .*{remedy}"):
        export_stream_bytes(make(**settings))
