"""The items of a review, in the order of doubt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqbelt.features.base import Features, Source
from seqbelt.inference.decision import ONE_CLASS, Decision

CONTRADICTED, UNSURE, RANDOM = "contradicted", "unsure", "random"
SECTIONS = (CONTRADICTED, UNSURE, RANDOM)
"""Labels that predictions contradict; the least sure predictions; all other items in random order,
by which the error rate of those is estimated."""
UNSURE_FRACTION, MIN_UNSURE = 0.1, 20


@dataclass(frozen=True)
class ReviewItems:
    """What is reviewed: one entry an item in every sequence and array."""

    names: Sequence[str]
    """Ids, or paths as the table of predictions has them."""
    labels: Sequence[str]
    """Labels of the source as the decision's target writes them; empty where there is none."""
    content_hashes: Sequence[str]
    """Empty where the content was not read yet."""
    classes: tuple[str, ...]
    probabilities: np.ndarray
    """float ``(items, classes)`` by models that were not trained on the item; NaN without any."""
    is_contradicted: np.ndarray
    """bool ``(items,)``: whether the predictions contradict the label."""
    doubt: np.ndarray
    """float ``(items,)``: the higher, the earlier; only read where there are predictions."""
    features: Features
    """How the content is read."""
    source: Callable[[int], Source]
    """Where the content of an item comes from."""
    title: str = ""
    remarks: Sequence[str] = ()
    """Sentences that the page shows above the items."""
    decision: Decision = ONE_CLASS
    """From probabilities to the predicted class or labels."""
    paths: Sequence[str] = ()
    """Paths whose folders can be chosen; empty where items are no files."""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def is_predicted(self) -> np.ndarray:
        """bool ``(items,)``."""
        if not len(self):
            return np.zeros(0, bool)
        return np.asarray(np.isfinite(self.probabilities).all(axis=1))

    def predicted_label(self, item: int) -> str:
        """The predicted class or labels, as ``labels`` has them; empty without a prediction."""
        if not self.is_predicted[item]:
            return ""
        names = self.decision.names(self.probabilities[item], self.classes)
        return self.decision.target.write(names)

    @cached_property
    def sections(self) -> np.ndarray:
        """Index in ``SECTIONS`` of each item, ``(items,)``."""
        sections = np.full(len(self), SECTIONS.index(RANDOM))
        rest = np.flatnonzero(self.is_predicted & ~self.is_contradicted)
        count = min(len(rest), max(MIN_UNSURE, round(UNSURE_FRACTION * len(rest))))
        if len(rest) - count < MIN_UNSURE:  # too few for an estimate
            count = len(rest)
        sections[rest[np.argsort(-self.doubt[rest], kind="stable")][:count]] = SECTIONS.index(
            UNSURE
        )
        sections[self.is_predicted & self.is_contradicted] = SECTIONS.index(CONTRADICTED)
        return sections

    @cached_property
    def order(self) -> np.ndarray:
        """Items in the order of the review, ``(items,)``: by section, then by doubt."""
        random = np.random.default_rng(0).random(len(self))
        rank = np.where(self.sections == SECTIONS.index(RANDOM), random, -self.doubt)
        return np.lexsort((rank, self.sections))

    @cached_property
    def folders(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The names of the folders that items are in, and each item's index in them."""
        parents = [path.rpartition("/")[0] for path in self.paths or [""] * len(self)]
        names, index = np.unique(np.array(parents, dtype=object), return_inverse=True)
        return tuple(names.tolist()), index

    @cached_property
    def has_class(self) -> np.ndarray:
        """bool ``(items, classes)``: whether an item is labelled or predicted with each class."""
        target, known = self.decision.target, np.flatnonzero(self.is_predicted)
        found = np.zeros((len(self), len(self.classes)), bool)
        decided = target.decide(self.probabilities[known], self.decision.thresholds)
        found[known] = target.membership(decided, len(self.classes))
        columns = {name: column for column, name in enumerate(self.classes)}
        for item, label in enumerate(self.labels):
            found[item, [columns[name] for name in target.read(label) if name in columns]] = True
        return found
