"""Labelled segments of recordings, from a table or from labelled steps."""

import math
import re
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqbelt.data.labels.label_tracks import LabelRow, read_label_track
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sources.raw_tables import Style
from seqbelt.data.sources.tables import read_columns
from seqbelt.errors import UNREADABLE, WRONG_SHAPE, BadInput, SettingsError

_AMBIGUOUS = re.compile(r"[1-9]\d{0,2},\d{3}")
"""Over a thousand, or over one."""


class Segment(NamedTuple):
    """A part of a recording with a label; the end is exclusive."""

    start_s: float
    end_s: float
    label: str


def read_segments(
    path: Path, label_column: str = "label", encoding: str = "utf-8"
) -> list[Segment]:
    """Read the labelled segments of one recording, in order of time.

    A table (.csv, .tsv, .jsonl, .parquet, .xlsx) has the columns ``start_s`` and ``end_s``, or
    ``start_ms`` and ``end_ms``, and ``label_column``; a .txt file is a label track of Audacity or a
    selection table of Raven. Overlapping segments of one label become one. A table without rows
    is a recording without a segment. ``encoding`` is that of a .csv, .tsv or .jsonl.

    Raises BadInput where the table cannot be read, or where segments of different labels overlap,
    a segment ends before it begins or has no label.
    """
    if path.suffix.lower() == ".txt":
        rows = read_label_track(path, label_column)
    else:
        rows = _read_table(path, label_column, encoding)
    segments = [_segment(path, row) for row in rows]
    merged = sorted(
        segment
        for _, of_label in groupby(
            sorted(segments, key=_by_label), key=lambda segment: segment.label
        )
        for segment in _merge(of_label)
    )
    for segment, following in pairwise(merged):
        if following.start_s < segment.end_s:
            message = (
                f"'{following.label}' begins at {following.start_s:g} s, before '{segment.label}'"
            )
            raise BadInput(WRONG_SHAPE, f"{path.name}: {message} has ended at {segment.end_s:g} s")
    return merged


def _read_table(path: Path, label_column: str, encoding: str) -> Iterator[LabelRow]:
    columns = _read_columns(path, encoding)
    in_ms = "start_s" not in columns and "start_ms" in columns
    unit = "ms" if in_ms else "s"
    wanted = (f"start_{unit}", f"end_{unit}", label_column)
    if missing := [name for name in wanted if name not in columns]:
        found = f"no column '{missing[0]}'; found {', '.join(columns)}"
        remedy = "; name the times start_s, end_s (seconds) or start_ms, end_ms"
        raise BadInput(
            WRONG_SHAPE, f"{path.name}: {found}{remedy if missing[0] != label_column else ''}"
        )
    rows = zip(*(columns[name] for name in wanted), strict=True)
    spelled = [*columns[wanted[0]], *columns[wanted[1]]]
    has_points = any("." in time for time in spelled)
    is_sure = any("," in time and not _AMBIGUOUS.fullmatch(time.strip()) for time in spelled)
    decimal = "," if is_sure and not has_points else "."
    for number, (*times, label) in enumerate(rows, start=1):
        start, end = (time.replace(decimal, ".") for time in times)
        yield LabelRow(f"segment {number}", start, end, label, 0.001 if in_ms else 1.0)


def _read_columns(path: Path, encoding: str) -> dict[str, list[str]]:
    """The columns of a table, by the first delimiter that gives it a column of beginnings."""
    found: list[dict[str, list[str]] | SettingsError] = []
    for delimiter in (None, ";", "\t", "|"):
        try:
            columns = read_columns(path, Style(encoding=encoding, delimiter=delimiter))
        except SettingsError as error:
            found.append(error)
            continue
        if "start_s" in columns or "start_ms" in columns:
            return columns
        found.append(columns)
    if isinstance(found[0], SettingsError):
        raise BadInput(UNREADABLE, str(found[0])) from None
    return found[0]


def _segment(path: Path, row: LabelRow) -> Segment:
    try:
        start_s, end_s = float(row.start) * row.unit_s, float(row.end) * row.unit_s
    except ValueError:
        start_s = end_s = math.nan
    if not (0 <= start_s < end_s < math.inf) or not row.label:
        message = f"from '{row.start}' to '{row.end}' with the label '{row.label}'"
        raise BadInput(WRONG_SHAPE, f"{path.name}, {row.position}: {message}")
    return Segment(start_s, end_s, row.label)


def _by_label(segment: Segment) -> tuple[str, float]:
    return segment.label, segment.start_s


def _merge(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Segments of one label, in order of their beginnings, with overlapping ones joined."""
    current: Segment | None = None
    for segment in segments:
        if current is None or segment.start_s >= current.end_s:
            if current is not None:
                yield current
            current = segment
        else:
            current = current._replace(end_s=max(current.end_s, segment.end_s))
    if current is not None:
        yield current


class Runs(NamedTuple):
    """Runs of steps of one class, in order: arrays ``(runs,)``, without unlabelled steps. ``stops``
    are exclusive."""

    classes: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


def find_runs(labels: np.ndarray) -> Runs:
    """The runs of class indices ``(steps,)``."""
    starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
    stops = np.append(starts[1:], len(labels))
    known = labels[starts] != UNLABELLED
    return Runs(labels[starts][known], starts[known], stops[known])
