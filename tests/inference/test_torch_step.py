"""One step in plain torch, and ExecuTorch's program of it, give the network's answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from export_toys import CELLS, POOLINGS, make

from seqbelt.data.batches import pad
from seqbelt.errors import SettingsError
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.torch_step import StepNetwork
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.stem import Stem

STRIDED = Stem(channels=(6, 6, 4), kernel_sizes=(3, 5, 1), strides=(2, 1, 3))
NUM_STEPS = 23


def prefixes_of(bundle: Bundle) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    if bundle.features.is_tokens:
        sequence = random.integers(0, bundle.num_features, NUM_STEPS)
    else:
        sequence = random.normal(size=(NUM_STEPS, bundle.num_features)).astype(np.float32)
    return [sequence[:end] for end in range(1, NUM_STEPS + 1)]


def expected_of(bundle: Bundle, prefixes: list[np.ndarray]) -> torch.Tensor:
    with torch.inference_mode():
        return bundle.network(*pad([one[: bundle.model.max_steps] for one in prefixes]))


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
    expected = expected_of(bundle, prefixes)
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(torch.cat(rows) / scale, expected / scale, atol=1e-5, rtol=1e-5)


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
    assert_exact_at_every_cut(replace(bundle, network=Ensemble(networks).eval()))


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
