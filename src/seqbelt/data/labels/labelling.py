"""Labels from a manifest's column, or, for every step, from a table of segments or a column of the
recording's table."""

import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.label_sets import Unlabeled, unpack_labels
from seqbelt.data.labels.segments import Segment, read_segments
from seqbelt.data.labels.targets import UNLABELLED, TargetName
from seqbelt.data.sources.manifest import SIDECAR, Manifest
from seqbelt.data.sources.names import clean_names, shorten
from seqbelt.errors import UNKNOWN_LABEL, UNREADABLE, WRONG_SHAPE, BadInput, SettingsError
from seqbelt.features.arrays.array_features import ArrayFeatures
from seqbelt.features.arrays.reading import read_words
from seqbelt.features.base import Encoder, Features, Source, file_or_content
from seqbelt.features.encoding import available_cores, stamp_source
from seqbelt.words import count_of

logger = logging.getLogger(__name__)

ROUNDING = 1e-6
"""Tolerance in steps for the start of a segment."""


NO_SEGMENTS = (
    f"no table of segments: put one beside the recording, of the same name with {SIDECAR} instead "
    "of its ending, or name one in the manifest's column 'segments'"
)
MILLISECONDS = 10
"""Times that exceed a recording's duration by this factor are taken for another unit."""
SLACK_S = 1.0
"""A recording's last window may begin some steps before its end, and people round."""


class Labelling(Protocol):
    """How the rows of a manifest get their labels; the type of the labels is up to the
    implementation."""

    name: TargetName
    order: Sequence[str]
    """The classes in their order; empty where they have none."""

    def check(self, features: Features, encoder: Encoder) -> None:
        """Raise SettingsError if the features do not support this kind of labels."""
        ...

    def stamp(self, manifest: Manifest) -> bytes:
        """Bytes that change with label files, which the manifest and items do not cover."""
        ...

    def problem(self, manifest: Manifest, row: int) -> BadInput | None:
        """Why a row has no label according to the manifest; None if it has one."""
        ...

    def read(self, manifest: Manifest, rows: Sequence[int], num_steps: Sequence[int]) -> list[Any]:
        """The labels of encoded rows, or BadInput."""
        ...

    def names(self, label: Any) -> Sequence[str]:
        """The classes that occur in a row's labels."""
        ...

    def columns(self, labels: Sequence[Any], index: Mapping[str, int]) -> dict[str, pa.Array]:
        """The labels as columns of a store's index; ``index`` numbers the classes."""
        ...


class SequenceLabelling:
    """One label per sequence, from the manifest; ``order`` are the classes where they are
    ordered."""

    name: TargetName = "per_sequence"

    def __init__(self, order: Sequence[str] = ()) -> None:
        self.order = order

    def check(self, features: Features, encoder: Encoder) -> None:
        pass

    def stamp(self, manifest: Manifest) -> bytes:
        return "\0".join(self.order).encode()

    def problem(self, manifest: Manifest, row: int) -> BadInput | None:
        if not manifest.table["label"][row].as_py():
            return BadInput(UNKNOWN_LABEL, manifest.problems.get(row, "the row has no label"))
        return _problem_of(manifest, row)

    def read(self, manifest: Manifest, rows: Sequence[int], num_steps: Sequence[int]) -> list[str]:
        return manifest.table["label"].take(pa.array(rows, pa.int64())).to_pylist()

    def names(self, label: str) -> Sequence[str]:
        return (label,)

    def columns(self, labels: Sequence[str], index: Mapping[str, int]) -> dict[str, pa.Array]:
        return {"label": pa.array([index[label] for label in labels], pa.int64())}


