"""Synthetic memory tasks; each is a settings class that generates its sequences.

``generate()`` yields ``(split, steps, label)``: ``train``, ``validation`` or ``test``; float32
``(steps, features)``; a class name. The same settings give the same sequences;
each split has its own random stream, so that a longer one starts like a shorter one.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field

from seqbelt.errors import SettingsError
from seqbelt.settings import Seed, Settings

CountOrZero = Annotated[int, Field(ge=0)]
DrawnItem: TypeAlias = tuple[str, np.ndarray, str]
DrawnBatch: TypeAlias = tuple[np.ndarray, np.ndarray, list[str]]
"""Sequences ``(batch, steps, features)``, their lengths ``(batch,)``, their labels."""

MAX_BATCH, MAX_BATCH_VALUES = 256, 8_000_000
"""Sequences and values drawn at a time, which bounds memory."""


class MemoryTask(Settings):
    """Common settings of the tasks."""

    num_train: Annotated[int, Field(ge=1)] = 10_000
    """Training sequences."""
    num_validation: CountOrZero = 1000
    """Validation sequences."""
    num_test: CountOrZero = 2000
    """Test sequences."""
    seed: Seed = 0
    """Seed of the data (not of a model)."""

    def generate(self) -> Iterator[DrawnItem]:
        """Yield every item of the three splits."""
        for number, (split, count) in enumerate(self._counts().items()):
            rng = np.random.default_rng([self.seed, number])
            size = max(1, min(MAX_BATCH, MAX_BATCH_VALUES // self._num_values))
            for start in range(0, count, size):
                # Full batches only: the last one must not change what is drawn.
                drawn = zip(*self._draw(rng, size))
                for steps, length, label in islice(drawn, count - start):
                    yield split, steps[:length].copy(), label

    def _counts(self) -> dict[str, int]:
        return {
            "train": self.num_train, "validation": self.num_validation, "test": self.num_test
        }  # fmt: skip

    @property
    def _num_values(self) -> int:
        """Values in one sequence, padding included."""
        raise NotImplementedError

    def _draw(self, rng: np.random.Generator, count: int) -> DrawnBatch:
        raise NotImplementedError


class Adding(MemoryTask):
    """Adding problem as two classes: do the two marked values sum to more than 1?

    Step: a value drawn evenly from [0, 1), and a mark, 1 at two steps and 0 elsewhere: one in the
    first half of the sequence, one in the second (Hochreiter & Schmidhuber 1997,
    doi:10.1162/neco.1997.9.8.1735, experiment 4, in the form of Arjovsky et al. 2016,
    arXiv:1511.06464, who regress the sum). Classes ``above`` and ``below``, evenly likely.
    """

    kind: Literal["adding"]
    lag: Annotated[int, Field(ge=2)] = 100
    """Length of every sequence, in steps; the marks lie half of it apart on average."""

    @property
    def _num_values(self) -> int:
        return 2 * self.lag

    def _draw(self, rng: np.random.Generator, count: int) -> DrawnBatch:
        steps = np.zeros((count, self.lag, 2), dtype=np.float32)
        steps[:, :, 0] = rng.random((count, self.lag), dtype=np.float32)
        rows, half = np.arange(count), self.lag // 2
        marks = (rng.integers(0, half, count), rng.integers(half, self.lag, count))
        for mark in marks:
            steps[rows, mark, 1] = 1
        total = sum(steps[rows, mark, 0].astype(np.float64) for mark in marks)
        labels = np.where(total > 1, "above", "below").tolist()
        return steps, np.full(count, self.lag), labels


class TemporalOrder(MemoryTask):
    """In which order did the relevant symbols come? Hochreiter & Schmidhuber 1997, experiment 6.

    Symbols ``a b c d`` (distractors), ``X Y`` (relevant), ``E`` (starts) and ``B`` (ends), one-hot
    in the order of ``SYMBOLS``; the steps between are distractors drawn evenly. At lag 100, as in
    the paper: 100 to 110 steps; task 6a has its two relevant symbols at steps 10 to 20 and 50 to
    60, task 6b its three at 10 to 20, 33 to 43 and 66 to 76, both ends included, ``E`` being step
    0. Other lags scale these. Classes as in the paper: ``Q R S U`` for XX XY YX YY (6a), and
    ``Q R S U V A B C`` for XXX XXY XYX XYY YXX YXY YYX YYY (6b). doi:10.1162/neco.1997.9.8.1735.
    """

    kind: Literal["temporal_order"]
    lag: Annotated[int, Field(ge=10)] = 100
    """Length of the shortest sequences, in steps; the longest have a tenth more."""
    num_relevant: Literal[2, 3] = 2
    """Relevant symbols: 2 is task 6a with four classes, 3 is task 6b with eight."""

    SYMBOLS: ClassVar[str] = "abcdXYEB"
    STARTS: ClassVar[dict[int, tuple[int, ...]]] = {2: (10, 50), 3: (10, 33, 66)}
    CLASSES: ClassVar[dict[int, str]] = {2: "QRSU", 3: "QRSUVABC"}

    @property
    def _num_values(self) -> int:
        return len(self.SYMBOLS) * (self.lag + self.lag // 10)

    def _draw(self, rng: np.random.Generator, count: int) -> DrawnBatch:
        spread, rows = self.lag // 10, np.arange(count)
        lengths = rng.integers(self.lag, self.lag + spread, count, endpoint=True)
        symbols = rng.integers(0, self.SYMBOLS.index("X"), (count, self.lag + spread))
        symbols[:, 0] = self.SYMBOLS.index("E")
        symbols[rows, lengths - 1] = self.SYMBOLS.index("B")
        classes = np.zeros(count, dtype=int)
        for start in self.STARTS[self.num_relevant]:
            first = start * self.lag // 100
            is_y = rng.integers(0, 2, count)
            symbols[rows, rng.integers(first, first + spread, count, endpoint=True)] = (
                self.SYMBOLS.index("X") + is_y
            )
            classes = 2 * classes + is_y
        names = self.CLASSES[self.num_relevant]
        steps = np.eye(len(self.SYMBOLS), dtype=np.float32)[symbols]
        return steps, lengths, [names[number] for number in classes]


class Copy(MemoryTask):
    """Copying as classification: symbols, a long blank, then "which was the j-th?".

    The copying task (experiment of Hochreiter & Schmidhuber 1997 in the form of Arjovsky et al.
    2016, arXiv:1511.06464: symbols drawn evenly from an alphabet of eight, blanks, a signal to
    recall) asks for all symbols, one per step. A classifier predicts one class, so here the signal
    selects which to recall, and all must be remembered. Step: one-hot of the alphabet, the blank,
    then the positions. The label is the selected symbol, ``s0`` and up.
    """

    kind: Literal["copy"]
    lag: Annotated[int, Field(ge=0)] = 100
    """Blank steps between the last symbol and the question."""
    num_to_copy: Annotated[int, Field(ge=1)] = 10
    """Symbols to keep. With few of them the same sequences come up in several splits."""
    num_symbols: Annotated[int, Field(ge=2)] = 8
    """Size of the alphabet, and number of classes."""

    @property
    def _shape(self) -> tuple[int, int]:
        return self.num_to_copy + self.lag + 1, self.num_symbols + 1 + self.num_to_copy

    @property
    def _num_values(self) -> int:
        return self._shape[0] * self._shape[1]

    def _draw(self, rng: np.random.Generator, count: int) -> DrawnBatch:
        num_steps, num_features = self._shape
        to_copy = rng.integers(0, self.num_symbols, (count, self.num_to_copy))
        asked = rng.integers(0, self.num_to_copy, count)
        symbols = np.full((count, num_steps), self.num_symbols)
        symbols[:, : self.num_to_copy] = to_copy
        symbols[:, -1] = self.num_symbols + 1 + asked
        steps = np.eye(num_features, dtype=np.float32)[symbols]
        labels = [f"s{number}" for number in to_copy[np.arange(count), asked]]
        return steps, np.full(count, num_steps), labels


class SequentialDigits(MemoryTask):
    """Handwritten digits read in order: 8 x 8 pixels of scikit-learn's ``load_digits``.

    By ``row``: 8 steps of 8 features. By ``pixel``: 64 steps of 1, left to right, top to bottom
    (the task of Le et al. 2015, arXiv:1504.00941, at a smaller size). Ink is in [0, 1]. Then
    ``lag`` empty steps. The 1,797 images are shuffled by ``seed`` and divided among the splits.
    Raises SettingsError if more are requested.
    """

    kind: Literal["sequential_digits"]
    by: Literal["row", "pixel"] = "row"
    """Pixels in one step."""
    lag: CountOrZero = 0
    """Empty steps (zeros) after the image."""
    num_train: Annotated[int, Field(ge=1)] = 1200
    """Training images."""
    num_validation: CountOrZero = 200
    """Validation images."""
    num_test: CountOrZero = 397
    """Test images."""

    def generate(self) -> Iterator[DrawnItem]:
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        counts = self._counts()
        if sum(counts.values()) > len(images):
            raise SettingsError(
                f"sequential_digits: {sum(counts.values()):,} images requested ({counts}),"
                f" but there are {len(images):,}"
            )
        width = 8 if self.by == "row" else 1
        steps = (images / 16).astype(np.float32).reshape(len(images), -1, width)
        steps = np.pad(steps, ((0, 0), (0, self.lag), (0, 0)))
        splits = [split for split, count in counts.items() for _ in range(count)]
        order = np.random.default_rng(self.seed).permutation(len(images))
        for split, index in zip(splits, order):
            yield split, steps[index], str(digits[index])
