"""Sentences that compare the best cell with the baselines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqbelt.comparison.baselines.baseline import NO_RECURRENCE, Baseline, BaselineResult
from seqbelt.comparison.metrics import ACCURACY
from seqbelt.comparison.variants import in_sentence, label
from seqbelt.comparison.verdict import Verdict
from seqbelt.comparison.verdict_rule import VerdictRule
from seqbelt.texts import Text, join, text
from seqbelt.words import percent


@dataclass(frozen=True)
class Remarks:
    """Sentences around the verdict between cells."""

    warning: str = ""
    """First sentence: the best cell does not beat a baseline that does not use order."""
    caveat: str = ""
    """Last sentences: the gain over the same network without recurrence, and the best baseline
    that the best cell does not reliably beat."""
    inputs: str = ""
    """Sentence on what each of several inputs reaches alone."""


_GRAVEST = {"majority": 0, "length": 1}


@dataclass(frozen=True)
class _Judged:
    """A baseline and the best cell's verdict against it."""

    baseline: Baseline
    verdict: Verdict

    @property
    def is_beaten(self) -> bool:
        return self.verdict.word == "better"

    @property
    def is_as_good(self) -> bool:
        """Whether the baseline is shown not to be worse than the cell by the margin or more."""
        return self.verdict.word == "equivalent" or self.verdict.high < self.verdict.margin

    @property
    def gravity(self) -> int:
        """Rank, gravest first: majority class, length, no order, order."""
        return _GRAVEST.get(self.baseline.key, 3 if self.baseline.uses_order else 2)

    @property
    def is_ahead(self) -> bool:
        """Whether it is more accurate than the best cell: reliably, or undecided and ahead."""
        undecided = self.verdict.word == "undecided" and self.verdict.difference < 0
        return self.verdict.word == "worse" or undecided


def remarks(
    rule: VerdictRule,
    cell: str,
    correct: np.ndarray,
    controls: Sequence[BaselineResult],
    groups: np.ndarray | None = None,
    remedy: str = "",
) -> Remarks:
    """What the controls say of the best cell.

    ``correct`` ``(seeds, examples)`` is the cell's, ``groups`` ``(examples,)`` as the rule's
    ``judge`` takes them. ``remedy`` is a sentence: what to try where the cell has not learned the
    task. Nothing is claimed of the data unless the cell beats every baseline that does not use
    order, or is equivalent to it; and only by a baseline shown not to be worse by the margin.
    """
    if correct.shape[1] < 2:  # from one example nothing follows
        return Remarks()
    num_seeds, judged = len(correct), _judge_all(rule, cell, correct, controls, groups)
    rival = _find_rival(judged, cell)
    without = [
        judgement
        for judgement in judged
        if judgement.baseline.key == NO_RECURRENCE and judgement is not rival and cell != "none"
    ]
    alone = [judgement for judgement in judged if judgement.baseline.input_name]
    unbeaten = _find_unbeaten(judged, rival, [*without, *alone])
    named = [rival, unbeaten, *without, *alone]
    sentences: list[str] = [_gain(judgement, num_seeds) for judgement in without]
    if unbeaten is not None:
        sentences.append(_remark(unbeaten, rival, num_seeds))
        if rival is None and unbeaten.verdict.word == "worse":
            sentences.append(remedy)
    sentences.append(_also_better([baseline for baseline in judged if baseline not in named], cell))
    return Remarks(
        _warning(rival, num_seeds, remedy) if rival else "",
        join(sentences),
        _describe_inputs(alone, rule, controls, groups, float(correct.mean()), cell),
    )


def _judge_all(
    rule: VerdictRule,
    cell: str,
    correct: np.ndarray,
    controls: Sequence[BaselineResult],
    groups: np.ndarray | None,
) -> list[_Judged]:
    """The controls with predictions: those ahead of the cell first, then the gravest."""
    judged: list[_Judged] = []
    for control in controls:
        if control.correct is not None:
            # What has one seed is the same with any seed (a fitted control), or its luck is left
            # out of the account, which the sentence then says (a cell).
            both = {
                cell: _with_two_seeds(correct),
                control.baseline.name: _with_two_seeds(control.correct),
            }
            judged.append(_Judged(control.baseline, rule.judge(both, groups)[0]))
    return sorted(
        judged,
        key=lambda judgement: (
            judgement.verdict.word != "worse",
            judgement.gravity,
            -judgement.verdict.other_value,
        ),
    )


def _find_rival(judged: Sequence[_Judged], cell: str) -> _Judged | None:
    """The first baseline without order that the cell is not shown to beat or to equal."""
    # A cell on shuffled steps is no rival method: it shows whether that cell uses the order.
    rivals = (
        judgement
        for judgement in judged
        if not judgement.baseline.uses_order
        and judgement.baseline.cell != cell
        and judgement.verdict.word in ("worse", "undecided")
    )
    return next(rivals, None)


def _find_unbeaten(
    judged: Sequence[_Judged], rival: _Judged | None, named: Sequence[_Judged]
) -> _Judged | None:
    """The most accurate other baseline that the cell does not beat; beside a rival only one that
    is reliably ahead of the cell and more accurate than the rival."""
    others = [
        baseline
        for baseline in judged
        if not baseline.is_beaten and baseline not in (rival, *named)
    ]
    if rival is not None:
        others = [
            baseline
            for baseline in others
            if baseline.verdict.word == "worse"
            and baseline.verdict.other_value > rival.verdict.other_value
        ]
    # By accuracy alone: a control reliably ahead by little is not above one far ahead.
    return max(others, key=lambda baseline: baseline.verdict.other_value, default=None)


