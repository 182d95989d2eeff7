"""LSTM, GRU or RNN over sequences of different lengths, exact for every length.

Three layouts compute the same function and the same gradients:

``packed``  torch's packed sequences: no padded step is computed, but on a CPU the loop is slow.
``padded``  every layer runs over the padded batch. The forward direction reads the padding
            last; for the backward direction each sequence is reversed within its length, so that
            it reads the padding last too.
``fused``   our kernel over the valid steps only, where a compiler is available (CPU only).

Outputs at padded steps are undefined; pooling must use the lengths.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqbelt.models import fused
from seqbelt.models.device_transfer import upload
from seqbelt.models.model import Cell, Layout

State = Tensor | tuple[Tensor, Tensor]
"""Hidden state ``(layers * directions, batch, hidden)``; an LSTM has a pair: hidden and cell."""

_MODULES: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_LAYERS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
}


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Apply a function to the hidden state and, of an LSTM, to the cell state."""
    if isinstance(state, Tensor):
        return function(state)
    return function(state[0]), function(state[1])


class Recurrent(nn.Module):
    """Layers of one recurrent cell.

    ``weights`` is torch's module, with torch's parameter names and gate order (LSTM: i, f, g, o;
    GRU: r, z, n). torch has two bias vectors per layer, of which only the sum matters (except in
    the GRU's candidate).
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        layout: Layout = "auto",
    ) -> None:
        super().__init__()
        if cell == "none":
            raise ValueError("a recurrent layer needs a cell: lstm, gru or rnn")
        options = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
        self.weights = _MODULES[cell](
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            **options,
        )
        self.cell: Cell = cell
        self.layout: Layout = layout

    @property
    def output_size(self) -> int:
        """Width of an output step: the hidden size times the number of directions."""
        return self.weights.hidden_size * (2 if self.weights.bidirectional else 1)

    @property
    def forward_size(self) -> int:
        """Number of an output step's values, the first ones, that are the forward direction's."""
        return self.weights.hidden_size

    @property
    def flops_per_step(self) -> int:
        """Floating-point operations of one step in the forward pass: two for each weight. Training
        takes three times as many, for the gradients of the inputs and of the weights."""
        matrices = (p for name, p in self.weights.named_parameters() if name.startswith("weight"))
        return 2 * sum(matrix.numel() for matrix in matrices)

    def chosen_layout(self, device: torch.device) -> Layout:
        """The layout used on a device; ``auto`` takes the fastest (docs/results.md)."""
        if torch.compiler.is_compiling() and self.layout in ("auto", "fused"):
            return "padded"  # the compiler cannot look into the kernel
        if self.layout != "auto":
            return self.layout
        if device.type == "cpu" and fused.is_available():
            return "fused"
        return "padded"

    def forward(
        self, inputs: Tensor, lengths: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Run over padded sequences, from zeros or from a ``state``.

        ``inputs`` ``(batch, steps, features)``, ``lengths`` int64 ``(batch,)``, all at least 1, on
        the CPU, which avoids waiting for a GPU. The padded layout also accepts them on the inputs'
        device, unchecked. Returns the outputs ``(batch, steps, output_size)`` and each sequence's
        final state: after the last valid step in the forward direction, after the first step in the
        backward one. The padded layout has an LSTM's final cell state only for the longest
        sequences of the batch; for the others it is NaN.

        Raises ValueError for shapes and lengths that do not belong together, for a sequence without
        steps, and for a state with a bidirectional network, whose backward direction starts at the
        end; RuntimeError under ``torch.export`` and the transforms of ``torch.func``. Under
        ``torch.compile`` the padded layout replaces the fused one.
        """
        _refuse_transforms()
        self._check(inputs, lengths, state)
        layout = self.chosen_layout(inputs.device)
        if layout == "packed":
            return self._run_packed(inputs, lengths, state)
        if layout == "fused":
            return self._run_fused(inputs, lengths, state)
        return self._run_padded(inputs, lengths, state)

    def _check(self, inputs: Tensor, lengths: Tensor, state: State | None) -> None:
        weights = self.weights
        if inputs.ndim != 3 or inputs.shape[2] != weights.input_size or 0 in inputs.shape:
            raise ValueError(
                f"inputs: expected (batch, steps, {weights.input_size}), none of them 0, got "
                f"{tuple(inputs.shape)}"
            )
        if lengths.dtype != torch.int64 or lengths.shape != inputs.shape[:1]:
            raise ValueError(
                f"lengths: expected int64 ({len(inputs)},), got {lengths.dtype} "
                f"{tuple(lengths.shape)}".replace("torch.", "")
            )
        if lengths.device.type == "cpu":
            shortest, longest = (int(end) for end in lengths.aminmax())
            if shortest < 1:
                raise ValueError("every sequence needs at least one step")
            if longest > inputs.shape[1]:
                raise ValueError(f"lengths: {longest} exceeds the {inputs.shape[1]} steps given")
        if state is None:
            return
        if weights.bidirectional:
            raise ValueError("a bidirectional network cannot start from a state")
        expected = (weights.num_layers, len(inputs), weights.hidden_size)
        for part in (state,) if isinstance(state, Tensor) else state:
            if tuple(part.shape) != expected:
                raise ValueError(f"state: expected {expected}, got {tuple(part.shape)}")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Recurrent":
        super()._apply(fn, recurse)  # moves the weights to another device or precision
        self._flatten()
        return self

    def _flatten(self) -> None:
        """Make each direction's weights contiguous, or cuDNN would copy them in every call.

        torch does so for all layers together, as the packed layout needs them.
        """
        weights = self.weights
        is_single_layer = weights.num_layers == 1 and not weights.bidirectional
        first: Tensor = weights.weight_ih_l0  # pyright: ignore[reportAssignmentType]
        is_cuda = first.device.type == "cuda"
        if not is_cuda or is_single_layer or self.chosen_layout(first.device) != "padded":
            return
        mode = torch.backends.cudnn.rnn.get_cudnn_mode(weights.mode)
        for layer in range(weights.num_layers):
            for direction in self._directions:
                layer_weights = self._layer_weights(layer, direction)
                width = layer_weights[0].shape[1]
                with torch.no_grad():
                    # ... four a layer, one layer, batch first, no projection, one direction
                    torch._cudnn_rnn_flatten_weight(  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
                        layer_weights, 4, width, mode, weights.hidden_size, 0, 1, True, False
                    )

    def final(self, state: State) -> Tensor:
        """The last layer's hidden state ``(batch, output_size)`` of a state, directions joined."""
        hidden = state if isinstance(state, Tensor) else state[0]
        return torch.cat(list(hidden[-2 if self.weights.bidirectional else -1 :]), dim=1)

    def _run_packed(
        self, inputs: Tensor, lengths: Tensor, state: State | None
    ) -> tuple[Tensor, State]:
        # With enforce_sorted=False torch would wait for the GPU to copy the order there and back.
        sorted_lengths, order = lengths.sort(descending=True, stable=True)
        orders = upload(torch.stack([order, order.argsort()]), inputs.device)
        sorted_indices, unsorted_indices = orders
        packed = pack_padded_sequence(
            inputs.index_select(0, sorted_indices), sorted_lengths, batch_first=True
        )
        packed = PackedSequence(packed.data, packed.batch_sizes, sorted_indices, unsorted_indices)
        packed_outputs, final_state = self.weights(packed, state)
        in_order = PackedSequence(packed_outputs.data, packed.batch_sizes)
        outputs, _ = pad_packed_sequence(in_order, batch_first=True, total_length=inputs.shape[1])
        return outputs.index_select(0, unsorted_indices), final_state

    def _run_padded(
        self, inputs: Tensor, lengths: Tensor, state: State | None
    ) -> tuple[Tensor, State]:
        num_steps = inputs.shape[1]
        longest = int(lengths.max()) if lengths.device.type == "cpu" else num_steps
        inputs, lengths = inputs[:, :longest], upload(lengths, inputs.device)
        last = lengths - 1
        rows = torch.arange(len(lengths), device=inputs.device)
        is_bidirectional = self.weights.bidirectional
        backward_order = _backward_order(lengths, longest) if is_bidirectional else None
        ends: list[tuple[Tensor, ...]] = []
        for layer in range(self.weights.num_layers):
            initial = _layer_state(state, layer, 1)
            outputs, *cell = self._run_direction(inputs, layer, "", initial)
            ends.append((outputs[rows, last], *cell))
            if is_bidirectional:
                reversed_inputs = _Reorder.apply(inputs, backward_order)
                reverse, *cell = self._run_direction(reversed_inputs, layer, "_reverse", None)
                ends.append((reverse[rows, last], *cell))
                outputs = torch.cat([outputs, _Reorder.apply(reverse, backward_order)], dim=2)
            inputs = self._drop(outputs, layer)
        outputs = nn.functional.pad(inputs, (0, 0, 0, num_steps - longest))
        hidden, *cells = (torch.stack(part) for part in zip(*ends))
        if not cells:
            return outputs, hidden
        has_run_on = (lengths < longest)[:, None]
        return outputs, (hidden, cells[0].masked_fill(has_run_on, torch.nan))

    def _run_direction(
        self, inputs: Tensor, layer: int, direction: str, state: State | None
    ) -> tuple[Tensor, ...]:
        """Outputs and, for an LSTM, the cell state ``(batch, hidden)`` after the last padded
        step."""
        if state is None:
            hidden = inputs.new_zeros(1, len(inputs), self.weights.hidden_size)
            state = (hidden, hidden) if self.cell == "lstm" else hidden
        # biases, one layer, no dropout, training, one direction, batch first
        options = (True, 1, 0.0, self.training, False, True)
        results = _LAYERS[self._kernel](
            inputs, state, self._layer_weights(layer, direction), *options
        )
        return (results[0], results[2][0]) if self.cell == "lstm" else (results[0],)

    def _run_fused(
        self, inputs: Tensor, lengths: Tensor, state: State | None
    ) -> tuple[Tensor, State]:
        rows, plan = inputs.flatten(0, 1), fused.Plan(lengths, inputs.shape[1])
        ends: list[State] = []
        for layer in range(self.weights.num_layers):
            weights = [self._layer_weights(layer, direction) for direction in self._directions]
            initial = _layer_state(state, layer, len(self._directions))
            rows, end = fused.fused_layer(self._kernel, rows, plan, weights, initial)
            ends.append(end)
            rows = self._drop(rows, layer)
        outputs = rows.unflatten(0, inputs.shape[:2])
        if self.cell == "lstm":
            return outputs, (torch.cat([h for h, _ in ends]), torch.cat([c for _, c in ends]))
        return outputs, torch.cat([end for end in ends if isinstance(end, Tensor)])

    @property
    def _directions(self) -> list[str]:
        return ["", "_reverse"] if self.weights.bidirectional else [""]

    @property
    def _kernel(self) -> str:
        """``lstm``, ``gru``, ``rnn_tanh`` or ``rnn_relu``."""
        return self.weights.mode.lower()

    def _layer_weights(self, layer: int, direction: str) -> list[Tensor]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self.weights, f"{name}_l{layer}{direction}") for name in names]

    def _drop(self, outputs: Tensor, layer: int) -> Tensor:
        """Dropout between layers, not after the last one, as in torch."""
        if layer == self.weights.num_layers - 1:
            return outputs
        return nn.functional.dropout(outputs, self.weights.dropout, self.training)


