"""Mel filters, cosine transform, differences over time and the short resampling filter.

The numbers are those of ``torchaudio.functional`` within float32: models were trained with them.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

HZ_PER_MEL = 200 / 3
"""Slaney's scale is linear below ``LOG_HZ`` and logarithmic above."""
LOG_HZ = 1000.0
LOG_MEL = LOG_HZ / HZ_PER_MEL
LOG_STEP = math.log(6.4) / 27
NUM_CROSSINGS = 6
"""Zero crossings of the short resampling filter on each side."""
ROLLOFF = 0.99
"""Cut-off of the short resampling filter, as a fraction of the lower Nyquist frequency."""


def mel_filters(
    num_bins: int, sample_rate: int, num_bands: int, min_frequency: float, max_frequency: float
) -> np.ndarray:
    """Triangular filters float32 ``(num_bins, num_bands)`` of equal area on Slaney's mel scale.

    The bins lie from 0 Hz to ``sample_rate // 2``; a band without a bin is all zeros.
    Slaney 1998, Auditory Toolbox, Technical Report 1998-010, Interval Research.
    """
    bins = np.linspace(0, sample_rate // 2, num_bins)
    edges = _to_hz(np.linspace(_to_mel(min_frequency), _to_mel(max_frequency), num_bands + 2))
    widths = np.diff(edges)
    distances = edges[None] - bins[:, None]
    rising = -distances[:, :-2] / widths[:-1]
    falling = distances[:, 2:] / widths[1:]
    filters = np.maximum(np.minimum(rising, falling), 0)
    return (filters * (2 / (edges[2:] - edges[:-2]))).astype(np.float32)


def _to_mel(frequency: float) -> float:
    if frequency < LOG_HZ:
        return frequency / HZ_PER_MEL
    return LOG_MEL + math.log(frequency / LOG_HZ) / LOG_STEP


def _to_hz(mels: np.ndarray) -> np.ndarray:
    logarithmic = LOG_HZ * np.exp(LOG_STEP * (mels - LOG_MEL))
    return np.where(mels >= LOG_MEL, logarithmic, HZ_PER_MEL * mels)


def cosine_transform(num_coefficients: int, num_bands: int) -> np.ndarray:
    """The orthonormal cosine transform (DCT-II) float32 ``(num_bands, num_coefficients)``."""
    orders = np.arange(num_coefficients)
    cosines = np.cos(math.pi / num_bands * np.outer(np.arange(num_bands) + 0.5, orders))
    scales = np.where(orders, math.sqrt(2 / num_bands), math.sqrt(1 / num_bands))
    return (cosines * scales).astype(np.float32)


def differences(features: np.ndarray) -> np.ndarray:
    """Regression slope over five steps, the ends repeated, of ``(steps, features)``."""
    padded = np.pad(features, ((2, 2), (0, 0)), mode="edge")
    near, far = padded[3:-1] - padded[1:-3], padded[4:] - padded[:-4]
    return (near + 2 * far) / 10


def hann_window(size: int) -> np.ndarray:
    """The periodic Hann window float32 ``(size,)``."""
    if size == 1:  # not 0, which would hear nothing
        return np.ones(1, np.float32)
    return (0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size)).astype(np.float32)


def power_spectra(signal: np.ndarray, window: np.ndarray, fft_size: int, hop: int) -> np.ndarray:
    """Power float32 ``(1 + samples // hop, bins)`` of a signal ``(samples,)``.

    Step ``t`` is centred on sample ``t * hop``, as ``torch.stft`` centres it, with zeros beyond
    both ends. The ``window`` is centred in ``fft_size`` samples.
    """
    before = fft_size // 2 - (fft_size - len(window)) // 2
    padded = np.pad(signal, (before, len(window)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[::hop]
    # The frames' place in the transform only turns the phase, which the power does not have.
    spectra = np.fft.rfft(frames[: 1 + len(signal) // hop] * window, fft_size)
    return (np.square(spectra.real) + np.square(spectra.imag)).astype(np.float32, copy=False)


def resample_short(signal: "Tensor", from_rate: int, to_rate: int) -> "Tensor":
    """Resample ``(samples,)`` by a sinc with a Hann window of ``NUM_CROSSINGS`` crossings, to
    ``ceil(samples * to_rate / from_rate)`` samples. The rates have no common divisor."""
    import torch
    from torch.nn import functional

    if from_rate == to_rate:
        return signal
    cutoff = min(from_rate, to_rate) * ROLLOFF
    width = math.ceil(NUM_CROSSINGS * from_rate / cutoff)
    taps = torch.arange(-width, width + from_rate, dtype=signal.dtype) / from_rate
    phases = torch.arange(0, -to_rate, -1, dtype=signal.dtype)[:, None] / to_rate
    times = ((phases + taps) * cutoff).clamp_(-NUM_CROSSINGS, NUM_CROSSINGS)
    window = torch.cos(times * math.pi / NUM_CROSSINGS / 2) ** 2
    angles = times * math.pi
    filters = torch.where(angles == 0, 1.0, angles.sin() / angles) * (window * (cutoff / from_rate))
    padded = functional.pad(signal[None, None], (width, width + from_rate))
    resampled = functional.conv1d(padded, filters[:, None], stride=from_rate)[0].t().reshape(-1)
    return resampled[: math.ceil(to_rate * len(signal) / from_rate)]
