"""A recurrent layer over concatenated sequences, without padding."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqbelt.models.fused.library import Arguments, kernel

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_CELLS = list(_GATES)  # by the kernel's number

DirectionWeights = Sequence[Tensor]


class Plan:
    """Row offsets of the sequences of one batch; made once, used by all layers.

    Args:
        lengths: (batch,) int64 on the CPU, steps of each sequence, each at least 1.
        num_steps: rows from one sequence to the next, as in a padded batch; without it sequences
            follow each other.

    Raises:
        ValueError: if ``lengths`` is not such a tensor or exceeds ``num_steps``.
    """

    def __init__(self, lengths: Tensor, num_steps: int | None = None) -> None:
        if lengths.ndim != 1 or lengths.dtype != torch.int64 or lengths.device.type != "cpu":
            raise ValueError(
                "lengths must be a one-dimensional int64 tensor on the CPU, got "
                f"{lengths.ndim} dimensions of {lengths.dtype} on {lengths.device}."
            )
        if len(lengths) == 0 or int(lengths.min()) < 1:
            raise ValueError("lengths must hold at least one sequence, each of at least one step.")
        if num_steps is not None and int(lengths.max()) > num_steps:
            raise ValueError(
                f"lengths must not exceed {num_steps} steps, got {int(lengths.max())}."
            )
        spans = lengths if num_steps is None else torch.full_like(lengths, num_steps)
        self.batch_size = len(lengths)
        self.row_count = int(spans.sum())
        self.num_steps = int(lengths.sum())
        order = lengths.argsort(descending=True, stable=True)
        first_rows = spans.cumsum(0) - spans
        table = (order, first_rows[order], lengths[order], (spans - lengths)[order])
        self.sequences = torch.stack(table, dim=1)


def fused_layer(
    cell: str,
    rows: Tensor,
    lengths: Tensor | Plan,
    weights: Sequence[DirectionWeights],
    initial_state: Tensor | tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Run one recurrent layer over a batch of sequences of different lengths.

    Equals ``torch.nn.LSTM``, ``GRU`` or ``RNN`` with one layer on the packed sequences: the
    backward direction starts at each sequence's last step. The result does not depend on the order
    of the batch, and equal calls with an equal number of threads give equal bits.

    Under autocast, or with weights in half precision, products take bfloat16 operands and sum them
    in float32, where the processor has such products (AVX512_BF16); everything else is float32.
    There is no second derivative.

    Args:
        cell: ``"lstm"``, ``"gru"``, ``"rnn_tanh"`` or ``"rnn_relu"``.
        rows: (sum of lengths, input size), the sequences concatenated in batch order, or laid out
            as in the plan.
        lengths: (batch,) int64 on the CPU, steps of each sequence, each at least 1; or a
            :class:`Plan` made from them, for several layers.
        weights: for each direction (one or two) ``weight_ih``, ``weight_hh``, ``bias_ih`` and
            ``bias_hh`` in the shapes and the gate order of torch's layers.
        initial_state: (directions, batch, hidden), for an LSTM a pair of them, the hidden and the
            cell state; zero if left out.

    Returns:
        The hidden states, (rows, directions * hidden), in the order of ``rows`` and zero where
        these are padding, and each sequence's final state, shaped like ``initial_state``; both in
        the weights' type.

    Raises:
        ValueError: if the cell is unknown, a length is below 1, shapes do not fit together or a
            tensor is not on the CPU.
        RuntimeError: if the kernel is not available, saying why.

    The equations are those of the documentation of ``torch.nn``: the LSTM of Hochreiter and
    Schmidhuber (1997) with the forget gate of Gers et al. (2000), and the GRU of Cho et al. (2014)
    with the reset gate applied after the recurrent product.
    """
    kernel()  # or say why there is none
    plan = lengths if isinstance(lengths, Plan) else Plan(lengths)
    _check(cell, rows, plan, weights)
    dtype = torch.promote_types(weights[0][1].dtype, torch.float32)
    half = weights[0][1].dtype in (torch.bfloat16, torch.float16) or _is_autocast()
    hidden, memory = _initial_states(cell, initial_state, plan, weights)
    tensors = [
        tensor.to(dtype).contiguous()
        for tensor in (rows, hidden, memory, *(weight for group in weights for weight in group))
    ]
    training = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    results = _Recurrence.apply(cell, half, plan, training, *tensors)
    output, hidden, memory = (result.to(weights[0][1].dtype) for result in results)
    return output, (hidden, memory) if cell == "lstm" else hidden


def _is_autocast() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # before torch 2.4
        return torch.is_autocast_cpu_enabled()


