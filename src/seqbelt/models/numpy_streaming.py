"""Classify a sequence as it arrives, in constant memory, by NumPy.

The steps of a live signal come few at a time, for which each of torch's operations takes longer
than its computation. However the sequence is divided, the prediction after the last step equals
that for the complete sequence, up to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqbelt.models.model import ATTENDING
from seqbelt.models.numpy_network import NumpyNetwork, States, average_logits, overflow_raised


class NumpyStreamingClassifier:
    """A network, or the average of several, that reads one sequence as it arrives.

    Raises ValueError for a bidirectional network, which reads from the end.
    """

    def __init__(self, networks: Sequence[NumpyNetwork]) -> None:
        if networks[0].settings.bidirectional:
            raise ValueError("a bidirectional network reads from the end: it cannot stream")
        self._readers = [_Reader(network) for network in networks]
        self.num_steps = 0
        """Steps read so far."""
        self._has_overflowed = False

    def push(self, steps: np.ndarray) -> None:
        """Read the next steps: float32 ``(steps, features)`` or token ids ``(steps,)``."""
        if not len(steps):
            return
        self.num_steps += len(steps)
        try:
            with overflow_raised():
                for reader in self._readers:
                    reader.push(steps)
        except FloatingPointError:
            self._has_overflowed = True

    @property
    def logits(self) -> np.ndarray:
        """Logits float32 ``(classes,)`` of the steps so far; NaN once numbers have overflowed.
        Raises ValueError before the first step."""
        if not self.num_steps:
            raise ValueError("no step was read yet")
        if self._has_overflowed:
            return np.full_like(self._readers[0].network.weights["classify.bias"], np.nan)
        return average_logits([reader.network.classify(reader.pooled) for reader in self._readers])


class _Reader:
    """One network that reads one sequence as it arrives."""

    def __init__(self, network: NumpyNetwork) -> None:
        self.network = network
        kernels = [network.kernel(block) for block in range(len(network.strides))]
        self._num_read = [0] * len(kernels)  # steps that each block has read
        # The last steps that each block needs.
        self._past = [np.zeros((k.shape[2] - 1, k.shape[1]), np.float32) for k in kernels]
        self._last_step: np.ndarray | None = None
        self._states: list[States | None] = [None] * network.settings.num_layers
        self._final: np.ndarray | None = None
        self._sums: RunningSums | None = None

    def push(self, steps: np.ndarray) -> None:
        """Read the next steps, at least one."""
        past = steps[:0] if self._last_step is None else self._last_step
        self._last_step = steps[-1:].copy()
        # A step's difference needs the one before it.
        inputs = self.network.first_steps(np.concatenate([past, steps]))[len(past) :]
        for block in range(len(self.network.strides)):
            inputs = self._advance_block(block, inputs)
        if not len(inputs):  # strides: no output step is complete yet
            return
        if self.network.settings.cell != "none":
            for layer, states in enumerate(self._states):
                (inputs,), self._states[layer] = self.network.run_layer([inputs], layer, states)
        self._final = inputs[-1]
        if self.network.settings.pooling not in ("last", "none"):
            sums = RunningSums.of(self.network, inputs)
            self._sums = sums if self._sums is None else self._sums.join(sums)

    def _advance_block(self, block: int, inputs: np.ndarray) -> np.ndarray:
        """The outputs that the next ``inputs`` ``(steps, channels)`` complete."""
        stride, past = self.network.strides[block], self._past[block]
        first = -self._num_read[block] % stride  # the next input step that has an output
        window = np.concatenate([past, inputs])
        self._num_read[block] += len(inputs)
        self._past[block] = window[len(window) - len(past) :].copy()
        if first >= len(inputs):
            return np.empty((0, len(self.network.kernel(block))), np.float32)
        return self.network.apply_block(block, window[first:], inputs)

    @property
    def pooled(self) -> np.ndarray:
        """The pooled steps so far, ``(width,)``."""
        name, final, sums = self.network.settings.pooling, self._final, self._sums
        assert final is not None  # the first step of a stride has an output
        if sums is None:
            return final
        mean = (sums.total / sums.weight).astype(np.float32)
        parts = {
            "concat": (final, mean, sums.highest),
            "attention_max": (mean, sums.highest),
            "max": (sums.highest,),
        }
        return np.concatenate(parts.get(name, (mean,)))


@dataclass(frozen=True)
class RunningSums:
    """Running sums over steps: the highest score, the outputs and ones weighted by ``exp(score -
    peak)``, the largest outputs. A mean is attention with equal scores.

    The softmax over a growing sequence is kept relative to the highest score so far (Milakov &
    Gimelshein 2018, arXiv:1805.02867), and sums are in float64, so that neither large scores nor
    long signals lose precision.
    """

    peak: float
    total: np.ndarray
    weight: float
    highest: np.ndarray

    @classmethod
    def of(cls, network: NumpyNetwork, outputs: np.ndarray) -> "RunningSums":
        """Over outputs ``(steps, width)``."""
        scores = np.zeros(len(outputs))
        if network.settings.pooling in ATTENDING:
            scores = network.attention_scores(outputs).astype(np.float64)
        peak = float(scores.max())
        weights = np.exp(scores - peak)
        return cls(peak, weights @ outputs, float(weights.sum()), outputs.max(axis=0))

    def join(self, other: "RunningSums") -> "RunningSums":
        """The sums over the steps of both."""
        peak = max(self.peak, other.peak)
        self_scale, other_scale = np.exp(self.peak - peak), np.exp(other.peak - peak)
        return RunningSums(
            peak,
            self_scale * self.total + other_scale * other.total,
            self_scale * self.weight + other_scale * other.weight,
            np.maximum(self.highest, other.highest),
        )
