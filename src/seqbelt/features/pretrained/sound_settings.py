"""Settings of an encoder of sound in an ONNX file."""

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from seqbelt.errors import TOO_LONG, BadInput
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.base import Source
from seqbelt.features.pretrained.pretrained import PretrainedFeatures
from seqbelt.settings import Positive


class SoundEncoderSettings(PretrainedFeatures, AudioFeatures):
    """How a sound encoder is run: on each window, or on the whole recording."""

    kind: Literal["encoder"]
    reads: Literal["waveform"]
    """The encoder takes samples."""
    sample_rate: Annotated[int, Field(ge=100)]  # pyright: ignore[reportGeneralTypeIssues]  # required
    """Rate in Hz that the encoder was trained with; every recording is resampled to it."""
    window_ms: Positive | None = None  # type: ignore[assignment]  # null has a meaning here
    """Length of the window that the encoder reads for each step; null runs it on the whole
    recording."""
    hop_ms: Positive  # pyright: ignore[reportGeneralTypeIssues]  # required
    """Distance from one step to the next; without ``window_ms`` the encoder's own."""
    context_ms: Annotated[float, Field(ge=0)] | None = None
    """How far to each side of a step the encoder looks, where it reads whole recordings: long ones
    are then cut without seams, and signals can be streamed; null is anywhere."""
    max_whole_s: Positive = 120.0
    """Longest recording that is run at once where neither ``window_ms`` nor ``context_ms`` is set:
    memory grows with it, for attention with its square. Longer ones are quarantined."""
    state: dict[str, str] = Field(default_factory=dict)
    """Inputs that are fed from outputs of the previous window, ``INPUT: OUTPUT``; found by
    themselves where their names match (``h`` and ``hn``, ``state`` and ``stateN``)."""
    has_one_unit: ClassVar[bool] = False

    @model_validator(mode="after")
    def _refuse_context_of_windows(self) -> Self:
        if self.window_ms is not None and self.context_ms is not None:
            raise ValueError("a window is its own context; remove context_ms or window_ms")
        return self

    @property
    def window(self) -> int:
        return self.hop if self.window_ms is None else self._samples(self.window_ms)

    @property
    def context(self) -> int | None:
        """Samples to each side that a step of a whole recording depends on."""
        return None if self.context_ms is None else self._samples(self.context_ms)

    def _samples(self, milliseconds: float) -> int:
        return max(1, round(milliseconds * self.sample_rate / 1000))

    def describe_samples(self, samples: int) -> str:
        """``576 samples, 36 ms at 16000 Hz``."""
        milliseconds = 1000 * samples / self.sample_rate
        return f"{samples} samples, {milliseconds:.6g} ms at {self.sample_rate} Hz"

    def read(self, source: Source) -> Audio:
        audio = super().read(source)
        self.check_duration(audio)
        return audio

    def check_duration(self, audio: Audio) -> None:
        """Raise BadInput for a recording that is too long for one run."""
        duration_s = len(audio.samples) / audio.sample_rate
        is_whole = self.window_ms is None and self.context_ms is None
        if is_whole and duration_s > self.max_whole_s:
            raise BadInput(
                TOO_LONG,
                f"{duration_s:.1f} s, and features.max_whole_s allows {self.max_whole_s:g} in one "
                "run of the encoder; set features.context_ms or window_ms, which cut recordings",
            )

    def comparable(self, sequence: np.ndarray) -> np.ndarray:
        return sequence
