"""One input of packed items as sequences of their own, and the columns as a matrix."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.targets import Target
from seqbelt.data.sequences import RowSource, Sequences
from seqbelt.features.input_layout import InputLayout, InputSize


@dataclass(frozen=True)
class InputView:
    """The rows of a store with one of their inputs; where it is missing, one step of zeros."""

    store: RowSource
    layout_of_items: InputLayout
    at: int
    """Which of the inputs."""
    layout: InputLayout | None = None
    sections: tuple[tuple[str, int], ...] = ()
    step_s: float | None = None

    @property
    def size(self) -> InputSize:
        """The size of the input."""
        return self.layout_of_items.inputs[self.at]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.store.classes

    @property
    def num_features(self) -> int:
        return self.size.num_features

    @property
    def is_tokens(self) -> bool:
        return self.size.is_tokens

    @property
    def target(self) -> Target:
        return self.store.target

    @cached_property
    def index(self) -> pa.Table:
        """The index of a store on disk, with the lengths of this input."""
        index: pa.Table = getattr(self.store, "index")  # noqa: B009  # not of arrays
        lengths = [len(self.sequence(row)) for row in range(index.num_rows)]
        column = index.column_names.index("num_steps")
        return index.set_column(column, "num_steps", pa.array(lengths, pa.int64()))

    def sequence(self, row: int) -> np.ndarray:
        """Float32 ``(steps, features)`` or int32 ``(steps,)``."""
        steps = self.layout_of_items.unpack(self.store.sequence(row))[self.at]
        if steps is not None:
            return steps
        return (
            np.zeros(1, np.int32) if self.is_tokens else np.zeros((1, self.size.width), np.float32)
        )

    def step_labels(self, row: int) -> np.ndarray:
        return self.store.step_labels(row)

    def label_sets(self, rows: np.ndarray) -> np.ndarray:
        return self.store.label_sets(rows)

    def column(self, name: str, rows: np.ndarray) -> list[str]:
        return self.store.column(name, rows)


def count_steps(sequences: Sequences) -> np.ndarray:
    """Steps of each input of packed items, int64 ``(rows, inputs)``; 0 where it is missing."""
    layout = layout_of(sequences)
    counts = np.zeros((len(sequences), len(layout.inputs)), np.int64)
    for row in range(len(sequences)):
        counts[row] = layout.num_steps(sequences[row])
    return counts


def view_input(sequences: Sequences, index: int, present_only: bool = False) -> Sequences:
    """One input of packed items; ``present_only`` leaves out rows without it."""
    counts = count_steps(sequences)[:, index]
    rows = np.flatnonzero(counts) if present_only else np.arange(len(counts))
    store = InputView(sequences.store, layout_of(sequences), index)
    lengths = np.maximum(counts[rows], 1)
    return Sequences(store, sequences.rows[rows], lengths, sequences.labels[rows])


def each_input(sequences: Sequences) -> list[Sequences]:
    """The sequences of each input, of the rows that have it; the sequences themselves where items
    have one input."""
    if sequences.store.layout is None:
        return [sequences]
    number = len(sequences.store.layout.inputs)
    return [view_input(sequences, index, present_only=True) for index in range(number)]


def cells_of(sequences: Sequences) -> np.ndarray:
    """The cells of the manifest's columns, float32 ``(rows, cells)``."""
    layout = layout_of(sequences)
    return np.stack([layout.cells(sequences[row]) for row in range(len(sequences))])


def map_inputs(
    layout: InputLayout, packed: np.ndarray, change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """A packed item with each of its inputs changed."""
    parts = [None if sequence is None else change(sequence) for sequence in layout.unpack(packed)]
    return layout.pack(parts, layout.cells(packed))


def layout_of(sequences: Sequences) -> InputLayout:
    """The layout of packed items."""
    layout = sequences.store.layout
    assert layout is not None
    return layout