def _remark(unbeaten: _Judged, rival: _Judged | None, num_seeds: int) -> Text:
    """The claim of an unbeaten baseline, and what may hold of the data where it explains it."""
    explains = rival is None and unbeaten.verdict.word != "worse" and unbeaten.is_as_good
    return text(
        "remark_implies" if explains else "remark",
        claim=_claim(unbeaten, num_seeds),
        implication=unbeaten.baseline.implication,
    )


def _also_better(others: Sequence[_Judged], cell: str) -> str:
    """Which of the other baselines are reliably ahead of the cell."""
    names = [
        text(
            "control_value",
            name=judgement.baseline.name,
            value=percent(judgement.verdict.other_value),
        )
        for judgement in others
        if judgement.verdict.word == "worse"
    ]
    if not names:
        return ""
    return text("also_better", cell=in_sentence(cell), names=join(names, ", "))


def _describe_inputs(
    alone: Sequence[_Judged],
    rule: VerdictRule,
    controls: Sequence[BaselineResult],
    groups: np.ndarray | None,
    accuracy: float,
    cell: str,
) -> str:
    """What each of several inputs reaches alone, and whether one of them carries the answer."""
    if not alone:
        return ""
    correct = {control.baseline.name: control.correct for control in controls}
    majority = next(
        (control.correct for control in controls if control.baseline.key == "majority"), None
    )
    shown = []
    for judgement in sorted(alone, key=lambda judgement: [*correct].index(judgement.baseline.name)):
        name, correct_alone = judgement.baseline.input_name, correct[judgement.baseline.name]
        reaches = text(
            "input_reaches", name=_input_label(name), value=percent(judgement.verdict.other_value)
        )
        if majority is not None and correct_alone is not None:
            both = {name: _with_two_seeds(correct_alone), "majority": _with_two_seeds(majority)}
            if rule.judge(both, groups)[0].word != "better":
                reaches = text("input_at_chance", reaches=reaches)
        shown.append(reaches)
    sufficient = [
        judgement.baseline.input_name
        for judgement in alone
        if judgement.verdict.word == "worse" or judgement.is_as_good
    ]
    undecided = [judgement.baseline.input_name for judgement in alone if not judgement.is_beaten]
    if sufficient:
        claim = text("input_sufficient", names=_quoted(sufficient))
    elif undecided:
        claim = text("input_undecided", names=_quoted(undecided))
    else:
        claim = text("input_none")
    return text(
        "inputs", shown=join(shown, ", "), accuracy=percent(accuracy), cell=label(cell), claim=claim
    )


def _quoted(names: Sequence[str]) -> Text:
    korean = ", ".join(f"'{_input_label(name).korean}'" for name in names)
    return Text(" and ".join(f"'{name}'" for name in names), korean)


def _input_label(name: str) -> Text:
    """The name of an input; the columns of the manifest have one in each language."""
    return Text(name, text("the_columns").korean if name == "columns" else name)


def _with_two_seeds(correct: np.ndarray) -> np.ndarray:
    return np.repeat(correct, 2, axis=0) if len(correct) == 1 else correct


def _warning(rival: _Judged, num_seeds: int, remedy: str) -> Text:
    key = "not_learned" if rival.verdict.word == "worse" else "not_shown_learned"
    claim = text(key, name=label(rival.verdict.cell))
    warning = _against("control_warning", rival, num_seeds, claim=claim)
    return join([warning, remedy if rival.is_ahead else ""])


def _gain(without: _Judged, num_seeds: int) -> Text:
    """What recurrence gains over the same network without it."""
    verdict = without.verdict
    points = text("in_points", value=f"{100 * abs(verdict.difference):.1f}")
    claim = text(f"gain_{verdict.word}", points=points)
    return _against("gain", without, num_seeds, claim=claim)


def _claim(judgement: _Judged, num_seeds: int) -> Text:
    key = "control_undecided"
    if judgement.verdict.word == "worse":
        key = "control_better"
    elif judgement.is_as_good:
        key = "control_as_good"
    return _against(key, judgement, num_seeds)


def _against(key: str, judgement: _Judged, num_seeds: int, **values: object) -> Text:
    """The text of a key on a control and the cell, with their accuracies and the evidence."""
    verdict = judgement.verdict
    return text(
        key,
        control=judgement.baseline.name,
        value=percent(verdict.other_value),
        cell_value=percent(verdict.value),
        cell=in_sentence(verdict.cell),
        evidence=_evidence(verdict, num_seeds),
        **values,
    )


def _evidence(verdict: Verdict, num_seeds: int) -> Text:
    """The control's lead with its interval."""
    return text(
        "control_lead_one_seed" if num_seeds == 1 else "control_lead",
        difference=ACCURACY.signed(-verdict.difference),
        confidence=percent(verdict.confidence, 0),
        low=ACCURACY.signed(-verdict.high),
        high=ACCURACY.signed(-verdict.low),
        cell=in_sentence(verdict.cell),
    )
