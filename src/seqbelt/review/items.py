"""The items of a review, in the order of doubt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqbelt.features.base import Features, Source

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
    """Labels of the source; empty where there is none."""
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

    @cached_property
    def predicted(self) -> np.ndarray:
        """Index of the most probable class, ``(items,)``; -1 without a prediction."""
        filled = np.where(self.is_predicted[:, None], self.probabilities, 0.0)
        return np.where(self.is_predicted, filled.argmax(1), -1)

    def predicted_name(self, item: int) -> str:
        """The predicted class; empty without a prediction."""
        return self.classes[self.predicted[item]] if self.predicted[item] >= 0 else ""

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
    def label_index(self) -> Mapping[str, int]:
        """Index of each class's name."""
        return {name: index for index, name in enumerate(self.classes)}

    @cached_property
    def label_codes(self) -> np.ndarray:
        """Class index of each label, ``(items,)``; -1 for none."""
        return np.array([self.label_index.get(name, -1) for name in self.labels], np.int64)
