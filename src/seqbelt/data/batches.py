"""Padding, batches and their order.

Sequences of similar length are batched together, which reduces padding. The order stays random:
sequences are permuted, sorted within windows of a few batches, and the batches are shuffled. It
depends on seed and epoch only, so all models of a comparison with one seed get the same batches in
the same order.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqbelt.data.sequences import Sequences


class Batch(NamedTuple):
    """Padded sequences, with zeros after each sequence's end.

    ``inputs`` float32 ``(batch, steps, features)`` or int64 ``(batch, steps)``; ``lengths`` int64
    ``(batch,)``, always on the CPU; ``labels`` int64 ``(batch,)``, or ``(batch, steps)`` with
    labels for steps; ``indices`` ``(batch,)`` the index of each row in the sequences.
    """

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: np.ndarray

    def to(self, device: torch.device) -> "Batch":
        """The batch with its inputs and labels on a device."""
        return self._replace(
            inputs=self.inputs.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, for asynchronous copies to a GPU."""
        inputs, lengths, labels, indices = self
        return Batch(inputs.pin_memory(), lengths.pin_memory(), labels.pin_memory(), indices)


def pad(sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Pad and stack sequences of different lengths: ``(batch, steps, features)`` and lengths
    ``(batch,)``.

    Token ids ``(steps,)`` give ``(batch, steps)`` int64. Raises ValueError for an empty sequence.
    """
    lengths = np.fromiter((len(s) for s in sequences), np.int64, len(sequences))
    if not lengths.all():
        raise ValueError("a sequence without steps cannot be batched")
    first = sequences[0]
    dtype = np.float32 if first.ndim == 2 else np.int64
    padded = np.zeros((len(sequences), lengths.max(), *first.shape[1:]), dtype)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded), torch.from_numpy(lengths)


def make_batch(sequences: Sequences, indices: np.ndarray) -> Batch:
    """The batch of these sequences."""
    inputs, lengths = pad([sequences[index] for index in indices])
    labels = sequences.store.target.of_batch(sequences, indices)
    return Batch(inputs, lengths, torch.from_numpy(labels), indices)


def training_plan(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, bucket_batches: int
) -> list[np.ndarray]:
    """The batches of one epoch as indices: each sequence once, similar lengths together.

    ``bucket_batches`` is the number of batches that are sorted together; 1 is fully random.
    """
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(lengths))
    window = batch_size * bucket_batches
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        if bucket_batches > 1:
            rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[index] for index in random.permutation(len(batches))]


def evaluation_plan(lengths: np.ndarray, max_steps: int = 4096) -> list[np.ndarray]:
    """All sequences once, in batches of equal work: at most ``max_steps`` padded steps each."""
    order = np.argsort(lengths, kind="stable")
    batches, start = [], 0
    for stop in range(1, len(order) + 1):
        is_last = stop == len(order)
        if is_last or (stop + 1 - start) * lengths[order[stop]] > max_steps:
            batches.append(order[start:stop])
            start = stop
    return batches


def fill(
    lengths: np.ndarray, plan: list[np.ndarray], padded_to: Callable[[int], int] = int
) -> float:
    """Valid steps divided by padded steps; 1 without padding.

    ``padded_to`` maps the longest length of a batch to the number of steps that it is padded to.
    """
    padded = sum(padded_to(int(lengths[rows].max())) * len(rows) for rows in plan)
    valid = sum(int(lengths[rows].sum()) for rows in plan)
    return valid / padded if padded else 1.0


class StepStatistics(NamedTuple):
    """Statistics ``(features,)`` of steps, in float32."""

    mean: Tensor
    std: Tensor
    difference_rms: Tensor
    """Root mean square of the differences between a step and the one before it."""


def step_statistics(sequences: Sequences) -> StepStatistics:
    """Statistics of all steps of all sequences."""
    count, total, square = 0, 0.0, 0.0
    num_differences, difference = 0, 0.0
    for index in range(len(sequences)):
        steps = torch.from_numpy(sequences[index].astype("float64"))
        count, total, square = count + len(steps), total + steps.sum(0), square + (steps**2).sum(0)
        num_differences += len(steps) - 1
        difference = difference + steps.diff(dim=0).square().sum(0)
    mean = torch.as_tensor(total) / count
    variance = (torch.as_tensor(square) / count - mean**2).clamp_min(0)
    rms = (torch.as_tensor(difference) / max(1, num_differences)).sqrt()
    return StepStatistics(mean.float(), variance.sqrt().float(), rms.float())
