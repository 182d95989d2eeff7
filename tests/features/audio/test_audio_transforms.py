"""The audio transforms equal torchaudio's bit for bit: saved models were trained with those."""

import math
import warnings

import pytest
import torch

from seqbelt.features.audio.audio_transforms import (
    cosine_transform,
    differences,
    mel_filters,
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
    assert torch.equal(mel_filters(num_bins, sample_rate, num_bands, low, high), expected)


@pytest.mark.parametrize(("num_coefficients", "num_bands"), [(13, 40), (40, 40), (1, 8)])
def test_cosine_transform(num_coefficients, num_bands):
    expected = torchaudio.functional.create_dct(num_coefficients, num_bands, "ortho")
    found = cosine_transform(num_coefficients, num_bands)
    assert torch.equal(found, expected) and found.stride() == expected.stride()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 100), (1, 7), (3, 1), (5, 2)])
def test_differences(shape, dtype):
    features = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    assert torch.equal(differences(features), torchaudio.functional.compute_deltas(features))


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(2, 1), (441, 160), (160, 441), (1, 2), (441, 640), (1, 1)]
)
def test_resample_short(from_rate, to_rate):
    signal = torch.randn(1001, generator=torch.Generator().manual_seed(0))
    found = resample_short(signal, from_rate, to_rate)
    assert torch.equal(found, torchaudio.functional.resample(signal, from_rate, to_rate))
    assert len(found) == math.ceil(1001 * to_rate / from_rate)
