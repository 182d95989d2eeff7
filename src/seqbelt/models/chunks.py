"""Long sequences in chunks, with the exact gradient and the memory of one chunk.

The activations of a recurrent layer take several times the memory of its inputs, at every step. Run
in chunks with the state carried over, only one chunk's are stored; the backward pass recomputes
each chunk (Chen et al. 2016, arXiv:1604.06174). The gradient is exact.

Truncated back-propagation through time (Williams & Peng 1990, doi:10.1162/neco.1990.2.4.490) stops
the gradient at the start of a chunk. It is biased: dependencies longer than a chunk are learned
only by chance, although the state is still carried over.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqbelt.models.device_transfer import upload
from seqbelt.models.recurrent import Recurrent, State


class Chunks(NamedTuple):
    """Length of the chunks, and whether the gradient stops between them."""

    num_steps: int
    truncate: bool = False


def run_in_chunks(
    recurrent: Recurrent, inputs: Tensor, lengths: Tensor, chunks: Chunks
) -> tuple[Tensor, State]:
    """Compute ``recurrent(inputs, lengths)``, storing the activations of one chunk at a time.

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
    for start in range(0, longest, chunks.num_steps):
        end = min(start + chunks.num_steps, longest)
        # Sorted by falling length: the sequences that have not ended are the first rows.
        running, still_running = int((falling > start).sum()), int((falling > end).sum())
        chunk = inputs[rows[:running], start:end]
        chunk_lengths = (falling[:running] - start).clamp(max=end - start)
        chunk_outputs, end_state = cast(
            tuple[Tensor, State],
            checkpoint(recurrent, chunk, chunk_lengths, state, use_reentrant=False),
        )
        # Restored to the batch's order here, which saves one copy of all outputs.
        filled = nn.functional.pad(chunk_outputs, (0, 0, 0, 0, 0, len(lengths) - running))
        outputs.append(filled.index_select(0, back))
        ended.append(_rows(end_state, still_running, running))
        state = _rows(end_state, 0, still_running)
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
    """The states of all sequences, reordered by ``order``."""
    parts = [(state,) if isinstance(state, Tensor) else state for state in states]
    hidden, *cell = (torch.cat(kind, dim=1)[:, order] for kind in zip(*parts))
    return (hidden, cell[0]) if cell else hidden
