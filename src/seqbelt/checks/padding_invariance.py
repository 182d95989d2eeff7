"""Padding and batch invariance: a sequence's logits depend neither on padding nor on the batch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqbelt.checks.certificate import LogitCertificate, find_flips, finite_or_none, tolerance_for
from seqbelt.data.batches import Batch, make_batch
from seqbelt.data.sequences import Sequences
from seqbelt.models.ensemble import Network
from seqbelt.models.step_mask import valid_steps

BATCH_SIZE = 32
SAMPLE_STEPS = 131_072
"""Largest number of steps in the sample, so that long signals take seconds, not minutes."""


@dataclass(frozen=True)
class PaddingCertificate(LogitCertificate):
    """Logits of batched sequences against each sequence alone."""

    tolerance: float
    differences: dict[str, float | None]
    """Largest difference for each batch composition."""

    @property
    def sentence(self) -> str:
        """The outcome as a sentence."""
        return (
            f"padding certificate {'passed' if self.passed else 'FAILED'}: logits differ by "
            f"{self.shown_difference} at most (allowed {self.tolerance:.1e}), {self.num_flips} of "
            f"{self.num_sequences} labels change"
        )


@torch.inference_mode()
def certify_padding(
    network: Network, sequences: Sequences, num_sequences: int = 256
) -> PaddingCertificate:
    """Compare the logits of sampled sequences, each alone, with those in batches.

    Batch compositions: a batch of mixed lengths; the same with 50 % more padding; with large values
    instead of zeros in all padding; and other batches in another order.
    """
    sample = sample_by_length(sequences, num_sequences)
    order = np.random.default_rng(0).permutation(len(sample))
    was_training = network.training
    network.eval()
    alone = _logits(network, sample, np.arange(len(sample)), 1)
    compositions = {
        "batch": _logits(network, sample, order),
        "more_padding": _logits(network, sample, order, change=_more_padding),
        "garbage_padding": _logits(network, sample, order, change=_garbage_padding),
        "permuted": _logits(network, sample, np.random.default_rng(1).permutation(order)),
    }
    network.train(was_training)
    differences = {
        name: float((logits - alone).abs().max()) for name, logits in compositions.items()
    }
    flips = np.stack(
        [find_flips(sequences.store.target, logits, alone) for logits in compositions.values()]
    )
    worst = float(np.max(list(differences.values())))  # unlike max, this keeps NaN
    tolerance = tolerance_for(float(alone.abs().max()))
    return PaddingCertificate(
        passed=worst <= tolerance and not flips.any(),
        max_difference=finite_or_none(worst),
        num_flips=int(flips.any(0).sum()),
        num_sequences=len(sample),
        tolerance=tolerance,
        differences={name: finite_or_none(value) for name, value in differences.items()},
    )


def sample_by_length(
    sequences: Sequences, num_sequences: int, max_steps: int = SAMPLE_STEPS
) -> Sequences:
    """Sequences evenly spaced in order of length, the shortest and the longest included."""
    order = np.argsort(sequences.lengths, kind="stable")
    affordable = max(8, int(max_steps / sequences.lengths.mean()))
    count = min(num_sequences, affordable, len(order))
    return sequences.take(order[np.linspace(0, len(order) - 1, count).round().astype(int)])


def _logits(
    network: Network,
    sequences: Sequences,
    order: np.ndarray,
    batch_size: int = BATCH_SIZE,
    change: Callable[[Batch], Batch] = lambda batch: batch,
) -> Tensor:
    """Logits ``(examples, classes)`` in the order of the sequences, computed in another."""
    device = next(network.parameters()).device
    results: list[Tensor] = []
    for start in range(0, len(order), batch_size):
        batch = change(make_batch(sequences, order[start : start + batch_size])).to(device)
        logits = network(batch.inputs, batch.lengths).float().cpu()
        results += network.split(logits, batch.lengths)
    return torch.cat([results[index] for index in np.argsort(order)])


def _more_padding(batch: Batch) -> Batch:
    """Add zeros for half as many steps again."""
    num_steps = batch.inputs.shape[1]
    longer = batch.inputs.new_zeros(
        len(batch.inputs), num_steps + -(-num_steps // 2), *batch.inputs.shape[2:]
    )
    longer[:, :num_steps] = batch.inputs
    return batch._replace(inputs=longer)


def _garbage_padding(batch: Batch) -> Batch:
    """More padding, filled with the batch's values shuffled: scaled by 100, or as token ids."""
    batch = _more_padding(batch)
    padding = ~valid_steps(batch.lengths, batch.inputs.shape[1], batch.inputs.device)
    values = batch.inputs[~padding].flatten()
    inputs = batch.inputs.clone()
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(len(values), inputs[padding].shape, generator=generator)
    inputs[padding] = values[indices] if inputs.dim() == 2 else 100 * values[indices] + 100
    return batch._replace(inputs=inputs)
