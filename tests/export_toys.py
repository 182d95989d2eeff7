"""Small bundles to export, with every parameter away from its usual value."""

import numpy as np
import torch
from torch import Tensor

from seqbelt.data.batches import pad
from seqbelt.features.audio.audio import Waveform
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem

NUM_STEPS = 23
NARROW = Stem(channels=(6, 7, 7))
STRIDED = Stem(channels=(6, 6, 4), kernel_sizes=(3, 5, 1), strides=(2, 1, 3))
POOLINGS = ["last", "mean", "max", "attention", "attention_max", "concat"]
CELLS = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "relu": {"cell": "rnn", "nonlinearity": "relu"},
}


def make(features=None, learn_from=(), seed=0, **settings) -> Bundle:
    """A bundle whose parameters all differ from their usual zeros and ones."""
    features = features or Waveform(kind="waveform", sample_rate=8000, window_ms=0.5, hop_ms=0.5)
    learned = features.learn([features.read(text) for text in learn_from])
    width = features.encoder(learned).num_features
    torch.manual_seed(seed)
    stem = "auto" if features.is_tokens else NARROW
    model = Model(**{"hidden_size": 5, "layout": "padded", "stem": stem} | settings)
    network = build_network(model, width, 3, features.is_tokens).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) / (2 * parameter.shape[-1] ** 0.5))
    if not features.is_tokens:
        network.normalize.learn(torch.randn(width), torch.rand(width) + 0.5)
    return Bundle("toy", features, learned, model, ("a", "b", "ç"), width, weights_of(network), {})


def prefixes_of(bundle: Bundle) -> list[np.ndarray]:
    """A random sequence cut after each of its steps."""
    random = np.random.default_rng(0)
    if bundle.features.is_tokens:
        sequence = random.integers(0, bundle.num_features, NUM_STEPS)
    else:
        sequence = random.normal(size=(NUM_STEPS, bundle.num_features)).astype(np.float32)
    return [sequence[:end] for end in range(1, NUM_STEPS + 1)]


@torch.inference_mode()
def expected_of(bundle: Bundle, prefixes: list[np.ndarray]) -> Tensor:
    """The network's own logits of the prefixes."""
    return bundle.network(*pad([one[: bundle.model.max_steps] for one in prefixes]))


def assert_same_logits(found: Tensor, expected: Tensor) -> None:
    """Within 1e-5 of the largest logit."""
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=1e-5)
