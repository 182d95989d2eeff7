"""A store's rows as arrays, for the checks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from seqbelt.data.store.store import SequenceStore

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Rows:
    """The columns of a store's index as arrays ``(rows,)``."""

    store: SequenceStore

    @cached_property
    def label(self) -> np.ndarray:
        """Class indices."""
        return self.store.index["label"].to_numpy()

    @cached_property
    def num_steps(self) -> np.ndarray:
        """Lengths in steps."""
        return self.store.index["num_steps"].to_numpy()

    @cached_property
    def split(self) -> np.ndarray:
        """Index in ``PARTS``."""
        codes, names = self._codes("split")
        return np.array([PARTS.index(name) for name in names])[codes]

    @cached_property
    def content(self) -> np.ndarray:
        """One number for each distinct content."""
        return self._codes("content_hash")[0]

    @cached_property
    def group(self) -> tuple[np.ndarray, list[str]]:
        """Index in the list of group names, and that list."""
        return self._codes("group")

    def part(self, name: str) -> np.ndarray:
        """Numbers of the rows of a part."""
        return np.flatnonzero(self.split == PARTS.index(name))

    def sides(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Parts that must not have rows in common: name and rows of a held-out part, and the rows
        of the parts before it."""
        return [
            (name, self.part(name), np.flatnonzero(self.split < PARTS.index(name)))
            for name in PARTS[:0:-1]
        ]

    def name(self, row: int) -> str:
        """Part and id of a row, for messages."""
        name = self.store.index["id"][int(row)].as_py()
        return f"{PARTS[self.split[row]]} {name}"

    def _codes(self, column: str) -> tuple[np.ndarray, list[str]]:
        return codes_of(self.store.index, column)


def codes_of(index: pa.Table, column: str) -> tuple[np.ndarray, list[str]]:
    """A column of an index as numbers ``(rows,)``, one for each distinct value, and the values."""
    encoded = index[column].combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
