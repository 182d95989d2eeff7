"""Long sequences in chunks: the memory of one chunk, the gradient of the whole.

The activations of a recurrent layer take several times the memory of its inputs, at every step.
Run in chunks with the state carried over, only one chunk's are held; the backward pass computes
each chunk once more (Chen et al. 2016, arXiv:1604.06174). The gradient is the exact one.

Truncated back-propagation through time (Williams & Peng 1990, doi:10.1162/neco.1990.2.4.490) stops
the gradient where a chunk begins. It is biased: what a network would have to carry over more than
a chunk is not learned, or only by chance, while the state itself is carried over whole.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqbelt.models.device_transfer import upload
from seqbelt.models.recurrent import Recurrent, State


class Chunks(NamedTuple):
    """How a sequence is cut: into ``num_steps`` at a time; does the gradient stop there?"""

    num_steps: int
    truncate: bool = False


def run_in_chunks(
    recurrent: Recurrent, inputs: Tensor, lengths: Tensor, chunks: Chunks
) -> tuple[Tensor, State]:
    """The same as ``recurrent(inputs, lengths)``, holding the activations of one chunk at a time.

    Shapes and errors are those of ``Recurrent.forward``; one direction only.
    """
    if recurrent.weights.bidirectional:
        raise ValueError("a bidirectional network reads from the end: it cannot run in chunks")
    order = lengths.argsort(descending=True, stable=True)
    falling, rows = lengths[order], upload(order, inputs.device)
    back = rows.argsort()
    outputs: list[Tensor] = []
    ended: list[State] = []
    state: State | None = None
    longest = int(falling[0])
    for begin in range(0, longest, chunks.num_steps):
        end = min(begin + chunks.num_steps, longest)
        # The longest come first, so those that still run are always the leading ones.
        running, running_on = int((falling > begin).sum()), int((falling > end).sum())
        chunk = inputs[rows[:running], begin:end]
        chunk_lengths = (falling[:running] - begin).clamp(max=end - begin)
        found, end_state = cast(
            tuple[Tensor, State],
            checkpoint(recurrent, chunk, chunk_lengths, state, use_reentrant=False),
        )
        # Back into the batch's order at once: one more copy of all outputs would be felt.
        filled = nn.functional.pad(found, (0, 0, 0, 0, 0, len(lengths) - running))
        outputs.append(filled.index_select(0, back))
        ended.append(_rows(end_state, running_on, running))
        state = _rows(end_state, 0, running_on)
        if chunks.truncate:
            state = _detach(state)
    outputs.append(inputs.new_zeros(len(lengths), inputs.shape[1] - longest, recurrent.output_size))
    return torch.cat(outputs, 1), _join(ended[::-1], back)


def _rows(state: State, begin: int, end: int) -> State:
    if isinstance(state, Tensor):
        return state[:, begin:end]
    return state[0][:, begin:end], state[1][:, begin:end]


def _detach(state: State) -> State:
    return state.detach() if isinstance(state, Tensor) else (state[0].detach(), state[1].detach())


def _join(states: list[State], order: Tensor) -> State:
    """The states of all sequences, in an order."""
    parts = [(state,) if isinstance(state, Tensor) else state for state in states]
    hidden, *cell = (torch.cat(kind, dim=1)[:, order] for kind in zip(*parts))
    return (hidden, cell[0]) if cell else hidden
