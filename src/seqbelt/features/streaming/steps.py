"""Features of a signal that is still coming: the very steps that the whole signal would give.

A step is given once no later input can change it. What needs samples beyond the end of those read,
the last windows and differences, waits; at the signal's end it gets the zeros or repeats that the
end of a file gets. The transforms are those of files, run over overlapping stretches.
"""

from collections.abc import Callable, Sequence

import numpy as np

from seqbelt.errors import EMPTY, BadInput
from seqbelt.features.arrays.array_encoder import ArrayEncoder, Steps
from seqbelt.features.arrays.channel_transforms import hold
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.features.audio.audio import AudioFeatures, LogMel, append_deltas
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.audio.spectral import Spectral
from seqbelt.features.base import Encoder, Features
from seqbelt.features.pretrained.encoded_sound import EncodedSound
from seqbelt.features.pretrained.sound_encoder import SoundEncoder
from seqbelt.features.sound_sections import SectionsEncoder, SoundSections

Transform = Callable[[np.ndarray], np.ndarray]


class LocalTransform:
    """A transform of whole signals, fed with one signal in pieces.

    Row ``k`` of ``transform(signal)`` stands at input ``k * hop`` and depends on nothing but the
    ``before`` inputs that precede it and the ``after`` inputs from it on. Memory holds the inputs
    that coming rows still need.
    """

    def __init__(
        self, transform: Transform, num_features: int, *, hop: int = 1, before: int, after: int = 1
    ) -> None:
        self._transform = transform
        self._none = np.empty((0, num_features), np.float32)
        self._hop, self._before, self._after = hop, before, after
        self._kept: list[np.ndarray] = []
        self._first = 0  # number of the first input that is kept; a multiple of the hop
        self._num_inputs = 0
        self._num_rows = 0  # that were given

    def push(self, inputs: np.ndarray) -> np.ndarray:
        """Rows ``(steps, features)`` that these inputs complete; possibly none."""
        if not len(inputs):
            return self._none
        self._kept.append(inputs)
        self._num_inputs += len(inputs)
        num_ready = (self._num_inputs - self._after) // self._hop + 1
        return self._rows(num_ready) if num_ready > self._num_rows else self._none

    def finish(self) -> np.ndarray:
        """The remaining rows. Raises BadInput if there was no input at all."""
        if not self._num_inputs:
            raise BadInput(EMPTY, "the input is empty")
        return self._rows(None)

    def _rows(self, end: int | None) -> np.ndarray:
        """Rows from the first that was not given yet to ``end``."""
        inputs = np.concatenate(self._kept)
        earlier = self._first // self._hop  # rows of the signal before the stretch that is kept
        stop = None if end is None else end - earlier
        rows = self._transform(inputs)[self._num_rows - earlier : stop]
        self._num_rows += len(rows)
        # One input at least stays: what follows is no signal of its own.
        needed = self._num_rows * self._hop - max(1, self._before)
        first = max(0, needed // self._hop * self._hop)
        self._kept = [inputs[first - self._first :].copy()]
        self._first = first
        return rows


class HeldValues:
    """Replaces NaN in the rows of one signal by the channel's last value."""

    def __init__(self, means: np.ndarray) -> None:
        """``means`` ``(channels,)`` is what a channel is before its first value."""
        self._last = means

    def push(self, inputs: np.ndarray) -> np.ndarray:
        if len(inputs):
            inputs = hold(inputs, self._last)
            self._last = inputs[-1].copy()
        return inputs

    def finish(self) -> np.ndarray:
        return np.empty((0, len(self._last)), np.float32)


class CarriedWindows:
    """Windows of one signal through an encoder that carries a state from each to the next."""

    def __init__(self, encoder: SoundEncoder) -> None:
        self._encoder, self._states = encoder, encoder.first_states()
        self._size, self._hop = encoder.features.window, encoder.features.hop
        self._kept = np.zeros(self._size // 2, np.float32)  # from the next window's first sample
        self._num_inputs = self._num_rows = 0

    def push(self, inputs: np.ndarray) -> np.ndarray:
        """Rows ``(steps, features)`` of the windows that these samples complete; possibly none."""
        self._num_inputs += len(inputs)
        self._kept = np.concatenate([self._kept, inputs])
        return self._rows((len(self._kept) - self._size) // self._hop + 1)

    def finish(self) -> np.ndarray:
        """The remaining rows, of windows with zeros beyond the end. Raises BadInput if there was no
        sample at all."""
        if not self._num_inputs:
            raise BadInput(EMPTY, "the input is empty")
        self._kept = np.pad(self._kept, (0, self._size))
        return self._rows(self._encoder.features.num_steps(self._num_inputs) - self._num_rows)

    def _rows(self, number: int) -> np.ndarray:
        if number <= 0:
            return np.empty((0, self._encoder.num_base_features), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._kept, self._size)[:: self._hop]
        rows, self._states = self._encoder.run_windows(windows[:number], self._states)
        self._num_rows += number
        self._kept = self._kept[number * self._hop :].copy()
        return rows


class JoinedSteps:
    """Steps of several sections of one signal, each given once all sections have it."""

    def __init__(self, encoder: SectionsEncoder) -> None:
        self._encoder = encoder
        sections = zip(encoder.features.sections, encoder.encoders, strict=True)
        self._streams = [stream_steps(section, own) for section, own in sections]
        self._rows: list[np.ndarray] = []
        self._first = [0] * len(self._streams)  # number of each section's first row that is kept
        self._num_steps = 0

    def push(self, inputs: np.ndarray) -> np.ndarray:
        """Steps ``(steps, features)`` that these samples complete; possibly none."""
        self._keep([stream.push(inputs) for stream in self._streams])
        return self._give(min(map(self._num_complete, range(len(self._streams)))))

    def finish(self) -> np.ndarray:
        """The remaining steps. Raises BadInput if there was no sample at all."""
        self._keep([stream.finish() for stream in self._streams])
        return self._give(self._num_complete(self._encoder.fastest))

    def _keep(self, rows: list[np.ndarray]) -> None:
        kept = self._rows or [section[:0] for section in rows]
        self._rows = [np.concatenate(pair) for pair in zip(kept, rows, strict=True)]

    def _num_complete(self, number: int) -> int:
        """Steps of the signal whose row of this section has come."""
        return self._encoder.num_steps_of(number, self._first[number] + len(self._rows[number]))

    def _give(self, end: int) -> np.ndarray:
        """The steps before ``end`` that were not given yet."""
        steps = self._encoder.align(self._rows, self._first, range(self._num_steps, end))
        self._num_steps = end
        for number, rows in enumerate(self._rows):
            # The last row stays: it may be repeated.
            passed = min(self._encoder.row_at(number, end) - self._first[number], len(rows) - 1)
            if passed > 0:
                self._rows[number] = rows[passed:].copy()
                self._first[number] += passed
        return steps


class StepStream:
    """From the pieces of one signal to its steps, through one transform after the other."""

    def __init__(
        self, *transforms: LocalTransform | HeldValues | CarriedWindows | JoinedSteps
    ) -> None:
        self._transforms = transforms

    def push(self, inputs: np.ndarray) -> np.ndarray:
        """Float32 steps ``(steps, features)`` that samples ``(samples,)`` or rows ``(rows,
        channels)`` complete; possibly none."""
        for transform in self._transforms:
            inputs = transform.push(inputs)
        return inputs

    def finish(self) -> np.ndarray:
        """The steps that waited. Raises BadInput if the signal was empty."""
        first, *others = self._transforms
        steps = first.finish()
        for transform in others:
            steps = np.concatenate([transform.push(steps), transform.finish()])
        return steps


def stream_steps(features: Features, encoder: Encoder) -> StepStream:
    """The stream of steps for one new signal; ``why_whole`` must have nothing against it."""
    if isinstance(encoder, SectionsEncoder):
        return StepStream(JoinedSteps(encoder))
    if isinstance(features, AudioFeatures):
        frames, num_base_features = _stream_frames(features, encoder)
        if not features.deltas:
            return StepStream(frames)
        reach = 2 * features.deltas  # a difference looks two steps back and two ahead
        deltas = LocalTransform(
            lambda steps: append_deltas(steps, features.deltas),
            num_base_features * (1 + features.deltas),
            before=reach,
            after=reach + 1,
        )
        return StepStream(frames, deltas)
    assert isinstance(encoder, ArrayEncoder)
    rows = LocalTransform(
        lambda rows: encoder.encode([Steps(rows)])[0], encoder.num_features, before=1
    )
    return (
        StepStream(rows) if encoder.means is None else StepStream(HeldValues(encoder.means), rows)
    )


def _stream_frames(
    features: AudioFeatures, encoder: Encoder
) -> tuple[LocalTransform | CarriedWindows, int]:
    """The base features of a recording in pieces, and their number."""
    if isinstance(encoder, SoundEncoder):
        if encoder.carries_state:
            return CarriedWindows(encoder), encoder.num_base_features
        width, encode = encoder.num_base_features, encoder.encode_signals
    else:
        plain, rate = features.replace(deltas=0), features.sample_rate
        width = features.num_base_features

        def encode(signals: Sequence[np.ndarray]) -> list[np.ndarray]:
            return plain.encode([Audio(signal, rate) for signal in signals])

    before, after = _reach(features)
    transform = LocalTransform(
        lambda samples: encode([samples])[0], width, hop=features.hop, before=before, after=after
    )
    return transform, width


def why_whole(features: Features) -> str | None:
    """Why these features need the whole signal, and what to do; None where they can stream."""
    if isinstance(features, SoundSections):
        if len({section.sample_rate for section in features.sections}) > 1:
            return (
                "the sections of features have several sample rates, and a stream is not "
                "resampled; train with one sample_rate"
            )
        return next(filter(None, map(why_whole, features.sections)), None)
    if isinstance(features, AudioFeatures):
        return _why_whole_recording(features)
    if isinstance(features, Channels):
        return _why_whole_table(features)
    if isinstance(features, Vectors):
        if features.skeleton is None and features.axes[0] == "steps" and len(features.axes) == 2:
            return None
        return (
            "features.skeleton or features.layout needs whole arrays; 'seqbelt predict' reads them"
        )
    return (
        f"features of kind {features.kind} are made of whole files; 'seqbelt predict' "  # pyright: ignore[reportAttributeAccessIssue]
        "answers them"
    )


def _why_whole_recording(features: AudioFeatures) -> str | None:
    if features.subtract_mean:
        return (
            "features.subtract_mean subtracts the mean of the whole recording; train with "
            "subtract_mean: false (the model standardises by the training rows anyway)"
        )
    if features.trim_silence_db is not None:
        return (
            "features.trim_silence_db compares with the peak of the whole recording; train with "
            "trim_silence_db: null"
        )
    if isinstance(features, EncodedSound) and features.window_ms is None:
        return (
            None
            if features.context is not None
            else (
                "the encoder reads whole recordings; train with features.context_ms, if its steps "
                "depend on so much only, or with features.window_ms"
            )
        )
    if isinstance(features, Spectral) and "contrast" in features.descriptors:
        return (
            "the descriptor contrast is limited by the loudest step of the whole recording; train "
            "with features.descriptors without it"
        )
    return None


def _why_whole_table(features: Channels) -> str | None:
    if features.standardize != "none":
        return (
            "features.standardize: sequence needs the mean of the whole sequence; train with "
            "standardize: none (the model standardises by the training rows anyway)"
        )
    if features.resample_rate not in (None, features.sample_rate):
        return (
            "features.resample_rate filters the whole sequence; resample the data beforehand and "
            "train with resample_rate: null"
        )
    if features.missing in ("interpolate", "mask"):
        return (
            f"features.missing: {features.missing} fills a gap from values that come later; train "
            "with missing: hold"
        )
    return None


def _reach(features: AudioFeatures) -> tuple[int, int]:
    """Samples before a step's own that it sees, and samples from its own on."""
    if isinstance(features, Spectral):
        # Its zero crossings see the whole transform; and what is shorter than one is filled up,
        # which must befall a short recording only.
        return features.fft_size, features.fft_size - features.fft_size // 2
    if isinstance(features, EncodedSound) and features.context is not None:
        # A stretch begins at a step, whose zeros beyond both ends are part of the context.
        return -(-features.context // features.hop) * features.hop, features.context
    before = features.window // 2
    if isinstance(features, LogMel):  # the window stands in the middle of the transform
        before = features.fft_size // 2 - (features.fft_size - features.window) // 2
    return before, features.window - before
