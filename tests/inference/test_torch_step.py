"""One step in plain torch, and ExecuTorch's program of it, give the network's answers."""

from dataclasses import replace

import pytest
import torch
from export_toys import CELLS, POOLINGS, STRIDED, assert_same_logits, expected_of, make, prefixes_of

from seqbelt.data.batches import pad
from seqbelt.errors import SettingsError
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.torch_step import StepNetwork
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.stem import Stem


@torch.inference_mode()
def assert_exact_at_every_cut(bundle: Bundle) -> None:
    prefixes = prefixes_of(bundle)
    network = StepNetwork(bundle).eval()
    _, *states = network.example()
    rows = []
    for step in torch.as_tensor(prefixes[-1]).split(1):
        logits, probabilities, *states = network(step, *states)
        rows.append(logits)
        torch.testing.assert_close((logits / bundle.temperature).softmax(1), probabilities)
    assert_same_logits(torch.cat(rows), expected_of(bundle, prefixes))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_and_pooling(cell, pooling):
    assert_exact_at_every_cut(
        make(**CELLS[cell], bidirectional=False, pooling=pooling, num_layers=2)
    )


@pytest.mark.parametrize("cell", ["lstm", "none"])
@pytest.mark.parametrize("stem", [Stem(), STRIDED], ids=["plain", "strided"])
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
    bundle, other = (
        make(bidirectional=False, max_steps=11, stem=STRIDED, seed=seed) for seed in (0, 1)
    )
    networks = [*bundle.network.networks, *other.network.networks]
    assert_exact_at_every_cut(replace(bundle, weights=weights_of(Ensemble(networks))))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_executorch_runs_it(cell):
    pytest.importorskip("executorch", reason="the extra 'executorch' is not installed")
    from seqbelt.inference.executorch_export import ExecutorchStream, export_executorch_bytes

    bundle = make(cell=cell, bidirectional=False, stem=STRIDED, max_steps=20, differences=True)
    prefixes = prefixes_of(bundle)
    content = export_executorch_bytes(bundle)
    found = ExecutorchStream(content, StepNetwork(bundle).example())(*pad(prefixes))
    torch.testing.assert_close(found, expected_of(bundle, prefixes), atol=1e-5, rtol=1e-5)
    with pytest.raises(SettingsError, match=r"--format executorch: .*bidirectional: false"):
        export_executorch_bytes(make(bidirectional=True))
