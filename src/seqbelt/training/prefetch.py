"""The batches of a training, on its device when they are asked for.

There are three ways, with the same batches in the same order and the same numbers:

at once   on a CPU: each is padded when its turn comes
resident  on a GPU that has room for all steps: they lie there, and batches are gathered from them
ahead     on another GPU, or where rows are augmented or steps labelled: a thread pads a few
          batches ahead into page-locked memory, from which a copy is queued and nothing waits
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from seqbelt.data.batches import Batch, make_batch
from seqbelt.data.cropping import uncropped
from seqbelt.data.sequences import Sequences
from seqbelt.training.augmentation import Augmenter

Batches = Generator[Batch, None, None]
NUM_AHEAD = 4
"""Batches padded ahead: enough to cover one that takes longer than a step."""
SHARE_OF_FREE_MEMORY = 0.25
"""Of a GPU's, that resident steps may take: activations and other programs need the rest."""
SLAB_BYTES = 64 << 20
"""Copied to a GPU at a time."""


class Prefetcher:
    """The batches of one training, epoch by epoch."""

    def __init__(self, sequences: Sequences, augment: Augmenter, device: torch.device) -> None:
        self.augment, self.device = augment, device
        self.resident: ResidentSequences | None = None
        is_plain = not augment.settings.is_on and sequences.store.target.name == "per_sequence"
        if device.type == "cuda" and is_plain and _fits(sequences, device):
            self.resident = ResidentSequences(sequences, device)

    def batches(self, sequences: Sequences, plan: list[np.ndarray], epoch: int) -> Batches:
        """The batches of a plan. ``sequences`` are those of the beginning, as this epoch crops
        them. On a GPU the lengths are page-locked."""
        if self.resident is not None:
            return self.resident.batches(sequences, plan)

        def make(rows: np.ndarray) -> Batch:
            return self.augment(make_batch(sequences, rows), epoch)

        return load_batches(make, plan, self.device)


def load_batches(
    make: Callable[[np.ndarray], Batch], plan: list[np.ndarray], device: torch.device
) -> Batches:
    """What ``make`` gives for each of the plan's rows, on a device; for a GPU made ahead."""
    if device.type != "cuda":
        for rows in plan:
            yield make(rows).to(device)
        return
    for batch in prefetch(lambda rows: make(rows).pin_memory(), plan):
        yield batch.to(device)


def prefetch(make: Callable[[np.ndarray], Batch], plan: list[np.ndarray]) -> Batches:
    """The batches of a plan in its order, made by a thread while others are used."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Batch]] = deque()
        for rows in plan:
            waiting.append(thread.submit(make, rows))
            if len(waiting) > NUM_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class ResidentSequences:
    """All steps of some sequences, on a device."""

    def __init__(self, sequences: Sequences, device: torch.device) -> None:
        whole, _ = uncropped(sequences)
        self.first = whole.lengths.cumsum() - whole.lengths
        self.num_steps = int(whole.lengths.sum())
        sample = torch.from_numpy(whole[0][:0].copy())
        # The last row stays zero: padding is gathered from there.
        self.steps = sample.new_zeros((self.num_steps + 1, *sample.shape[1:]), device=device)
        num_slabs = min(len(whole), 1 + _num_bytes(whole) // SLAB_BYTES)
        place = 0
        for rows in np.array_split(np.arange(len(whole)), num_slabs):
            slab = torch.from_numpy(np.concatenate([whole[row] for row in rows]))
            self.steps[place : place + len(slab)] = slab
            place += len(slab)

    def batches(self, sequences: Sequences, plan: list[np.ndarray]) -> Batches:
        """The batches of a plan over the sequences of the beginning, however they are cropped."""
        if not plan:
            return
        device, order = self.steps.device, np.concatenate(plan)
        _, starts = uncropped(sequences)
        columns = np.stack([self.first + starts, sequences.lengths, sequences.labels])
        here = torch.from_numpy(columns[:, order])
        if device.type == "cuda":
            here = here.pin_memory()
        there = here.to(device, non_blocking=True)  # once an epoch
        begin = 0
        for rows in plan:
            own = slice(begin, begin + len(rows))
            first, lengths, labels = there[:, own]
            inputs = self._gather(first, lengths, int(sequences.lengths[rows].max()))
            yield Batch(inputs, here[1, own], labels, rows)
            begin += len(rows)

    def _gather(self, first: Tensor, lengths: Tensor, num_steps: int) -> Tensor:
        steps = torch.arange(num_steps, device=first.device)
        places = (first[:, None] + steps).masked_fill(steps >= lengths[:, None], self.num_steps)
        rows = self.steps.index_select(0, places.flatten()).unflatten(0, places.shape)
        return rows if rows.is_floating_point() else rows.long()


def _num_bytes(sequences: Sequences) -> int:
    return int(sequences.lengths.sum()) * sequences[0][:1].nbytes


def _fits(sequences: Sequences, device: torch.device) -> bool:
    whole, _ = uncropped(sequences)
    free, _ = torch.cuda.mem_get_info(device)
    return _num_bytes(whole) <= SHARE_OF_FREE_MEMORY * free
