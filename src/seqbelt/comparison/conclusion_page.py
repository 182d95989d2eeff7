"""The conclusion of a comparison: as values, a sentence, and a page of Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqbelt.comparison.baselines.baseline import BaselineResult
from seqbelt.comparison.baselines.remarks import Remarks
from seqbelt.comparison.metrics import (
    ACCURACY,
    MACRO_F1,
    Metric,
    RunPredictions,
)
from seqbelt.comparison.statistics import (
    Estimate,
    mean_interval,
)
from seqbelt.comparison.variants import label
from seqbelt.comparison.verdict import Verdict
from seqbelt.data.audit import leak_sentence
from seqbelt.markdown import markdown_table
from seqbelt.texts import Text, join, text
from seqbelt.words import percent


@dataclass(frozen=True)
class RunResult:
    """Test results of one cell with one seed: of one run, or of one run per fold."""

    run_ids: tuple[str, ...]
    seed: int
    predictions: RunPredictions
    """To the test examples; with folds, of all folds in their order."""
    test: Mapping[str, float]
    """Test scores; with folds, of all folds' test rows together."""
    num_parameters: int
    epochs: float
    train_s: float


@dataclass(frozen=True)
class Conclusion:
    """The comparison's table and verdict, for a page, a terminal and a program."""

    runs: Mapping[str, Sequence[RunResult]]
    verdicts: Sequence[Verdict]
    """Of every pair of cells, LSTM against RNN first; empty with one cell."""
    confidence: float
    controls: Sequence[BaselineResult] = ()
    remarks: Remarks = field(default_factory=Remarks)
    """How the best cell compares with the baselines."""
    scope: str = ""
    """What the test rows cannot show; empty where nothing needs saying."""
    estimates: Mapping[Metric, Mapping[str, Estimate]] = field(default_factory=dict)
    """Of each metric and cell: mean with its interval over new seeds and new test units."""
    metric: Metric = ACCURACY
    """What the first verdict is about."""
    leaks: tuple[str, ...] = ()
    """Sentences on test rows that are in the training rows too."""

    @property
    def verdict(self) -> Verdict | None:
        """The first of the verdicts."""
        return self.verdicts[0] if self.verdicts else None

    def verdicts_as_dicts(self) -> list[dict[str, Any]]:
        """The verdicts as JSON-serialisable values, each with the leaks in the data."""
        return [verdict.to_dict() | {"leaks": [*self.leaks]} for verdict in self.verdicts]

    def cells(self) -> dict[str, dict[str, Any]]:
        """For each cell: mean and interval of its test scores, and its runs.

        Intervals are over new seeds and new test examples (or groups); those of segments' scores
        are over seeds on these test examples.
        """
        return {cell: self._cell(cell, of) for cell, of in self.runs.items()}

    def _cell(self, cell: str, of: Sequence[RunResult]) -> dict[str, Any]:
        return {
            **{
                f"test_{metric.name}": _to_dict(estimates[cell])
                for metric, estimates in self.estimates.items()
            },
            **{
                f"test_{name}": _to_dict(
                    mean_interval(np.array([run.test[name] for run in of]), self.confidence)
                )
                for name in of[0].test
                if name.startswith("segment_")
            },
            "accuracies": [run.test["accuracy"] for run in of],
            "num_parameters": of[0].num_parameters,
            "epochs": float(np.mean([run.epochs for run in of])),
            "train_s": float(np.mean([run.train_s for run in of])),
            "runs": [run_id for run in of for run_id in run.run_ids],
        }

    @property
    def sentence(self) -> Text:
        """The verdict in words; first, where it is so, that the best cell has not learned."""
        return join(self._sentences())

    def _sentences(self) -> list[str]:
        verdict = self.verdict.sentence if self.verdict else text("one_cell")
        same = [verdict for verdict in self.verdicts[1:] if verdict.metric == self.metric]
        others = join((verdict.short for verdict in same), "; ")
        pairs = text("other_pairs", pairs=others) if others else ""
        beside = next((verdict for verdict in self.verdicts if verdict.metric != self.metric), None)
        skewed = text("skewed", verdict=beside.sentence) if beside else ""
        parts = [self.remarks.warning, verdict, self.leak_sentence, pairs, skewed, self.scope]
        return [*parts, self.remarks.inputs, self.remarks.caveat]

    @property
    def leak_sentence(self) -> str:
        """That test scores are too high, and why; empty without leaks."""
        return leak_sentence(self.leaks)

    @property
    def headline(self) -> str:
        """The verdict in about twenty characters: what fits into a list of runs."""
        verdict = self.verdict
        if verdict is None:
            return "one cell only"
        a, b = label(verdict.cell), label(verdict.other)
        sign = {"better": ">", "worse": "<", "equivalent": "≈", "undecided": "?"}[verdict.word]
        difference = verdict.metric.difference(verdict.difference).replace("points", "pts")
        return f"{a} {sign} {b}: {difference}"

    def markdown(self) -> Text:
        """Verdict and table in Markdown."""
        names = [metric for metric in self.estimates if metric not in (ACCURACY, MACRO_F1)]
        shown = [*names, ACCURACY, MACRO_F1]
        header = [text("cell_column")]
        for metric in shown:
            header.append(text("test_accuracy_column") if metric == ACCURACY else metric.label)
        header += [text(key) for key in ("parameters", "epochs_column", "seconds_column")]
        rows = []
        for cell, numbers in self.cells().items():
            row = [label(cell)]
            for metric in shown:
                row.append(_shown(metric, self.estimates[metric][cell]))
            row += [f"{numbers['num_parameters']:,}", f"{numbers['epochs']:.1f}"]
            rows.append([*row, f"{numbers['train_s']:.1f}"])
        accuracies = [
            join([label(cell), ACCURACY.value(numbers["test_accuracy"]["mean"])])
            for cell, numbers in self.cells().items()
        ]
        # The list of MLflow's page shows the first characters, and no Markdown.
        parts = [
            text("accuracies_line", accuracies=join(accuracies, ", ")),
            *self._sentences(),
            markdown_table(header, rows),
            text("intervals_note", confidence=percent(self.confidence, 0)),
            self._pairs_markdown(),
            self._segments_markdown(),
            self._controls_markdown(),
        ]
        return join(parts, "\n\n")

    def _pairs_markdown(self) -> str:
        """A row for each pair, where there are several."""
        if len(self.verdicts) < 2:
            return ""
        header = [
            text(key)
            for key in (
                "pair_column", "metric_column", "verdict_column", "difference_column",
                "interval_column", "p_value", "chances_column",
            )
        ]  # fmt: skip
        rows = []
        for verdict in self.verdicts:
            known = verdict.to_dict()["low"] is not None
            low, high = map(verdict.metric.signed, (verdict.low, verdict.high))
            chances = join((percent(chance, 0) for chance in verdict.probabilities or ()), ", ")
            rows.append(
                (
                    text("pair", cell=label(verdict.cell), other=label(verdict.other)),
                    verdict.metric.label,
                    text(f"word_{verdict.word}"),
                    verdict.metric.difference(verdict.difference),
                    text("from_to", low=low, high=high) if known else text("one_seed"),
                    f"{verdict.p_value:.3f}",
                    chances or text("one_seed"),
                )
            )
        return markdown_table(header, rows)

    def _segments_markdown(self) -> str:
        """Scores of segments, where steps are labelled."""
        cells = self.cells()
        names = [name for name in next(iter(cells.values())) if name.startswith("test_segment_")]
        if not names:
            return ""
        titles = [
            text("segment_edit") if name.endswith("edit") else f"F1@{name.rpartition('_')[2]}"
            for name in names
        ]
        rows = [
            [label(cell), *(percent(scores[name]["mean"]) for name in names)]
            for cell, scores in cells.items()
        ]
        return markdown_table([text("segments_column"), *titles], rows)

    def _controls_markdown(self) -> str:
        if not self.controls:
            return ""
        rows = []
        for control in self.controls:
            accuracy, macro_f1 = control.test_accuracy, control.macro_f1
            scores = (text("not_computed"), "")
            if accuracy is not None and macro_f1 is not None:
                scores = (percent(accuracy, 2), percent(macro_f1, 2))
            order = text(f"order_{'known' if control.baseline.uses_order else 'unknown'}")
            reads = control.error or control.baseline.description
            rows.append((control.baseline.name, *scores, f"{control.seconds:.1f}", order, reads))
        header = [
            text(key)
            for key in (
                "control_column", "test_accuracy_column", "metric_macro_f1", "seconds_column",
                "order_column", "reads_column",
            )
        ]  # fmt: skip
        return markdown_table(header, rows)


def _to_dict(estimate: Estimate) -> dict[str, float | None]:
    known = not np.isnan(estimate.low)
    return {
        "mean": float(estimate.value),
        "low": float(estimate.low) if known else None,
        "high": float(estimate.high) if known else None,
    }


def _shown(metric: Metric, estimate: Estimate) -> Text:
    """Mean and interval."""
    value = percent(estimate.value, 2) if metric.is_fraction else metric.value(estimate.value)
    interval = text("one_seed")
    if not np.isnan(estimate.low):
        low, high = f"{estimate.low:.3f}", f"{estimate.high:.3f}"
        if metric.is_fraction:
            low, high = f"{100 * estimate.low:.1f}", percent(estimate.high)
        interval = text("from_to", low=low, high=high)
    return text("with_interval", value=value, interval=interval)
