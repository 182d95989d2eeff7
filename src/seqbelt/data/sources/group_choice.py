"""Which whole groups become a part: near the asked size, several of them, classes on both sides.

A group is a speaker, a subject, a source recording; their sizes and classes are as they are, so
the asked share can seldom be met exactly. A seeded local search weighs what is missed: it starts
from random choices and adds, removes and exchanges groups for as long as that helps.
"""

from dataclasses import dataclass

import numpy as np

MAX_STARTS = 24
"""Random choices that the search begins from; of many groups a few are good enough."""
MAX_MOVES = 50
"""Changes of one choice, at most."""
MAX_CANDIDATES = 16
"""Groups that one change looks at on either side, at most."""
WORTH_A_MOVE = 1e-3
"""Least gain for which a change is made."""
AS_GOOD = 0.05
"""Choices that cost so little more than the best count as good: the seed decides among them."""


def choose_groups(label: np.ndarray, group: np.ndarray, wanted: float, seed: int) -> np.ndarray:
    """Which rows are taken, bool ``(rows,)``: whole groups of about ``wanted`` rows together.

    ``label`` and ``group`` ``(rows,)`` name each row's class and group; there must be two groups
    at least. Some group stays and some group is taken. The order of the rows does not matter.
    """
    names, of_row = np.unique(group, return_inverse=True)
    classes, class_of_row = np.unique(label, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (of_row, class_of_row), 1)
    random = np.random.default_rng(seed)
    search = _Search(counts, counts.sum(1) ** 2, counts.sum(0), wanted)
    num_starts = min(MAX_STARTS, max(2, 10_000 // len(names)))
    choices = [search.improve(search.start(random, start), random) for start in range(num_starts)]
    costs = [search.cost_of(taken) for taken in choices]
    best = next(n for n, cost in enumerate(costs) if cost <= min(costs) + AS_GOOD)
    return choices[best][of_row]


@dataclass(frozen=True)
class _Search:
    """``counts`` ``(groups, classes)`` rows, the groups' ``squares`` ``(groups,)`` of their sizes,
    the classes' ``total`` ``(classes,)``; a choice is bool ``(groups,)``."""

    counts: np.ndarray
    squares: np.ndarray
    total: np.ndarray
    wanted: float

    def start(self, random: np.random.Generator, number: int) -> np.ndarray:
        """Groups in random order up to the wanted size, or up to twice that: every other time."""
        order = random.permutation(len(self.counts))
        sizes = self.counts.sum(1)[order].cumsum()
        count = int(np.searchsorted(sizes, self.wanted * (1 + number % 2), side="right"))
        taken = np.zeros(len(order), bool)
        taken[order[: np.clip(count, 1, len(order) - 1)]] = True
        return taken

    def improve(self, taken: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The choice after every change of one or two groups that makes it better."""
        taken, cost = taken.copy(), self.cost_of(taken)
        for _ in range(MAX_MOVES):
            inside, outside = self._candidates(taken, random)
            # An exchange, or, where one side is -1, a group less or a group more.
            less, more = np.meshgrid(np.append(inside, -1), np.append(outside, -1), indexing="ij")
            moves = np.stack([less.ravel(), more.ravel()], axis=1)
            costs = self._costs_after(taken, moves)
            best = int(costs.argmin())
            if costs[best] > cost - WORTH_A_MOVE:
                break
            cost = costs[best]
            less, more = moves[best]
            taken[[n for n in (less, more) if n >= 0]] = False
            if more >= 0:
                taken[more] = True
        return taken

    def cost_of(self, taken: np.ndarray) -> float:
        part = self.counts[taken].sum(0)
        return float(self._costs(part[None], self.squares[taken].sum()[None])[0])

    def _candidates(self, taken: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
        """Groups inside and outside, first those that hold a class which the other side lacks."""
        part = self.counts[taken].sum(0)
        candidates = []
        for own, lacking in ((taken, part == self.total), (~taken, part == 0)):
            groups = random.permutation(np.flatnonzero(own))
            if lacking.any():
                holds = self.counts[groups][:, lacking].any(1)
                groups = groups[np.argsort(~holds, kind="stable")]
            candidates.append(groups[:MAX_CANDIDATES])
        return candidates

    def _costs_after(self, taken: np.ndarray, moves: np.ndarray) -> np.ndarray:
        part = self.counts[taken].sum(0)[None].repeat(len(moves), axis=0)
        squares = self.squares[taken].sum().repeat(len(moves))
        num_taken = taken.sum().repeat(len(moves))
        for groups, sign in zip(moves.T, (-1, 1)):
            is_group = groups >= 0
            part[is_group] += sign * self.counts[groups[is_group]]
            squares[is_group] += sign * self.squares[groups[is_group]]
            num_taken[is_group] += sign
        costs = self._costs(part, squares)
        costs[(num_taken < 1) | (num_taken >= len(taken))] = np.inf
        return costs

    def _costs(self, part: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """What each part misses, ``part`` ``(parts, classes)`` rows; ``squares`` ``(parts,)`` is
        the sum of its groups' squared sizes."""
        total = self.total
        taken = np.maximum(part.sum(1), 1)
        off = np.abs(taken / self.wanted - 1)
        # More than twice the asked size is too much for any class.
        size = off + 4 * np.maximum(taken / self.wanted - 2, 0)
        unlearned = (part == total).sum(1)
        missing = (part == 0).mean(1)
        imbalance = np.abs(part / taken[:, None] - total / total.sum()).sum(1) / 2
        one_group = squares / taken**2
        return 10 * unlearned + size + (missing > 0) + missing + imbalance + one_group / 4
