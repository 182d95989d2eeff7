"""What a control is, and what it found."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

NO_RECURRENCE = "no-recurrence"
"""Key of the control that is the cells' own network without its recurrent layer."""


@dataclass(frozen=True)
class Control:
    """A way to answer that lacks something the cells have."""

    name: str
    key: str
    """Short name: the control's run on the tracking server is ``control-<key>``."""
    about: str
    """One sentence: what it knows of a sequence."""
    lesson: str
    """What may be so of the data where it does as well as the best cell."""
    knows_order: bool
    """Whether it can tell what comes before what, beyond two neighbours. A cell that does not
    beat a control without that has not learned the task."""
    cell: str = field(default="", kw_only=True)
    """The cell that answers, where one does."""

    @property
    def run_name(self) -> str:
        return f"control-{self.key}"


def no_recurrence(knows_order: bool) -> Control:
    """The control that is the cells' own network without its recurrent layer; it knows order where
    convolutions before it see short patterns."""
    return Control(
        name="no recurrence",
        key=NO_RECURRENCE,
        about="The cells' network without its recurrent layer, trained once as they are.",
        lesson="recurrence may gain nothing here",
        knows_order=knows_order,
    )


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

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "name": self.control.name,
            "about": self.control.about,
            "knows_order": self.control.knows_order,
            "test_accuracy": self.test_accuracy,
            "macro_f1": self.macro_f1,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }
