"""Proportions with their intervals, and several tests at once."""

from typing import Any

import numpy as np
import scipy

from seqbelt.errors import SeqbeltError


def holm(p_values: np.ndarray) -> np.ndarray:
    """p values adjusted for testing all of them (Holm 1979): claims stay below the level together.

    Takes and returns ``(tests,)``; each result is compared with the level as it is.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def wilson(num_hits: float, count: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion (doi:10.2307/2276774); 0 to 1 where nothing was counted."""
    if count <= 0:
        return 0.0, 1.0
    quantile = scipy.special.ndtri((1 + confidence) / 2)
    return share_interval(num_hits / count, count, quantile)


def share_interval(share: float, count: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval of a share of ``count`` independent answers, which may be fractional, with
    this quantile of the normal or of Student's distribution."""
    centre = (count * share + quantile**2 / 2) / (count + quantile**2)
    half = quantile * np.sqrt(count * share * (1 - share) + quantile**2 / 4) / (count + quantile**2)
    # The interval holds the share, but for rounding at 0 and 1.
    low, high = min(centre - half, share), max(centre + half, share)
    return float(max(low, 0.0)), float(min(high, 1.0))


def proportion_interval(
    hits: np.ndarray, units: np.ndarray | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of the mean of ``hits`` (bool, ``(examples,)``).

    Examples of one of ``units`` (speakers, recordings) are not independent: Wilson's interval is
    then for as many independent examples as would have the variance found between the units, with
    Student's quantile (Dean & Pagano 2015, doi:10.1093/jssam/smv024).
    """
    hits = np.asarray(hits, dtype=float)
    if units is None or len(set(units)) == len(hits):
        return wilson(hits.sum(), len(hits), confidence)
    names, of_unit = np.unique(units, return_inverse=True)
    num_units = len(names)
    if num_units < 2:
        return 0.0, 1.0
    share = hits.mean()
    residuals = np.bincount(of_unit, hits - share)
    variance = num_units / (num_units - 1) * (residuals**2).sum() / len(hits) ** 2
    spread = share * (1 - share)
    # Without any variance each unit is taken as one answer.
    count = min(spread / variance, len(hits)) if variance > 0 and spread > 0 else num_units
    quantile = scipy.special.stdtrit(num_units - 1, (1 + confidence) / 2)
    return share_interval(share, count, quantile)


def two_proportions_p(hits: tuple[int, int], counts: tuple[int, int]) -> float:
    """Two-sided p value of Fisher's exact test that two proportions are one."""
    # Imported here: it takes most of a second, and every command imports this module.
    from scipy import stats

    if min(counts) < 0 or hits[0] > counts[0] or hits[1] > counts[1]:
        raise SeqbeltError(f"hits: expected 0 to {counts}, found {hits}")
    table = [[hits[0], counts[0] - hits[0]], [hits[1], counts[1] - hits[1]]]
    result: Any = stats.fisher_exact(table)
    return float(result.pvalue)
