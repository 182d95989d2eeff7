"""Small bundles of several inputs with random weights, and manifests for them."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from seqbelt.data.labels.targets import TARGETS
from seqbelt.features.base import JoinedSource
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.features.kinds import parse_stored
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

CLASSES = ("ja", "nein", "vielleicht")
NOTES = ("a good film", "a bad film", "no film , no fun")
CELLS = (("40.5", "x"), ("61", "y"), ("", "x"), ("20", "y"))
FIELDS = ("path", "text", "age", "ward")


def joined_bundle(
    classes: Sequence[str] = CLASSES, target: str = "per_sequence", columns: bool = True,
    **settings,
) -> Bundle:  # fmt: skip
    """A bundle of ``tone`` (two channels), ``note`` (words) and the columns age and ward."""
    features = parse_stored({
        "kind": "inputs", "tone": {"kind": "channels"}, "note": {"kind": "word", "min_count": 1},
        "columns": {"age": "auto", "ward": "auto"} if columns else {},
    })  # fmt: skip
    assert isinstance(features, SeveralInputs)
    random = np.random.default_rng(0)
    tones = [random.normal(2, 3, (6, 2)).astype(np.float32) for _ in CELLS]
    sources = [
        JoinedSource((tone, NOTES[row % 3]), cells if columns else ())
        for row, (tone, cells) in enumerate(zip(tones, CELLS, strict=True))
    ]
    learned = features.learn(sources)
    encoder = features.encoder(learned)
    torch.manual_seed(0)
    model = Model(hidden_size=6, embedding_size=5, **settings)
    network = build_network(model, encoder.num_features, len(classes), False, layout=encoder.layout)
    with torch.no_grad():
        for branch in network.branches:
            if branch.is_tokens:
                branch.embed.weight.normal_()
            else:
                branch.normalize.learn(torch.full((2,), 2.0), torch.full((2,), 3.0))
        for absent in network.absent:
            absent.normal_()
        network.join.weight.mul_(3)
        network.classify.weight.mul_(5)
    return Bundle("t", features, learned, model, tuple(classes), encoder.num_features,
                  weights_of(network), {}, target=TARGETS[target],
                  layout=network.layout)  # fmt: skip


def write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """A manifest with ``FIELDS``."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        writer.writerows(rows)


def write_tone(path: Path, num_steps: int = 8, seed: int = 1) -> None:
    """A table with the channels x and y."""
    values = np.random.default_rng(seed).normal(2, 3, (num_steps, 2)).astype(np.float32)
    np.savetxt(path, values, delimiter=",", header="x,y", comments="")
