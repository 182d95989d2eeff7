"""How often a growing comparison was judged, and what each look may spend of its error.

A comparison that is extended with seeds until it says something claims too much: with 5 % at each
of five looks, up to 16 % of the comparisons of equal cells end in a claim. So the error is spent
over the looks (Lan & DeMets 1983, doi:10.1093/biomet/70.3.659) by a power of the fraction of the
seeds (Kim & DeMets 1987, doi:10.1093/biomet/74.1.149), most of it at the first look, since most
comparisons are looked at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from seqbelt.texts import Text, text

SCHEDULE = (3, 5, 8, 13, 20)
"""Numbers of seeds at which the advice is to look."""
POWER = 0.2
"""Exponent of the fraction of seeds: with 3 of 20 seeds, two thirds of the error are spent."""


@dataclass(frozen=True)
class Looks:
    """The looks at one comparison, as numbers of seeds of each cell."""

    num_seeds: int
    """Seeds of each cell at this look."""
    earlier: tuple[int, ...] = ()
    """Seeds of each cell at the earlier looks, in their order."""
    max_seeds: int = SCHEDULE[-1]
    """Seeds of each cell at the last planned look."""
    is_grown: bool = True
    """Whether each look had all seeds of the one before; where not, the looks are not taken to
    resemble each other, and each is tested at what is left for it (Bonferroni)."""

    @property
    def number(self) -> int:
        """Number of this look, from 1."""
        return len(self.earlier) + 1

    @property
    def coming(self) -> tuple[int, ...]:
        """Numbers of seeds at the planned looks after this one."""
        after = [count for count in SCHEDULE if self.num_seeds < count < self.max_seeds]
        return (*after, self.max_seeds) if self.num_seeds < self.max_seeds else ()

    @property
    def words(self) -> Text:
        """E.g. "look 2 of 5"."""
        return text("look", number=self.number, total=self.number + len(self.coming))

    def number_of(self, num_seeds: int) -> Text:
        """E.g. "look 3 of 5": the coming look with so many seeds."""
        number = self.number + 1 + self.coming.index(num_seeds)
        return text("look", number=number, total=self.number + len(self.coming))

    def then(self, num_seeds: int) -> "Looks":
        """The next look, with more seeds."""
        return replace(self, num_seeds=num_seeds, earlier=(*self.earlier, self.num_seeds))

    def level(self, error: float) -> float:
        """The level of this look's two-sided test so that all looks together make at most
        ``error`` false claims; 0 where nothing is left to spend."""
        # One seed decides nothing, so a look at it spends nothing.
        path = [count for count in (*self.earlier, max(self.num_seeds, 2)) if count > 1]
        fractions = [min(count / self.max_seeds, 1.0) for count in path]
        if not self.is_grown:
            *before, now = [0.0, *fractions]
            return error * max(now**POWER - max(before) ** POWER, 0.0)
        return nominal_levels(fractions, error)[-1]


def nominal_levels(fractions: Sequence[float], error: float, num_cells: int = 400) -> list[float]:
    """The level of each look's two-sided test, at ``fractions`` of all information.

    The statistic is a Brownian motion at the fractions, whose density between the bounds is carried
    from look to look on a grid (Armitage, McPherson & Rowe 1969, doi:10.2307/2343787). Test rows
    that the looks share make them more alike than that, so the error stays below. A look that adds
    no information may spend nothing.
    """
    levels, spent, last = list[float](), 0.0, 0.0
    at, mass = np.zeros(1), np.ones(1)
    for fraction in fractions:
        fraction = min(fraction, 1.0)
        allowed = error * fraction**POWER - spent
        if fraction <= last or allowed <= 0:
            levels.append(0.0)
            continue
        step = np.sqrt(fraction - last)
        bound = _bound(at, mass, step, allowed)
        levels.append(float(2 * scipy.special.ndtr(-bound / np.sqrt(fraction))))
        edges = np.linspace(-bound, bound, num_cells + 1)
        cumulative = scipy.special.ndtr((edges[:, None] - at) / step)
        at, mass = (edges[1:] + edges[:-1]) / 2, np.diff(cumulative, axis=0) @ mass
        spent, last = spent + allowed, fraction
    return levels


def _bound(places: np.ndarray, mass: np.ndarray, step: float, allowed: float) -> float:
    """How far from zero the motion ends one step later with probability ``allowed``."""
    from scipy.optimize import brentq

    def surplus(bound: float) -> float:
        beyond = scipy.special.ndtr((places - bound) / step)
        beyond += scipy.special.ndtr((-bound - places) / step)
        return float(np.sum(mass * beyond)) - allowed

    return float(brentq(surplus, 0.0, -scipy.special.ndtri(1e-12) * 2))  # type: ignore[arg-type]
