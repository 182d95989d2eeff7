"""Carrying the state over: stretch by stretch is the same as at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqbelt.models import fused
from seqbelt.models.chunks import Chunks, run_in_chunks
from seqbelt.models.recurrent import Recurrent

CELLS = ["lstm", "gru", "rnn"]
LAYOUTS = ["padded", "packed"] + (["fused"] if fused.is_available() else [])


def make(layout, cell, num_layers=2) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, 5, layout=layout, num_layers=num_layers).double()


def random_batch(lengths):
    torch.manual_seed(1)
    lengths = torch.tensor(lengths)
    return torch.randn(len(lengths), int(lengths.max()) + 1, 3, dtype=torch.float64), lengths


def parts(state):
    return (state,) if isinstance(state, Tensor) else state


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_state_carried_over_continues_as_if_nothing_had_been_cut(layout, cell):
    recurrent = make(layout, cell)
    inputs, lengths = random_batch([9, 9, 9])
    whole, end = recurrent(inputs[:, :9], lengths)
    first, state = recurrent(inputs[:, :4], torch.full((3,), 4))
    second, state = recurrent(inputs[:, 4:9], torch.full((3,), 5), state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=0, atol=1e-13)
    for one, other in zip(parts(state), parts(end), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cell", CELLS)
def test_layouts_end_in_the_same_state_where_they_know_it(layout, cell):
    inputs, lengths = random_batch([7, 2, 5, 7])
    _, found = make(layout, cell)(inputs, lengths)
    _, expected = make("packed", cell)(inputs, lengths)
    for one, other in zip(parts(found), parts(expected), strict=True):
        known = ~one.isnan()
        torch.testing.assert_close(one[known], other[known], rtol=0, atol=1e-13)
    assert not parts(found)[0].isnan().any() and not parts(found)[-1][:, [0, 3]].isnan().any()
    if (layout, cell) == ("padded", "lstm"):
        assert found[1][:, [1, 2]].isnan().all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_directions_refuse_a_state_and_chunks(layout):
    recurrent = Recurrent("gru", 3, 5, bidirectional=True, layout=layout)
    inputs, lengths = torch.randn(2, 4, 3), torch.tensor([4, 4])
    _, state = recurrent(inputs, lengths)
    with pytest.raises(ValueError, match="bidirectional"):
        recurrent(inputs, lengths, state)
    with pytest.raises(ValueError, match="bidirectional"):
        run_in_chunks(recurrent, inputs, lengths, Chunks(2))


def gradients(recurrent, inputs, lengths, chunks):
    """Outputs, final states and gradients of a loss in which all of them take part."""
    inputs = inputs.clone().requires_grad_()
    if chunks is None:
        outputs, state = recurrent(inputs, lengths)
    else:
        outputs, state = run_in_chunks(recurrent, inputs, lengths, chunks)
    valid = torch.arange(inputs.shape[1]) < lengths[:, None]
    final = recurrent.final(state)
    loss = (outputs[valid].cumsum(0) ** 2).sum() + (final * torch.arange(5)).sum()
    found = torch.autograd.grad(loss, [inputs, *recurrent.parameters()])
    return [outputs[valid], final, *found]


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    cell=st.sampled_from(CELLS),
    num_layers=st.integers(1, 3),
    num_steps=st.integers(1, 10),
)
def test_chunks_change_neither_outputs_nor_gradients(layout, lengths, cell, num_layers, num_steps):
    recurrent = make(layout, cell, num_layers)
    inputs, lengths = random_batch(lengths)
    found = gradients(recurrent, inputs, lengths, Chunks(num_steps))
    expected = gradients(recurrent, inputs, lengths, None)
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cell", CELLS)
def test_truncated_the_answer_stays_and_the_gradient_ends_with_the_chunk(layout, cell):
    recurrent = make(layout, cell)
    inputs, lengths = random_batch([8, 8])
    inputs = inputs[:, :8].requires_grad_()
    outputs, state = run_in_chunks(recurrent, inputs, lengths, Chunks(3, truncate=True))
    torch.testing.assert_close(outputs, recurrent(inputs, lengths)[0], rtol=0, atol=1e-13)
    (gradient,) = torch.autograd.grad(recurrent.final(state).sum(), inputs)
    assert not gradient[:, :6].any() and gradient[:, 6:].all()


def test_dropout_between_layers_is_drawn_once():
    """The backward pass computes the chunks again: with the same values dropped."""
    torch.manual_seed(0)
    recurrent = Recurrent("gru", 3, 5, num_layers=2, dropout=0.5, layout="packed").double()
    inputs, lengths = random_batch([6, 4])

    def loss_and_gradient(shift):
        torch.manual_seed(3)
        moved = inputs + shift
        moved.requires_grad_()
        outputs, _ = run_in_chunks(recurrent, moved, lengths, Chunks(2))
        loss = outputs.sum()
        return loss.detach(), torch.autograd.grad(loss, moved)[0]

    step = torch.zeros_like(inputs)
    step[0, 0, 0] = 1e-6
    (low, _), (high, _), (_, gradient) = map(loss_and_gradient, (-step, step, 0 * step))
    torch.testing.assert_close((high - low) / 2e-6, gradient[0, 0, 0], rtol=1e-6, atol=1e-9)
