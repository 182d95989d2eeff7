"""The recurrent engine: LSTM, GRU or RNN over sequences of several lengths, exactly.

Three layouts compute the same function and the same gradients:

``packed``  torch's packed sequences: no padded step is computed, but on a CPU the loop is slow.
``padded``  every layer runs over the padded batch. A forward direction is not touched by what
            follows a sequence; a backward direction is given each sequence reversed within its
            own length, so that it meets the padding last as well.
``fused``   our own kernel over the valid steps alone, where a compiler is found (CPU only).

What comes out at padded steps is undefined: whoever pools must look at the lengths.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqbelt.models import fused

Cell = Literal["lstm", "gru", "rnn"]
Layout = Literal["auto", "padded", "packed", "fused"]

_MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_LAYERS = {
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
}


class Recurrent(nn.Module):
    """Layers of one recurrent cell.

    ``weights`` is torch's own module: it holds the parameters under torch's names and in torch's
    gate order (LSTM: i, f, g, o; GRU: r, z, n). torch keeps two bias vectors for each layer, of
    which only the sum matters (except the GRU's candidate).
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
        options: dict[str, Any] = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
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

    def chosen_layout(self, device: torch.device) -> Layout:
        """What ``auto`` stands for on a device, by measurement (docs/results.md)."""
        if self.layout != "auto":
            return self.layout
        if device.type == "cpu" and fused.is_available():
            return "fused"
        return "packed" if device.type == "cuda" else "padded"

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run over padded sequences.

        ``inputs`` ``(batch, steps, features)``, ``lengths`` int64 ``(batch,)`` on the CPU, all at
        least 1 (ValueError otherwise). Returns the outputs ``(batch, steps, output_size)`` and
        the last layer's final hidden state ``(batch, output_size)``: after the last valid step
        forwards, after the first step backwards.
        """
        if int(lengths.min()) < 1:
            raise ValueError("every sequence needs at least one step")
        layout = self.chosen_layout(inputs.device)
        if layout == "packed":
            return self._run_packed(inputs, lengths)
        if layout == "fused":
            return self._run_fused(inputs, lengths)
        return self._run_padded(inputs, lengths)

    def _run_packed(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        packed_outputs, state = self.weights(packed)
        outputs, _ = pad_packed_sequence(
            packed_outputs, batch_first=True, total_length=inputs.shape[1]
        )
        hidden = state[0] if self.cell == "lstm" else state
        num_directions = 2 if self.weights.bidirectional else 1
        return outputs, torch.cat(list(hidden[-num_directions:]), dim=1)

    def _run_padded(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        backward_order = _backward_order(lengths, inputs.shape[1]).to(inputs.device)
        last = (lengths - 1).to(inputs.device)
        rows = torch.arange(len(lengths), device=inputs.device)
        finals: list[Tensor] = []
        for layer in range(self.weights.num_layers):
            outputs = self._run_direction(inputs, layer, "")
            finals = [outputs[rows, last]]
            if self.weights.bidirectional:
                turned = _Reorder.apply(inputs, backward_order)
                reverse = self._run_direction(turned, layer, "_reverse")
                finals.append(reverse[rows, last])
                outputs = torch.cat([outputs, _Reorder.apply(reverse, backward_order)], dim=2)
            inputs = self._drop(outputs, layer)
        return inputs, torch.cat(finals, dim=1)

    def _run_direction(self, inputs: Tensor, layer: int, direction: str) -> Tensor:
        hidden = inputs.new_zeros(1, len(inputs), self.weights.hidden_size)
        state = (hidden, hidden) if self.cell == "lstm" else hidden
        # biases, one layer, no dropout, training, one direction, batch first
        options = (True, 1, 0.0, self.training, False, True)
        return _LAYERS[self._kernel](
            inputs, state, self._layer_weights(layer, direction), *options
        )[0]

    def _run_fused(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        valid = torch.arange(inputs.shape[1]) < lengths[:, None]
        rows, plan = inputs[valid], fused.Plan(lengths)
        directions = ["", "_reverse"] if self.weights.bidirectional else [""]
        hidden = rows
        for layer in range(self.weights.num_layers):
            weights = [self._layer_weights(layer, direction) for direction in directions]
            rows, state = fused.fused_layer(self._kernel, rows, plan, weights)
            hidden = state[0] if self.cell == "lstm" else state
            rows = self._drop(rows, layer)
        outputs = rows.new_zeros(*inputs.shape[:2], self.output_size)
        outputs = outputs.index_put((valid,), rows)
        return outputs, torch.cat(list(hidden), dim=1)

    @property
    def _kernel(self) -> str:
        return f"rnn_{self.weights.nonlinearity}" if self.cell == "rnn" else self.cell

    def _layer_weights(self, layer: int, direction: str) -> list[Tensor]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self.weights, f"{name}_l{layer}{direction}") for name in names]

    def _drop(self, outputs: Tensor, layer: int) -> Tensor:
        """Dropout between layers, not after the last, as torch has it."""
        if layer == self.weights.num_layers - 1:
            return outputs
        return nn.functional.dropout(outputs, self.weights.dropout, self.training)


class _Reorder(torch.autograd.Function):
    """Reorder steps by a permutation that is its own inverse: the gradient is the same move."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return inputs.reshape(-1, inputs.shape[2]).index_select(0, order).view_as(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.reshape(-1, gradient.shape[2]).index_select(0, order).view_as(
            gradient
        ), None


def _backward_order(lengths: Tensor, num_steps: int) -> Tensor:
    """Row numbers in ``(batch * steps)`` that reverse each sequence within its own length."""
    steps = torch.arange(num_steps)
    order = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return (order + torch.arange(len(lengths))[:, None] * num_steps).flatten()
