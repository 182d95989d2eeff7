"""Streaming invariance: a signal read in chunks gives the same logits as at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqbelt.checks.certificate import LogitCertificate, find_flips, finite_or_none, tolerance_for
from seqbelt.checks.padding_invariance import sample_by_length
from seqbelt.data.batches import pad
from seqbelt.data.sequences import Sequences
from seqbelt.features.streaming.steps import StepStream
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.ensemble import Network
from seqbelt.models.numpy_network import NumpyNetwork, numpy_networks
from seqbelt.models.numpy_streaming import NumpyStreamingClassifier

STREAMED_STEPS = 8192
"""Largest number of steps in the sample; reading single steps is slow."""
CHUNK_SIZES = {"1": 1, "7": 7, "50": 50, "random": None}
"""Chunk sizes, in steps or in samples; null draws random sizes."""


@dataclass(frozen=True)
class StreamingCertificate(LogitCertificate):
    """Logits of sequences read in chunks against those read at once."""

    num_signals: int
    """Files read in chunks of samples or rows, which checks the features too."""
    tolerance: float
    differences: dict[str, float | None]
    """Largest difference for each chunk size, in ``steps_`` and in ``inputs_``."""

    @property
    def sentence(self) -> str:
        """The outcome as a sentence."""
        return (
            f"streaming certificate {'passed' if self.passed else 'FAILED'}: logits differ by "
            f"{self.shown_difference} at most (allowed {self.tolerance:.1e}), {self.num_flips} "
            f"labels change, in {self.num_sequences} sequences and {self.num_signals} files"
        )


class StreamedFile(NamedTuple):
    """One file: its samples or rows, its steps, and a factory of the stream that computes steps
    from chunks."""

    inputs: np.ndarray
    steps: np.ndarray
    open_stream: Callable[[], StepStream]


@torch.inference_mode()
def certify_streaming(
    network: Network,
    sequences: Sequences,
    files: Sequence[StreamedFile] = (),
    num_sequences: int = 64,
) -> StreamingCertificate:
    """Compare the logits of sampled sequences, and of files, read at once and in chunks.

    Chunks of 1, 7, 50 and random numbers of steps, or of a file's samples or rows.
    Raises ValueError for a bidirectional network.
    """
    was_training = network.training
    network.eval()
    sample = sample_by_length(sequences, num_sequences, STREAMED_STEPS)
    sequence_logits = [_logits_alone(network, sample[index]) for index in range(len(sample))]
    file_logits = [_logits_alone(network, file.steps) for file in files]
    expected = torch.cat([*sequence_logits, *file_logits])
    members = numpy_networks(network.settings, network.is_tokens, weights_of(network))
    differences: dict[str, float] = {}
    flips = np.zeros(len(expected), dtype=bool)
    for name, size in CHUNK_SIZES.items():
        in_chunks = [_logits_in_chunks(members, sample[i], size) for i in range(len(sample))]
        in_chunks += [_logits_of_file(members, file, size) for file in files]
        difference = (torch.stack(in_chunks) - expected).abs().amax(1)
        differences[f"steps_{name}"] = float(difference[: len(sample)].max())
        if files:
            differences[f"inputs_{name}"] = float(difference[len(sample) :].max())
        flips |= find_flips(sequences.store.target, torch.stack(in_chunks), expected)
    network.train(was_training)
    worst = float(np.max(list(differences.values())))  # unlike max, this keeps NaN
    tolerance = tolerance_for(float(expected.abs().max()))
    return StreamingCertificate(
        passed=worst <= tolerance and not flips.any(),
        max_difference=finite_or_none(worst),
        num_flips=int(flips.sum()),
        num_sequences=len(sample),
        num_signals=len(files),
        tolerance=tolerance,
        differences={name: finite_or_none(value) for name, value in differences.items()},
    )


def _logits_alone(network: Network, steps: np.ndarray) -> Tensor:
    """Logits ``(1, classes)``, with labels for steps those of the last step."""
    inputs, lengths = pad([steps])
    logits = network(inputs.to(next(network.parameters()).device), lengths).float().cpu()
    return network.split(logits, lengths)[0][-1:]


def _logits_in_chunks(
    members: Sequence[NumpyNetwork], steps: np.ndarray, size: int | None
) -> Tensor:
    reader = NumpyStreamingClassifier(members)
    for chunk in _chunks(steps, size):
        reader.push(chunk)
    return torch.from_numpy(reader.logits)


def _logits_of_file(
    members: Sequence[NumpyNetwork], file: StreamedFile, size: int | None
) -> Tensor:
    reader, stream = NumpyStreamingClassifier(members), file.open_stream()
    for chunk in _chunks(file.inputs, size):
        reader.push(stream.push(chunk))
    reader.push(stream.finish())
    return torch.from_numpy(reader.logits)


def _chunks(inputs: np.ndarray, size: int | None) -> Iterator[np.ndarray]:
    """Chunks of ``size`` each, or of random sizes."""
    random = np.random.default_rng(0)
    start = 0
    while start < len(inputs):
        count = size or int(random.geometric(1 / 20))
        yield inputs[start : start + count]
        start += count