class SeveralLabelling:
    """Any number of labels per sequence: the manifest has them as ``pack_labels`` writes them.

    Rows without a label have none of them (``negative``), or are quarantined.
    """

    name: TargetName = "several"
    order: Sequence[str] = ()

    def __init__(self, unlabeled: Unlabeled) -> None:
        self.unlabeled = unlabeled

    def check(self, features: Features, encoder: Encoder) -> None:
        pass

    def stamp(self, manifest: Manifest) -> bytes:
        return self.unlabeled.encode()

    def problem(self, manifest: Manifest, row: int) -> BadInput | None:
        if row in manifest.problems:
            return BadInput(UNKNOWN_LABEL, manifest.problems[row])
        if self.unlabeled == "quarantine" and not manifest.table["label"][row].as_py():
            return BadInput(
                UNKNOWN_LABEL,
                "the row has no label; data.unlabeled: negative reads it as none of them",
            )
        return None

    def read(
        self, manifest: Manifest, rows: Sequence[int], num_steps: Sequence[int]
    ) -> list[tuple[str, ...]]:
        column = manifest.table["label"].take(pa.array(rows, pa.int64())).to_pylist()
        return [unpack_labels(text) for text in column]

    def names(self, label: tuple[str, ...]) -> Sequence[str]:
        return label

    def columns(
        self, labels: Sequence[tuple[str, ...]], index: Mapping[str, int]
    ) -> dict[str, pa.Array]:
        """``label_set``, and in ``label`` the first of the labels, -1 where there is none."""
        codes = [sorted(index[name] for name in names) for names in labels]
        offsets = pa.array(np.cumsum([0, *map(len, codes)]), pa.int64())
        values = pa.array([code for row in codes for code in row], pa.int64())
        return {
            "label": pa.array([row[0] if row else -1 for row in codes], pa.int64()),
            "label_set": pa.LargeListArray.from_arrays(offsets, values),
        }


def _problem_of(manifest: Manifest, row: int) -> BadInput | None:
    why = manifest.problems.get(row)
    return None if why is None else BadInput(UNREADABLE, why)


class StepNames(NamedTuple):
    """The labels of one sequence's steps."""

    names: tuple[str, ...]
    codes: np.ndarray
    """Index of each step's label in ``names``; -1 where it has none."""

    def with_background(self, name: str) -> "StepNames":
        """Steps without a label get this one."""
        uncovered = self.codes < 0
        if not uncovered.any():
            return self
        names = self.names if name in self.names else (*self.names, name)
        return StepNames(names, np.where(uncovered, names.index(name), self.codes))


