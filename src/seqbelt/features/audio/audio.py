"""Audio features: a recording becomes a float32 sequence ``(steps, features)``.

Every kind is framed alike, as librosa frames with ``center=True``: a recording of ``n`` samples
at hop ``h`` gives exactly ``1 + n // h`` steps; step ``t`` is centred on sample ``t * h`` and
sees zeros beyond both ends. Zero padding is what lets recordings of several lengths be
transformed in one batch and still get the very frames that they would get alone.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from seqbelt.errors import EMPTY, BadInput
from seqbelt.features.audio.audio_decoding import (
    Audio,
    check_samples,
    decode_audio,
    max_audio_bytes,
)
from seqbelt.features.audio.audio_transforms import (
    cosine_transform,
    differences,
    hann_window,
    mel_filters,
    power_spectra,
    resample_short,
)
from seqbelt.features.base import Encoder, Features, Learned, Source, file_or_content
from seqbelt.settings import Positive

MAX_PADDED_SAMPLES = 2_000_000
"""Largest padded batch of one transform: keeps the spectrogram in tens of megabytes."""
MAX_PEAK = 10.0
"""Times full scale; decoded peaks may well lie above it, but not so far."""
COMPARABLE_DB = 35.0
"""Bands so far below a recording's loudest are equal in copies: compression changes them."""
NUM_COMPARABLE_BANDS = 20
MAX_FILTER_VALUES = 4_000_000
"""Largest resampling filter, which grows with the product of the reduced rates."""


class AudioFeatures(Features):
    """What all kinds of audio features share: decoding, one sample rate, framing."""

    faster_with_torch: ClassVar[bool] = True
    size_setting: ClassVar[str] = "features.max_duration_s"
    before: ClassVar[Mapping[str, Any]] = {"signal_version": 1}

    sample_rate: Annotated[int, Field(ge=100)] = 16_000
    """Rate in Hz that every recording is resampled to."""
    window_ms: Positive = 25.0
    """Length of the window that one step sees."""
    hop_ms: Positive = 10.0
    """Distance from one step to the next."""
    trim_silence_db: Positive | None = None
    """Cut the ends that stay this many dB below the recording's own peak; null keeps them."""
    max_duration_s: Positive = 3600.0
    """Longer recordings are quarantined."""
    signal_version: Literal[1, 2] = 2
    """How signals are computed: 2 resamples as soxr does and has exact mel bands at odd sample
    rates, as librosa; 1 is how models that do not name it were trained (torchaudio's short
    filter)."""
    deltas: Annotated[int, Field(ge=0, le=2)] = 0
    """Append first (1) and second (2) differences over time as further features."""
    subtract_mean: bool = False
    """Subtract each recording's own mean over time (cepstral mean normalisation): removes the
    microphone and part of the speaker, needs the whole recording."""

    @property
    def max_file_bytes(self) -> float:
        return max_audio_bytes(self.max_duration_s)

    @property
    def num_features(self) -> int:
        return self.num_base_features * (1 + self.deltas)

    @property
    def num_base_features(self) -> int:
        """Features of a step before differences are appended."""
        raise NotImplementedError

    @property
    def hop(self) -> int:
        """Samples from one step to the next."""
        return max(1, round(self.hop_ms * self.sample_rate / 1000))

    @property
    def window(self) -> int:
        """Samples that one step sees."""
        return max(1, round(self.window_ms * self.sample_rate / 1000))

    @property
    def fft_size(self) -> int:
        """Next power of two from the window."""
        return _power_of_two(self.window)

    @property
    def keeps_time(self) -> bool:
        return self.trim_silence_db is None

    def step_s(self) -> float:
        return self.hop / self.sample_rate

    def num_steps(self, num_rows: int) -> int:
        """Steps of a recording with ``num_rows`` samples at ``sample_rate``."""
        return 1 + num_rows // self.hop

    def read(self, source: Source) -> Audio:
        content = file_or_content(source)
        if isinstance(content, np.ndarray):
            return check_samples(content, self.sample_rate, self.max_duration_s)
        return decode_audio(content, self.max_duration_s)

    def encoder(self, learned: Learned) -> "AudioFeatures":
        return self  # nothing is learned, so the settings encode by themselves

    def encode(self, raws: Sequence[Audio]) -> list[np.ndarray]:
        """Encode recordings: float32 ``(num_steps, num_features)`` each."""
        signals = [self.prepare_signal(raw) for raw in raws]
        encoded: list[np.ndarray | None] = [None] * len(signals)
        for batch in _batches_by_length([len(signal) for signal in signals]):
            for index, steps in zip(batch, self._transform([signals[i] for i in batch])):
                encoded[index] = self.finish(steps)
        return encoded  # type: ignore[return-value]  # every index is in one batch

    def remarks(self, raw: Audio, encoder: Encoder) -> tuple[str, ...]:
        notes = [*raw.notes]
        if raw.sample_rate < self.sample_rate:
            notes.append(
                f"resampled from {raw.sample_rate} Hz to {self.sample_rate} Hz: nothing is above "
                f"{raw.sample_rate // 2} Hz"
            )
        if raw.peak > MAX_PEAK:
            notes.append("samples far beyond full scale, as of whole numbers stored as floats")
        return tuple(notes)

    has_one_unit: ClassVar[bool] = True

    def comparable(self, sequence: np.ndarray) -> np.ndarray:
        """Energies in dB, those far below the recording's loudest raised to one level."""
        bands = self._bands(sequence[:, : self.num_base_features])
        return bands if self.subtract_mean else np.maximum(bands, bands.max() - COMPARABLE_DB)

    def _bands(self, steps: np.ndarray) -> np.ndarray:
        """Base features as energies of bands ``(num_steps, bands)`` in dB."""
        return steps

    def _transform(self, signals: list[np.ndarray]) -> list[np.ndarray]:
        """Base features ``(num_steps, num_base_features)`` of signals of similar length."""
        raise NotImplementedError

    def prepare_signal(self, raw: Audio) -> np.ndarray:
        """Samples at ``sample_rate``, trimmed as set."""
        signal = raw.samples
        if raw.sample_rate != self.sample_rate:
            change_rate = resample if self.signal_version > 1 else _resample_short
            signal = change_rate(signal, raw.sample_rate, self.sample_rate)
        if self.trim_silence_db is not None:
            import librosa

            signal, _ = librosa.effects.trim(
                signal, top_db=self.trim_silence_db, frame_length=self.window, hop_length=self.hop
            )
        return signal

    def finish(self, steps: np.ndarray) -> np.ndarray:
        """Base features with differences and without their mean, as set."""
        if self.deltas:
            steps = append_deltas(steps, self.deltas)
        if self.subtract_mean:
            steps = steps - steps.mean(axis=0, dtype=np.float64).astype(np.float32)
        return np.ascontiguousarray(steps, dtype=np.float32)


