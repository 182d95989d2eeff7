"""Distributed training in the processes that ``torchrun`` or ``accelerate launch`` start.

Each rank computes the gradient of its part of every batch, and the gradients are summed before the
same update. torch's DistributedDataParallel takes the mean of the ranks' mean gradients, which is
not the batch's mean where the parts differ in size, and needs a part for every rank: a last batch
of one row has none. The sum over all ranks divided by the number of all examples is exact for parts
of any size, empty ones included.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from seqbelt.errors import SeqbeltError

Value = TypeVar("Value")


class Ranks:
    """Collective operations of this process with the other ranks of a training."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.world_size, self.rank = accelerator.num_processes, accelerator.process_index

    @property
    def is_single_process(self) -> bool:
        return self.world_size == 1

    def local_rows(self, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """This rank's part of a batch's ``rows``, of similar lengths as the other ranks'.
        ``lengths`` ``(sequences,)`` are those of all sequences. With more ranks than rows the
        others read the last row without its label."""
        if self.is_single_process:
            return rows
        order = np.argsort(-lengths[rows], kind="stable")
        return rows[order[self.rank :: self.world_size]] if self.has_rows(rows) else rows[-1:]

    def has_rows(self, rows: np.ndarray) -> bool:
        """Whether this rank has a row of the batch."""
        return self.rank < len(rows)

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, in one operation.

        Raises SeqbeltError when another process has ended.
        """
        if self.is_single_process:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        try:
            torch.distributed.all_reduce(flat)
        except RuntimeError as error:
            raise _peer_ended(error) from None
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def gather_rows(self, part: np.ndarray, rows: np.ndarray, num_rows: int) -> np.ndarray:
        """All ranks' parts ``(local rows, ...)`` as one array ``(num_rows, ...)``."""
        if self.is_single_process:
            return part
        parts = self.gather((rows, part))
        gathered = np.empty((num_rows, *part.shape[1:]), part.dtype)
        for local_rows, values in parts:
            gathered[local_rows] = values
        return gathered

    def gather(self, value: Value) -> list[Value]:
        """Every rank's value, in the order of the ranks."""
        try:
            return [value] if self.is_single_process else gather_object([value])
        except RuntimeError as error:
            raise _peer_ended(error) from None


def _peer_ended(error: RuntimeError) -> SeqbeltError:
    return SeqbeltError(
        f"another process of this training has ended ({str(error).splitlines()[0][:120]}); "
        "restart all of them with --resume"
    )
