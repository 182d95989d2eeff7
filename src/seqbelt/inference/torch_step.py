"""A causal network as one step in plain torch: fixed shapes, the state goes in and out.

``torch.export`` reads it, which cannot read a recurrence over sequences of any length, and so do
the runtimes that start from there. It computes what the graph of ``onnx_stream`` does.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqbelt.inference.bundle import Bundle
from seqbelt.models.classifier import SingleNetwork
from seqbelt.models.ensemble import average_logits
from seqbelt.models.model import ATTENDING
from seqbelt.models.pooling import Pooling
from seqbelt.models.recurrent import Recurrent
from seqbelt.models.stem_layers import StemBlock


class StepNetwork(nn.Module):
    """From a step and the states to logits, probabilities and the states after it.

    The step is float32 ``(1, features)`` or int64 ``(1,)``, logits and probabilities are float32
    ``(1, classes)``. The states come out in the order in which they go in; all begin with zeros.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.networks = nn.ModuleList(network.main for network in bundle.network.networks)
        self.tables = nn.ParameterList(
            nn.Parameter(network.main.embed.table().detach(), requires_grad=False)
            for network in bundle.network.networks
            if network.is_tokens
        )
        self.temperature = bundle.temperature

    def example(self) -> tuple[Tensor, ...]:
        """A step and the states, all zeros."""
        network = self.networks[0]
        assert isinstance(network, SingleNetwork)
        step = torch.zeros(1, dtype=torch.int64)
        if not network.is_tokens:
            step = torch.zeros(1, len(network.normalize.mean))
        states = _States(None)
        self._read(step, states)
        return step, *states.before

    def forward(self, step: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        states = _States(before)
        logits = self._read(step, states)
        return logits, (logits / self.temperature).softmax(1), *states.after

    def _read(self, step: Tensor, states: "_States") -> Tensor:
        count = states.take((1,), torch.int64)
        states.keep(count + 1)
        rows = []
        for number, network in enumerate(self.networks):
            assert isinstance(network, SingleNetwork)
            table = self.tables[number] if network.is_tokens else None
            rows.append(_Step(network, states, count).logits(step, table))
        return rows[0] if len(rows) == 1 else average_logits(rows)


class _States:
    """The states of one step, in their order; without values, they are zeros and are recorded."""

    def __init__(self, before: Sequence[Tensor] | None) -> None:
        self._given = None if before is None else list(before)
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []

    def take(self, shape: tuple[int, ...], kind: torch.dtype = torch.float32) -> Tensor:
        """The next state; ``keep`` must follow before another is taken."""
        number = len(self.before)
        value = torch.zeros(shape, dtype=kind) if self._given is None else self._given[number]
        self.before.append(value)
        return value

    def keep(self, value: Tensor) -> Tensor:
        self.after.append(value)
        return value


class _Step:
    """One network at one step."""

    def __init__(self, network: SingleNetwork, states: _States, count: Tensor) -> None:
        self._network, self._states, self._count = network, states, count
        self._is_first = count == 0
        max_steps = network.settings.max_steps
        self._is_due = None if max_steps is None else count < max_steps
        """Whether the layer in hand reads a step; None: always."""

    def logits(self, step: Tensor, table: Tensor | None) -> Tensor:
        """Logits ``(1, classes)`` of all steps so far."""
        outputs = self._first_step(step) if table is None else F.embedding(step, table)
        outputs, final = self._recur(self._stem(outputs))
        return self._network.classify(self._pool(self._network.pool, outputs, final))

    def _keep(self, new: Tensor, old: Tensor) -> Tensor:
        value = new if self._is_due is None else torch.where(self._is_due, new, old)
        return self._states.keep(value)

    def _first_step(self, step: Tensor) -> Tensor:
        normalize = self._network.normalize
        scaled = (step - normalize.mean) / normalize.std
        if not normalize.differences:
            return scaled
        last = self._states.take((1, len(normalize.mean)))
        before = torch.where(self._is_first, step, last)
        self._states.keep(step.clone())
        return torch.cat([scaled, (step - before) / normalize.difference_scale], dim=1)

    def _stem(self, step: Tensor) -> Tensor:
        stem, step_index = self._network.stem, self._count
        for block in [] if stem is None else stem.blocks:
            assert isinstance(block, StemBlock)
            window, num_past = step[:, :, None], block.padding[0]
            if num_past:
                past = self._states.take((1, block.convolution.in_channels, num_past))
                window = torch.cat([past, window], dim=2)
                self._keep(window[:, :, 1:], past)
            outputs = block.normalize(block.convolution(window)[:, :, 0]).relu()
            step = outputs + step if block.is_residual else outputs
            if block.stride > 1:
                is_output = step_index % block.stride == 0
                self._is_due = is_output if self._is_due is None else self._is_due & is_output
                step_index = step_index // block.stride
        return step

    def _recur(self, step: Tensor) -> tuple[Tensor, Tensor]:
        recurrent = self._network.recurrent
        if not isinstance(recurrent, Recurrent):
            last = self._states.take((1, recurrent.output_size))
            return step, self._keep(step, last)
        weights, final = recurrent.weights, step
        for layer in range(weights.num_layers):
            parts = {
                name: getattr(weights, f"{name}_l{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            hidden = self._states.take((1, weights.hidden_size))
            x = F.linear(step, parts["weight_ih"], parts["bias_ih"])
            h = F.linear(hidden, parts["weight_hh"], parts["bias_hh"])
            if recurrent.cell == "lstm":
                # The hidden state comes out before the cell state goes in.
                step, final = self._lstm(x + h, hidden)
                continue
            if recurrent.cell == "gru":
                size = weights.hidden_size
                gates = (x[:, : 2 * size] + h[:, : 2 * size]).sigmoid()
                candidate = (x[:, 2 * size :] + gates[:, :size] * h[:, 2 * size :]).tanh()
                step = candidate + gates[:, size:] * (hidden - candidate)
            else:
                step = (x + h).tanh() if weights.nonlinearity == "tanh" else (x + h).relu()
            final = self._keep(step, hidden)
        return step, final

    def _lstm(self, gates: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        size = hidden.shape[1]
        update, forget, candidate, output = (
            gates[:, number * size : (number + 1) * size] for number in range(4)
        )
        num_states = len(self._states.after)
        cell = self._states.take((1, size))
        new = forget.sigmoid() * cell + update.sigmoid() * candidate.tanh()
        step = output.sigmoid() * new.tanh()
        final = self._keep(step, hidden)
        assert len(self._states.after) == num_states + 1
        self._keep(new, cell)
        return step, final

    def _pool(self, pool: Pooling, outputs: Tensor, final: Tensor) -> Tensor:
        if pool.name in ("last", "none"):
            return final
        parts = [final] if pool.name == "concat" else []
        if pool.name != "max":
            parts.append(self._mean(pool, outputs))
        if pool.name in ("max", "concat", "attention_max"):
            old = self._states.take((1, outputs.shape[1]))
            new = torch.where(self._is_first, outputs, torch.maximum(old, outputs))
            parts.append(self._keep(new, old))
        return torch.cat(parts, dim=1)

    def _mean(self, pool: Pooling, outputs: Tensor) -> Tensor:
        """The weighted mean of the outputs so far, its sums in float64 as ``RunningPooling``."""
        share, scale = torch.ones(1, 1, dtype=torch.float64), None
        if pool.name in ATTENDING:
            scores = pool.score(torch.tanh(pool.project(outputs))).double()
            old_peak = self._states.take((1, 1), torch.float64)
            peak = torch.where(self._is_first, scores, torch.maximum(old_peak, scores))
            self._keep(peak, old_peak)
            scale = (old_peak - peak).exp()
            scale = torch.where(self._is_first, torch.zeros_like(scale), scale)
            share = (scores - peak).exp()
        sums = []
        for value in (outputs.double(), None):
            width = 1 if value is None else value.shape[1]
            old = self._states.take((1, width), torch.float64)
            kept = old if scale is None else scale * old
            sums.append(self._keep(kept + (share if value is None else share * value), old))
        return (sums[0] / sums[1]).float()
