"""Whether inputs look as the training rows did: two-sample tests of several quantities at once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from seqbelt.evaluation.proportions import holm
from seqbelt.inference.reference import Reference

LEVEL = 0.05
"""Probability of at least one alarm where nothing has changed."""
LEAST_DISTANCE = 0.1
"""Distances of two distributions below this are no alarm, however many inputs show them."""
LEAST_INPUTS = 20
"""Inputs below which nothing is tested."""
CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Quantity:
    """One quantity of the inputs beside the same one of the training rows."""

    name: str
    """As in ``Reference.names``, or ``confidence``."""
    distance: float
    """Largest difference of the two distribution functions (Kolmogorov-Smirnov), 0 to 1."""
    p_adjusted: float
    """p value of the two-sample test, adjusted by Holm for all quantities."""
    reference_median: float
    median: float

    @property
    def is_alarm(self) -> bool:
        """Whether the difference is beyond chance and not slight."""
        return self.p_adjusted < LEVEL and self.distance >= LEAST_DISTANCE


@dataclass(frozen=True)
class Drift:
    """All quantities of some inputs, the most different first."""

    num_inputs: int
    quantities: tuple[Quantity, ...]

    @property
    def alarms(self) -> tuple[Quantity, ...]:
        """The quantities that have changed."""
        return tuple(quantity for quantity in self.quantities if quantity.is_alarm)

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return {
            "num_inputs": self.num_inputs,
            "alarms": [quantity.name for quantity in self.alarms],
            "quantities": [asdict(quantity) for quantity in self.quantities],
        }


def measure_drift(
    reference: Reference, summaries: np.ndarray, confidences: Sequence[float] | np.ndarray
) -> Drift | None:
    """Compare the summaries ``(inputs, quantities)`` and confidences ``(inputs,)`` of inputs with
    those of the training and validation rows; None for fewer than ``LEAST_INPUTS``.

    Where inputs and training rows are draws of one distribution, the probability of any alarm is
    at most ``LEVEL``.
    """
    if len(summaries) < LEAST_INPUTS or len(reference.summaries) < LEAST_INPUTS:
        return None
    pairs = [
        (name, reference.summaries[:, at], summaries[:, at])
        for at, name in enumerate(reference.names)
    ]
    confidences = np.asarray(confidences)
    if min(len(reference.confidences), len(confidences)) >= LEAST_INPUTS:
        pairs.append((CONFIDENCE, reference.confidences, confidences))
    tests: list[Any] = [stats.ks_2samp(before, now, method="asymp") for _, before, now in pairs]
    adjusted = holm(np.array([test.pvalue for test in tests]))
    quantities = [
        Quantity(
            name,
            float(test.statistic),
            float(p),
            float(np.median(before)),
            float(np.median(now)),
        )
        for (name, before, now), test, p in zip(pairs, tests, adjusted, strict=True)
    ]
    quantities.sort(key=lambda quantity: (quantity.p_adjusted, -quantity.distance))
    return Drift(len(summaries), tuple(quantities))
