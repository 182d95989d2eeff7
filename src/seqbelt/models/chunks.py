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
from seqbelt.models.recurrent import Recurrent, State, map_state


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
    sorted_lengths, order = lengths.sort(descending=True, stable=True)
    sorted_indices = upload(order, inputs.device)
    unsorted_indices = sorted_indices.argsort()
    outputs: list[Tensor] = []
    final_states: list[State] = []
    state: State | None = None
    longest = int(sorted_lengths[0])
    for start in range(0, longest, chunks.num_steps):
        end = min(start + chunks.num_steps, longest)
        # The longest sequences come first: those that have not ended are the first rows.
        num_running = int((sorted_lengths > start).sum())
        num_left = int((sorted_lengths > end).sum())
        chunk = inputs[sorted_indices[:num_running], start:end]
        chunk_lengths = (sorted_lengths[:num_running] - start).clamp(max=end - start)
        chunk_outputs, end_state = cast(
            tuple[Tensor, State],
            checkpoint(recurrent, chunk, chunk_lengths, state, use_reentrant=False),
        )
        # Restored to the batch's order here, which saves one copy of all outputs.
        filled = nn.functional.pad(chunk_outputs, (0, 0, 0, 0, 0, len(lengths) - num_running))
        outputs.append(filled.index_select(0, unsorted_indices))
        final_states.append(_rows(end_state, num_left, num_running))
        state = _rows(end_state, 0, num_left)
        if chunks.truncate:
            state = map_state(Tensor.detach, state)
    outputs.append(inputs.new_zeros(len(lengths), inputs.shape[1] - longest, recurrent.output_size))
    return torch.cat(outputs, 1), _join(final_states[::-1], unsorted_indices)


def _rows(state: State, begin: int, end: int) -> State:
    return map_state(lambda part: part[:, begin:end], state)


def _join(states: list[State], order: Tensor) -> State:
    """The states of all sequences, reordered by ``order``."""
    parts = [(state,) if isinstance(state, Tensor) else state for state in states]
    hidden, *cell = (torch.cat(kind, dim=1)[:, order] for kind in zip(*parts))
    return (hidden, cell[0]) if cell else hidden
