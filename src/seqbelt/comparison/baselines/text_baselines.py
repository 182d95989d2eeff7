"""Baselines for token ids: which tokens a text has, without their positions."""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from seqbelt.comparison.baselines.baseline import fit_predict
from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import train_network
from seqbelt.training.scoring import predict_logits

INVERSE_PENALTY = 4.0
"""Of the logistic regression: tf-idf rows have length 1, which scikit-learn's 1 holds back too
hard (chosen on the validation rows of two review corpora, of 7,000 and 140,000 texts)."""


def bag_of_words(train: Sequences, test: Sequences) -> np.ndarray:
    """Predictions ``(test rows,)`` of a logistic regression on tf-idf of tokens and pairs of them.

    Raises ValueError where no token occurs in two training rows.
    """
    # Tokens are words of digits here: scikit-learn counts n-grams of words.
    vectorizer = TfidfVectorizer(token_pattern=r"\d+", ngram_range=(1, 2), min_df=2)
    counted = vectorizer.fit_transform(_as_documents(train))
    classifier = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    test_inputs = csr_matrix(vectorizer.transform(_as_documents(test)))
    return fit_predict(classifier, counted, train, test_inputs)


def _as_documents(sequences: Sequences) -> list[str]:
    return [" ".join(map(str, sequences[row].tolist())) for row in range(len(sequences))]


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
        network.embed = build().embed
        return network

    network, history = train_network(
        training, build_without_order, train, validation if len(validation) else None
    )
    if history.interrupted:
        raise KeyboardInterrupt
    logits = predict_logits(network, test, next(network.parameters()).device)
    return test.store.target.predict(logits)