class LogMel(AudioFeatures):
    """Mel-band energies in dB (Slaney's scale and normalisation, as librosa's default)."""

    kind: Literal["log_mel"]
    num_bands: Annotated[int, Field(ge=1)] = 40
    """Mel bands."""
    min_frequency: Annotated[float, Field(ge=0)] = 0.0
    """Lower edge of the lowest band, in Hz."""
    max_frequency: Positive | None = None
    """Upper edge of the highest band, in Hz; null is half the sample rate."""
    floor_db: float = -100.0
    """Energies below this are raised to it, so that digital silence is not minus infinity."""

    @property
    def is_spectrum(self) -> bool:
        return not self.deltas

    @property
    def num_base_features(self) -> int:
        return self.num_bands

    def encoder(self, learned: Learned) -> "LogMel":
        _ = self.window_and_filters  # built now, so that the first file need not wait for it
        return self

    @cached_property
    def fft_size(self) -> int:  # type: ignore[override]
        """Next power of two from the window, or larger, so that no mel band is without a bin."""
        size = _power_of_two(self.window)
        while not self._mel_filters(size).any(axis=0).all():
            size *= 2
        return size

    def _mel_filters(self, fft_size: int) -> np.ndarray:
        # Half an odd rate is rounded down: bins up to the whole of it are asked for instead.
        twice = 2 if self.sample_rate % 2 and self.signal_version > 1 else 1
        filters = mel_filters(
            twice * (fft_size // 2) + 1,
            twice * self.sample_rate,
            self.num_bands,
            self.min_frequency,
            self.max_frequency or self.sample_rate / 2,
        )
        return filters[: fft_size // 2 + 1]

    @cached_property
    def window_and_filters(self) -> tuple[np.ndarray, np.ndarray]:
        """The window ``(window,)`` and the mel filters ``(num_bands, bins)``."""
        filters = self._mel_filters(self.fft_size)
        return hann_window(self.window), np.ascontiguousarray(filters.T)

    def _transform(self, signals: list[np.ndarray]) -> list[np.ndarray]:
        # torch is faster, but takes longer to import than NumPy for some hundred recordings.
        if "torch" in sys.modules:
            return self._decibels_by_torch(signals)
        return [self._decibels(signal) for signal in signals]

    def _decibels(self, signal: np.ndarray) -> np.ndarray:
        """``(steps, num_bands)`` in dB."""
        window, filters = self.window_and_filters
        energies = power_spectra(signal, window, self.fft_size, self.hop) @ filters.T
        return 10 * np.log10(np.maximum(energies, self._floor))

    def _decibels_by_torch(self, signals: list[np.ndarray]) -> list[np.ndarray]:
        import torch

        padded = torch.zeros(len(signals), max(len(signal) for signal in signals))
        for row, signal in zip(padded.numpy(), signals):
            row[: len(signal)] = signal
        window, filters = (torch.from_numpy(part) for part in self.window_and_filters)
        spectra = torch.stft(
            padded, self.fft_size, self.hop, self.window, window,
            pad_mode="constant", return_complex=True,
        )  # fmt: skip
        # Not abs and square: a complex abs alone takes longer than the transform.
        energies = filters @ spectra.real.square().add_(spectra.imag.square())
        decibels = energies.clamp_(min=float(self._floor)).log10_().mul_(10)
        steps = decibels.transpose(1, 2).numpy()
        return [steps[i, : self.num_steps(len(s))] for i, s in enumerate(signals)]

    @property
    def _floor(self) -> np.float32:
        """The least energy."""
        return np.float32(10 ** (self.floor_db / 10))


class Mfcc(LogMel):
    """Mel-frequency cepstral coefficients: the orthonormal cosine transform of ``LogMel``.

    Davis & Mermelstein 1980, doi:10.1109/TASSP.1980.1163420.
    """

    kind: Literal["mfcc"]  # type: ignore[assignment]  # narrows the tag of its base
    num_coefficients: Annotated[int, Field(ge=1)] = 40
    """Coefficients kept; no more than ``num_bands``."""

    @property
    def is_spectrum(self) -> bool:
        return False

    @property
    def num_base_features(self) -> int:
        return min(self.num_coefficients, self.num_bands)

    @cached_property
    def cosines(self) -> np.ndarray:
        """The orthonormal cosine transform ``(num_bands, num_base_features)``."""
        return cosine_transform(self.num_base_features, self.num_bands)

    def _transform(self, signals: list[np.ndarray]) -> list[np.ndarray]:
        return [decibels @ self.cosines for decibels in super()._transform(signals)]

    def _bands(self, steps: np.ndarray) -> np.ndarray:
        return steps @ self.cosines.T


class Waveform(AudioFeatures):
    """The samples themselves: each step is the window of raw samples centred on it."""

    kind: Literal["waveform"]

    @property
    def num_base_features(self) -> int:
        return self.window

    def _transform(self, signals: list[np.ndarray]) -> list[np.ndarray]:
        before = self.window // 2
        windows = []
        for signal in signals:
            padded = np.pad(signal, (before, self.window))
            frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
            windows.append(frames[: self.num_steps(len(signal))])
        return windows

    def _bands(self, steps: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(steps * np.hanning(steps.shape[1]), axis=1)) ** 2
        edges = np.unique(np.geomspace(1, power.shape[1], NUM_COMPARABLE_BANDS + 1).astype(int))
        energies = np.add.reduceat(power, edges[:-1], axis=1)
        return (10 * np.log10(energies + 1e-10)).astype(np.float32)


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()


def _batches_by_length(lengths: list[int]) -> list[list[int]]:
    """Indices grouped so that a batch wastes little padding and stays within memory."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = lengths[index]
        if longest == 0:
            raise BadInput(EMPTY, "the recording has no samples")
        batch = batches[-1] if batches else []
        full = (len(batch) + 1) * longest > MAX_PADDED_SAMPLES or len(batch) >= 16
        if not batch or full:
            batches.append([index])
        else:
            batch.append(index)
    return batches


def resample(signal: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Band-limited resampling of ``(samples,)`` to ``ceil(samples * to_rate / from_rate)`` samples,
    by soxr at its high quality, as ``librosa.load`` does it."""
    import soxr

    resampled = soxr.resample(signal, from_rate, to_rate, quality="HQ")
    size = -(-len(signal) * to_rate // from_rate)
    return np.pad(resampled[:size], (0, max(0, size - len(resampled))))


class StreamResampler:
    """``resample`` of a signal in pieces: the same samples."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        import soxr

        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
        self._from_rate, self._to_rate = from_rate, to_rate
        self._num_read = self._num_given = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Samples that these complete; possibly none."""
        resampled = self._stream.resample_chunk(samples)
        self._num_read += len(samples)
        self._num_given += len(resampled)
        return resampled

    def finish(self) -> np.ndarray:
        """The samples that waited for the end."""
        rest = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
        size = -(-self._num_read * self._to_rate // self._from_rate) - self._num_given
        return np.pad(rest[:size], (0, max(0, size - len(rest))))


def _resample_short(signal: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resampling by a short windowed sinc, as models of the first signal version were trained."""
    import torch

    ratio = _resampling_ratio(from_rate, to_rate)
    return resample_short(torch.tensor(signal), ratio.numerator, ratio.denominator).numpy()


def _resampling_ratio(from_rate: int, to_rate: int) -> Fraction:
    """The rates' ratio: exact where the filter for it is small, as it is for all usual rates, else
    the nearest such, within a millisecond in ten seconds."""
    ratio = Fraction(from_rate, to_rate)
    if ratio.numerator * ratio.denominator <= MAX_FILTER_VALUES:
        return ratio
    return ratio.limit_denominator(max(1, math.isqrt(int(MAX_FILTER_VALUES / ratio))))


def append_deltas(steps: np.ndarray, order: int) -> np.ndarray:
    """Regression differences over five steps, the ends repeated, appended as features."""
    parts = [steps]
    for _ in range(order):
        parts.append(differences(parts[-1]))
    return np.concatenate(parts, axis=1)
