"""What a control is, what it found, and what the comparison says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqbelt.evaluation.verdict import Verdict, VerdictRule


@dataclass(frozen=True)
class Control:
    """A way to answer that lacks something the cells have."""

    name: str
    key: str
    """Short name: the control's run on the tracking server is ``control-<key>``."""
    about: str
    """One sentence: what it knows of a sequence."""
    lesson: str
    """What may be so where it does as well as the best cell."""

    @property
    def run_name(self) -> str:
        return f"control-{self.key}"


@dataclass(frozen=True)
class ControlResult:
    """What a control answered, or why it did not."""

    control: Control
    seconds: float
    """Time to fit it, where it is fitted, and to answer."""
    correct: np.ndarray | None = None
    """Whether each test example was answered rightly, bool ``(seeds, examples)``."""
    macro_f1: float | None = None
    error: str | None = None
    """Why there are no answers."""

    @property
    def test_accuracy(self) -> float | None:
        return None if self.correct is None else float(self.correct.mean())

    def plain(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "name": self.control.name,
            "about": self.control.about,
            "test_accuracy": self.test_accuracy,
            "macro_f1": self.macro_f1,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }


def remark(
    rule: VerdictRule,
    cell: str,
    correct: np.ndarray,
    controls: Sequence[ControlResult],
    groups: np.ndarray | None = None,
) -> str:
    """One sentence about the best control that the best cell does not reliably beat.

    ``correct`` ``(seeds, examples)`` is the cell's, ``groups`` ``(examples,)`` as the rule's
    ``judge`` takes them. Empty where the cell beats every control.
    """
    if correct.shape[1] < 2:  # from one example nothing follows
        return ""
    answered = [(one.control, one.correct) for one in controls if one.correct is not None]
    for control, theirs in sorted(answered, key=lambda pair: -pair[1].mean()):
        # What has one seed is the same with any seed (a fitted control), or its luck is left out
        # of the account, which the sentence then says (a cell).
        both = {cell: _twice(correct), control.name: _twice(theirs)}
        (verdict,) = rule.judge(both, groups)
        if verdict.word != "better":
            return _sentence(control, verdict, len(correct))
    return ""


def _twice(correct: np.ndarray) -> np.ndarray:
    return np.repeat(correct, 2, axis=0) if len(correct) == 1 else correct


def _sentence(control: Control, verdict: Verdict, num_seeds: int) -> str:
    claim = {
        "worse": "does better",
        "equivalent": "does as well",
        "undecided": "does as well" if verdict.difference <= 0 else "is not reliably behind",
    }[verdict.word]
    chance = f", {verdict.cell} with one seed" if num_seeds == 1 else ""
    return (
        f"The control '{control.name}' {claim} ({100 * verdict.other_accuracy:.1f} % against "
        f"{100 * verdict.accuracy:.1f} % of {verdict.cell}; difference "
        f"{-100 * verdict.difference:+.1f} points, {verdict.confidence:.0%} interval "
        f"{-100 * verdict.high:+.1f} to {-100 * verdict.low:+.1f}{chance}): {control.lesson}."
    )
