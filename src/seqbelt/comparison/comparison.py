"""The ``comparison`` section: cells over seeds under one protocol, and what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from seqbelt.comparison.baselines.baseline import BaselineResult
from seqbelt.comparison.baselines.remarks import Remarks, remarks
from seqbelt.comparison.protocol import Protocol
from seqbelt.comparison.statistics import mean_interval
from seqbelt.comparison.variants import Variant, label
from seqbelt.comparison.verdict import Unit, Verdict, VerdictRule, in_order
from seqbelt.settings import Seed


class Comparison(VerdictRule):
    """Each cell is trained with each seed on the same batches in the same order."""

    cells: Annotated[tuple[Variant, ...], Field(min_length=1)] = ("lstm", "rnn")
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

    @field_validator("cells", "seeds")
    @classmethod
    def _no_repeats(cls, values: tuple) -> tuple:
        if len(set(values)) < len(values):
            raise ValueError("each may be named once")
        return values

    def conclude(
        self,
        runs: Mapping[str, Sequence["RunResult"]],
        groups: np.ndarray | None = None,
        controls: Sequence[BaselineResult] = (),
        remedies: Mapping[str, str] | None = None,
        unit: Unit = "group",
        scope: str = "",
    ) -> "Conclusion":
        """Summarise the finished runs of each cell, and what the controls say of the best.

        ``remedies`` has a sentence for each cell: what to try where it has not learned the task.
        ``groups`` and ``unit`` are as for ``judge``; ``scope`` is a sentence about what the test
        rows cannot show.
        """
        correct = {cell: np.stack([run.correct for run in of]) for cell, of in runs.items()}
        verdicts = in_order(self.judge(correct, groups, unit=unit)) if len(runs) > 1 else []
        best = max(correct, key=lambda cell: correct[cell].mean())
        remedy = (remedies or {}).get(best, "")
        said = remarks(self, best, correct[best], controls, groups, remedy)
        return Conclusion(runs, verdicts, self.confidence, controls, said, scope)


@dataclass(frozen=True)
class RunResult:
    """What one cell with one seed brings to the comparison: one run, or one run per fold."""

    run_ids: tuple[str, ...]
    seed: int
    correct: np.ndarray
    """Whether each test example was answered rightly, bool ``(examples,)``."""
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

    @property
    def verdict(self) -> Verdict | None:
        """The first of the verdicts."""
        return self.verdicts[0] if self.verdicts else None

    def cells(self) -> dict[str, dict[str, Any]]:
        """For each cell: mean and interval of its test scores over seeds, and its runs."""
        return {cell: self._cell(of) for cell, of in self.runs.items()}

    def _cell(self, of: Sequence[RunResult]) -> dict[str, Any]:
        return {
            "test_accuracy": self._estimate([run.test["accuracy"] for run in of]),
            "test_macro_f1": self._estimate([run.test["macro_f1"] for run in of]),
            **{
                f"test_{name}": self._estimate([run.test[name] for run in of])
                for name in of[0].test
                if name.startswith("segment_")
            },
            "accuracies": [run.test["accuracy"] for run in of],
            "num_parameters": of[0].num_parameters,
            "epochs": float(np.mean([run.epochs for run in of])),
            "train_s": float(np.mean([run.train_s for run in of])),
            "runs": [run_id for run in of for run_id in run.run_ids],
        }

    def _estimate(self, values: Sequence[float]) -> dict[str, float | None]:
        found = mean_interval(np.array(values), self.confidence)
        # An accuracy cannot leave 0..1, whatever Student's interval says.
        low, high = (float(np.clip(bound, 0, 1)) for bound in (found.low, found.high))
        known = len(values) > 1
        return {
            "mean": float(found.value),
            "low": low if known else None,
            "high": high if known else None,
        }

    @property
    def sentence(self) -> str:
        """The verdict in words; first, where it is so, that the best cell has not learned."""
        verdict = self.verdict.sentence if self.verdict else "One cell: nothing to compare."
        others = "; ".join(one.short for one in self.verdicts[1:])
        pairs = f"Other pairs: {others}." if others else ""
        parts = [self.remarks.warning, verdict, pairs, self.scope, self.remarks.caveat]
        return " ".join(filter(None, parts))

    @property
    def headline(self) -> str:
        """The verdict in about twenty characters: what fits into a list of runs."""
        verdict = self.verdict
        if verdict is None:
            return "one cell only"
        a, b = label(verdict.cell), label(verdict.other)
        sign = {"better": ">", "worse": "<", "equivalent": "≈", "undecided": "?"}[verdict.word]
        return f"{a} {sign} {b}: {100 * verdict.difference:+.1f} pts"

    def markdown(self) -> str:
        """Verdict and table in Markdown."""
        lines = [
            f"**{self.sentence}**",
            "",
            f"| cell | test accuracy | {self.confidence:.0%} interval | macro-F1 | parameters "
            "| epochs | seconds |",
            "|---|---|---|---|---|---|---|",
        ]
        for cell, found in self.cells().items():
            accuracy = found["test_accuracy"]
            interval = (
                "one seed"
                if accuracy["low"] is None
                else f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f} %"
            )
            lines.append(
                f"| {label(cell)} | {100 * accuracy['mean']:.2f} % | {interval} "
                f"| {100 * found['test_macro_f1']['mean']:.2f} % | {found['num_parameters']:,} "
                f"| {found['epochs']:.1f} | {found['train_s']:.1f} |"
            )
        more = [*self._pairs_markdown(), *self._segments_markdown(), *self._controls_markdown()]
        return "\n".join([*lines, *more])

    def _pairs_markdown(self) -> list[str]:
        """A row for each pair, where there are several."""
        if len(self.verdicts) < 2:
            return []
        lines = [
            "",
            "| pair | verdict | difference, points | interval | p, Holm |",
            "|---" * 5 + "|",
        ]
        for one in self.verdicts:
            known = one.to_dict()["low"] is not None
            interval = f"{100 * one.low:+.1f} to {100 * one.high:+.1f}" if known else "one seed"
            lines.append(
                f"| {label(one.cell)} against {label(one.other)} | {one.word} "
                f"| {100 * one.difference:+.1f} | {interval} | {one.p_value:.3f} |"
            )
        return lines

    def _segments_markdown(self) -> list[str]:
        """Scores of segments, where steps are labelled."""
        cells = self.cells()
        names = [name for name in next(iter(cells.values())) if name.startswith("test_segment_")]
        if not names:
            return []
        titles = [name.removeprefix("test_segment_").replace("f1_", "F1@") for name in names]
        lines = ["", f"| segments | {' | '.join(titles)} |", "|---" * (len(names) + 1) + "|"]
        for cell, found in cells.items():
            means = " | ".join(f"{100 * found[name]['mean']:.1f} %" for name in names)
            lines.append(f"| {label(cell)} | {means} |")
        return lines

    def _controls_markdown(self) -> list[str]:
        if not self.controls:
            return []
        lines = ["", "| control | test accuracy | macro-F1 | seconds | order | reads |"]
        lines.append("|---|---|---|---|---|---|")
        for found in self.controls:
            accuracy, macro_f1 = found.test_accuracy, found.macro_f1
            scores = "not computed |"
            if accuracy is not None and macro_f1 is not None:
                scores = f"{100 * accuracy:.2f} % | {100 * macro_f1:.2f} %"
            description = (
                found.baseline.description if found.error is None else _cell_text(found.error)
            )
            order = "known" if found.baseline.uses_order else "unknown"
            lines.append(
                f"| {found.baseline.name} | {scores} | {found.seconds:.1f} | {order} "
                f"| {description} |"
            )
        return lines


def _cell_text(text: str) -> str:
    """Text that a cell of a Markdown table can hold."""
    return text.replace("|", "/")
