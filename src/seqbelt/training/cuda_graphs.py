"""Training steps as CUDA graphs: one launch instead of hundreds.

A step of a small network is hundreds of kernels of a few microseconds each, less than the CPU needs
to launch them. Recorded once per batch shape, they are launched together.
"""

import logging
from collections import Counter
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from seqbelt.data.batches import Batch
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.models.device_transfer import upload

logger = logging.getLogger(__name__)
RECORD_AFTER = 1
"""Batches of a shape before its step is recorded. Recording takes as long as two steps: the first
step loads its kernels, and a shape that occurred twice is likely to occur again."""
LARGEST_INPUTS = 64 << 20
"""Largest inputs in bytes whose step is recorded; each recorded shape keeps a copy. Larger batches
keep a GPU busy while the next kernels are launched."""
SHAPES_PER_OCTAVE = 8
"""Numbers of steps, between a power of two and the next, that batches are padded to."""


class GraphedSteps:
    """A training step that is recorded as a CUDA graph and replayed.

    ``step`` takes a batch on the device and leaves its results there; it must not copy values to
    the CPU, and no shape may depend on a value. Every batch is padded to one of few numbers of
    steps, recorded or not, so that the result does not depend on the batches before it.
    """

    def __init__(self, step: Callable[[Batch], None], device: torch.device) -> None:
        self.step = step
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.counts: Counter[torch.Size] = Counter()
        self.recorded: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Batch]] = {}
        self.has_room = True

    def __call__(self, batch: Batch) -> None:
        num_steps = rounded_up(batch.inputs.shape[1])
        inputs, labels = pad_steps(batch.inputs, num_steps), batch.labels
        if labels.ndim == 2 and not labels.is_floating_point():  # a class for every step
            labels = pad_steps(labels, num_steps, UNLABELLED)
        batch = Batch(inputs, upload(batch.lengths, inputs.device), labels, batch.indices)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self._run(batch)
        torch.cuda.current_stream().wait_stream(self.stream)

    def _run(self, batch: Batch) -> None:
        shape = batch.inputs.shape
        self.counts[shape] += 1
        is_recordable = self.counts[shape] > RECORD_AFTER and batch.inputs.nbytes <= LARGEST_INPUTS
        if is_recordable and self.has_room and shape not in self.recorded:
            self._try_to_record(batch)
        if shape not in self.recorded:
            self.step(batch)
            return
        graph, recorded = self.recorded[shape]
        recorded.inputs.copy_(batch.inputs)
        recorded.lengths.copy_(batch.lengths)
        recorded.labels.copy_(batch.labels)
        graph.replay()

    def _try_to_record(self, batch: Batch) -> None:
        """Record the step; without enough memory launch this one and all later ones.

        A recorded step keeps its working memory, and recording computes nothing, so it cannot be
        split into pieces as a launched step can.
        """
        try:
            self.recorded[batch.inputs.shape] = self._record(batch)
        except RuntimeError as error:  # torch's own class from the allocator, CUDA's from the graph
            if "out of memory" not in str(error):
                raise
            self.has_room = False
            self.recorded.clear()
            torch.cuda.empty_cache()
            logger.warning(
                "CUDA graphs do not fit into the GPU's memory; steps are launched one by one, with "
                "the same result. Set training.cuda_graphs: false to skip the attempt."
            )

    def _record(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch]:
        """The step's graph and the batch that it reads from."""
        inputs, lengths, labels, indices = batch
        kept = Batch(inputs.clone(), lengths.clone(), labels.clone(), indices)
        graph = torch.cuda.CUDAGraph()
        # thread_local: the prefetching thread may allocate meanwhile
        graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
        try:
            self.step(kept)
        finally:
            graph.capture_end()
        return graph, kept


def pad_steps(inputs: Tensor, num_steps: int, value: int = 0) -> Tensor:
    """Pad inputs ``(batch, steps, ...)`` at the end with ``value`` to ``num_steps`` steps."""
    missing = num_steps - inputs.shape[1]
    if not missing:
        return inputs
    return F.pad(inputs, (0, 0) * (inputs.ndim - 2) + (0, missing), value=value)


def rounded_up(num_steps: int) -> int:
    """Round up to a length that batches are padded to: 1, 2, ... 16, 18, ... 32, 36, ..."""
    octave = 1 << (num_steps - 1).bit_length() >> 1  # the power of two below
    unit = max(1, octave // SHAPES_PER_OCTAVE)
    return -(-num_steps // unit) * unit
