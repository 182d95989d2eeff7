"""The sequence store: prepared sequences on disk, mapped into memory, explaining themselves.

store.json       the settings that made it, the classes, counts and fingerprints
index.arrow      one row per sequence: id, label, split, group, content hash, its place
quarantine.csv   one row per item that has no sequence, with the reason
parts-…/         the sequences themselves, shared by all splits of the same features
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.targets import Target, find_target
from seqbelt.data.sequences import Sequences
from seqbelt.data.store.parts import open_part, part_paths
from seqbelt.errors import SeqbeltError
from seqbelt.features.base import Learned
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.text.encoder import TextCounts

FORMAT = 1


class SequenceStore:
    """Prepared sequences of one data set. Opening reads the index only."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.about: dict[str, Any] = json.loads((self.folder / "store.json").read_text("utf-8"))
            source = pa.memory_map(str(self.folder / "index.arrow"))
            self.index: pa.Table = pa.ipc.open_file(source).read_all().combine_chunks()
        except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
            raise SeqbeltError(
                f"{self.folder}: no prepared data here ({error}); run 'seqbelt prepare' first"
            ) from None
        version = self.about.get("format")
        if version != FORMAT:
            raise SeqbeltError(
                f"{self.folder}: store format {version}, this version reads {FORMAT}; "
                "delete the folder and prepare again"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels' indices."""
        return tuple(self.about["classes"])

    @property
    def class_counts(self) -> dict[str, int]:
        """In how many sequences each class occurs; counted from the index in older stores."""
        counts = self.about.get("class_counts")
        if counts is None:
            occurrences = np.bincount(self._numpy("label"), minlength=len(self.classes))
            counts = dict(zip(self.classes, occurrences.tolist()))
        return counts

    @property
    def num_features(self) -> int:
        """Width of a step; for token ids, the size of the vocabulary."""
        return self.about["num_features"]

    @property
    def step_s(self) -> float | None:
        """Seconds from one step to the next, where steps have a time."""
        return self.about["step_s"]

    @property
    def is_tokens(self) -> bool:
        """Whether the sequences are token ids."""
        return self.about["is_tokens"]

    @property
    def target(self) -> Target:
        """What the sequences are labelled with: one class each, one for every step, or several
        labels each."""
        return find_target(
            self.about.get("labels", "per_sequence"), self.about.get("ordered", False)
        )

    @property
    def sections(self) -> tuple[tuple[str, int], ...]:
        """Kind and width of each section of the features; empty for one kind."""
        return tuple((kind, width) for kind, width in self.about.get("sections", ()))

    @property
    def layout(self) -> InputLayout | None:
        """Where the inputs of an item are in its sequence; None where an item has one input."""
        stored = self.about.get("layout")
        return None if stored is None else InputLayout.from_stored(stored)

    @property
    def fingerprint(self) -> str:
        """Changes whenever a sequence, a label, a split or the order of the rows does."""
        return self.about["fingerprint"]

    @property
    def token_counts(self) -> dict[str, TextCounts]:
        """Truncated texts and unknown tokens of each split; empty where sequences are not texts."""
        return {
            name: TextCounts.from_stored(counts)
            for name, counts in self.about.get("tokens", {}).items()
        }

    @property
    def learned(self) -> Learned:
        """What the encoder learned from the training rows, as files."""
        folder = self._parts_folder / "learned"
        return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}

    @property
    def _parts_folder(self) -> Path:
        return self.folder / self.about["parts"]

    def split(self, name: str) -> Sequences:
        """The rows of ``train``, ``validation`` or ``test``."""
        return self.select(np.flatnonzero(self._numpy("split") == name))

    def select(self, rows: Sequence[int] | np.ndarray) -> Sequences:
        """The rows with these numbers."""
        rows = np.asarray(rows, dtype=np.int64)
        return Sequences(self, rows, self._numpy("num_steps")[rows], self._numpy("label")[rows])

    def sequence(self, row: int) -> np.ndarray:
        """One sequence: a view of the file, not a copy."""
        batch = self._batches[self._numpy("batch_number")[row]]
        row_in_batch = self._numpy("row_in_batch")[row]
        values = batch.values[batch.offsets[row_in_batch] : batch.offsets[row_in_batch + 1]]
        return values if self.is_tokens else values.reshape(-1, self.num_features)

    def column(self, name: str, rows: np.ndarray) -> list[str]:
        """``id``, ``group``, ``split`` or ``content_hash`` of the rows with these numbers."""
        return self.index.column(name).take(pa.array(rows)).to_pylist()

    def step_labels(self, row: int) -> np.ndarray:
        """Class index of each step of one sequence; ``UNLABELLED`` where there is none."""
        offsets, values = self._step_labels
        return values[offsets[row] : offsets[row + 1]]

    def label_sets(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of some rows has each label, bool ``(rows, classes)``."""
        return self._label_sets[rows]

    @cached_property
    def _label_sets(self) -> np.ndarray:
        column = self.index.column("label_set").chunk(0)
        sets = np.zeros((len(column), len(self.classes)), dtype=bool)
        counts = np.diff(column.offsets.to_numpy())
        sets[np.repeat(np.arange(len(column)), counts), column.values.to_numpy()] = True
        return sets

    @cached_property
    def _step_labels(self) -> tuple[np.ndarray, np.ndarray]:
        column = self.index.column("step_labels").chunk(0)
        return column.offsets.to_numpy(), column.values.to_numpy()

    @cached_property
    def _batches(self):
        return [batch for path in part_paths(self._parts_folder) for batch in open_part(path)]

    def _numpy(self, name: str) -> np.ndarray:
        if name not in self._columns:
            self._columns[name] = self.index.column(name).to_numpy()
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        return {}
