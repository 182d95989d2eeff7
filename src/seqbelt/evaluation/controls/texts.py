"""Controls for token ids: which tokens a text has, without where they stand."""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from seqbelt.data.store import Sequences
from seqbelt.models.chunks import Chunks
from seqbelt.models.classifier import Model, SequenceNetwork
from seqbelt.training.scoring import predict_logits
from seqbelt.training.settings import Training

INVERSE_PENALTY = 4.0
"""Of the logistic regression: tf-idf rows have length 1, which scikit-learn's 1 holds back too
hard (chosen on the validation rows of two review corpora, of 7,000 and 140,000 texts)."""


def bag_of_words(train: Sequences, test: Sequences) -> np.ndarray:
    """Answers ``(test rows,)`` of a logistic regression on tf-idf of tokens and pairs of them.

    Raises ValueError where no token occurs in two training rows.
    """
    # Tokens are words of digits here: scikit-learn counts n-grams of words.
    vectorizer = TfidfVectorizer(token_pattern=r"\d+", ngram_range=(1, 2), min_df=2)
    counted = vectorizer.fit_transform(_as_documents(train))
    classifier = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(counted, train.labels)
    return classifier.predict(csr_matrix(vectorizer.transform(_as_documents(test))))


def _as_documents(sequences: Sequences) -> list[str]:
    return [" ".join(map(str, sequences[row].tolist())) for row in range(len(sequences))]


class MeanOfEmbeddings(SequenceNetwork):
    """The cells' network without recurrence: embed, mean over the valid steps, linear.

    Iyyer et al. 2015 (doi:10.3115/v1/P15-1162), without their hidden layers. The training loop
    asks every network for its recurrent layer, so there is one; nothing passes through it.
    """

    def forward(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        steps = self.input_dropout(self.embed(inputs))
        return self.classify(self.dropout(self.pool(steps, steps[:, 0], lengths)))


def mean_of_embeddings(
    train: Sequences,
    validation: Sequences,
    test: Sequences,
    model: Model,
    training: Training,
    build: Callable[[], SequenceNetwork],
) -> np.ndarray:
    """Answers ``(test rows,)`` of ``MeanOfEmbeddings``, trained exactly as the cells are.

    ``build`` builds a cell's untrained network, whose embedding this one begins with.
    """
    settings = model.model_copy(
        update={
            "cell": "rnn", "hidden_size": model.embedding_size, "num_layers": 1,
            "bidirectional": False, "pooling": "mean", "layout": "padded",
        }
    )  # fmt: skip

    def build_without_recurrence() -> SequenceNetwork:
        store = train.store
        network = MeanOfEmbeddings(settings, store.num_features, len(store.classes), True)
        network.embed = build().embed
        return network

    network, history = training.fit(
        build_without_recurrence, train, validation if len(validation) else None
    )
    if history.interrupted:
        raise KeyboardInterrupt
    return predict_logits(network, test, next(network.parameters()).device).argmax(1)
