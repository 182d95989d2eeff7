"""Targets that are partly what a bag of words says of a text that it was not fitted on."""

import numpy as np
import pytest
from toys import UNCHANGED, toy_store

from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.errors import SettingsError
from seqbelt.features.text.text import Character
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.distillation import _out_of_fold, soft_targets
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.losses import least_loss

SMALL = {"num_epochs": 30, "batch_size": 16, "learning_rate": 0.02, "device": "cpu"}
WORDS = {"no": "abcd", "yes": "efgh", "maybe": "ijkl"}


def texts_of(folder, counts, wrong=()):
    """Texts of letters of their own class; the rows ``wrong`` have those of another."""
    random, labels = np.random.default_rng(0), [*counts]
    labels = [label for label, count in counts.items() for _ in range(count)]
    said = [("yes" if label == "no" else "no") if row in wrong else label
            for row, label in enumerate(labels)]  # fmt: skip
    texts = ["".join(random.choice([*WORDS[one]], 6)) for one in said]
    manifest = make_manifest(text=texts, label=labels, split=["train"] * len(texts))
    return prepare(manifest, Character(kind="character"), folder, {}).store.split("train")


def test_a_label_that_its_words_contradict_is_doubted(tmp_path):
    train = texts_of(tmp_path, {"no": 40, "yes": 40}, wrong=(3,))
    targets = soft_targets(train, 0.5)
    assert targets.dtype == np.float32 and np.allclose(targets.sum(1), 1)
    own = targets[np.arange(80), train.labels]
    assert own[3] < 0.6 and own[[row for row in range(80) if row != 3]].min() > 0.8


def test_the_fraction_mixes_label_and_probabilities(tmp_path):
    train = texts_of(tmp_path, {"no": 40, "yes": 40})
    labels = np.eye(2)[train.labels]
    half, quarter = (soft_targets(train, fraction) - labels for fraction in (0.5, 0.25))
    assert np.abs(half).max() > 0.005 and np.allclose(half, 2 * quarter, atol=1e-6)
    assert soft_targets(train, 0.0) is None


def test_a_class_that_a_fold_may_not_have_seen_keeps_its_labels(tmp_path):
    train = texts_of(tmp_path, {"no": 30, "yes": 30, "maybe": 4})
    targets = soft_targets(train, 0.5)
    rare = train.labels == train.store.classes.index("maybe")
    assert rare.sum() == 4 and (targets[rare, train.labels[rare]] == 1).all()
    assert (targets[~rare].max(1) < 1).all()


def test_few_texts_and_texts_that_share_nothing_keep_their_labels(tmp_path):
    assert soft_targets(texts_of(tmp_path, {"no": 20, "yes": 20}), 0.5) is None
    texts = tuple(f"{2 * row} {2 * row + 1}" for row in range(60))
    assert _out_of_fold(texts, (0, 1) * 30, 2, None) is None


def test_a_network_is_trained_on_them(tmp_path):
    train = texts_of(tmp_path, {"no": 40, "yes": 40})
    training = Training(**SMALL | UNCHANGED)
    model = Model(hidden_size=8, embedding_size=8, stem="none", dropout=0.0)

    def fit(distillation):
        settings = training.replace(distillation=distillation)
        features = train.store.num_features
        return Loop(settings, lambda: build_network(model, features, 2, True), train, None).run()[1]

    distilled, plain = fit(0.9), fit(0.0)
    least = least_loss(soft_targets(train, 0.9), 0.0)
    assert distilled.least_loss == least and plain.least_loss is None
    assert plain.epochs[-1].train_loss < least / 4 < least < distilled.epochs[-1].train_loss


def test_numbers_have_no_words(tmp_path):
    train = toy_store(tmp_path).split("train")
    training = Training(num_epochs=1, distillation=0.5, device="cpu")
    with pytest.raises(SettingsError, match=r"training\.distillation: .*token ids"):
        Loop(training, lambda: build_network(Model(), 3, 2, False), train, None).run()
