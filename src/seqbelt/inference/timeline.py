"""Label long recordings with a model of clips: windows of one length, merged into segments.

Each window is resampled, encoded and normalised separately, like a clip. So a prediction depends
only on the window's samples, and memory is bounded by one batch of windows.

A model that pools the outputs of the steps (by attention, mean or maximum) is asked for a
prediction around each step: the recurrence reads the window, and the outputs of a span around the
step are pooled. Overlapping windows are averaged, with weights that fall towards their ends. So the
label of a recording gives labels in time, as in multiple-instance learning (Ilse et al. 2018,
arXiv:1802.04712). Other models classify whole windows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import soundfile

from seqbelt.errors import EMPTY, NOT_FINITE, SILENT, UNREADABLE, BadInput, SettingsError
from seqbelt.features.arrays.array_encoder import Steps
from seqbelt.features.arrays.array_features import ArrayFeatures
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import SILENCE_PEAK, Audio
from seqbelt.features.base import Source
from seqbelt.features.crash_board import Board
from seqbelt.features.encoding import Encoded, hash_content
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.engine import EngineName, ProductPrecision
from seqbelt.inference.journal import Row
from seqbelt.inference.output import write_table
from seqbelt.inference.predictor import Prediction, Predictor
from seqbelt.inference.recording_windows import open_recording, slide_windows
from seqbelt.inference.segment_merging import Timeline, TimelineSegment, merge
from seqbelt.inference.segment_output import LabelFiles
from seqbelt.models.model import LOCAL

MAX_BATCH_WINDOWS = 256
MAX_BATCH_INPUTS = 4 << 20
"""Largest number of samples or rows in a batch of windows, which bounds memory."""


Windows: TypeAlias = list[tuple[int, np.ndarray]]
"""The index of the first input and the inputs of each window."""


def pools_spans(bundle: Bundle) -> bool:
    """Whether a model can pool a part of a window."""
    return bundle.model.pooling in LOCAL and bundle.model.cell != "none"


def high_frequency_hz(bundle: Bundle) -> float:
    """Half the sample rate that a model reads; 0 where it has none."""
    features = bundle.features
    if not isinstance(features, AudioFeatures | ArrayFeatures):
        return 0.0
    return (features.sample_rate or 0) / 2


class TimelinePredictor(Predictor):
    """Classifies windows of recordings instead of complete recordings.

    The journal has each window's start and end in seconds and its probabilities, so another
    threshold, minimum duration or gap needs no new computation.

    Raises SettingsError for a model that cannot classify windows.
    """

    def __init__(
        self,
        bundle: Bundle,
        timeline: Timeline,
        engine: EngineName = "torch",
        precision: ProductPrecision = "float32",
        device: str = "auto",
        audacity: Path | None = None,
        raven: Path | None = None,
    ) -> None:
        """``audacity`` and ``raven`` are output folders for label tracks and selection tables."""
        check_timeline(bundle, timeline)
        engine = "torch" if engine == "auto" else engine  # recordings are long
        super().__init__(bundle, device, engine, precision)
        self.timeline = timeline
        self.label_files = LabelFiles(audacity, raven, high_frequency_hz(bundle))
        self.fingerprint += f"-timeline-{timeline.window_s:g}-{timeline.hop_s:g}"
        self._span: _Span | None = None
        if timeline.span_s is not None:
            self.fingerprint += f"-span-{timeline.span_s:g}"
            self._span = _Span.of(timeline.span_s, bundle)
            if engine != "torch":
                raise SettingsError(
                    f"--engine {engine}: classifies whole windows only; give --span-s "
                    f"{timeline.window_s:g}, or remove --engine"
                )

    @property
    def labels_inputs(self) -> bool:
        return False

    def share_read(self, num_steps: int) -> float:
        return 1.0

    def predict(
        self,
        sources: Iterable[tuple[int, Source]],
        is_known: Callable[[str], bool] | None = None,
        board: Board | None = None,
    ) -> Iterator[Prediction | Encoded]:
        """Classify the windows of each recording in turn."""
        for index, source in sources:
            content_hash = ""
            num_windows = 0
            try:
                content_hash = hash_content(source)
                if is_known is not None and is_known(content_hash):
                    yield Encoded(index, content_hash, None)
                    continue
                packed: np.ndarray | BadInput
                num_windows, packed = self._classify(source)
            except BadInput as error:
                packed = error
            except (soundfile.LibsndfileError, OSError) as error:
                packed = BadInput(UNREADABLE, f"{type(error).__name__}: {error}")
            yield Prediction(index, content_hash, num_windows, packed)

    def _classify(self, source: Source) -> tuple[int, np.ndarray]:
        """The number of windows, and the journal entry of ``_pack_windows`` or ``_pack_cells``."""
        rate, pieces = open_recording(self.bundle, source)
        size = max(1, round(self.timeline.window_s * rate))
        at_once = max(1, min(MAX_BATCH_WINDOWS, MAX_BATCH_INPUTS // size))
        windows = slide_windows(pieces, size, self.timeline.hop_s * rate)
        batches = iter(lambda: list(islice(windows, at_once)), [])
        if self._span is None:
            return self._pack_windows(batches, rate)
        return self._pack_cells(batches, rate, self._span)

    def _pack_windows(self, batches: Iterable[Windows], rate: float) -> tuple[int, np.ndarray]:
        """Rows ``(windows, 2 + classes)``: start and end in seconds, probabilities."""
        rows: list[np.ndarray] = []
        for batch in batches:
            number = len(rows)
            for first, window in batch:
                ends = first / rate, (first + len(window)) / rate
                rows.append(np.array([*ends, *[np.nan] * len(self.bundle.classes)]))
            indices, sequences = self._encode(batch, rate)
            if sequences:
                for index, probabilities in zip(
                    indices, self.probabilities(sequences), strict=True
                ):
                    rows[number + index][2:] = probabilities
        if not rows:
            raise BadInput(EMPTY, "the recording has no samples")
        classified = np.array(rows, np.float32)
        _refuse_silence(classified[:, 2:])
        return len(rows), classified.ravel()

    def _pack_cells(
        self, batches: Iterable[Windows], rate: float, span: "_Span"
    ) -> tuple[int, np.ndarray]:
        """The duration in seconds as the sum of two values, and probabilities ``(cells, classes)``.

        One float32 would round the time of day to milliseconds.
        """
        sums = _CellSums(len(self.bundle.classes))
        num_windows, duration_s = 0, 0.0
        for batch in batches:
            num_windows += len(batch)
            duration_s = (batch[-1][0] + len(batch[-1][1])) / rate
            indices, sequences = self._encode(batch, rate)
            for index, probabilities in zip(
                indices, self._classify_spans(sequences, span), strict=True
            ):
                steps = np.arange(len(probabilities))
                times_s = batch[index][0] / rate + (steps + 0.5) * span.step_s
                weights = np.minimum(steps + 1, len(probabilities) - steps)
                sums.add((times_s / span.cell_s).astype(int), probabilities, weights)
        if not num_windows:
            raise BadInput(EMPTY, "the recording has no samples")
        num_cells = max(1, round(duration_s / span.cell_s))
        cells = sums.means(num_cells)
        _refuse_silence(cells)
        high = np.float32(duration_s)
        header = np.array([high, duration_s - float(high)], np.float32)
        return num_windows, np.concatenate([header, cells.ravel()])

    def _encode(self, batch: Windows, rate: float) -> tuple[list[int], list[np.ndarray]]:
        """Sequences of the windows that are not silent, and their indices in the batch."""
        is_audio = isinstance(self.bundle.features, AudioFeatures)
        indices, raws = [], []
        for index, (first, window) in enumerate(batch):
            if is_audio:
                peak = np.abs(window).max()
                if not np.isfinite(peak):
                    raise BadInput(NOT_FINITE, f"NaN or infinite samples after {first / rate:g} s")
                if peak < SILENCE_PEAK:
                    continue
            indices.append(index)
            raws.append(Audio(window, int(rate)) if is_audio else Steps(window))
        return indices, self.encoder.encode(raws) if raws else []

    def _classify_spans(self, sequences: list[np.ndarray], span: "_Span") -> list[np.ndarray]:
        """Probabilities ``(steps after the stem, classes)`` of each sequence."""
        probabilities: list[np.ndarray] = [np.empty(0)] * len(sequences)
        compute = partial(self.network.classify_spans, num_steps=span.num_steps)
        for indices, logits in self.torch_engine.in_batches(sequences, compute):
            for index, row in zip(indices, logits, strict=True):
                num_steps = -(-len(sequences[index]) // self.network.reduction)
                probabilities[index] = self.bundle.probabilities(row[:num_steps])
        return probabilities

    def segments(self, packed: np.ndarray) -> list[TimelineSegment]:
        """The segments of a journal entry."""
        if self._span is not None:
            duration_s = float(packed[0]) + float(packed[1])
            cells = packed[2:].reshape(-1, len(self.bundle.classes)).astype(np.float64)
            edges = self._span.cell_s * np.arange(len(cells) + 1)
            edges[-1] = duration_s
            return merge(edges, cells, self.timeline, self.bundle.decision)
        rows = packed.reshape(-1, 2 + len(self.bundle.classes)).astype(np.float64)
        centres = rows[:, :2].mean(axis=1)
        inner = (centres[1:] + centres[:-1]) / 2
        edges = np.concatenate([rows[:1, 0], inner, rows[-1:, 1]])
        return merge(edges, rows[:, 2:], self.timeline, self.bundle.decision)

    def write(
        self,
        path: Path,
        rows: Iterable[Row],
        key: str,
        model: str,
        byte_order_mark: bool = False,
        max_num_steps: int = 0,
        kept: Sequence[str] = (),
        rejects: bool = False,
    ) -> None:
        """Write one row per segment, and one with the error for an input that cannot be read."""
        names = ("start_s", "end_s")
        schema = pa.schema(
            [
                (key, pa.string()),
                *((name, pa.float64()) for name in names),
                ("label", pa.string()),
                ("confidence", pa.float32()),
                ("error", pa.string()),
                ("content_hash", pa.string()),
                ("model", pa.string()),
            ]
        )
        write_table(path, schema, self._tables(rows, key, model, schema), byte_order_mark)

    def _tables(
        self, rows: Iterable[Row], key: str, model: str, schema: pa.Schema
    ) -> Iterator[pa.Table]:
        for row in rows:
            about = {key: row.name, "content_hash": row.content_hash, "model": model}
            if row.error is not None or row.probabilities is None:
                yield pa.Table.from_pylist([about | {"error": row.error}], schema)
                continue
            records = [
                {
                    "start_s": round(segment.start_s, 3),
                    "end_s": round(segment.end_s, 3),
                    "label": self.bundle.classes[segment.label],
                    "confidence": segment.confidence,
                }
                for segment in self.segments(row.probabilities)
            ]
            self.label_files.write(row.name, records)
            if records:
                yield pa.Table.from_pylist([about | segment for segment in records], schema)


class _Span(NamedTuple):
    """How predictions within a window are placed."""

    num_steps: int
    """Outputs that are pooled for one prediction; odd."""
    step_s: float
    """Time between two outputs of the recurrence."""
    cell_s: float
    """Time over which predictions are averaged: a sixteenth of a span, at least one step."""

    @classmethod
    def of(cls, span_s: float, bundle: Bundle) -> "_Span":
        step_s = (bundle.features.step_s() or 1.0) * bundle.network.reduction
        num_steps = max(1, round(span_s / step_s)) // 2 * 2 + 1
        return cls(num_steps, step_s, step_s * max(1, round(num_steps / 16)))


class _CellSums:
    """Weighted sums of predictions for cells of equal duration, which grow with the recording."""

    def __init__(self, num_classes: int) -> None:
        self._totals = np.zeros((1024, num_classes), np.float64)
        self._weights = np.zeros(1024, np.float64)

    def add(self, cells: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> None:
        """Add predictions ``(steps, classes)`` to their cells; ``cells`` are indices that rise."""
        while cells[-1] >= len(self._weights):
            self._totals = np.concatenate([self._totals, np.zeros_like(self._totals)])
            self._weights = np.concatenate([self._weights, np.zeros_like(self._weights)])
        np.add.at(self._totals, cells, weights[:, None] * probabilities)
        np.add.at(self._weights, cells, weights)

    def means(self, num_cells: int) -> np.ndarray:
        """Float32 ``(num_cells, classes)``; NaN without a prediction."""
        shape = (max(0, num_cells - len(self._weights)), self._totals.shape[1])
        totals = np.concatenate([self._totals[:num_cells], np.zeros(shape)])
        weights = np.concatenate([self._weights[:num_cells], np.zeros(shape[0])])
        with np.errstate(invalid="ignore"):
            return (totals / weights[:, None]).astype(np.float32)


def _refuse_silence(probabilities: np.ndarray) -> None:
    if np.isnan(probabilities).all():
        raise BadInput(SILENT, "no sample of the recording is loud enough")


def check_timeline(bundle: Bundle, timeline: Timeline) -> None:
    """Raise SettingsError if a model cannot classify such windows."""
    features, model = bundle.features, bundle.model
    if bundle.model.labels_steps:
        raise SettingsError(
            "--timeline: this model labels every step; run 'predict' without --timeline to "
            "get segments"
        )
    if not isinstance(features, AudioFeatures):
        if not isinstance(features, ArrayFeatures):
            kind = features.to_dict()["kind"]
            raise SettingsError(f"--timeline: needs audio or channels, not features of kind {kind}")
        if features.sample_rate is None:
            raise SettingsError(
                "--timeline: the steps have no time; train with features.source_rate_hz"
            )
    if timeline.span_s is not None and not pools_spans(bundle):
        raise SettingsError(
            f"--span-s {timeline.span_s:g}: the model pools the {model.pooling} of complete "
            f"windows; give --span-s {timeline.window_s:g}"
        )
    if timeline.hop_s > timeline.window_s:
        raise SettingsError(
            f"--hop-s {timeline.hop_s:g}: leaves gaps between windows of {timeline.window_s:g} s; "
            "give at most that"
        )
    step_s = features.step_s()
    if model.max_steps is not None and not model.cropping.uses_windows and step_s is not None:
        longest_s = model.max_steps * step_s
        if timeline.window_s > longest_s + step_s:
            raise SettingsError(
                f"--window-s {timeline.window_s:g}: the model reads at most {longest_s:g} s "
                f"(model.crop_steps: {model.max_steps}); give at most that"
            )
