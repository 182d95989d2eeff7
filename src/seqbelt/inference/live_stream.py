"""One signal, answered while it comes: the last answer is the one that its file would get."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqbelt.errors import NOT_FINITE, SILENT, BadInput, SettingsError
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import SILENCE_PEAK
from seqbelt.features.streaming.steps import stream_steps, why_whole
from seqbelt.inference.bundle import Bundle
from seqbelt.models.classifier import Model
from seqbelt.models.streaming_classifier import StreamingClassifier, WindowClassifier

EVERY_MS = 250.0
"""Signal between two answers, where steps have a time and nothing else is asked for."""


@dataclass(frozen=True)
class Decision:
    """What a signal is, judged by what was heard of it."""

    num_inputs: int
    """Samples or rows heard."""
    num_steps: int
    """Steps that they made so far."""
    probabilities: np.ndarray
    """Float32 ``(classes,)``."""
    is_final: bool


def why_not_streaming(model: Model) -> str | None:
    """Why a model needs the whole sequence, and what to do; None where it can stream."""
    if model.bidirectional:
        return (
            "the model is bidirectional and reads from the end; give --window-s, or train one "
            "with model.bidirectional: false"
        )
    if model.max_steps is not None and model.crop in ("tail", "windows"):
        return (
            f"model.crop: {model.crop} chooses by the sequence's end what is read; give "
            "--window-s, or train with crop: head or with max_steps: null"
        )
    return None


def why_not_bundle(bundle: Bundle) -> str | None:
    """Why a bundle cannot stream: its model, or its features."""
    return why_not_streaming(bundle.model) or why_whole(bundle.features)


def window_steps(bundle: Bundle, window_s: float | None) -> int | None:
    """Steps that make ``window_s`` seconds; the model's ``max_steps`` where that is None.

    Raises SettingsError where steps have no time, or where the model does not read so many.
    """
    max_steps, step_s = bundle.model.max_steps, bundle.features.step_s()
    if window_s is None:
        return max_steps
    if step_s is None:
        raise SettingsError(
            f"--window-s {window_s:g}: the steps have no time (features.sample_rate is not set); "
            "set it and train anew, or limit the model with model.max_steps"
        )
    num_steps = max(1, round(window_s / step_s))
    if max_steps is not None and num_steps > max_steps:
        raise SettingsError(
            f"--window-s {window_s:g}: the model reads at most {max_steps * step_s:g} s "
            f"(model.max_steps: {max_steps}); give at most that"
        )
    return num_steps


class Stream:
    """One signal in pieces: samples ``(samples,)`` of audio, else rows ``(rows, channels)``.

    ``every_ms`` or ``every_steps`` say after how much of the signal an answer is given, whatever
    the pieces; left out, after 250 ms where steps have a time, else after each step. A limit that
    ``features`` sets on the length of a file does not hold for a stream; a silent recording, which
    has no answer as a file, has none here until something is heard.

    With ``window_s`` an answer is that of the last so many seconds, and earlier ones are forgotten.
    A model with ``max_steps`` reads no more steps than that: without ``window_s`` it answers from
    the last ``max_steps`` steps, which are the whole signal until there are more.

    Raises SettingsError (reason, remedy) where the answer needs the whole signal, or where no
    window of ``window_s`` can be read.
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
        """The steps that an answer is read from at most; None: all."""
        network = bundle.network.cpu().eval()
        self._window = None
        if self.window_steps is not None:
            self._window = WindowClassifier(network, self.window_steps)
        # As long as a model has not read its max_steps, the carried state gives the same answer.
        self._carried = None if window_s is not None else StreamingClassifier(network)
        self._probabilities = bundle.probabilities
        self._every = self._inputs_between(every_ms, every_steps)
        self._peak = 0.0
        self.num_inputs = 0
        self.num_steps = 0

    @property
    def input_s(self) -> float | None:
        """Seconds from one input to the next, where there is a time."""
        if isinstance(self._features, AudioFeatures):
            return 1 / self._features.sample_rate
        return self._features.step_s()

    def push(self, inputs: np.ndarray) -> Iterator[Decision]:
        """Hear on, and answer where an answer is due; the iterator must be exhausted."""
        while len(inputs):
            room = self._every - self.num_inputs % self._every
            self._hear(inputs[:room])
            inputs = inputs[room:]
            if self.num_inputs % self._every == 0 and self._has_answer:
                yield self._decide(is_final=False)

    def finish(self) -> Decision:
        """The answer to the whole signal. Raises BadInput where predicting its file would."""
        steps = self._steps.finish()
        if self._is_audio and self._peak < SILENCE_PEAK:
            raise BadInput(SILENT, f"no sample is louder than {self._peak:.1g} of full scale")
        self._read(steps)
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
                    "--every-ms: the steps have no time (features.sample_rate is not set); "
                    "use --every-steps"
                )
            return 1
        return max(1, round((every_ms or EVERY_MS) / 1000 / self.input_s))

    @property
    def _has_answer(self) -> bool:
        return self.num_steps > 0 and (not self._is_audio or self._peak >= SILENCE_PEAK)

    def _hear(self, inputs: np.ndarray) -> None:
        if self._is_audio:
            peak = float(np.abs(inputs).max())
            if not np.isfinite(peak):
                raise BadInput(NOT_FINITE, "the signal holds NaN or infinite samples")
            self._peak = max(self._peak, peak)
        self.num_inputs += len(inputs)
        self._read(self._steps.push(inputs))

    def _read(self, steps: np.ndarray) -> None:
        if not np.isfinite(steps).all():
            raise BadInput(NOT_FINITE, "the features hold NaN or infinite values")
        self.num_steps += len(steps)
        if self._window is not None:
            self._window.push(steps)
            if self.num_steps > self._window.max_steps:
                self._carried = None
        if self._carried is not None:
            self._carried.push(steps)

    def _decide(self, is_final: bool) -> Decision:
        classifier = self._carried or self._window
        assert classifier is not None
        shares = self._probabilities(classifier.logits.numpy())
        return Decision(self.num_inputs, self.num_steps, shares, is_final)
