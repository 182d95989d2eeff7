"""Part files: encoded sequences in Arrow IPC, keyed by content, written once and never changed.

A part gets its name only when it is complete, so a killed preparation loses at most the part that
it was writing, and named parts can be reused.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seqbelt.errors import naming

BATCH_BYTES = 64 << 20
"""Sequences in memory before they are written out."""
PART_BYTES = 512 << 20
PART_SECONDS = 30.0
"""A part is closed at this size or age, which bounds the work lost in a power failure."""


class PartWriter:
    """Appends sequences to numbered part files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        self._number = len(part_paths(folder))
        self._rows: list[tuple[str, int, np.ndarray]] = []
        self._row_bytes = 0
        self._file: pa.ipc.RecordBatchFileWriter | None = None
        self._part_bytes = 0
        self._opened = 0.0

    def add(self, content_hash: str, stamp: int, sequence: np.ndarray) -> None:
        """Append one sequence; it is safe on disk after the next ``close`` or full part."""
        self._rows.append((content_hash, stamp, sequence))
        self._row_bytes += sequence.nbytes
        if self._file is None and not self._opened:
            self._opened = time.monotonic()
        if self._row_bytes >= BATCH_BYTES:
            self._write_batch()
        old = time.monotonic() - self._opened > PART_SECONDS
        if old or self._part_bytes >= PART_BYTES:
            self.close()

    def close(self) -> None:
        """Finish the part, so that all added sequences are on disk."""
        if self._rows:
            self._write_batch()
        if self._file is not None:
            self._file.close()
            with self._temporary.open("rb") as written:
                os.fsync(written.fileno())
            self._temporary.rename(self._path)
            self._number += 1
        self._file, self._part_bytes, self._opened = None, 0, 0.0

    @property
    def _path(self) -> Path:
        return self.folder / f"part-{self._number:05d}.arrow"

    @property
    def _temporary(self) -> Path:
        return self._path.with_suffix(".tmp")

    def _write_batch(self) -> None:
        hashes, stamps, sequences = zip(*self._rows)
        offsets = np.cumsum([0] + [sequence.size for sequence in sequences])
        flat = np.concatenate([sequence.reshape(-1) for sequence in sequences])
        values = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(flat))
        batch = pa.record_batch(
            {
                "content_hash": pa.array(hashes, pa.string()),
                "stamp": pa.array(stamps, pa.uint64()),
                "num_steps": pa.array([len(sequence) for sequence in sequences], pa.int64()),
                "values": values,
            }
        )
        if self._file is None:
            self._file = pa.ipc.new_file(str(self._temporary), batch.schema)
        self._file.write_batch(batch)
        self._part_bytes += self._row_bytes
        self._rows, self._row_bytes = [], 0


def part_paths(folder: Path) -> list[Path]:
    """The complete parts of a folder, in order."""
    return sorted(folder.glob("part-*.arrow"))


def reuse_parts(folder: Path) -> None:
    """Hard-link the parts of another store with the same features into an empty parts folder.

    A parts folder is named by the fingerprint of its features, and parts are keyed by content hash
    and never changed, so experiments can reuse each other's parts. Nothing is copied.
    """
    if part_paths(folder):
        return
    for other in sorted(folder.parent.parent.glob(f"*/{folder.name}")):
        paths = part_paths(other)
        if other == folder or not paths:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        paths += other.glob("readings.json")
        try:
            for path in paths:
                os.link(path, folder / path.name)
        except OSError:  # a file system without links: encode again
            continue
        return


class PartBatch(NamedTuple):
    """One record batch of a part, memory-mapped."""

    content_hash: pa.StringArray
    stamp: np.ndarray
    num_steps: np.ndarray
    offsets: np.ndarray
    """Start of each row in ``values``, ``(rows + 1,)``."""
    values: np.ndarray
    """All rows' values, flat."""


def open_part(path: Path) -> Iterator[PartBatch]:
    """Map a part into memory, batch by batch."""
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    for index in range(file.num_record_batches):
        batch = file.get_batch(index)
        lists = batch.column("values")
        yield PartBatch(
            batch.column("content_hash"),
            batch.column("stamp").to_numpy(),
            batch.column("num_steps").to_numpy(),
            lists.offsets.to_numpy(),
            lists.values.to_numpy(),
        )


def write_json(path: Path, values: object) -> None:
    """Write JSON atomically."""
    text = json.dumps(values, indent=2, ensure_ascii=False, default=str)
    write_atomically(path, (text + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically, through a temporary file."""
    temporary = path.with_name(path.name + ".tmp")
    with naming(path):
        temporary.write_bytes(content)
    temporary.replace(path)
