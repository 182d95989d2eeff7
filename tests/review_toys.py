"""Items of a review, for its server and its page."""

import numpy as np
import soundfile

from seqbelt.data.labels.targets import TARGETS
from seqbelt.features.base import JoinedSource
from seqbelt.features.encoding import hash_content
from seqbelt.features.kinds import parse_stored
from seqbelt.features.text.text import Character
from seqbelt.inference.decision import ONE_CLASS, Decision
from seqbelt.review.items import ReviewItems


def make_items(sources, features, labels, probabilities, is_contradicted=None, classes="ab",
               decision=ONE_CLASS):  # fmt: skip
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
        doubt=1 - decision.confidence(probabilities),
        features=features,
        source=sources.__getitem__,
        title="Review <b>toys</b>",
        decision=decision,
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


def make_sets(count=60, classes="abc"):
    """Texts with several labels: ``[a]``, ``[a, b]``, none, and not given, by turns; the
    predictions contradict items 4 and 8, where c is forgotten."""
    labels = [('["a"]', '["a", "b"]', "[]", "")[row % 4] for row in range(count)]
    p = np.linspace(0.6, 0.95, count)
    rows = np.array([[1 - x] * len(classes) for x in p])
    for row, x in enumerate(p):
        rows[row, : (1, 2, 0, 1)[row % 4]] = x
    wrong = np.zeros(count, bool)
    wrong[[4, 8]] = True
    rows[wrong, 2] = 0.9
    sources = [f"text {row}" for row in range(count)]
    several = Decision(TARGETS["several"])
    return make_items(sources, Character(kind="character"), labels, rows, wrong, classes, several)


def make_joined(folder):
    """Two items of a sound, a note, two channels and two columns; the second one has no sound."""
    features = parse_stored({
        "kind": "inputs", "sound": {"kind": "log_mel", "sample_rate": 8000},
        "note": {"kind": "word"}, "motion": {"kind": "channels"},
        "columns": {"age": "auto", "ward": "auto"},
    })  # fmt: skip
    time_s = np.arange(4000) / 8000
    soundfile.write(folder / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * time_s), 8000)
    motion = np.stack([np.sin(9 * time_s), np.cos(7 * time_s)], axis=1)[::40].astype(np.float32)
    sources = [
        JoinedSource((folder / "tone.wav", "a loud <b>tone</b>", motion), ("61", "")),
        JoinedSource((None, "no tone at all", motion[:50]), ("", "north")),
    ]
    return make_items(sources, features, ["a", "b"], [[0.9, 0.1], [0.6, 0.4]])
