"""Which batch made the loss infinite or undefined: found without waiting for a GPU at each step."""

import math

import numpy as np
import torch
from torch import Tensor

from seqbelt.data.store import Sequences

MAX_IDS = 8


class LossWatch:
    """Notes the running sums of the losses and gradient norms after each step of a pass.

    They are read when somebody asks, on a CPU at every step.
    """

    def __init__(self, totals: Tensor) -> None:
        self.totals = totals
        self.trace = totals.new_zeros(0)
        self.train: Sequences | None = None
        self.plan: list[np.ndarray] = []

    def begin(self, train: Sequences, plan: list[np.ndarray], first: int) -> None:
        """A pass begins, or goes on, with the batch ``first`` of a plan over ``train``."""
        self.train, self.plan, self.first, self.num_batches = train, plan, first, first
        self.trace = self.totals.new_zeros(len(plan))

    def note(self, number: int) -> None:
        """The step of batch ``number`` was made."""
        self.trace[number] = self.totals[:2].sum()
        self.num_batches = number + 1

    def first_failure(self) -> str | None:
        """The first batch of the pass after which the sums are not finite, in words."""
        if math.isfinite(float(self.totals[:2].sum())) or self.train is None:
            return None
        bad = torch.nonzero(~torch.isfinite(self.trace[: self.num_batches])).flatten().tolist()
        number = bad[0] if bad else self.first
        rows = self.plan[number]
        ids = self.train.take(rows[:MAX_IDS]).column("id")
        more = f" and {len(rows) - MAX_IDS} more" if len(rows) > MAX_IDS else ""
        return f"batch {number + 1} of {len(self.plan)}: {', '.join(ids)}{more}"
