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
        return max(one.width for one in self.inputs)

    @property
    def num_cells(self) -> int:
        """Cells that all columns are encoded as."""
        return sum(one.width for one in self.columns)

    @property
    def num_header_rows(self) -> int:
        """Packed rows before the first step."""
        return -(-(len(self.inputs) + self.num_cells) // self.width)

    @property
    def has_only_tokens(self) -> bool:
        """Whether every input is token ids."""
        return all(one.is_tokens for one in self.inputs)

    def pack(self, sequences: Sequence[np.ndarray | None], cells: np.ndarray) -> np.ndarray:
        """One array of the inputs' sequences ``(steps, features)`` or ``(steps,)``, None where one
        is missing, and ``cells`` float32 ``(cells,)``.

        Raises ValueError for more steps than float32 can count.
        """
        counts = [0 if one is None else len(one) for one in sequences]
        if max(counts) > MAX_EXACT:
            raise ValueError(f"{max(counts)} steps; at most {MAX_EXACT} can be packed")
        header = np.concatenate([np.array(counts, np.float32), np.asarray(cells, np.float32)])
        parts = [
            header,
            *(one.astype(np.float32).reshape(-1) for one in sequences if one is not None),
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
        found: list[np.ndarray | None] = []
        for one, count, start in zip(self.inputs, counts.tolist(), starts.tolist(), strict=True):
            values = flat[start : start + count * one.width]
            if not count:
                found.append(None)
            elif one.is_tokens:
                found.append(np.rint(values).astype(np.int32))
            else:
                found.append(values.reshape(count, one.width))
        return found

    def starts(self, counts: np.ndarray) -> np.ndarray:
        """Where each input's values begin in flat packed items: int64 ``(items, inputs)``, for
        steps ``counts`` ``(items, inputs)``."""
        rows = np.stack(
            [-(-counts[:, at] * one.width // self.width) for at, one in enumerate(self.inputs)],
            axis=1,
        )
        before = np.cumsum(rows, axis=1) - rows
        return self.width * (self.num_header_rows + before)

    def column_slices(self) -> dict[str, slice]:
        """Where the cells of each column are among all cells."""
        edges = np.cumsum([0, *(one.width for one in self.columns)]).tolist()
        return {
            one.name: slice(start, stop)
            for one, (start, stop) in zip(self.columns, pairwise(edges), strict=True)
        }

    def with_medians(self, counts: np.ndarray) -> "InputLayout":
        """The layout with the median steps of training rows with ``counts`` ``(rows, inputs)``;
        rows without an input do not count for it."""
        inputs = []
        for one, of in zip(self.inputs, counts.T, strict=True):
            present = of[of > 0]
            median = int(np.median(present)) if len(present) else 0
            inputs.append(replace(one, median_steps=median))
        return replace(self, inputs=tuple(inputs))

    def to_stored(self) -> dict[str, Any]:
        """The layout as JSON-serialisable values."""
        return asdict(self)

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """The layout that ``to_stored`` gave."""
        return cls(
            tuple(InputSize(**one) for one in values["inputs"]),
            tuple(ColumnSize(**one) for one in values["columns"]),
        )
