"""Classify each step of a sequence that is read in parts, or the last steps of one, by torch.

``numpy_streaming`` is for live signals, whose steps come few at a time.
"""

from collections import deque

import numpy as np
import torch
from torch import Tensor

from seqbelt.models.classifier import SingleNetwork
from seqbelt.models.ensemble import Network, average_logits
from seqbelt.models.recurrent import State


class StepClassifier:
    """A network, or the average of several, that classifies every step of a sequence in parts.

    However the sequence is divided, the logits equal those for the complete sequence, up to
    rounding: the recurrent state is carried over. The network must be in evaluation mode. Raises
    ValueError for a bidirectional network, which reads from the end.
    """

    def __init__(self, network: Network) -> None:
        self._readers = [_Reader(member.main) for member in network.networks]

    def label(self, steps: np.ndarray) -> Tensor:
        """Logits ``(steps, classes)`` of the next steps: float32 ``(steps, features)`` or token ids
        ``(steps,)``, at least one."""
        return average_logits([reader.label(steps) for reader in self._readers])


class _Reader:
    """One network that reads one sequence in parts."""

    def __init__(self, network: SingleNetwork) -> None:
        if network.settings.bidirectional:
            raise ValueError("a bidirectional network reads from the end: it cannot stream")
        self._network = network
        self._state: State | None = None
        self._last_step: Tensor | None = None
        self._stem_past: list[Tensor] = []

    @torch.inference_mode()
    def label(self, steps: np.ndarray) -> Tensor:
        """As ``StepClassifier.label``."""
        network = self._network
        device = next(network.parameters()).device
        inputs = _as_batch(steps).to(device)
        past = inputs[:, :0] if self._last_step is None else self._last_step
        self._last_step = inputs[:, -1:]
        inputs = torch.cat([past, inputs], dim=1)  # a step's difference needs the one before it
        inputs = network.first_steps(inputs, torch.tensor([inputs.shape[1]]))[:, past.shape[1] :]
        if network.stem is not None:
            inputs, self._stem_past = network.stem.advance(inputs, self._stem_past)
        lengths = torch.tensor([inputs.shape[1]])
        outputs, self._state = network.recurrent(inputs, lengths, self._state)
        return network.classify(outputs)[0]


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
        lengths = torch.tensor([len(steps)])
        logits = self._network(_as_batch(steps).to(device), lengths)
        return self._network.split(logits, lengths)[0][-1]


def _as_batch(steps: np.ndarray) -> Tensor:
    """Float32 ``(1, steps, features)`` or int64 token ids ``(1, steps)``, copied."""
    return torch.tensor(steps if steps.ndim == 2 else steps.astype(np.int64))[None]
