"""Runs of a sound encoder in an ONNX file, framed as all audio features are.

Step ``t`` is centred on sample ``t * hop`` and sees zeros beyond both ends. With ``window_ms`` the
encoder reads one window for each step; without it, the whole recording, padded so that its own
steps fall on these places.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqbelt.errors import EMPTY, BadInput
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.pretrained.encoder_certificate import Batching
from seqbelt.features.pretrained.onnx_model import OnnxModel
from seqbelt.features.pretrained.sound_ports import SoundPorts, first_states
from seqbelt.features.pretrained.sound_settings import SoundEncoderSettings

MAX_BATCH_SAMPLES = 1_000_000
"""Of one run, padding included."""
MAX_BATCH_ROWS = 64
PIECE_S = 30.0
"""Longer recordings are cut into pieces of this length where ``context_ms`` allows it."""


@dataclass(frozen=True)
class StepAxes:
    """Where the steps of a whole recording are in an output."""

    time: int
    features: int
    field: int
    """Samples that the first step needs; each further one needs a hop more."""


@dataclass(frozen=True)
class SoundEncoder:
    """Encodes recordings as ``SoundEncoderSettings.read`` returns them."""

    features: SoundEncoderSettings
    model: OnnxModel
    ports: SoundPorts
    axes: StepAxes | None
    """None where a window is a step."""
    num_base_features: int
    batching: Batching = "alone"

    @classmethod
    def from_about(
        cls, features: SoundEncoderSettings, model: OnnxModel, about: Mapping[str, Any]
    ) -> "SoundEncoder":
        axes = about["axes"]
        return cls(
            features, model, SoundPorts(**about["ports"]), StepAxes(**axes) if axes else None,
            about["num_base_features"], about["batching"],
        )  # fmt: skip

    def about(self) -> dict[str, Any]:
        """What ``from_about`` needs, as JSON values."""
        return {
            "ports": self.ports.to_dict(),
            "axes": dataclasses.asdict(self.axes) if self.axes else None,
            "num_base_features": self.num_base_features,
            "batching": self.batching,
        }

    @property
    def num_features(self) -> int:
        return self.num_base_features * (1 + self.features.deltas)

    @property
    def carries_state(self) -> bool:
        """Whether a window's features depend on those before it."""
        return self.axes is None and bool(self.ports.states)

    def encode(self, raws: Sequence[Audio]) -> list[np.ndarray]:
        """Encode recordings: float32 ``(num_steps, num_features)`` each."""
        signals = [self.features.prepare_signal(raw) for raw in raws]
        if not all(map(len, signals)):
            raise BadInput(EMPTY, "the recording has no samples")
        return [self.features.finish(steps) for steps in self.encode_signals(signals)]

    def encode_signals(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Base features ``(num_steps, num_base_features)`` of samples at the encoder's rate."""
        if self.axes is None:
            return [self._encode_windows(signal) for signal in signals]
        return self._encode_whole(signals, self.axes)

    def _encode_windows(self, signal: np.ndarray) -> np.ndarray:
        size, hop = self.features.window, self.features.hop
        padded = np.pad(signal, (size // 2, size))
        windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
        return self.run_windows(
            windows[: self.features.num_steps(len(signal))], self.first_states()
        )[0]

    def first_states(self) -> dict[str, np.ndarray]:
        """The states before the first window of a recording."""
        return first_states(self.model, self.ports)

    def run_windows(
        self, windows: np.ndarray, states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Features float32 ``(windows, num_base_features)`` of ``(windows, samples)``, and the
        states after them."""
        rows = []
        most = max(1, min(MAX_BATCH_ROWS, MAX_BATCH_SAMPLES // windows.shape[1]))
        size = 1 if self.batching == "alone" or states else most
        for start in range(0, len(windows), size):
            batch = windows[start : start + size]
            output, states = self.run([*batch], states)
            rows.append(output.reshape(len(batch), -1))
        return np.concatenate(rows).astype(np.float32, copy=False), states

    def _encode_whole(self, signals: Sequence[np.ndarray], axes: StepAxes) -> list[np.ndarray]:
        """Run whole recordings, or pieces of long ones, in batches as certified."""
        pieces = [
            (index, piece)
            for index, signal in enumerate(signals)
            for piece in self.cut(signal, round(PIECE_S * self.features.sample_rate))
        ]
        inputs = [self.pad(piece.samples, axes) for _, piece in pieces]
        outputs: list[np.ndarray] = [np.empty(0)] * len(inputs)
        for batch in self._batches([len(row_input) for row_input in inputs]):
            steps = self.whole_steps([inputs[number] for number in batch], axes)
            for number, rows in zip(batch, steps, strict=True):
                outputs[number] = pieces[number][1].take(rows)
        parts: list[list[np.ndarray]] = [[] for _ in signals]
        for (index, _), rows in zip(pieces, outputs, strict=True):
            parts[index].append(rows)
        return [np.concatenate(rows) for rows in parts]

    def cut(self, signal: np.ndarray, max_samples: int) -> Iterator["Piece"]:
        """A recording as pieces with what their steps see on both sides; one where it is short, or
        where steps see all of it."""
        hop, context = self.features.hop, self.features.context
        num_steps = self.features.num_steps(len(signal))
        if context is None or len(signal) <= max_samples:
            yield Piece(signal, 0, num_steps)
            return
        size, before = max(1, max_samples // hop), math.ceil(context / hop)
        for start in range(0, num_steps, size):
            end = min(start + size, num_steps)
            first = max(0, start - before)
            samples = signal[first * hop : end * hop + context]
            yield Piece(samples, start - first, end - start)

    def pad(self, signal: np.ndarray, axes: StepAxes) -> np.ndarray:
        """Zeros at both ends, so that the encoder's steps are centred on every hop."""
        before = max(0, axes.field // 2)
        needed = len(signal) // self.features.hop * self.features.hop + axes.field
        return np.pad(signal, (before, max(0, needed - before - len(signal))))

    def _batches(self, lengths: list[int]) -> list[list[int]]:
        """Indices of what is run together."""
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        batches: list[list[int]] = []
        for index in order:
            batch = batches[-1] if batches else []
            fits = (
                self.batching != "alone"
                and len(batch) < MAX_BATCH_ROWS
                and (len(batch) + 1) * lengths[index] <= MAX_BATCH_SAMPLES
                and (self.batching == "padded" or not batch or lengths[batch[0]] == lengths[index])
            )
            if batch and fits:
                batch.append(index)
            else:
                batches.append([index])
        return batches

    def whole_steps(self, inputs: list[np.ndarray], axes: StepAxes) -> list[np.ndarray]:
        """Steps of padded recordings, each ``(steps, num_base_features)`` or more of padding."""
        output, _ = self.run(inputs, self.first_states())
        others = [axis for axis in range(output.ndim) if axis not in (0, axes.time, axes.features)]
        order = [axes.time, axes.features] if axes.time == 0 else [0, axes.time, axes.features]
        moved = output.transpose([*order, *(a for a in others if a not in order)])
        if axes.time == 0:  # no axis of the batch: it holds one
            return [moved.reshape(len(moved), -1).astype(np.float32, copy=False)]
        return [*moved.reshape(*moved.shape[:2], -1).astype(np.float32, copy=False)]

    def run(
        self, rows: list[np.ndarray], states: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The features of waveforms, as the graph gives them, and the states."""
        ports, inputs = self.ports, {port.name: port for port in self.model.inputs}
        number = ports.batch_size or len(rows)
        batch = np.zeros((number, max(map(len, rows))), inputs[ports.waveform].dtype)
        lengths = np.full(number, batch.shape[1], np.int64)
        for index, row in enumerate(rows):
            batch[index, : len(row)] = row
            lengths[index] = len(row)
        feeds = {ports.waveform: batch if ports.waveform_rank == 2 else batch[:, None], **states}
        if ports.rate:
            rate = inputs[ports.rate]
            feeds[ports.rate] = np.full(
                [1] * len(rate.shape), self.features.sample_rate, rate.dtype
            )
        if ports.lengths:
            feeds[ports.lengths] = lengths.astype(inputs[ports.lengths].dtype)
        if ports.mask:
            mask = np.arange(batch.shape[1]) < lengths[:, None]
            feeds[ports.mask] = mask.astype(inputs[ports.mask].dtype)
        output, *after = self.model.run([ports.features, *ports.states.values()], feeds)
        if output.ndim and output.shape[0] == number and number > len(rows):
            output = output[: len(rows)]
        return output, dict(zip(ports.states, after, strict=True))


@dataclass(frozen=True)
class Piece:
    """Part of a recording, and which of its steps are kept."""

    samples: np.ndarray
    first: int
    number: int

    def take(self, steps: np.ndarray) -> np.ndarray:
        return steps[self.first : self.first + self.number]
