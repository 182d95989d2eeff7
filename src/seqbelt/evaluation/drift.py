"""Whether inputs look as the training rows did: two-sample tests of several quantities at once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from seqbelt.evaluation.proportions import holm, two_proportions_p
from seqbelt.inference.reference import Reference
from seqbelt.inference.row_quantities import QuantityName

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
    """p value of the two-sample test, of fractions Fisher's, adjusted by Holm for all."""
    reference_median: float
    """Of a quantity that is 0 or 1 in a row (``QuantityName.is_fraction``) the mean."""
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
        """The quantities that have changed; the most different of each input or column first."""
        alarms = [quantity for quantity in self.quantities if quantity.is_alarm]
        firsts = dict[str, Quantity]()
        for alarm in alarms:
            firsts.setdefault(QuantityName.of(alarm.name).owner, alarm)
        return (*firsts.values(), *(alarm for alarm in alarms if alarm not in firsts.values()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        return {
            "num_inputs": self.num_inputs,
            "alarms": [quantity.name for quantity in self.alarms],
            "quantities": [asdict(quantity) for quantity in self.quantities],
        }


def _measure(name: str, before: np.ndarray, now: np.ndarray) -> Quantity:
    """One quantity of training rows and of inputs, with the p value of this test alone."""
    if QuantityName.of(name).is_fraction:
        hits, counts = (int(before.sum()), int(now.sum())), (len(before), len(now))
        shares = float(before.mean()), float(now.mean())
        p = two_proportions_p(hits, counts)
        return Quantity(name, abs(shares[0] - shares[1]), p, *shares)
    test: Any = stats.ks_2samp(before, now, method="asymp")
    middles = float(np.median(before)), float(np.median(now))
    return Quantity(name, float(test.statistic), float(test.pvalue), *middles)


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
    pairs = []
    for index, name in enumerate(reference.names):
        before, now = (
            of[~np.isnan(of)] for of in (reference.summaries[:, index], summaries[:, index])
        )
        if min(len(before), len(now)) >= LEAST_INPUTS:  # some inputs may be missing
            pairs.append((name, before, now))
    confidences = np.asarray(confidences)
    if min(len(reference.confidences), len(confidences)) >= LEAST_INPUTS:
        pairs.append((CONFIDENCE, reference.confidences, confidences))
    measured = [_measure(*pair) for pair in pairs]
    adjusted = holm(np.array([quantity.p_adjusted for quantity in measured]))
    quantities = [replace(quantity, p_adjusted=float(p)) for quantity, p in zip(measured, adjusted)]
    quantities.sort(key=lambda quantity: (quantity.p_adjusted, -quantity.distance))
    return Drift(len(summaries), tuple(quantities))
