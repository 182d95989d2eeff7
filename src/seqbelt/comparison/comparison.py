"""The ``comparison`` section: cells trained with several seeds, and the conclusion from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from seqbelt.comparison.baselines.baseline import BaselineResult
from seqbelt.comparison.baselines.remarks import Remarks, remarks
from seqbelt.comparison.looks import SCHEDULE, Looks
from seqbelt.comparison.metrics import (
    ACCURACY,
    MACRO_F1,
    NAMES,
    ORDERED_NAMES,
    RECALL,
    SEVERAL_NAMES,
    Metric,
    RunPredictions,
    Scored,
    Unit,
    are_skewed,
    score_cells,
)
from seqbelt.comparison.protocol import Protocol
from seqbelt.comparison.statistics import (
    Estimate,
    detectable_difference,
    mean_interval,
    score_interval,
)
from seqbelt.comparison.variants import Variant, label
from seqbelt.comparison.verdict import Verdict, in_order
from seqbelt.comparison.verdict_rule import VerdictRule
from seqbelt.data.audit import leak_sentence
from seqbelt.markdown import markdown_table
from seqbelt.settings import Seed
from seqbelt.texts import Text, join, text
from seqbelt.words import percent

POWER, DISAGREEMENT, SEED_SPREAD, GROUP_CORRELATION = 0.8, 0.1, 0.01, 0.1
"""What is assumed before training: with which probability a difference is to be found; the fraction
of test examples that only one of two cells gets right; standard deviation of accuracy between
seeds; correlation of correctness within a group."""


class Comparison(VerdictRule):
    """Each cell is trained with each seed on the same batches in the same order."""

    cells: Annotated[tuple[Variant, ...], Field(min_length=1)] = ("lstm", "rnn", "rnn_relu")
    """Cells to compare; the first is the one that the verdict is about. ``rnn_relu`` is the RNN
    with ReLU that starts as the identity; ``rnn`` is as ``model`` has it."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """Seeds of each cell."""
    protocol: Protocol = "as_given"
    """What is held equal: the settings; the trainable parameters or the operations a step, for
    which each cell's hidden size is solved; or the care, for which each cell's settings are
    searched with the same number of trials, as ``tuning`` has it."""
    num_trials: Annotated[int, Field(ge=1)] | None = None
    """Trials of each cell under equal_tuning; null takes those of ``tuning``."""
    num_workers: Annotated[int, Field(ge=1)] = 1
    """Models that are trained at a time, in processes that share the CPU's threads."""
    metric: str = "accuracy"
    """What the verdict is about: accuracy, macro_f1, balanced_accuracy, log_loss (its margin in
    nats), ``recall:LABEL`` (of one class), of ordered classes (data.order) mean_absolute_error
    (its margin in classes) or quadratic_kappa, of several labels mean_average_precision or
    micro_f1, or, of labelled steps, segmental_f1 (at an overlap
    of 50 %). Where classes are skewed, accuracy is judged beside macro_f1."""
    max_seeds: Annotated[int, Field(ge=2)] = SCHEDULE[-1]
    """Seeds of a cell at the last look: a comparison that is extended with seeds is tested the more
    strictly at each look, so that all looks up to this one together claim falsely in at most one
    less ``confidence``. As many as ``seeds`` has: all is decided at one look."""
    controls: bool = True
    """Whether what needs no recurrence is fitted and scored beside the cells."""

    ensemble: bool = False
    """Register the average of the chosen cell's networks over all seeds, and not one of them: more
    accurate as a rule, and each prediction computes as many networks. The verdict stays that of
    the single networks."""

    @model_validator(mode="after")
    def _ensemble_needs_seeds(self) -> Self:
        if self.ensemble and len(self.seeds) < 2:
            raise ValueError(
                f"ensemble: true averages over seeds, but seeds has {len(self.seeds)}; give two "
                "seeds or more, or set ensemble: false"
            )
        return self

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, name: str) -> str:
        is_recall = name.startswith(RECALL) and name != RECALL
        known = (*NAMES, *ORDERED_NAMES, *SEVERAL_NAMES)
        if name not in known and not is_recall:
            raise ValueError(f"'{name}' is not a metric; known: {', '.join(known)}, {RECALL}LABEL")
        return name

    @field_validator("cells", "seeds")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("each may be named once")
        return values

    def conclude(
        self,
        runs: Mapping[str, Sequence["RunResult"]],
        classes: Sequence[str],
        groups: np.ndarray | None = None,
        controls: Sequence[BaselineResult] = (),
        remedies: Mapping[str, str] | None = None,
        unit: Unit = "group",
        scope: str = "",
        looks: Looks | None = None,
        beside: Sequence[Metric] = (),
    ) -> "Conclusion":
        """Summarise the finished runs of each cell, and what the controls say of the best.

        ``classes`` are the labels of the class indices. ``remedies`` has a sentence for each cell:
        what to try where it has not learned the task. ``groups``, ``unit`` and ``looks`` are as for
        ``judge``; ``beside`` are metrics that are estimated besides the chosen one, accuracy and
        macro-F1; ``scope`` is a sentence about what the test rows cannot show. Raises
        SettingsError where ``metric`` does not fit the data.
        """
        predictions = {
            cell: [run.predictions for run in cell_runs] for cell, cell_runs in runs.items()
        }
        chosen = Metric(self.metric)
        labels = next(iter(predictions.values()))[0].labels
        unit = "row" if groups is None else unit
        scored = {
            metric: score_cells(metric, predictions, classes, groups, unit)
            for metric in dict.fromkeys([chosen, ACCURACY, MACRO_F1, *beside])
        }
        judged = [chosen]
        is_several = labels.ndim == 2
        if chosen == ACCURACY and not is_several and are_skewed(labels, len(classes)):
            judged.append(MACRO_F1)
        verdicts = list[Verdict]()
        if len(runs) > 1:
            unordered = self.judge_scores([scored[metric] for metric in judged], looks=looks)
            for metric in judged:
                verdicts += in_order([verdict for verdict in unordered if verdict.metric == metric])
        correct = scored[ACCURACY].cells
        best = max(correct, key=lambda cell: correct[cell].mean())
        remedy = (remedies or {}).get(best, "")
        comments = remarks(self, best, correct[best], controls, groups, remedy)
        estimates = {metric: self._estimates(scores) for metric, scores in scored.items()}
        return Conclusion(
            runs, verdicts, self.confidence, controls, comments, scope, estimates, chosen
        )

    def _estimates(self, scored: Scored) -> dict[str, Estimate]:
        is_fraction = scored.metric.is_fraction
        return {
            cell: score_interval(scores, self.confidence, scored.groups, is_fraction)
            for cell, scores in scored.cells.items()
        }

    def detectable(self, looks: Looks, num_examples: int, num_groups: int | None = None) -> Text:
        """A sentence, before anything is trained: which difference in accuracy seeds and test
        examples (of ``num_groups`` groups that are not trained on) can show."""
        least = detectable_difference(
            looks.num_seeds,
            num_examples,
            num_groups,
            level=looks.level(1 - self.confidence),
            power=POWER,
            disagreement=DISAGREEMENT,
            seed_spread=SEED_SPREAD,
            group_correlation=GROUP_CORRELATION,
        )
        rows = text("row_of" if num_examples == 1 else "rows_of", count=num_examples)
        spread = f"{100 * SEED_SPREAD:g}"
        assumed = text("assumed", share=percent(DISAGREEMENT, 0), spread=spread)
        if num_groups is not None:
            key = "rows_of_one_group" if num_groups == 1 else "rows_of_groups"
            rows = text(key, rows=rows, count=num_groups)
            correlation = f"{GROUP_CORRELATION:g}"
            assumed = text("assumed_groups", assumed=assumed, correlation=correlation)
        if np.isnan(least):
            return text("shows_nothing_new" if num_groups == 1 else "shows_nothing", rows=rows)
        facts = {
            "seeds": looks.num_seeds,
            "rows": rows,
            "power": percent(POWER, 0),
            "look": looks.words,
            "assumed": assumed,
        }
        if least >= 1:
            remedy = text("more_rows" if num_groups is None else "more_groups")
            return text("shows_none", remedy=remedy, **facts)
        what = text("shows_points", value=f"{100 * least:.1f}")
        margin = f"{100 * self.margin:g}"
        aim = text("aim_not" if least > self.margin else "aim_so", margin=margin)
        return text("shows", what=what, aim=aim, **facts)


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
