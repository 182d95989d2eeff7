"""Classify a sequence as it arrives, in constant memory.

However the sequence is divided, the prediction after the last step equals that for the complete
sequence, up to rounding. The recurrent state and the running pooling are carried over.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.ensemble import Network, average_logits
from seqbelt.models.model import ATTENDING
from seqbelt.models.pooling import Pooling
from seqbelt.models.recurrent import State


class RunningPooling:
    """The result of a ``Pooling`` over the steps of one sequence so far.

    A mean is attention with equal scores. The softmax over a growing sequence is kept relative to
    the highest score so far (Milakov & Gimelshein 2018, arXiv:1805.02867), and sums are in float64,
    so that neither large scores nor long signals lose precision.
    """

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._sums: _Sums | None = None
        self._final = torch.empty(0)

    def push(self, outputs: Tensor, final: Tensor) -> None:
        """Add outputs ``(1, steps, width)``; ``final`` ``(1, width)`` is the state after them."""
        self._final = final
        if self._pooling.name in ("last", "none"):  # none: the prediction at the last step
            return
        scores = outputs.new_zeros(outputs.shape[1], dtype=torch.float64)
        if self._pooling.name in ATTENDING:
            scores = self._pooling.scores(outputs)[0].double()
        peak = scores.max()
        weights = (scores - peak).exp()
        sums = _Sums(peak, weights @ outputs[0].double(), weights.sum(), outputs[0].amax(0))
        self._sums = sums if self._sums is None else self._sums.join(sums)

    @property
    def pooled(self) -> Tensor:
        """The pooled steps so far, ``(1, output_size)``."""
        name, sums = self._pooling.name, self._sums
        if name in ("last", "none") or sums is None:
            return self._final
        mean = (sums.total / sums.weight).to(self._final.dtype)[None]
        highest = sums.highest[None]
        if name == "concat":
            return torch.cat([self._final, mean, highest], dim=1)
        if name == "attention_max":
            return torch.cat([mean, highest], dim=1)
        return highest if name == "max" else mean


class _Sums(NamedTuple):
    """Running sums over steps: the highest score, the outputs and ones weighted by ``exp(score -
    peak)``, the largest outputs."""

    peak: Tensor
    total: Tensor
    weight: Tensor
    highest: Tensor

    def join(self, other: "_Sums") -> "_Sums":
        """The sums over the steps of both."""
        peak = torch.maximum(self.peak, other.peak)
        self_scale, other_scale = (self.peak - peak).exp(), (other.peak - peak).exp()
        return _Sums(
            peak,
            self_scale * self.total + other_scale * other.total,
            self_scale * self.weight + other_scale * other.weight,
            torch.maximum(self.highest, other.highest),
        )


class StreamingClassifier:
    """A network, or the average of several, that reads one sequence as it arrives.

    The network must be in evaluation mode. Raises ValueError for a bidirectional network, which
    reads from the end.
    """

    def __init__(self, network: Network) -> None:
        self._readers = [_Reader(member) for member in network.networks]

    @property
    def num_steps(self) -> int:
        """Steps read so far."""
        return self._readers[0].num_steps

    def push(self, steps: np.ndarray) -> None:
        """Read the next steps: float32 ``(steps, features)`` or token ids ``(steps,)``."""
        for reader in self._readers:
            reader.push(steps)

    def label(self, steps: np.ndarray) -> Tensor:
        """Read the next steps, at least one, and classify each: logits ``(steps, classes)``."""
        return average_logits([reader.label(steps) for reader in self._readers])

    @property
    def logits(self) -> Tensor:
        """Logits ``(classes,)`` of the steps so far. Raises ValueError before the first."""
        return average_logits([reader.logits for reader in self._readers])


class _Reader:
    """One network that reads one sequence as it arrives."""

    def __init__(self, network: SequenceNetwork) -> None:
        if network.settings.bidirectional:
            raise ValueError("a bidirectional network reads from the end: it cannot stream")
        self._network = network
        self._state: State | None = None
        self._last_step: Tensor | None = None
        self._stem_states = [] if network.stem is None else network.stem.begin()
        self._pooling = RunningPooling(network.pool)
        self.num_steps = 0
        """Steps read so far."""

    def push(self, steps: np.ndarray) -> None:
        """Read the next steps: float32 ``(steps, features)`` or token ids ``(steps,)``."""
        if len(steps):
            self._read(steps)

    @torch.inference_mode()
    def label(self, steps: np.ndarray) -> Tensor:
        """Read the next steps, at least one, and classify each: logits ``(steps, classes)``."""
        return self._network.classify(self._read(steps))[0]

    @torch.inference_mode()
    def _read(self, steps: np.ndarray) -> Tensor:
        """Outputs of the recurrent layers ``(1, steps, width)``."""
        network = self._network
        device = next(network.parameters()).device
        inputs = torch.tensor(steps if steps.ndim == 2 else steps.astype(np.int64))[None].to(device)
        past = inputs[:, :0] if self._last_step is None else self._last_step
        self._last_step = inputs[:, -1:]
        inputs = torch.cat([past, inputs], dim=1)  # a step's difference needs the one before it
        inputs = network.first_steps(inputs, torch.tensor([inputs.shape[1]]))[:, past.shape[1] :]
        self.num_steps += len(steps)
        if network.stem is not None:
            inputs = network.stem.advance(inputs, self._stem_states)
        if not inputs.shape[1]:  # strides: no output step is complete yet
            return inputs.new_zeros(1, 0, network.recurrent.output_size)
        lengths = torch.tensor([inputs.shape[1]])
        outputs, state = network.recurrent(inputs, lengths, self._state)
        self._pooling.push(outputs, network.recurrent.final(state))
        self._state = state
        return outputs

    @property
    @torch.inference_mode()
    def logits(self) -> Tensor:
        """Logits ``(classes,)`` of the steps so far. Raises ValueError before the first."""
        if not self.num_steps:
            raise ValueError("no step was read yet")
        return self._network.classify(self._pooling.pooled)[0]


class WindowClassifier:
    """A network that reads the last ``max_steps`` steps of one sequence.

    The prediction is that of ``network`` for these steps alone, so any network can be used, also a
    bidirectional one; each prediction costs one pass over the window. The network must be in
    evaluation mode.
    """

    def __init__(self, network: Network, max_steps: int) -> None:
        self._network, self.max_steps = network, max_steps
        self._kept: deque[np.ndarray] = deque()
        self._num_kept = 0
        self.num_steps = 0
        """Steps read so far."""

    def push(self, steps: np.ndarray) -> None:
        """Read the next steps: float32 ``(steps, features)`` or token ids ``(steps,)``."""
        if not len(steps):
            return
        self.num_steps += len(steps)
        self._kept.append(steps[-self.max_steps :].copy())
        self._num_kept += len(self._kept[-1])
        while self._num_kept - len(self._kept[0]) >= self.max_steps:
            self._num_kept -= len(self._kept.popleft())

    @property
    @torch.inference_mode()
    def logits(self) -> Tensor:
        """Logits ``(classes,)`` of the window, of its last step where steps are labelled. Raises
        ValueError before the first step."""
        if not self.num_steps:
            raise ValueError("no step was read yet")
        steps = np.concatenate(self._kept)[-self.max_steps :]
        self._kept, self._num_kept = deque([steps]), len(steps)
        device = next(self._network.parameters()).device
        inputs = torch.tensor(steps if steps.ndim == 2 else steps.astype(np.int64))[None]
        lengths = torch.tensor([len(steps)])
        logits = self._network(inputs.to(device), lengths)
        return self._network.split(logits, lengths)[0][-1]
