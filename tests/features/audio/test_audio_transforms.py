"""The audio transforms equal torchaudio's within float32: saved models were trained with those."""

import math
import warnings

import numpy as np
import pytest
import torch

from seqbelt.features.audio.audio_transforms import (
    cosine_transform,
    differences,
    hann_window,
    mel_filters,
    power_spectra,
    resample_short,
)

torchaudio = pytest.importorskip("torchaudio_oracle", exc_type=ImportError).torchaudio


@pytest.mark.parametrize(
    ("num_bins", "sample_rate", "num_bands", "low", "high"),
    [
        (129, 8000, 40, 0.0, 4000.0),
        (257, 16_000, 128, 20.0, 8000.0),
        (33, 8000, 40, 0.0, 4000.0),  # bands without a bin
        (65, 11_025, 40, 0.0, 5512.5),  # an odd rate
        (257, 16_000, 40, 1200.0, 8000.0),  # all above the linear part
    ],
)
def test_mel_filters(num_bins, sample_rate, num_bands, low, high):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = torchaudio.functional.melscale_fbanks(
            num_bins, low, high, num_bands, sample_rate, norm="slaney", mel_scale="slaney"
        )
    found = mel_filters(num_bins, sample_rate, num_bands, low, high)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("num_coefficients", "num_bands"), [(13, 40), (40, 40), (1, 8)])
def test_cosine_transform(num_coefficients, num_bands):
    expected = torchaudio.functional.create_dct(num_coefficients, num_bands, "ortho")
    found = cosine_transform(num_coefficients, num_bands)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("shape", [(100, 40), (7, 1), (1, 3), (2, 5)])
def test_differences(shape):
    steps = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = torchaudio.functional.compute_deltas(torch.from_numpy(steps.T)).T
    assert differences(steps).dtype == np.float32
    np.testing.assert_allclose(differences(steps), expected, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 160, 401])
def test_hann_window(size):
    np.testing.assert_allclose(hann_window(size), torch.hann_window(size), atol=1e-6)


@pytest.mark.parametrize(
    ("num_samples", "window", "fft_size", "hop"),
    [(1, 200, 256, 80), (80, 200, 256, 80), (1601, 400, 512, 160), (999, 201, 512, 77)],
)
def test_power_spectra(num_samples, window, fft_size, hop):
    signal = np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    spectra = torch.stft(
        torch.from_numpy(signal), fft_size, hop, window, torch.hann_window(window),
        pad_mode="constant", return_complex=True,
    )  # fmt: skip
    found = power_spectra(signal, hann_window(window), fft_size, hop)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, spectra.abs().square().T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(2, 1), (441, 160), (160, 441), (1, 2), (441, 640), (1, 1)]
)
def test_resample_short(from_rate, to_rate):
    signal = torch.randn(1001, generator=torch.Generator().manual_seed(0))
    found = resample_short(signal, from_rate, to_rate)
    assert torch.equal(found, torchaudio.functional.resample(signal, from_rate, to_rate))
    assert len(found) == math.ceil(1001 * to_rate / from_rate)
