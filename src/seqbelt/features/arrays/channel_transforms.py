"""What is done to the channels of a signal, ``(steps, channels)``."""

from fractions import Fraction

import numpy as np


def interpolate(values: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Fill gaps linearly, hold the ends; a channel without any value becomes 0."""
    filled = np.where(absent, 0, values)
    positions = np.arange(len(values))
    for channel in np.flatnonzero(absent.any(axis=0) & ~absent.all(axis=0)):
        known = ~absent[:, channel]
        filled[:, channel] = np.interp(positions, positions[known], values[known, channel])
    return filled


def hold(values: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Replace each NaN by the channel's last value before it; ``previous`` ``(channels,)`` is what
    a channel has before the first row."""
    rows = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last < 0, previous, held).astype(values.dtype)


def num_resampled(num_steps: int, from_rate: float, to_rate: float) -> int:
    """Steps that ``resample`` makes of so many."""
    ratio = _ratio(from_rate, to_rate)
    return -(-num_steps * ratio.numerator // ratio.denominator)


def _ratio(from_rate: float, to_rate: float) -> Fraction:
    return Fraction(to_rate / from_rate).limit_denominator(1000)


def resample(values: np.ndarray, from_rate: float, to_rate: float) -> np.ndarray:
    """Resample along axis 0 with a low-pass filter; ``ceil(steps * to_rate / from_rate)`` steps."""
    from scipy.signal import resample_poly

    ratio = _ratio(from_rate, to_rate)
    level = values.mean(axis=0, dtype=np.float64)  # the filter's phases differ a little at 0 Hz
    up, down = ratio.numerator, ratio.denominator
    return resample_poly(values - level, up, down, axis=0, padtype="line") + level


def take_nearest(mask: np.ndarray, num_steps: int) -> np.ndarray:
    positions = (np.arange(num_steps) + 0.5) * len(mask) / num_steps
    return mask[positions.astype(int)]


def standardize(values: np.ndarray) -> np.ndarray:
    centered = values - values.mean(axis=0, dtype=np.float64)
    deviation = centered.std(axis=0)
    # A constant channel leaves only rounding, which must not be blown up to deviation 1.
    constant = deviation <= 1e-6 * np.abs(values).max(axis=0)
    return np.where(constant, 0, centered / np.where(constant, 1, deviation))
