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

from seqbelt.data.batches import Batch, make_batch, pad
from seqbelt.data.store import Sequences
from seqbelt.features.streaming import StepStream
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.streaming import StreamingClassifier

TOLERANCE = 1e-5
"""Largest allowed difference of float32 logits; where logits exceed 1, relative to the largest."""
BATCH_SIZE = 32
SAMPLE_STEPS = 131_072
"""Steps of the sampled sequences, at most, so that long signals take seconds and not minutes."""

STREAMED_STEPS = 8192
"""The same where steps are read one by one, which is slow."""
PIECES = {"1": 1, "7": 7, "50": 50, "random": None}
"""Sizes of the pieces in which the streaming certificate reads."""


@dataclass(frozen=True)
class PaddingCertificate:
    """Answers in company against answers alone. Differences of logits are null where one of
    them is not finite."""

    passed: bool
    max_difference: float | None
    num_flips: int
    """Sequences with another label in some company."""
    num_sequences: int
    tolerance: float
    differences: dict[str, float | None]
    """Largest difference in each company."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        found = "nan" if self.max_difference is None else f"{self.max_difference:.1e}"
        return (
            f"padding certificate {'passed' if self.passed else 'FAILED'}: logits differ by "
            f"{found} at most (allowed {self.tolerance:.1e}), {self.num_flips} of "
            f"{self.num_sequences} labels flip"
        )


@torch.inference_mode()
def certify_padding(
    network: SequenceNetwork, sequences: Sequences, num_sequences: int = 256
) -> PaddingCertificate:
    """Compare the logits of sampled sequences, each alone, with those in company.

    The companies: a batch of mixed lengths; the same with 50 % more padding; with loud numbers
    instead of zeros in all padding; and other batches in another order.
    """
    sample = _sample(sequences, num_sequences)
    order = np.random.default_rng(0).permutation(len(sample))
    was_training = network.training
    network.eval()
    alone = _logits(network, sample, np.arange(len(sample)), 1)
    companies = {
        "batch": _logits(network, sample, order),
        "more_padding": _logits(network, sample, order, change=_more_padding),
        "garbage_padding": _logits(network, sample, order, change=_garbage_padding),
        "permuted": _logits(network, sample, np.random.default_rng(1).permutation(order)),
    }
    network.train(was_training)
    differences = {name: float((found - alone).abs().max()) for name, found in companies.items()}
    flips = torch.stack([found.argmax(1) != alone.argmax(1) for found in companies.values()])
    worst = float(np.max(list(differences.values())))  # unlike max, it keeps a nan
    tolerance = TOLERANCE * max(1.0, float(alone.abs().max()))
    return PaddingCertificate(
        passed=worst <= tolerance and not flips.any(),
        max_difference=_finite(worst),
        num_flips=int(flips.any(0).sum()),
        num_sequences=len(sample),
        tolerance=tolerance,
        differences={name: _finite(value) for name, value in differences.items()},
    )


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

    def plain(self) -> dict[str, Any]:
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
    network: SequenceNetwork,
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


def _logits_alone(network: SequenceNetwork, steps: np.ndarray) -> Tensor:
    """``(1, classes)``: where every step is labelled, the last one's, which has heard all."""
    inputs, lengths = pad([steps])
    logits = network(inputs.to(next(network.parameters()).device), lengths).float().cpu()
    return network.split(logits, lengths)[0][-1:]


def _logits_in_pieces(network: SequenceNetwork, steps: np.ndarray, size: int | None) -> Tensor:
    reader = StreamingClassifier(network)
    for piece in _pieces(steps, size):
        reader.push(piece)
    return reader.logits.float().cpu()


def _logits_of_signal(network: SequenceNetwork, signal: Signal, size: int | None) -> Tensor:
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


def _sample(sequences: Sequences, num_sequences: int, max_steps: int = SAMPLE_STEPS) -> Sequences:
    """Sequences evenly spread over the order of lengths, the shortest and the longest included."""
    order = np.argsort(sequences.lengths, kind="stable")
    affordable = max(8, int(max_steps / sequences.lengths.mean()))
    count = min(num_sequences, affordable, len(order))
    return sequences.take(order[np.linspace(0, len(order) - 1, count).round().astype(int)])


def _logits(
    network: SequenceNetwork,
    sequences: Sequences,
    order: np.ndarray,
    batch_size: int = BATCH_SIZE,
    change: Callable[[Batch], Batch] = lambda batch: batch,
) -> Tensor:
    """Logits ``(examples, classes)`` in the sequences' own order, computed in another."""
    device = next(network.parameters()).device
    found: list[Tensor] = []
    for start in range(0, len(order), batch_size):
        batch = change(make_batch(sequences, order[start : start + batch_size])).to(device)
        logits = network(batch.inputs, batch.lengths).float().cpu()
        found += network.split(logits, batch.lengths)
    return torch.cat([found[place] for place in np.argsort(order)])


def _more_padding(batch: Batch) -> Batch:
    """Half as many steps again, of zeros."""
    num_steps = batch.inputs.shape[1]
    longer = batch.inputs.new_zeros(
        len(batch.inputs), num_steps + -(-num_steps // 2), *batch.inputs.shape[2:]
    )
    longer[:, :num_steps] = batch.inputs
    return batch._replace(inputs=longer)


def _garbage_padding(batch: Batch) -> Batch:
    """More padding, and in it the batch's own numbers shuffled: 100 times as loud, or as tokens."""
    batch = _more_padding(batch)
    padding = torch.arange(batch.inputs.shape[1]) >= batch.lengths[:, None]
    own = batch.inputs[~padding].flatten()
    inputs = batch.inputs.clone()
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(len(own), inputs[padding].shape, generator=generator)
    inputs[padding] = own[places] if inputs.dim() == 2 else 100 * own[places] + 100
    return batch._replace(inputs=inputs)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
