"""Small bundles to export, with every parameter away from its usual value."""

import torch

from seqbelt.features.audio.audio import Waveform
from seqbelt.inference.bundle import Bundle
from seqbelt.models.classifier import Model

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
    model = Model(**({"hidden_size": 5, "layout": "padded"} | settings))
    network = model.build(width, 3, features.is_tokens).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) / (2 * parameter.shape[-1] ** 0.5))
    if not features.is_tokens:
        network.normalize.learn(torch.randn(width), torch.rand(width) + 0.5)
    return Bundle("toy", features, learned, model, ("a", "b", "ç"), width, network, {})
