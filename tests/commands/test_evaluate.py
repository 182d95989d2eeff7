"""``evaluate`` scores the model as it predicts: by its calibrated probabilities."""

import numpy as np
import pytest
import torch
from toys import Ready

from seqbelt.commands import evaluate as command
from seqbelt.data.labels.labelling import SequenceLabelling
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.scoring import predict_logits

CLASSES = ("low", "middle", "high")


def test_ordered_classes_are_scored_at_the_model_s_temperature(tmp_path, monkeypatch):
    """Their decision is the median of the distribution, which the temperature widens."""
    random = np.random.default_rng(0)
    manifest = make_manifest(
        label=[CLASSES[max(0, row % 4 - 1)] for row in range(60)],
        split=["train" if row < 6 else "test" for row in range(60)],
        contents=[random.normal(size=(5, 3)).astype(np.float32) for _ in range(60)],
    )
    store = prepare(manifest, Ready(), tmp_path, {}, labelling=SequenceLabelling(CLASSES)).store
    torch.manual_seed(0)
    model = Model(hidden_size=4, stem="none").resolve(False, np.array([5]))
    network = build_network(model, 3, 3, False, np.array([5]))
    with torch.no_grad():
        network.classify.bias += torch.tensor([1.0, 0.0, 0.0])
    bundle = Bundle(
        name="levels",
        features=Ready(),
        learned={},
        model=model,
        classes=CLASSES,
        num_features=3,
        weights=weights_of(network),
        about={"step_s": None},
        temperature=8.0,
        target=store.target,
    )
    monkeypatch.setattr(command, "open_model", lambda *_: (bundle, "levels", store))
    test = store.split("test")
    logits = predict_logits(bundle.network, test, torch.device("cpu"))
    calibrated = store.target.decide(bundle.probabilities(logits)) == test.labels
    assert calibrated.mean() != (store.target.predict(logits) == test.labels).mean()
    result = command.evaluate("levels", None).result
    assert result["test"]["accuracy"] == pytest.approx(calibrated.mean())
