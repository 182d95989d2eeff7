"""Predictions for a live signal; the last one equals that for a file with the signal."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqbelt.errors import NOT_FINITE, SILENT, BadInput, SettingsError
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import SILENCE_PEAK
from seqbelt.features.streaming.steps import stream_steps, why_whole
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.decision import find_overflow
from seqbelt.inference.recording_windows import default_window_s
from seqbelt.models.model import Model
from seqbelt.models.numpy_streaming import NumpyStreamingClassifier

EVERY_MS = 250.0
"""Default interval between two predictions, if steps have a time."""


@dataclass(frozen=True)
class LiveDecision:
    """A prediction from the part of a signal that was read."""

    num_inputs: int
    """Samples or rows read."""
    num_steps: int
    """Steps encoded from them."""
    probabilities: np.ndarray
    """Float32 ``(classes,)``."""
    is_final: bool


def why_not_streaming(model: Model) -> str | None:
    """Why a model needs the complete sequence; None if it can stream."""
    if model.bidirectional:
        return "it is bidirectional and reads from the end"
    if model.cropping.needs_end:
        return f"model.crop: {model.crop} depends on the sequence's end"
    return None


def why_not_bundle(bundle: Bundle) -> str | None:
    """Why a bundle cannot stream because of its model or features, with what to do; None if it
    can."""
    if (reason := why_not_streaming(bundle.model)) is None:
        return why_whole(bundle.features)
    settings = "model.bidirectional=false" if bundle.model.bidirectional else ""
    if bundle.model.cropping.needs_end:
        settings += " model.crop=head"
    remedy = (
        "train one that reads forwards: seqbelt train CONFIG.yaml "
        f"name={shlex.quote(bundle.name + '-live')} {settings.strip()}"
    )
    if why_whole(bundle.features) is None and bundle.features.step_s() is not None:
        typical_s = default_window_s(bundle)
        window = f"{typical_s:.2g} (a typical training sequence)" if typical_s else "SECONDS"
        remedy = f"add --window-s {window}, or {remedy}"
    return f"{reason}; {remedy}"


def window_steps(bundle: Bundle, window_s: float | None) -> int | None:
    """Number of steps in ``window_s`` seconds; the model's ``max_steps`` if that is None.

    Raises SettingsError if steps have no time, or if the window exceeds ``max_steps``.
    """
    max_steps, step_s = bundle.model.max_steps, bundle.features.step_s()
    if window_s is None:
        return max_steps
    if step_s is None:
        raise SettingsError(
            f"--window-s {window_s:g}: the steps have no time (features.source_rate_hz is not "
            "set); set it and train again, or set model.crop_steps"
        )
    num_steps = max(1, round(window_s / step_s))
    if max_steps is not None and num_steps > max_steps:
        raise SettingsError(
            f"--window-s {window_s:g}: the model reads at most {max_steps * step_s:g} s "
            f"(model.crop_steps: {max_steps}); give at most that"
        )
    return num_steps


class Stream:
    """One signal in pieces: samples ``(samples,)`` of audio, else rows ``(rows, channels)``.

    ``every_ms`` or ``every_steps`` set the interval between predictions, independent of the pieces;
    by default 250 ms if steps have a time, else one step. Limits of ``features`` on the length of a
    file do not apply. There is no prediction while the signal is silent.

    With ``window_s`` a prediction uses the last ``window_s`` seconds only. A model with
    ``max_steps`` uses, without ``window_s``, the last ``max_steps`` steps.

    Raises SettingsError if the model needs the complete signal, or for an invalid ``window_s``.
    """

    def __init__(
        self,
        bundle: Bundle,
        every_ms: float | None = None,
        every_steps: int | None = None,
        window_s: float | None = None,
    ) -> None:
        reason = why_whole(bundle.features) if window_s is not None else why_not_bundle(bundle)
        if reason is not None:
            raise SettingsError(f"this model cannot stream: {reason}")
        self._features = bundle.features
        self._is_audio = isinstance(bundle.features, AudioFeatures)
        self._steps = stream_steps(bundle.features, bundle.encoder)
        self.window_steps = window_steps(bundle, window_s)
        """Largest number of steps for a prediction; None for all."""
        self._window = None
        if self.window_steps is not None:
            from seqbelt.models.streaming_classifier import WindowClassifier  # imports torch

            self._window = WindowClassifier(bundle.network.cpu().eval(), self.window_steps)
        # Up to max_steps, the carried state gives the same prediction as the window.
        self._carried = None
        if window_s is None:
            self._carried = NumpyStreamingClassifier(bundle.numpy_networks)
        self._probabilities = bundle.probabilities
        self._every = self._inputs_between(every_ms, every_steps)
        self._peak = 0.0
        self.num_inputs = 0
        self.num_steps = 0

    @property
    def input_s(self) -> float | None:
        """Seconds between two inputs; None if steps have no time."""
        if isinstance(self._features, AudioFeatures):
            return 1 / self._features.sample_rate
        return self._features.step_s()

    def push(self, inputs: np.ndarray) -> Iterator[LiveDecision]:
        """Read inputs and yield the decisions that are due; the iterator must be exhausted."""
        while len(inputs):
            room = self._every - self.num_inputs % self._every
            self._read_inputs(inputs[:room])
            inputs = inputs[room:]
            if self.num_inputs % self._every == 0 and self._can_predict:
                yield self._decide(is_final=False)

    def finish(self) -> LiveDecision:
        """The prediction for the complete signal. Raises BadInput as for a file."""
        steps = self._steps.finish()
        if self._is_audio and self._peak < SILENCE_PEAK:
            raise BadInput(SILENT, f"no sample is louder than {self._peak:.1g} of full scale")
        self._read_steps(steps)
        return self._decide(is_final=True)

    def _inputs_between(self, every_ms: float | None, every_steps: int | None) -> int:
        if every_ms is not None and every_steps is not None:
            raise SettingsError("--every-ms and --every-steps: give one of them")
        if every_steps is not None:
            hop = self._features.hop if isinstance(self._features, AudioFeatures) else 1
            return every_steps * hop
        if self.input_s is None:
            if every_ms is not None:
                raise SettingsError(
                    "--every-ms: the steps have no time (features.source_rate_hz is not set); "
                    "use --every-steps"
                )
            return 1
        return max(1, round((every_ms or EVERY_MS) / 1000 / self.input_s))

    @property
    def _can_predict(self) -> bool:
        return self.num_steps > 0 and (not self._is_audio or self._peak >= SILENCE_PEAK)

    def _read_inputs(self, inputs: np.ndarray) -> None:
        if self._is_audio:
            peak = float(np.abs(inputs).max())
            if not np.isfinite(peak):
                raise BadInput(NOT_FINITE, "the signal contains NaN or infinite samples")
            self._peak = max(self._peak, peak)
        self.num_inputs += len(inputs)
        self._read_steps(self._steps.push(inputs))

    def _read_steps(self, steps: np.ndarray) -> None:
        if not np.isfinite(steps).all():
            raise BadInput(NOT_FINITE, "the features contain NaN or infinite values")
        self.num_steps += len(steps)
        if self._window is not None:
            self._window.push(steps)
            if self.num_steps > self._window.max_steps:
                self._carried = None
        if self._carried is not None:
            self._carried.push(steps)

    def _decide(self, is_final: bool) -> LiveDecision:
        classifier = self._carried or self._window
        assert classifier is not None
        probabilities = self._probabilities(np.asarray(classifier.logits))
        if (problem := find_overflow(probabilities)) is not None:
            raise problem
        return LiveDecision(self.num_inputs, self.num_steps, probabilities, is_final)
