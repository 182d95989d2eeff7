"""The ``comparison`` section: cells trained with several seeds, and the conclusion from them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from seqbelt.comparison.baselines.baseline import BaselineResult
from seqbelt.comparison.baselines.remarks import remarks
from seqbelt.comparison.conclusion_page import Conclusion, RunResult
from seqbelt.comparison.looks import SCHEDULE, Looks
from seqbelt.comparison.metric_scores import are_skewed, score_cells
from seqbelt.comparison.metrics import (
    ACCURACY,
    MACRO_F1,
    NAMES,
    ORDERED_NAMES,
    RECALL,
    SEVERAL_NAMES,
    Metric,
    Scored,
    Unit,
)
from seqbelt.comparison.protocol import Protocol
from seqbelt.comparison.statistics import Estimate, detectable_difference, score_interval
from seqbelt.comparison.variants import Variant
from seqbelt.comparison.verdict import Verdict, in_order
from seqbelt.comparison.verdict_rule import VerdictRule
from seqbelt.settings import Seed
from seqbelt.texts import Text, text
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
    def _no_repeats(cls, values: tuple[object, ...]) -> tuple[object, ...]:
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