def _layer_state(state: State | None, layer: int, num_directions: int) -> State | None:
    """The part of a state that belongs to one layer."""
    if state is None:
        return None
    rows = slice(layer * num_directions, (layer + 1) * num_directions)
    return map_state(lambda part: part[rows], state)


class NoRecurrence(nn.Module):
    """A replacement for ``Recurrent`` that returns its input.

    Its state is ``(1, batch, features)``, the last valid step of each sequence.
    """

    cell: Cell = "none"
    flops_per_step = 0

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.output_size = self.forward_size = num_features

    def chosen_layout(self, device: torch.device) -> Layout:
        """Always ``padded``."""
        return "padded"

    def forward(
        self, inputs: Tensor, lengths: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Shapes are those of ``Recurrent.forward``; ``state`` is ignored."""
        last = upload(lengths, inputs.device) - 1
        return inputs, inputs[torch.arange(len(inputs), device=inputs.device), last][None]

    def final(self, state: State) -> Tensor:
        """The last valid step ``(batch, features)``."""
        return state[0]


def _refuse_transforms() -> None:
    """Raise RuntimeError where torch would fail deep inside a layer."""
    # torch 2.7 and later tell exporting from compiling.
    if getattr(torch.compiler, "is_exporting", lambda: False)():
        raise RuntimeError(
            "a Recurrent layer cannot be exported by torch.export, since the lengths decide what "
            "is computed; seqbelt export writes ONNX for every length"
        )
    if torch._C._functorch.peek_interpreter_stack() is not None:  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
        raise RuntimeError(
            "a Recurrent layer cannot run under torch.func transforms (grad, vmap, ...); use "
            "torch.autograd"
        )


class _Reorder(torch.autograd.Function):
    """Reorder steps by a permutation that is its own inverse, so the gradient uses it too."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return inputs.reshape(-1, inputs.shape[2]).index_select(0, order).view_as(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        gradient = gradients[0]
        reordered = gradient.reshape(-1, gradient.shape[2]).index_select(0, order)
        return reordered.view_as(gradient), None


def _backward_order(lengths: Tensor, num_steps: int) -> Tensor:
    """Row indices ``(batch * steps,)`` that reverse each sequence within its length."""
    steps = torch.arange(num_steps, device=lengths.device)
    order = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    rows = torch.arange(len(lengths), device=lengths.device)
    return (order + rows[:, None] * num_steps).flatten()