class StepLabelling:
    """A label for every step: from the row's table of segments if it has one, else from a column of
    the recording's table."""

    name: TargetName = "per_step"
    order: Sequence[str] = ()

    def __init__(
        self,
        label_column: str,
        features: Features,
        labels_as_written: bool = True,
        background: str | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self.label_column, self.features = label_column, features
        self.labels_as_written, self.background = labels_as_written, background
        self.encoding = encoding

    def check(self, features: Features, encoder: Encoder) -> None:
        if features.is_tokens:
            raise SettingsError(
                "data.labels: per_step is for signals, audio and video; these features are token "
                "ids"
            )
        if features.step_s() is None:
            raise SettingsError(
                "data.labels: per_step needs a time for each step; "
                "set features.source_rate_hz (for video features.frame_rate), in Hz"
            )
        if not features.keeps_time:
            raise SettingsError(
                "data.labels: per_step cannot be used with features.trim_silence_db, which "
                "removes the start of a recording; set it to null"
            )
        if self.label_column in (getattr(encoder, "names", None) or ()):
            raise SettingsError(
                f"data.label_column: '{self.label_column}' is also a channel, so the network would "
                "read the label; add it to features.ignore"
            )

    def stamp(self, manifest: Manifest) -> bytes:
        stamps = [0 if path is None else stamp_source(path) for path in manifest.segments()]
        how = f"{self.label_column}\0{self.labels_as_written}"
        if self.background is not None:
            how += f"\0{self.background}"
        if self.encoding != "utf-8":
            how += f"\0\0{self.encoding}"
        return how.encode() + np.array(stamps, dtype=np.uint64).tobytes()

    def problem(self, manifest: Manifest, row: int) -> BadInput | None:
        return _problem_of(manifest, row)

    def read(
        self, manifest: Manifest, rows: Sequence[int], num_steps: Sequence[int]
    ) -> list[StepNames | BadInput]:
        tables, step_s = manifest.segments(), self.features.step_s()
        assert step_s is not None  # see ``check``
        cut: list[str] = []

        def read_row(row: int, count: int) -> StepNames | BadInput:
            path = tables[row]
            try:
                if path is not None:
                    segments, duration_s = self._read_segments(path), count * step_s
                    _check_duration(path, segments, duration_s)
                    if segments and (end_s := segments[-1].end_s) > duration_s + SLACK_S:
                        cut.append(f"{path.name}: to {end_s:g} s of {duration_s:g} s")
                    steps = _name_segments(segments, count, step_s)
                elif (words := self._read_column(manifest.source(row))) is not None:
                    num_steps = self.features.num_steps(len(words))
                    steps = _name_rows(self._clean(words), count, num_steps)
                elif self.background is not None:
                    steps = StepNames((), np.full(count, -1))
                else:
                    return BadInput(UNKNOWN_LABEL, NO_SEGMENTS)
            except BadInput as error:
                return error
            if self.background is not None:
                steps = steps.with_background(self.background)
            return steps if steps.names else BadInput(UNKNOWN_LABEL, "no step has a label")

        with ThreadPoolExecutor(available_cores()) as pool:
            labels = list(pool.map(read_row, rows, num_steps))
        if cut:
            logger.warning(
                "%s with a segment that ends over %g s after its recording, where it is cut: %s",
                count_of(len(cut), "table"), SLACK_S, shorten(sorted(cut)),
            )  # fmt: skip
        return labels

    def _clean(self, words: np.ndarray) -> np.ndarray:
        if self.labels_as_written:
            return words
        names, codes = np.unique(words, return_inverse=True)
        return np.array(clean_names(names.tolist()), dtype=str)[codes]

    def _read_segments(self, path: Path) -> Sequence[Segment]:
        segments = read_segments(path, self.label_column, self.encoding)
        if self.labels_as_written:
            return segments
        labels = clean_names([segment.label for segment in segments])
        return [segment._replace(label=label) for segment, label in zip(segments, labels)]

    def names(self, label: StepNames) -> Sequence[str]:
        return label.names

    def columns(self, labels: Sequence[StepNames], index: Mapping[str, int]) -> dict[str, pa.Array]:
        """``step_labels``, and in ``label`` the most frequent class of the steps."""
        step_codes = [
            np.array([*(index[name] for name in names), UNLABELLED], np.int16)[codes]
            for names, codes in labels
        ]
        offsets = pa.array(np.cumsum([0, *map(len, step_codes)]), pa.int64())
        most = [int(np.bincount(steps[steps != UNLABELLED]).argmax()) for steps in step_codes]
        return {
            "label": pa.array(most, pa.int64()),
            "step_labels": pa.LargeListArray.from_arrays(
                offsets, pa.array(np.concatenate(step_codes))
            ),
        }

    def _read_column(self, source: Source) -> np.ndarray | None:
        """The labels of a table's rows; None of a recording that is no table."""
        if not isinstance(self.features, ArrayFeatures):
            return None
        content = file_or_content(source)
        if isinstance(content, np.ndarray):
            return None
        return read_words(
            content,
            self.label_column,
            self.features.max_file_bytes,
            self.features.table_options,
        )


def _name_rows(words: np.ndarray, count: int, expected: int) -> StepNames:
    """Labels of steps from the rows of a table, of which there may be more or fewer than steps."""
    if count != expected:
        raise BadInput(WRONG_SHAPE, f"{len(words)} labels for {count} steps")
    nearest = ((np.arange(count) + 0.5) * len(words) / count).astype(int)
    names, codes = np.unique(words[nearest], return_inverse=True)
    empty = int(names[0] == "")  # sorted, the empty word comes first
    return StepNames(tuple(names[empty:].tolist()), codes - empty)


def _check_duration(path: Path, segments: Sequence[Segment], duration_s: float) -> None:
    """Raise BadInput where segments cannot belong to a recording of this duration."""
    if not segments:
        return
    last = segments[-1]
    if last.end_s > MILLISECONDS * duration_s:
        raise BadInput(
            WRONG_SHAPE,
            f"{path.name}: a segment ends at {last.end_s:g} s, the recording at "
            f"{duration_s:g} s; if these are milliseconds, name the columns start_ms and end_ms",
        )
    if last.start_s > duration_s + SLACK_S:
        raise BadInput(
            WRONG_SHAPE,
            f"{path.name}: a segment begins at {last.start_s:g} s, after the end of the "
            f"recording ({duration_s:g} s)",
        )


def _name_segments(segments: Sequence[Segment], count: int, step_s: float) -> StepNames:
    """Labels of steps from the segments that contain their start."""
    codes, names = np.full(count, -1), dict[str, int]()
    for segment in segments:
        first, stop = (math.ceil(s / step_s - ROUNDING) for s in (segment.start_s, segment.end_s))
        if max(first, 0) < min(stop, count):
            codes[max(first, 0) : stop] = names.setdefault(segment.label, len(names))
    return StepNames(tuple(names), codes)
