"""Predictions of a model that labels every step, as segments in seconds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.label_tracks import write_label_track, write_selection_table
from seqbelt.data.labels.segments import find_runs
from seqbelt.data.sources.manifest import RAVEN_SIDECARS
from seqbelt.inference.journal import Row
from seqbelt.inference.output import write_table
from seqbelt.inference.segment_smoothing import smooth_classes
from seqbelt.probabilities import softmax

ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class LabelFiles:
    """Files of segments beside the output table, one for each recording."""

    audacity: Path | None = None
    """Folder for label tracks; none are written without it."""
    raven: Path | None = None
    """Folder for selection tables; none are written without it."""
    high_frequency_hz: float = 0.0
    """Upper edge of the boxes in Raven: half the sample rate that the model reads."""

    def write(self, name: str, segments: Sequence[Mapping[str, Any]]) -> None:
        """Write the files of one recording; ``name`` is its path in the output table."""
        if self.audacity is not None:
            write_label_track(_beneath(self.audacity, name, ".txt"), segments)
        if self.raven is not None:
            path = _beneath(self.raven, name, RAVEN_SIDECARS[0])
            write_selection_table(path, segments, self.high_frequency_hz)


def _beneath(folder: Path, name: str, ending: str) -> Path:
    """The file in ``folder`` for a recording: its path without what leads out of the folder."""
    parts = [part for part in Path(name).parts if part not in ("..", Path(name).anchor)]
    path = folder.joinpath(*parts)
    return path.with_name(path.name + ending)


def pack_segments(logits: np.ndarray, min_steps: int = 1) -> np.ndarray:
    """Pack logits ``(steps, classes)`` as float32 ``(segments * 4,)``: first step, last step + 1,
    class, mean probability of that class. Exact up to 2 ** 24 steps.

    Segments of fewer than ``min_steps`` are absorbed by their neighbours.
    """
    probabilities = softmax(logits)
    labels = smooth_classes(logits, min_steps)
    classes, starts, stops = find_runs(labels)
    sums = np.add.reduceat(probabilities[np.arange(len(labels)), labels], starts)
    packed = np.stack([starts, stops, classes, sums / (stops - starts)], axis=1)
    return packed.astype(np.float32).ravel()


def unpack_segments(
    packed: np.ndarray, classes: tuple[str, ...], step_s: float
) -> list[dict[str, Any]]:
    """The segments from ``pack_segments`` as rows: ``start_s``, ``end_s``, ``label``,
    ``confidence``."""
    return [
        {
            "start_s": round(float(start) * step_s, 6),
            "end_s": round(float(stop) * step_s, 6),
            "label": classes[int(number)],
            "confidence": float(confidence),
        }
        for start, stop, number, confidence in packed.reshape(-1, 4)
    ]


def write_segments(
    path: Path,
    rows: Iterable[Row],
    key: str,
    classes: tuple[str, ...],
    step_s: float,
    model: str,
    byte_order_mark: bool = False,
    label_files: LabelFiles = LabelFiles(),
) -> None:
    """Write one row per segment, and one with the error for an input that has none; then the
    ``label_files`` of each input.

    ``key`` is the first column's name: ``path`` or ``id``.
    """
    schema = pa.schema(
        [
            (key, pa.string()),
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("label", pa.string()),
            ("confidence", pa.float32()),
            ("error", pa.string()),
            ("content_hash", pa.string()),
            ("model", pa.string()),
        ]
    )

    def records(row: Row) -> list[dict[str, Any]]:
        about = {key: row.name, "content_hash": row.content_hash, "model": model}
        if row.error is not None or row.probabilities is None:
            return [about | {"error": row.error}]
        segments = unpack_segments(row.probabilities, classes, step_s)
        label_files.write(row.name, segments)
        return [about | segment for segment in segments]

    def tables() -> Iterable[pa.Table]:
        pending = iter(rows)
        while chunk := list(islice(pending, ROWS_AT_ONCE)):
            yield pa.Table.from_pylist([record for row in chunk for record in records(row)], schema)

    write_table(path, schema, tables(), byte_order_mark)
