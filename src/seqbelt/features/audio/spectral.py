"""librosa's spectral descriptors as audio features."""

from typing import Any, ClassVar, Literal

import numpy as np

from seqbelt.features.audio.audio import AudioFeatures


class Spectral(AudioFeatures):
    """librosa's spectral descriptors: chroma, contrast, shape of the spectrum, energy."""

    kind: Literal["spectral"]
    descriptors: tuple[
        Literal[
            "chroma", "contrast", "centroid", "bandwidth", "rolloff", "flatness", "zero_crossings",
            "rms",
        ],
        ...,
    ] = ("chroma", "contrast", "centroid", "bandwidth", "rolloff", "flatness", "zero_crossings",
         "rms")  # fmt: skip
    """Which descriptors, in this order."""

    LOWEST_CONTRAST_HZ: ClassVar[float] = 200.0

    @property
    def num_base_features(self) -> int:
        widths = {"chroma": 12, "contrast": self._num_contrast_bands + 1}
        return sum(widths.get(name, 1) for name in self.descriptors)

    @property
    def _num_contrast_bands(self) -> int:
        """Octaves from 200 Hz that fit below half the sample rate, six at most."""
        octaves = np.log2(self.sample_rate / 2 / self.LOWEST_CONTRAST_HZ)
        return int(min(6, max(1, np.ceil(octaves) - 1)))

    def _transform(self, signals: list[np.ndarray]) -> list[np.ndarray]:
        return [self._describe(signal) for signal in signals]

    def _describe(self, signal: np.ndarray) -> np.ndarray:
        import librosa

        num_steps = self.num_steps(len(signal))
        # What is shorter than a window gets the zeros that its steps see anyway.
        signal = np.pad(signal, (0, max(0, self.fft_size - len(signal))))
        size, hop = self.fft_size, self.hop
        spectrum = np.abs(librosa.stft(signal, n_fft=size, hop_length=hop, win_length=self.window))
        shape: dict[str, Any] = {
            "S": spectrum, "sr": self.sample_rate, "n_fft": size, "hop_length": hop
        }  # fmt: skip
        compute = {
            "chroma": lambda: librosa.feature.chroma_stft(
                **{**shape, "S": spectrum**2}, tuning=0.0
            ),
            "contrast": lambda: librosa.feature.spectral_contrast(
                **shape, fmin=self.LOWEST_CONTRAST_HZ, n_bands=self._num_contrast_bands
            ),
            "centroid": lambda: librosa.feature.spectral_centroid(**shape),
            "bandwidth": lambda: librosa.feature.spectral_bandwidth(**shape),
            "rolloff": lambda: librosa.feature.spectral_rolloff(**shape),
            "flatness": lambda: librosa.feature.spectral_flatness(S=spectrum),
            "zero_crossings": lambda: librosa.feature.zero_crossing_rate(
                signal, frame_length=size, hop_length=hop
            ),
            "rms": lambda: librosa.feature.rms(S=spectrum, frame_length=size),
        }
        return np.concatenate([compute[name]() for name in self.descriptors]).T[:num_steps]
