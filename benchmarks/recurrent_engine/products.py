"""The matrix products of the recurrence alone: what the machine could give at the most."""

from collections.abc import Callable

import torch
from torch import Tensor

from recurrent_engine.contenders import HIDDEN_SIZE, Task
from seqbelt.data.batches import Batch
from seqbelt.models.model import Cell

GATES: dict[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}
PRODUCTS = "products step by step"
PRODUCTS_IN_BLOCKS = "products in blocks"
BLOCK_ROWS = 1024


def useful_flop(task: Task, batches: list[Batch], training: bool) -> float:
    """Floating-point operations of the recurrent layer's products over the valid steps.

    Training adds the gradients of both weights and of the hidden states, and that of the inputs
    where an embedding wants it. At a first step the hidden state is zero and costs nothing.
    """
    workload = task.workload
    num_steps = sum(int(batch.lengths.sum()) for batch in batches)
    num_recurrent = num_steps - sum(len(batch.lengths) for batch in batches)
    input_products = (3 if workload.vocabulary_size else 2) if training else 1
    per_gate = input_products * num_steps * workload.input_size
    per_gate += (3 if training else 1) * num_recurrent * HIDDEN_SIZE
    return 2.0 * per_gate * workload.num_directions * GATES[task.cell] * HIDDEN_SIZE


class ProductsRunner:
    """Exactly the products that ``useful_flop`` counts, by ``torch.mm``.

    The input products run over all steps of a batch at once. The recurrent ones run step by step
    over the sequences that are still going on, or ``in_blocks`` of many steps, as they could if no
    step needed the one before.
    """

    def __init__(self, task: Task, in_blocks: bool) -> None:
        workload = task.workload
        self.in_blocks = in_blocks
        self.num_directions = workload.num_directions
        self.wants_input_gradient = workload.vocabulary_size is not None
        height = GATES[task.cell] * HIDDEN_SIZE
        self.weight_ih = torch.randn(workload.input_size, height)
        self.weight_hh = torch.randn(HIDDEN_SIZE, height)

    def load(self, batch: Batch) -> tuple[list[int], Tensor, Tensor, Tensor]:
        """Rows of each recurrent product; then inputs, gates and hidden states."""
        num_steps = int(batch.lengths.sum())
        num_recurrent = num_steps - len(batch.lengths)
        later_steps = torch.arange(1, int(batch.lengths.max()))
        counts = (batch.lengths[:, None] > later_steps).sum(0).tolist()
        if self.in_blocks:
            starts = range(0, num_recurrent, BLOCK_ROWS)
            counts = [min(BLOCK_ROWS, num_recurrent - start) for start in starts]
        rows = torch.randn(num_steps, self.weight_ih.shape[0])
        gates = torch.randn(num_steps, self.weight_ih.shape[1])
        return counts, rows, gates, torch.randn(num_recurrent, HIDDEN_SIZE)

    def infer(self, batch: tuple[list[int], Tensor, Tensor, Tensor]) -> None:
        counts, rows, gates, hidden = batch
        for _ in range(self.num_directions):
            torch.mm(rows, self.weight_ih, out=gates)
            start = 0
            for count in counts:
                stop = start + count
                torch.mm(hidden[start:stop], self.weight_hh, out=gates[start:stop])
                start = stop

    def train(self, batch: tuple[list[int], Tensor, Tensor, Tensor]) -> None:
        self.infer(batch)
        counts, rows, gates, hidden = batch
        for _ in range(self.num_directions):
            start = 0
            for count in counts:
                stop = start + count
                torch.mm(gates[start:stop], self.weight_hh.T, out=hidden[start:stop])
                start = stop
            torch.mm(hidden.T, gates[: len(hidden)])
            torch.mm(rows.T, gates)
            if self.wants_input_gradient:
                torch.mm(gates, self.weight_ih.T)


def largest_rate(clock: Callable[[], float], size: int = 1536) -> float:
    """GFLOP/s of one large square product, the best of three: the machine at its ease."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(3):
        began = clock()
        torch.mm(left, right)
        seconds.append(clock() - began)
    return 2e-9 * size**3 / min(seconds)
