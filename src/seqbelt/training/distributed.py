"""The processes that train one model together, as ``torchrun`` or ``accelerate launch`` start them.

Each computes the gradient of its share of every batch, and all add them up before the same update.
torch's DistributedDataParallel takes the mean of the processes' mean gradients, which is not the
batch's where shares differ, and wants a share for everyone: a last batch of one row has none. The
sum of sums over the number of all examples is exact for any shares, none included.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from seqbelt.errors import SeqbeltError


class Ranks:
    """This process among those of a training."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.world_size, self.rank = accelerator.num_processes, accelerator.process_index

    @property
    def is_single_process(self) -> bool:
        return self.world_size == 1

    def local_rows(self, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """This process's part of a batch's ``rows``, as long as the others'; ``lengths`` of all
        sequences. With more processes than rows some read the last row without its label."""
        if self.is_single_process:
            return rows
        order = np.argsort(-lengths[rows], kind="stable")
        return rows[order[self.rank :: self.world_size]] if self.has_rows(rows) else rows[-1:]

    def has_rows(self, rows: np.ndarray) -> bool:
        """Whether a row of the batch is this process's own."""
        return self.rank < len(rows)

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one message.

        Raises SeqbeltError when another process is gone.
        """
        if self.is_single_process:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        try:
            torch.distributed.all_reduce(flat)
        except RuntimeError as error:
            raise _gone(error) from None
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def gather_rows(self, part: np.ndarray, rows: np.ndarray, num_rows: int) -> np.ndarray:
        """All processes' parts ``(own rows, ...)`` in one, in the order of ``rows``."""
        if self.is_single_process:
            return part
        parts = self.gather((rows, part))
        whole = np.empty((num_rows, *part.shape[1:]), part.dtype)
        for own_rows, own in parts:
            whole[own_rows] = own
        return whole

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of the processes."""
        try:
            return [value] if self.is_single_process else gather_object([value])
        except RuntimeError as error:
            raise _gone(error) from None


def _gone(error: RuntimeError) -> SeqbeltError:
    return SeqbeltError(
        f"another process of this training is gone ({str(error).splitlines()[0][:120]}); start "
        "all of them again with --resume"
    )
