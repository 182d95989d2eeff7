"""Certificates of an answer: it depends neither on padding nor on what else is in a batch, and
a signal that comes in pieces gets the answer that it gets whole.

Determinism has a module of its own (``evaluation.determinism``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqbelt.checks.padding_invariance import TOLERANCE, _finite, _sample
from seqbelt.data.batches import pad
from seqbelt.data.sequences import Sequences
from seqbelt.features.streaming.steps import StepStream
from seqbelt.models.ensemble import Network
from seqbelt.models.streaming_classifier import StreamingClassifier

STREAMED_STEPS = 8192
"""The same where steps are read one by one, which is slow."""
PIECES = {"1": 1, "7": 7, "50": 50, "random": None}
"""Sizes of the pieces in which the streaming certificate reads."""


@dataclass(frozen=True)
class StreamingCertificate:
    """Answers to sequences in pieces against answers to the whole. Differences of logits are null
    where one of them is not finite."""

    passed: bool
    max_difference: float | None
    num_flips: int
    """Sequences and signals with another label in pieces of some size."""
    num_sequences: int
    num_signals: int
    """Files that were read in pieces of samples or rows, so that the features are tried too."""
    tolerance: float
    differences: dict[str, float | None]
    """Largest difference for each size of the pieces, in ``steps_`` and in ``inputs_``."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        found = "nan" if self.max_difference is None else f"{self.max_difference:.1e}"
        return (
            f"streaming certificate {'passed' if self.passed else 'FAILED'}: logits differ by "
            f"{found} at most (allowed {self.tolerance:.1e}), {self.num_flips} labels flip, in "
            f"{self.num_sequences} sequences and {self.num_signals} files"
        )


class Signal(NamedTuple):
    """One file for the streaming certificate: its samples or rows, its steps, and the stream that
    makes such steps of pieces."""

    inputs: np.ndarray
    steps: np.ndarray
    open_stream: Callable[[], StepStream]


@torch.inference_mode()
def certify_streaming(
    network: Network,
    sequences: Sequences,
    signals: Sequence[Signal] = (),
    num_sequences: int = 64,
) -> StreamingCertificate:
    """Compare the logits of sampled sequences, and of signals, whole and in pieces.

    The pieces: of 1, of 7, of 50 and of random numbers of steps, or of a signal's samples or
    rows. Raises ValueError for a bidirectional network.
    """
    was_training = network.training
    network.eval()
    sample = _sample(sequences, num_sequences, STREAMED_STEPS)
    whole = [_logits_alone(network, sample[index]) for index in range(len(sample))]
    own = [_logits_alone(network, signal.steps) for signal in signals]
    expected = torch.cat([*whole, *own])
    differences: dict[str, float] = {}
    flips = torch.zeros(len(expected), dtype=torch.bool)
    for name, size in PIECES.items():
        found = [_logits_in_pieces(network, sample[i], size) for i in range(len(sample))]
        found += [_logits_of_signal(network, signal, size) for signal in signals]
        difference = (torch.stack(found) - expected).abs().amax(1)
        differences[f"steps_{name}"] = float(difference[: len(sample)].max())
        if signals:
            differences[f"inputs_{name}"] = float(difference[len(sample) :].max())
        flips |= torch.stack(found).argmax(1) != expected.argmax(1)
    network.train(was_training)
    worst = float(np.max(list(differences.values())))  # unlike max, it keeps a nan
    tolerance = TOLERANCE * max(1.0, float(expected.abs().max()))
    return StreamingCertificate(
        passed=worst <= tolerance and not flips.any(),
        max_difference=_finite(worst),
        num_flips=int(flips.sum()),
        num_sequences=len(sample),
        num_signals=len(signals),
        tolerance=tolerance,
        differences={name: _finite(value) for name, value in differences.items()},
    )


def _logits_alone(network: Network, steps: np.ndarray) -> Tensor:
    """``(1, classes)``: where every step is labelled, the last one's, which has heard all."""
    inputs, lengths = pad([steps])
    logits = network(inputs.to(next(network.parameters()).device), lengths).float().cpu()
    return network.split(logits, lengths)[0][-1:]


def _logits_in_pieces(network: Network, steps: np.ndarray, size: int | None) -> Tensor:
    reader = StreamingClassifier(network)
    for piece in _pieces(steps, size):
        reader.push(piece)
    return reader.logits.float().cpu()


def _logits_of_signal(network: Network, signal: Signal, size: int | None) -> Tensor:
    reader, stream = StreamingClassifier(network), signal.open_stream()
    for piece in _pieces(signal.inputs, size):
        reader.push(stream.push(piece))
    reader.push(stream.finish())
    return reader.logits.float().cpu()


def _pieces(inputs: np.ndarray, size: int | None) -> Iterator[np.ndarray]:
    """Pieces of ``size`` each, or of random sizes."""
    random = np.random.default_rng(0)
    start = 0
    while start < len(inputs):
        count = size or int(random.geometric(1 / 20))
        yield inputs[start : start + count]
        start += count
