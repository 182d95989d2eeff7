"""Results of one model with labels for steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import numpy as np
import pandas as pd

from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sequences import Sequences
from seqbelt.evaluation.calibration import fit_temperature
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.segment_scores import SegmentScores, score_segments
from seqbelt.evaluation.several_report import SeveralReport, choose_thresholds
from seqbelt.inference.segment_smoothing import smooth_classes
from seqbelt.models.ensemble import Network
from seqbelt.training.scoring import predict_logits


def report_on(
    network: Network,
    parts: Mapping[str, Sequences],
    min_steps: int = 1,
    temperature: float = 1.0,
    thresholds: np.ndarray | None = None,
) -> dict[str, Report]:
    """Reports on the parts that have rows, calibrated on the validation rows if there are any, or
    else by ``temperature``; the same holds of the ``thresholds`` ``(classes,)`` of several labels.

    ``min_steps`` is the shortest segment of a model that labels steps.
    """
    device = next(network.parameters()).device
    logits = {
        name: predict_logits(network, part, device) for name, part in parts.items() if len(part)
    }
    if "validation" in logits:
        rows = parts["validation"]
        target = rows.store.target
        labels = target.labels(rows)
        temperature = fit_temperature(logits["validation"], labels)
        if target.is_several:
            scaled = logits["validation"].astype(np.float64) / temperature
            thresholds = choose_thresholds(target.probabilities(scaled), labels)
    reports: dict[str, Report] = {}
    for name, part_logits in logits.items():
        part = parts[name]
        if network.labels_steps:
            reports[name] = StepReport(part, part_logits, temperature, min_steps=min_steps)
        elif part.store.target.is_several:
            reports[name] = SeveralReport(part, part_logits, temperature, thresholds)
        else:
            reports[name] = Report(part, part_logits, temperature)
    return reports


@dataclass(frozen=True)
class StepReport(Report):
    """Predictions at labelled steps: ``logits`` ``(labelled steps, classes)``.

    Scores of steps are those of the likeliest classes, scores of segments those of the segments
    that ``predict`` writes.
    """

    min_steps: int = 1
    """Shorter segments are absorbed by their neighbours."""

    @cached_property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        return self.sequences.store.target.labels(self.sequences)

    @cached_property
    def sequence_index(self) -> np.ndarray:
        """Index of the recording of each step."""
        return self.sequences.store.target.sequence_index(self.sequences)

    @property
    def groups(self) -> list[str]:
        return self._of_steps("group")

    @property
    def units(self) -> list[str]:
        return self._of_steps("id")

    def recordings(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each recording's true and predicted class indices ``(steps,)``; unlabelled steps are
        ``UNLABELLED`` in both."""
        counts = np.bincount(self.sequence_index, minlength=len(self.sequences))
        logits = np.split(self.logits, np.cumsum(counts)[:-1])
        for index, labelled in enumerate(logits):
            true = self.sequences.step_labels(index)
            predicted = np.full(len(true), UNLABELLED)
            predicted[true != UNLABELLED] = smooth_classes(labelled, self.min_steps)
            yield true, predicted

    @cached_property
    def segments(self) -> SegmentScores:
        """Segment scores over all recordings."""
        return reduce(add, self.segments_of_recordings)

    @cached_property
    def segments_of_recordings(self) -> list[SegmentScores]:
        """Segment scores of each recording."""
        return [score_segments(true, predicted) for true, predicted in self.recordings()]

    def to_dict(self) -> dict[str, float]:
        return super().to_dict() | self.segments.to_dict()

    @classmethod
    def merged_dict(cls, reports: Sequence[Report]) -> dict[str, float]:
        segments = [report.segments for report in reports if isinstance(report, StepReport)]
        return super().merged_dict(reports) | reduce(add, segments).to_dict()

    def worst_errors(self, count: int = 50) -> pd.DataFrame:
        """The recordings with the lowest accuracy over steps."""
        totals = np.bincount(self.sequence_index, minlength=len(self.sequences))
        right = np.bincount(self.sequence_index, self.correct, minlength=len(self.sequences))
        accuracy = right / np.maximum(totals, 1)
        worst = np.argsort(accuracy, kind="stable")[:count]
        return pd.DataFrame(
            {
                "id": self.sequences.take(worst).column("id"),
                "accuracy": accuracy[worst],
                "num_labelled": totals[worst],
                "num_steps": self.sequences.lengths[worst],
            }
        )

    def _of_steps(self, column: str) -> list[str]:
        return np.array(self.sequences.column(column), dtype=object)[self.sequence_index].tolist()
