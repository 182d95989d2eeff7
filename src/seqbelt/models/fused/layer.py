"""A recurrent layer over sequences that lie one after another, without padding."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqbelt.models.fused.build import why_unavailable

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}

DirectionWeights = Sequence[Tensor]


class Plan:
    """Where the sequences of one batch lie; made once, shared by all layers.

    Args:
        lengths: (batch,) int64 on the CPU, steps of each sequence, each at least 1.

    Raises:
        ValueError: if ``lengths`` is not such a tensor.
    """

    def __init__(self, lengths: Tensor) -> None:
        if lengths.ndim != 1 or lengths.dtype != torch.int64 or lengths.device.type != "cpu":
            raise ValueError(
                "lengths must be a one-dimensional int64 tensor on the CPU, got "
                f"{lengths.ndim} dimensions of {lengths.dtype} on {lengths.device}."
            )
        if len(lengths) == 0 or int(lengths.min()) < 1:
            raise ValueError("lengths must hold at least one sequence, each of at least one step.")
        ends = lengths.cumsum(0)
        self.first_rows = ends - lengths
        self.last_rows = ends - 1
        self.batch_size = len(lengths)
        self.row_count = int(ends[-1])
        order = lengths.argsort(descending=True, stable=True)
        self.sequences = torch.stack((order, self.first_rows[order], lengths[order]), dim=1)


def fused_layer(
    cell: str,
    rows: Tensor,
    lengths: Tensor | Plan,
    weights: Sequence[DirectionWeights],
    initial_state: Tensor | tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Run one recurrent layer over a batch of sequences of different lengths.

    Equals ``torch.nn.LSTM``, ``GRU`` or ``RNN`` with one layer on the packed sequences: the
    backward direction starts at each sequence's own last step. The result does not depend on the
    order of the batch, and equal calls with an equal number of threads give equal bits.

    Under autocast, or with weights in half precision, the input projections are computed in half
    precision and the recurrence in float32. Gradients cannot be differentiated again.

    Args:
        cell: ``"lstm"``, ``"gru"``, ``"rnn_tanh"`` or ``"rnn_relu"``.
        rows: (sum of lengths, input size), the sequences one after another in batch order.
        lengths: (batch,) int64 on the CPU, steps of each sequence, each at least 1; or a
            :class:`Plan` made of them, which several layers can share.
        weights: for each direction (one or two) ``weight_ih``, ``weight_hh``, ``bias_ih`` and
            ``bias_hh`` in the shapes and the order of gates of torch's own layers.
        initial_state: (directions, batch, hidden), for an LSTM a pair of them, the hidden and the
            cell state; zero if left out.

    Returns:
        The hidden states, (sum of lengths, directions * hidden), in the order of ``rows``, and
        each sequence's final state, shaped like ``initial_state``; both in the weights' type.

    Raises:
        ValueError: if the cell is unknown, a length is below 1, shapes do not fit together or a
            tensor is not on the CPU.
        RuntimeError: if the kernel is not available, saying why.

    The equations are those of the documentation of ``torch.nn``: the LSTM of Hochreiter and
    Schmidhuber (1997) with the forget gate of Gers et al. (2000), and the GRU of Cho et al. (2014)
    with the reset gate applied after the recurrent product.
    """
    if (reason := why_unavailable()) is not None:
        raise RuntimeError(reason)
    plan = lengths if isinstance(lengths, Plan) else Plan(lengths)
    _check(cell, rows, plan, weights)
    hidden_size = weights[0][1].shape[-1]
    weight_ih, weight_hh, bias_ih, bias_hh = (
        torch.stack(tuple(kind)) for kind in zip(*weights, strict=True)
    )
    dtype = torch.promote_types(weight_hh.dtype, torch.float32)

    # The recurrent bias of a GRU's candidate is scaled by the reset gate and stays apart.
    candidate_bias = rows.new_empty(0, dtype=dtype)
    if cell == "gru":
        candidate_bias = bias_hh[:, None, 2 * hidden_size :].to(dtype).contiguous()
        bias_hh = F.pad(bias_hh[:, : 2 * hidden_size], (0, hidden_size))
    projections = F.linear(rows, weight_ih.flatten(0, 1), (bias_ih + bias_hh).flatten())

    hidden, memory = _initial_states(cell, initial_state, plan, weight_hh)
    tensors = [
        tensor.to(dtype).contiguous()
        for tensor in (projections, weight_hh, candidate_bias, hidden, memory)
    ]
    training = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    results = _Recurrence.apply(cell, plan, training, *tensors)
    output, hidden, memory = (result.to(weight_hh.dtype) for result in results)
    return output, (hidden, memory) if cell == "lstm" else hidden


