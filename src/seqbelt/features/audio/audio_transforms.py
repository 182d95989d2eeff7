"""Mel filters, cosine transform, differences over time and the short resampling filter.

The numbers are those of ``torchaudio.functional``, bit for bit: models were trained with them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

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
) -> Tensor:
    """Triangular filters ``(num_bins, num_bands)`` of equal area on Slaney's mel scale.

    The bins lie from 0 Hz to ``sample_rate // 2``; a band without a bin is all zeros.
    Slaney 1998, Auditory Toolbox, Technical Report 1998-010, Interval Research.
    """
    bins = torch.linspace(0, sample_rate // 2, num_bins)
    mels = torch.linspace(_to_mel(min_frequency), _to_mel(max_frequency), num_bands + 2)
    edges = _to_hz(mels)
    widths = edges.diff()
    distances = edges[None] - bins[:, None]
    rising = -distances[:, :-2] / widths[:-1]
    falling = distances[:, 2:] / widths[1:]
    filters = torch.minimum(rising, falling).clamp_min(0)
    return filters * (2 / (edges[2:] - edges[:-2]))


def _to_mel(frequency: float) -> float:
    if frequency < LOG_HZ:
        return frequency / HZ_PER_MEL
    return LOG_MEL + math.log(frequency / LOG_HZ) / LOG_STEP


def _to_hz(mels: Tensor) -> Tensor:
    logarithmic = LOG_HZ * torch.exp(LOG_STEP * (mels - LOG_MEL))
    return torch.where(mels >= LOG_MEL, logarithmic, HZ_PER_MEL * mels)


def cosine_transform(num_coefficients: int, num_bands: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) ``(num_bands, num_coefficients)``."""
    bands = torch.arange(float(num_bands))
    orders = torch.arange(float(num_coefficients))[:, None]
    cosines = torch.cos(math.pi / num_bands * (bands + 0.5) * orders)
    cosines[0] *= 1 / math.sqrt(2)
    cosines *= math.sqrt(2 / num_bands)
    return cosines.t()


def differences(features: Tensor) -> Tensor:
    """Regression slope over five steps, the ends repeated, of ``(features, steps)``."""
    padded = functional.pad(features[None], (2, 2), mode="replicate")
    kernel = torch.arange(-2.0, 3.0, dtype=features.dtype).repeat(len(features), 1, 1)
    return functional.conv1d(padded, kernel, groups=len(features))[0] / 10


def resample_short(signal: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample ``(samples,)`` by a sinc with a Hann window of ``NUM_CROSSINGS`` crossings, to
    ``ceil(samples * to_rate / from_rate)`` samples. The rates have no common divisor."""
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