def _check(cell: str, rows: Tensor, plan: Plan, weights: Sequence[DirectionWeights]) -> None:
    if cell not in _GATES:
        raise ValueError(f"cell must be one of {', '.join(_GATES)}, got '{cell}'.")
    if rows.ndim != 2 or len(rows) != plan.row_count:
        raise ValueError(
            f"rows must be (rows, input size) with {plan.row_count} rows, got {tuple(rows.shape)}."
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
    weights: Sequence[DirectionWeights],
) -> tuple[Tensor, Tensor]:
    """Hidden and cell state; the latter is empty for cells without one."""
    weight_hh = weights[0][1]
    shape = (len(weights), plan.batch_size, weight_hh.shape[-1])
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
    """A layer; the weights are four tensors for each direction."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        half: bool,
        plan: Plan,
        training: bool,
        rows: Tensor,
        hidden: Tensor,
        memory: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_directions, hidden_size = len(hidden), hidden.shape[2]
        # Both passes must divide the batch equally, even if the number of threads changes.
        groups = min(plan.batch_size, -(-torch.get_num_threads() // num_directions))
        precision = 1 if rows.dtype == torch.float64 else 2 if half else 0
        call = (_CELLS.index(cell), precision, groups)
        final_hidden, final_memory = torch.empty_like(hidden), torch.empty_like(memory)
        output = rows.new_empty(len(rows), num_directions * hidden_size)
        num_kept = plan.num_steps if training else 0
        width = kernel().seqbelt_kept_bytes(*call[:2], hidden_size)
        kept = torch.empty(num_directions, num_kept, width, dtype=torch.uint8)
        arguments = _arguments(
            call, plan, rows, hidden, memory, weights, final_hidden, final_memory
        )
        arguments.output, arguments.kept = output.data_ptr(), kept.data_ptr()
        _call(kernel().seqbelt_forward, arguments)
        if training:
            ctx.save_for_backward(kept, rows, hidden, memory, *weights)
            ctx.call, ctx.plan = call, plan
            ctx.set_materialize_grads(False)
        return output, final_hidden, final_memory

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        grad_output, grad_hidden, grad_memory = grads
        kept, rows, hidden, memory, *weights = ctx.saved_tensors
        # The kernel overwrites the gradients of the final states with those of the initial ones.
        grad_hidden = _writable_gradient(grad_hidden, hidden)
        grad_memory = _writable_gradient(grad_memory, memory)
        groups = ctx.call[-1]
        grad_weights = [weight.new_empty(groups, *weight.shape) for weight in weights]
        num_directions = len(hidden) if ctx.needs_input_grad[4] else 0
        grad_rows = rows.new_empty(num_directions, *rows.shape)
        arguments = _arguments(
            ctx.call, ctx.plan, rows, hidden, memory, weights, grad_hidden, grad_memory
        )
        arguments.kept, arguments.grad_rows = kept.data_ptr(), grad_rows.data_ptr()
        if grad_output is not None:
            grad_output = grad_output.contiguous()
            arguments.output = grad_output.data_ptr()
        arguments.grad_weights = _addresses(grad_weights)
        _call(kernel().seqbelt_backward, arguments)
        total = _total(grad_rows) if num_directions else None
        return *(None,) * 4, total, grad_hidden, grad_memory, *map(_total, grad_weights)


def _arguments(
    call: tuple[int, int, int],
    plan: Plan,
    rows: Tensor,
    hidden: Tensor,
    memory: Tensor,
    weights: Sequence[Tensor],
    final_hidden: Tensor,
    final_memory: Tensor,
) -> Arguments:
    """What both passes are given. An empty tensor has the address 0."""
    cell, precision, groups = call
    return Arguments(
        cell=cell,
        precision=precision,
        threads=torch.get_num_threads(),
        directions=len(hidden),
        groups=groups,
        batch=plan.batch_size,
        num_rows=len(rows),
        inputs=rows.shape[1],
        hidden=hidden.shape[2],
        kept_rows=plan.num_steps,
        sequences=plan.sequences.data_ptr(),
        rows=rows.data_ptr(),
        initial_hidden=hidden.data_ptr(),
        initial_cell=memory.data_ptr(),
        final_hidden=final_hidden.data_ptr(),
        final_cell=final_memory.data_ptr(),
        weights=_addresses(weights),
    )


def _addresses(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _call(function: Any, arguments: Arguments) -> None:
    if not function(ctypes.byref(arguments)):
        raise MemoryError("Not enough memory for a recurrent layer.")


def _writable_gradient(grad: Tensor | None, state: Tensor) -> Tensor:
    """A copy of the gradient that the kernel may overwrite."""
    if grad is None:
        return torch.zeros_like(state)
    return grad.clone(memory_format=torch.contiguous_format)


def _total(parts: Tensor) -> Tensor:
    return parts[0] if len(parts) == 1 else parts.sum(0)
