"""Items of a review, for its server and its page."""

import numpy as np

from seqbelt.features.encoding import hash_content
from seqbelt.features.text.text import Character
from seqbelt.review.items import ReviewItems


def make_items(sources, features, labels, probabilities, is_contradicted=None, classes="ab"):
    """Items in folders ``one`` and ``two`` by turns."""
    count = len(sources)
    names = [f"{('one', 'two')[row % 2]}/{row}" for row in range(count)]
    probabilities = np.asarray(probabilities, dtype=float)
    return ReviewItems(
        names=names,
        labels=labels,
        content_hashes=[hash_content(source) for source in sources],
        classes=tuple(classes),
        probabilities=probabilities,
        is_contradicted=np.zeros(count, bool) if is_contradicted is None else is_contradicted,
        doubt=1 - probabilities.max(axis=1),
        features=features,
        source=sources.__getitem__,
        title="Review <b>toys</b>",
        paths=names,
    )


def make_texts(count=60):
    """Texts, a third of them labelled a; the predictions contradict items 3 and 7."""
    labels = [("a", "b", "b")[row % 3] for row in range(count)]
    p = np.linspace(0.55, 0.95, count)
    rows = np.array([(x, 1 - x) if label == "a" else (1 - x, x) for x, label in zip(p, labels)])
    wrong = np.zeros(count, bool)
    wrong[[3, 7]] = True
    rows[wrong] = rows[wrong][:, ::-1]
    sources = [f"text <i>{row}</i>" for row in range(count)]
    return make_items(sources, Character(kind="character"), labels, rows, wrong)
