"""The batches of a training, on its device when they are needed.

Three ways give the same batches in the same order:

at once   on a CPU: each batch is padded when it is needed
resident  on a GPU with memory for all steps: batches are gathered there
ahead     on another GPU, with augmentation or labels for steps: a thread pads a few batches ahead
          into page-locked memory, from which they are copied without waiting
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from seqbelt.ahead import map_ahead
from seqbelt.data.batches import Batch, make_batch
from seqbelt.data.cropped_sequences import uncropped
from seqbelt.data.sequences import Sequences
from seqbelt.training.augmenter import Augmenter

Batches = Generator[Batch, None, None]
NUM_AHEAD = 4
"""Batches padded ahead: enough to hide one that takes longer than a step."""
FREE_MEMORY_FRACTION = 0.25
"""Fraction of a GPU's free memory that resident steps may take; activations need the rest."""
SLAB_BYTES = 64 << 20
"""Bytes copied to a GPU at a time."""


class Prefetcher:
    """The batches of one training, epoch by epoch."""

    def __init__(
        self,
        sequences: Sequences,
        augment: Augmenter,
        device: torch.device,
        targets: np.ndarray | None = None,
    ) -> None:
        """``targets`` float32 ``(sequences, classes)`` take the place of the labels."""
        self.augment, self.device = augment, device
        self.targets = None if targets is None else torch.from_numpy(targets)
        self.resident: ResidentSequences | None = None
        is_plain = not augment.settings.is_on and sequences.store.target.name == "per_sequence"
        if device.type == "cuda" and is_plain and _fits(sequences, device):
            self.resident = ResidentSequences(sequences, device, self.targets)

    def batches(self, sequences: Sequences, plan: list[np.ndarray], epoch: int) -> Batches:
        """The batches of a plan. ``sequences`` are those given at construction, cropped for this
        epoch. On a GPU the lengths stay in page-locked memory."""
        if self.resident is not None:
            return self.resident.batches(sequences, plan)

        def make(rows: np.ndarray) -> Batch:
            batch = make_batch(sequences, rows)
            if self.targets is not None:
                batch = batch._replace(labels=self.targets[rows])
            return self.augment(batch, epoch)

        return load_batches(make, plan, self.device)


def load_batches(
    make: Callable[[np.ndarray], Batch], plan: list[np.ndarray], device: torch.device
) -> Batches:
    """``make(rows)`` for each of the plan's rows, on a device; prefetched for a GPU."""
    if device.type != "cuda":
        for rows in plan:
            yield make(rows).to(device)
        return
    thread = ThreadPoolExecutor(1, "batches")
    for batch in map_ahead(thread, lambda rows: make(rows).pin_memory(), plan, NUM_AHEAD):
        yield batch.to(device)


class ResidentSequences:
    """All steps of some sequences in a device's memory."""

    def __init__(
        self, sequences: Sequences, device: torch.device, targets: Tensor | None = None
    ) -> None:
        """``targets`` float32 ``(sequences, classes)`` take the place of the labels."""
        labels = torch.from_numpy(sequences.labels) if targets is None else targets
        self.labels = labels.to(device)
        full, _ = uncropped(sequences)
        self.first = full.lengths.cumsum() - full.lengths
        self.num_steps = int(full.lengths.sum())
        sample = torch.from_numpy(full[0][:0].copy())
        # The last row stays zero: padding is gathered from there.
        self.steps = sample.new_zeros((self.num_steps + 1, *sample.shape[1:]), device=device)
        num_slabs = min(len(full), 1 + _num_bytes(full) // SLAB_BYTES)
        offset = 0
        for rows in np.array_split(np.arange(len(full)), num_slabs):
            slab = torch.from_numpy(np.concatenate([full[row] for row in rows]))
            self.steps[offset : offset + len(slab)] = slab
            offset += len(slab)

    def batches(self, sequences: Sequences, plan: list[np.ndarray]) -> Batches:
        """The batches of a plan over the sequences given at construction, under any crop."""
        if not plan:
            return
        device, order = self.steps.device, np.concatenate(plan)
        _, starts = uncropped(sequences)
        columns = np.stack([self.first + starts, sequences.lengths, np.arange(len(sequences))])
        on_cpu = torch.from_numpy(columns[:, order])
        if device.type == "cuda":
            on_cpu = on_cpu.pin_memory()
        on_device = on_cpu.to(device, non_blocking=True)  # once an epoch
        start = 0
        for rows in plan:
            part = slice(start, start + len(rows))
            first, lengths, numbers = on_device[:, part]
            inputs = self._gather(first, lengths, int(sequences.lengths[rows].max()))
            yield Batch(inputs, on_cpu[1, part], self.labels[numbers], rows)
            start += len(rows)

    def _gather(self, first: Tensor, lengths: Tensor, num_steps: int) -> Tensor:
        steps = torch.arange(num_steps, device=first.device)
        positions = (first[:, None] + steps).masked_fill(steps >= lengths[:, None], self.num_steps)
        rows = self.steps.index_select(0, positions.flatten()).unflatten(0, positions.shape)
        return rows if rows.is_floating_point() else rows.long()


def _num_bytes(sequences: Sequences) -> int:
    return int(sequences.lengths.sum()) * sequences[0][:1].nbytes


def _fits(sequences: Sequences, device: torch.device) -> bool:
    full, _ = uncropped(sequences)
    free, _ = torch.cuda.mem_get_info(device)
    return _num_bytes(full) <= FREE_MEMORY_FRACTION * free
