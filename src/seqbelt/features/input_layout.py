"""Several inputs of one item packed into one array, so that an item stays one array everywhere.

A packed item is float32 ``(rows, width)``: first rows with the number of steps of each input (0
where it is missing) and the cells of the manifest's columns, then the values of each input, each
beginning with a row of its own. Token ids are exact as float32 up to 2^24.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np

MAX_EXACT = 1 << 24
"""Largest whole number up to which float32 has every one."""


@dataclass(frozen=True)
class InputSize:
    """The size of one input."""

    name: str
    num_features: int
    """Width of a step; for token ids, the size of the vocabulary."""
    is_tokens: bool
    median_steps: int = 0
    """Median number of steps of the training rows; 0 where it is not known yet."""

    @property
    def width(self) -> int:
        """Values of a step."""
        return 1 if self.is_tokens else self.num_features


@dataclass(frozen=True)
class ColumnSize:
    """A column of the manifest, and how many cells it is encoded as."""

    name: str
    width: int


@dataclass(frozen=True)
class InputLayout:
    """Where the inputs and columns of a packed item are."""

    inputs: tuple[InputSize, ...]
    columns: tuple[ColumnSize, ...] = ()

    @property
    def width(self) -> int:
        """Values of a packed row: of the widest step, which then needs no padding."""
        return max(size.width for size in self.inputs)

    @property
    def num_cells(self) -> int:
        """Cells that all columns are encoded as."""
        return sum(column.width for column in self.columns)

    @property
    def num_header_rows(self) -> int:
        """Packed rows before the first step."""
        return -(-(len(self.inputs) + self.num_cells) // self.width)

    @property
    def has_only_tokens(self) -> bool:
        """Whether every input is token ids."""
        return all(size.is_tokens for size in self.inputs)

    def pack(self, sequences: Sequence[np.ndarray | None], cells: np.ndarray) -> np.ndarray:
        """One array of the inputs' sequences ``(steps, features)`` or ``(steps,)``, None where one
        is missing, and ``cells`` float32 ``(cells,)``.

        Raises ValueError for more steps than float32 can count.
        """
        counts = [0 if sequence is None else len(sequence) for sequence in sequences]
        if max(counts) > MAX_EXACT:
            raise ValueError(f"{max(counts)} steps; at most {MAX_EXACT} can be packed")
        header = np.concatenate([np.array(counts, np.float32), np.asarray(cells, np.float32)])
        parts = [
            header,
            *(
                sequence.astype(np.float32).reshape(-1)
                for sequence in sequences
                if sequence is not None
            ),
        ]
        rows = [-(-len(part) // self.width) for part in parts]
        packed = np.zeros((sum(rows), self.width), np.float32)
        flat = packed.reshape(-1)
        starts = self.width * np.cumsum([0, *rows])
        for part, start in zip(parts, starts, strict=False):
            flat[start : start + len(part)] = part
        return packed

    def num_steps(self, packed: np.ndarray) -> np.ndarray:
        """Steps of each input of a packed item, int64 ``(inputs,)``."""
        header = packed[: self.num_header_rows].reshape(-1)
        return header[: len(self.inputs)].astype(np.int64)

    def cells(self, packed: np.ndarray) -> np.ndarray:
        """The cells of the columns of a packed item, float32 ``(cells,)``."""
        header = packed[: self.num_header_rows].reshape(-1)
        return header[len(self.inputs) : len(self.inputs) + self.num_cells]

    def unpack(self, packed: np.ndarray) -> list[np.ndarray | None]:
        """The sequence of each input of a packed item; None where it is missing."""
        counts = self.num_steps(packed)
        starts = self.starts(counts[None])[0]
        flat = np.ascontiguousarray(packed).reshape(-1)
        sequences: list[np.ndarray | None] = []
        for size, count, start in zip(self.inputs, counts.tolist(), starts.tolist(), strict=True):
            values = flat[start : start + count * size.width]
            if not count:
                sequences.append(None)
            elif size.is_tokens:
                sequences.append(np.rint(values).astype(np.int32))
            else:
                sequences.append(values.reshape(count, size.width))
        return sequences

    def starts(self, counts: np.ndarray) -> np.ndarray:
        """Where each input's values begin in flat packed items: int64 ``(items, inputs)``, for
        steps ``counts`` ``(items, inputs)``."""
        rows = np.stack(
            [
                -(-counts[:, index] * size.width // self.width)
                for index, size in enumerate(self.inputs)
            ],
            axis=1,
        )
        before = np.cumsum(rows, axis=1) - rows
        return self.width * (self.num_header_rows + before)

    def column_slices(self) -> dict[str, slice]:
        """Where the cells of each column are among all cells."""
        edges = np.cumsum([0, *(column.width for column in self.columns)]).tolist()
        return {
            column.name: slice(start, stop)
            for column, (start, stop) in zip(self.columns, pairwise(edges), strict=True)
        }

    def with_medians(self, counts: np.ndarray) -> "InputLayout":
        """The layout with the median steps of training rows with ``counts`` ``(rows, inputs)``;
        rows without an input do not count for it."""
        inputs = []
        for size, of in zip(self.inputs, counts.T, strict=True):
            present = of[of > 0]
            median = int(np.median(present)) if len(present) else 0
            inputs.append(replace(size, median_steps=median))
        return replace(self, inputs=tuple(inputs))

    def to_stored(self) -> dict[str, Any]:
        """The layout as JSON-serialisable values."""
        return asdict(self)

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """The layout that ``to_stored`` gave."""
        return cls(
            tuple(InputSize(**size) for size in values["inputs"]),
            tuple(ColumnSize(**size) for size in values["columns"]),
        )