def _check(cell: str, rows: Tensor, plan: Plan, weights: Sequence[DirectionWeights]) -> None:
    if cell not in _GATES:
        raise ValueError(f"cell must be one of {', '.join(_GATES)}, got '{cell}'.")
    if rows.ndim != 2 or len(rows) != plan.row_count:
        raise ValueError(
            f"rows must be (sum of lengths, input size) with {plan.row_count} rows, got "
            f"{tuple(rows.shape)}."
        )
    if len(weights) not in (1, 2) or any(len(direction) != 4 for direction in weights):
        raise ValueError("weights must hold four tensors for each of one or two directions.")
    if any(tensor.device.type != "cpu" for tensor in (rows, *weights[0], *weights[-1])):
        raise ValueError("rows and weights must be on the CPU.")
    hidden_size = weights[0][1].shape[-1]
    height = _GATES[cell] * hidden_size
    expected = [(height, rows.shape[1]), (height, hidden_size), (height,), (height,)]
    for direction in weights:
        shapes = [tuple(tensor.shape) for tensor in direction]
        if shapes != expected:
            raise ValueError(f"weights of a {cell} must have shapes {expected}, got {shapes}.")


def _initial_states(
    cell: str,
    given: Tensor | tuple[Tensor, Tensor] | None,
    plan: Plan,
    weight_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    """Hidden and cell states; those that the cell lacks are empty."""
    shape = (len(weight_hh), plan.batch_size, weight_hh.shape[-1])
    count = 2 if cell == "lstm" else 1
    if given is None:
        states = tuple(weight_hh.new_zeros(shape) for _ in range(count))
    else:
        states = (given,) if isinstance(given, Tensor) else tuple(given)
    if [tuple(state.shape) for state in states] != [shape] * count:
        raise ValueError(f"initial_state of a {cell} must hold {count} tensor(s) of shape {shape}.")
    if any(state.device.type != "cpu" for state in states):
        raise ValueError("initial_state must be on the CPU.")
    return states[0], states[-1] if cell == "lstm" else weight_hh.new_empty(0)


class _Recurrence(torch.autograd.Function):
    """The recurrent part of a layer, given the input projections of all its steps."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        plan: Plan,
        training: bool,
        projections: Tensor,
        weight_hh: Tensor,
        candidate_bias: Tensor,
        hidden: Tensor,
        memory: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs = (projections, weight_hh, candidate_bias, hidden, memory)
        output, kept, final_hidden, final_memory = torch.ops.seqbelt_fused.forward(
            cell, *inputs, plan.sequences, training
        )
        if training:
            # Nobody else holds the projections, so the kernel has written the activations there.
            ctx.save_for_backward(projections, weight_hh, output, kept, hidden, memory)
            ctx.cell, ctx.plan = cell, plan
            ctx.set_materialize_grads(False)
        return output, final_hidden, final_memory

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        grad_output, grad_hidden, grad_memory = grads
        activations, weight_hh, output, kept, hidden, memory = ctx.saved_tensors
        grad_hidden = _owned(grad_hidden, hidden)
        grad_memory = _owned(grad_memory, memory)
        grad_gates, grad_kept = torch.ops.seqbelt_fused.backward(
            ctx.cell,
            activations,
            weight_hh,
            output,
            kept,
            hidden,
            memory,
            ctx.plan.sequences,
            output.new_empty(0) if grad_output is None else grad_output.contiguous(),
            grad_hidden,
            grad_memory,
        )
        grad_weight_hh = None
        if ctx.needs_input_grad[4]:
            grad_weight_hh = _grad_weight_hh(grad_gates, grad_kept, output, hidden, ctx.plan)
        grad_bias = None
        if ctx.cell == "gru":
            grad_bias = grad_kept.sum(0).view(len(weight_hh), 1, -1)
        return None, None, None, grad_gates, grad_weight_hh, grad_bias, grad_hidden, grad_memory


def _owned(grad: Tensor | None, state: Tensor) -> Tensor:
    """A gradient which the kernel may overwrite."""
    if grad is None:
        return torch.zeros_like(state)
    return grad.clone(memory_format=torch.contiguous_format)


def _grad_weight_hh(
    grad_gates: Tensor, grad_kept: Tensor, output: Tensor, hidden: Tensor, plan: Plan
) -> Tensor:
    """Sum over all steps of the gates' gradients times the hidden state before the step."""
    directions, _, hidden_size = hidden.shape
    grads = []
    for direction in range(directions):
        states = output[:, direction * hidden_size : (direction + 1) * hidden_size]
        previous = torch.empty_like(states)
        if direction == 0:
            previous[1:] = states[:-1]
            previous[plan.first_rows] = hidden[direction]
        else:
            previous[:-1] = states[1:]
            previous[plan.last_rows] = hidden[direction]
        factors = [grad_gates.chunk(directions, 1)[direction]]
        if len(grad_kept):
            # Inside the reset product of a GRU the candidate has a gradient of its own.
            factors = [
                factors[0][:, : 2 * hidden_size],
                grad_kept.chunk(directions, 1)[direction],
            ]
        # Half precision would cost the recurrent weights the accuracy of the recurrence.
        with torch.autocast("cpu", enabled=False):
            grads.append(torch.cat([factor.t() @ previous for factor in factors]))
    return torch.stack(grads)
