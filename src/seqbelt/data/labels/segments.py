"""Segments: which stretch of a recording is what, in a table or in labelled steps."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sources.tables import read_columns
from seqbelt.errors import UNREADABLE, WRONG_SHAPE, BadInput, SettingsError


class Segment(NamedTuple):
    """A stretch of a recording and its label; its end is not part of it."""

    start_s: float
    end_s: float
    label: str


def read_segments(path: Path, label_column: str = "label") -> Sequence[Segment]:
    """Read a table (.csv, .tsv, .jsonl, .parquet) with ``start_s``, ``end_s`` and labels.

    Returns the segments in time. Raises BadInput where the table cannot be read, or where its
    segments overlap, end before they begin or have no label.
    """
    try:
        columns = read_columns(path)
    except SettingsError as error:
        raise BadInput(UNREADABLE, str(error)) from None
    wanted = ("start_s", "end_s", label_column)
    if missing := [name for name in wanted if name not in columns]:
        found = ", ".join(columns)
        raise BadInput(WRONG_SHAPE, f"{path.name}: no column '{missing[0]}'; found {found}")
    rows = zip(*(columns[name] for name in wanted), strict=True)
    segments = sorted(_segment(path, number, *row) for number, row in enumerate(rows, start=1))
    for one, following in pairwise(segments):
        if following.start_s < one.end_s:
            said = f"'{following.label}' begins at {following.start_s:g} s, before '{one.label}'"
            raise BadInput(WRONG_SHAPE, f"{path.name}: {said} has ended at {one.end_s:g} s")
    return segments


def _segment(path: Path, number: int, start: str, end: str, label: str) -> Segment:
    try:
        start_s, end_s = float(start), float(end)
    except ValueError:
        start_s = end_s = math.nan
    if not (0 <= start_s < end_s < math.inf) or not label:
        said = f"from '{start}' to '{end}' with the label '{label}'"
        raise BadInput(WRONG_SHAPE, f"{path.name}, segment {number}: {said}")
    return Segment(start_s, end_s, label)


class Runs(NamedTuple):
    """Stretches of steps of one class, in order: arrays ``(runs,)``; steps without one are in
    none. ``stops`` are not part of the runs."""

    classes: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


def find_runs(labels: np.ndarray) -> Runs:
    """The runs of class indices ``(steps,)``."""
    starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
    stops = np.append(starts[1:], len(labels))
    known = labels[starts] != UNLABELLED
    return Runs(labels[starts][known], starts[known], stops[known])
