"""Targets: one class for each sequence, one for every step, or several labels for each sequence.

Training, scores and statistics count *examples*: sequences, or labelled steps. A target also
decides: from probabilities to the predicted class, or the predicted labels.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import numpy as np

from seqbelt.data.labels.label_sets import NO_LABELS, pack_labels, unpack_labels
from seqbelt.probabilities import sigmoid, softmax

TargetName = Literal["per_sequence", "per_step", "several"]

DEFAULT_THRESHOLD = 0.5
"""Probability from which a label is given where validation rows have chosen no other."""
UNLABELLED = -100
"""Class index of a step without a label; the default ``ignore_index`` of torch's losses."""


class Labelled(Protocol):
    """Sequences with their labels, as ``Sequences`` has them."""

    @property
    def lengths(self) -> np.ndarray: ...

    @property
    def labels(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def step_labels(self, index: int) -> np.ndarray: ...

    def label_sets(self) -> np.ndarray: ...


class Target(Protocol):
    """The labels of sequences as training and scoring need them."""

    name: TargetName
    is_ordered: bool
    """Whether the classes are ordered, so that near classes are smaller errors."""

    @property
    def labels_steps(self) -> bool:
        """Whether each step has a class instead of each sequence."""
        ...

    @property
    def is_several(self) -> bool:
        """Whether an example has any number of labels instead of one class."""
        ...

    def of_batch(self, sequences: Labelled, indices: np.ndarray) -> np.ndarray:
        """Class indices int64 of the sequences of a batch."""
        ...

    def labels(self, sequences: Labelled) -> np.ndarray:
        """Class index of each example, ``(examples,)``, sequence after sequence; with several
        labels bool ``(examples, classes)``."""
        ...

    def class_counts(self, sequences: Labelled, num_classes: int) -> np.ndarray:
        """Examples of each class, ``(classes,)``."""
        ...

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Float64 probabilities ``(..., classes)`` of calibrated logits of that shape."""
        ...

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        """Predicted class indices ``(...)`` of probabilities ``(..., classes)``; with several
        labels bool ``(..., classes)``, at ``thresholds`` ``(classes,)`` or 0.5."""
        ...

    def predict(self, logits: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        """``decide`` for calibrated logits ``(..., classes)``."""
        ...

    def are_correct(self, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Whether each prediction is the label, or has exactly the labels: bool ``(examples,)``."""
        ...

    def confidence(
        self, probabilities: np.ndarray, thresholds: np.ndarray | None = None
    ) -> np.ndarray:
        """The probability ``(...)`` that a decision is right: ``probability_of`` it."""
        ...

    def probability_of(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The probability ``(...)`` of labels, as ``decide`` gives them; of several labels that
        all of them are right, taken as independent."""
        ...

    def sequence_index(self, sequences: Labelled) -> np.ndarray:
        """Index of each example's sequence, ``(examples,)``, ascending."""
        ...

    def membership(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """Whether each example has each class, bool ``(examples, classes)``."""
        ...

    def names(self, label: np.ndarray, classes: Sequence[str]) -> list[str]:
        """The class, or all labels, of one example's ``label``, as ``decide`` gives it."""
        ...

    def encode(self, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """One example's label of its ``names``. Raises ValueError for one that is no class."""
        ...

    def write(self, names: Iterable[str]) -> str:
        """The label of one item as one text: its class, or a JSON list of its labels, ``[]`` for
        none of them."""
        ...

    def read(self, text: str) -> tuple[str, ...]:
        """The names that ``write`` wrote; of an empty text none. Raises ValueError for another
        text."""
        ...


class SequenceTarget:
    """One class per sequence; an example is a sequence."""

    name: TargetName = "per_sequence"
    is_ordered = False

    @property
    def labels_steps(self) -> bool:
        return self.name == "per_step"

    @property
    def is_several(self) -> bool:
        return self.name == "several"

    def of_batch(self, sequences: Labelled, indices: np.ndarray) -> np.ndarray:
        return sequences.labels[indices]

    def labels(self, sequences: Labelled) -> np.ndarray:
        return sequences.labels

    def sequence_index(self, sequences: Labelled) -> np.ndarray:
        return np.arange(len(sequences))

    def class_counts(self, sequences: Labelled, num_classes: int) -> np.ndarray:
        return np.bincount(self.labels(sequences), minlength=num_classes)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits)

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        return probabilities.argmax(-1)

    def predict(self, logits: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        return logits.argmax(-1)  # logits that differ can have equal probabilities

    def are_correct(self, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return predictions == labels

    def confidence(
        self, probabilities: np.ndarray, thresholds: np.ndarray | None = None
    ) -> np.ndarray:
        return self.probability_of(probabilities, self.decide(probabilities, thresholds))

    def probability_of(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.take_along_axis(probabilities, labels[..., None], -1)[..., 0]

    def membership(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        return labels[:, None] == np.arange(num_classes)

    def names(self, label: np.ndarray, classes: Sequence[str]) -> list[str]:
        return [classes[int(label)]]

    def encode(self, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        (name,) = names
        return np.array(classes.index(name))

    def write(self, names: Iterable[str]) -> str:
        (name,) = names
        return name

    def read(self, text: str) -> tuple[str, ...]:
        return (text,) if text else ()


class OrderedTarget(SequenceTarget):
    """One of several ordered classes per sequence."""

    is_ordered = True

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        """The median class, which has the least expected absolute error."""
        cumulative = np.cumsum(probabilities, axis=-1, dtype=np.float64)
        return (cumulative < 0.5 * cumulative[..., -1:]).sum(-1)

    def predict(self, logits: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        return self.decide(self.probabilities(logits))


class SeveralTarget(SequenceTarget):
    """Any number of labels per sequence; an example is a sequence."""

    name: TargetName = "several"

    def of_batch(self, sequences: Labelled, indices: np.ndarray) -> np.ndarray:
        """Float32 ``(batch, classes)``, 1 for each label."""
        return sequences.label_sets()[indices].astype(np.float32)

    def labels(self, sequences: Labelled) -> np.ndarray:
        return sequences.label_sets()

    def class_counts(self, sequences: Labelled, num_classes: int) -> np.ndarray:
        return self.labels(sequences).sum(axis=0)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return sigmoid(logits)

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        return probabilities >= (DEFAULT_THRESHOLD if thresholds is None else thresholds)

    def predict(self, logits: np.ndarray, thresholds: np.ndarray | None = None) -> np.ndarray:
        return self.decide(self.probabilities(logits), thresholds)

    def are_correct(self, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (predictions == labels).all(axis=-1)

    def probability_of(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.where(labels, probabilities, 1 - probabilities).prod(-1)

    def membership(self, labels: np.ndarray, num_classes: int) -> np.ndarray:
        return labels

    def names(self, label: np.ndarray, classes: Sequence[str]) -> list[str]:
        return [classes[int(index)] for index in np.flatnonzero(label)]

    def encode(self, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        label = np.zeros(len(classes), bool)
        label[[classes.index(name) for name in names]] = True
        return label

    def write(self, names: Iterable[str]) -> str:
        return pack_labels(names) or NO_LABELS

    def read(self, text: str) -> tuple[str, ...]:
        return unpack_labels(text)


class StepTarget(SequenceTarget):
    """A class for every step; an example is a labelled step."""

    name: TargetName = "per_step"

    def of_batch(self, sequences: Labelled, indices: np.ndarray) -> np.ndarray:
        """``(batch, steps)``; ``UNLABELLED`` in the padding too."""
        labels = np.full((len(indices), sequences.lengths[indices].max()), UNLABELLED, np.int64)
        for row, index in zip(labels, indices, strict=True):
            row[: sequences.lengths[index]] = sequences.step_labels(index)
        return labels

    def labels(self, sequences: Labelled) -> np.ndarray:
        return np.concatenate([of[of != UNLABELLED] for of in _each(sequences)] or [_NONE])

    def sequence_index(self, sequences: Labelled) -> np.ndarray:
        counts = [np.count_nonzero(of != UNLABELLED) for of in _each(sequences)]
        return np.repeat(np.arange(len(sequences)), counts)


_NONE = np.empty(0, np.int64)


def _each(sequences: Labelled) -> list[np.ndarray]:
    return [sequences.step_labels(index) for index in range(len(sequences))]


TARGETS: dict[str, Target] = {
    one.name: one for one in (SequenceTarget(), StepTarget(), SeveralTarget())
}
ORDERED: Target = OrderedTarget()


def find_target(name: str = "per_sequence", is_ordered: bool = False) -> Target:
    """The target of a store or a bundle."""
    return ORDERED if is_ordered else TARGETS[name]
