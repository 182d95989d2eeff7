"""Predictions of a model that labels every step, as segments in seconds."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.segments import find_runs
from seqbelt.inference.journal import Row
from seqbelt.inference.output import write_table
from seqbelt.inference.segment_smoothing import smooth_classes
from seqbelt.probabilities import softmax

ROWS_AT_ONCE = 4096


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
) -> None:
    """Write one row per segment, and one with the error for an input that has none.

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
        return [about | segment for segment in unpack_segments(row.probabilities, classes, step_s)]

    def tables() -> Iterable[pa.Table]:
        pending = iter(rows)
        while chunk := list(islice(pending, ROWS_AT_ONCE)):
            yield pa.Table.from_pylist([record for row in chunk for record in records(row)], schema)

    write_table(path, schema, tables(), byte_order_mark)
