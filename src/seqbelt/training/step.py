"""One training step: the gradient of a batch and the update of the weights."""

import logging
import math

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from seqbelt.data.batches import Batch
from seqbelt.models.chunks import Chunks
from seqbelt.training.distributed import Ranks
from seqbelt.training.losses import MeanCrossEntropy

logger = logging.getLogger(__name__)


class Step:
    """Updates the network's weights by a batch.

    It never waits for a GPU or depends on its results, so that it can be recorded as a CUDA graph.
    ``totals`` float64 ``(4,)`` stays on the device: sums over the steps of losses, gradient norms,
    clipped updates and examples.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        loss: MeanCrossEntropy,
        accelerator: Accelerator,
        clip_norm: float | None,
        chunks: Chunks | None,
    ) -> None:
        self.network, self.optimizer, self.loss = network, optimizer, loss
        self.accelerator, self.chunks = accelerator, chunks
        self.limit = clip_norm or math.inf  # an infinite limit measures and clips nothing
        self.ranks = Ranks(accelerator)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.totals = torch.zeros(4, dtype=torch.float64, device=accelerator.device)
        self.num_pieces = 1
        self.local_flags = [False, False]
        """Whether this rank received a stop signal, and whether a checkpoint is due."""
        self.global_flags = [False, False]
        """The same of any rank: all ranks act on it after the same step."""

    def __call__(self, batch: Batch) -> None:
        total, count = self._gradient(batch)
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.limit)
        assert norm is not None
        self.optimizer.step()
        clipped = (norm > self.limit).double()
        self.totals += torch.stack([total, norm.double(), clipped, count.double()])

    def _gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the gradient of the mean loss; returns the sum of losses and the number of
        examples."""
        count = self.loss.count(batch.labels)
        if not self.ranks.is_single_process:
            shared = self.totals.new_tensor([float(count), *self.local_flags])
            self.ranks.all_reduce_sum([shared])
            count = shared[0].to(count.dtype)
            self.global_flags = [number > 0 for number in shared[1:].tolist()]
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                total = self._add_gradients(batch, count.clamp_min(1))
                break
            except torch.cuda.OutOfMemoryError:
                is_recorded = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
                if is_recorded or self.num_pieces >= len(batch.lengths):
                    raise
                self._split_more(len(batch.lengths))
        self.ranks.all_reduce_sum([p.grad for p in self.parameters if p.grad is not None])
        return total, count

    def _add_gradients(self, batch: Batch, count: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=self.totals.device)
        for piece in _pieces(batch, self.num_pieces):
            logits = self.network(piece.inputs, piece.lengths, self.chunks)
            loss = self.loss(logits, piece.labels, count)
            self.accelerator.backward(loss)
            total += loss.detach().double() * count
        return total

    def _split_more(self, num_rows: int) -> None:
        self.num_pieces = min(2 * self.num_pieces, num_rows)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning(
            "A batch of %d sequences does not fit into the device's memory; batches are now "
            "computed in %d pieces, with the same result. Lower training.batch_size, "
            "model.crop_steps or training.chunk_steps to use less memory.",
            num_rows, self.num_pieces,
        )  # fmt: skip


def _pieces(batch: Batch, count: int) -> list[Batch]:
    """The batch's rows in ``count`` parts, or as many as there are rows."""
    if count == 1:
        return [batch]
    size = -(-len(batch.lengths) // count)
    parts = [slice(start, start + size) for start in range(0, len(batch.lengths), size)]
    inputs, lengths, labels, indices = batch
    return [Batch(inputs[p], lengths[p], labels[p], indices[p]) for p in parts]
