"""Baselines for token ids: which tokens a text has, without their positions."""

from collections.abc import Callable

import numpy as np

from seqbelt.comparison.baselines.baseline import fit_predict
from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.models.model import Model
from seqbelt.training.bag_of_words import bag_of_words, documents
from seqbelt.training.hyperparameters import Training
from seqbelt.training.scoring import predict_logits
from seqbelt.training.several_networks import train_networks


def predict_from_words(train: Sequences, test: Sequences) -> np.ndarray:
    """Predictions ``(test rows,)`` of a bag of words.

    Raises ValueError where no token occurs in two training rows.
    """
    return fit_predict(bag_of_words(), documents(train), train, documents(test))


def mean_of_embeddings(
    train: Sequences,
    validation: Sequences,
    test: Sequences,
    model: Model,
    training: Training,
    build: Callable[[], SequenceNetwork],
) -> np.ndarray:
    """Predictions ``(test rows,)`` of a linear layer on each text's mean embedding, trained exactly
    as the cells are (Iyyer et al. 2015, doi:10.3115/v1/P15-1162, without their hidden
    layers).

    ``build`` builds a cell's untrained network, whose embedding this one begins with.
    """
    settings = model.replace(cell="none", stem="none", pooling="mean")

    def build_without_order() -> SequenceNetwork:
        network = build_network(settings, train.store.num_features, len(train.store.classes), True)
        network.main.embed = build().main.embed
        return network

    network, history = train_networks(
        training, build_without_order, train, validation if len(validation) else None
    )
    if history.interrupted:
        raise KeyboardInterrupt
    logits = predict_logits(network, test, next(network.parameters()).device)
    return test.store.target.predict(logits)
