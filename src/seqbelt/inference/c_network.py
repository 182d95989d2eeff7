"""The C functions of one network: read a step, and give the logits of the steps so far."""

from collections.abc import Sequence

from torch import nn

from seqbelt.inference.c_unit import CUnit, as_numpy, c_number
from seqbelt.models.classifier import SingleNetwork
from seqbelt.models.model import ATTENDING
from seqbelt.models.pooling import Pooling
from seqbelt.models.recurrent import NoRecurrence, Recurrent
from seqbelt.models.stem_layers import StemBlock

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class CNetwork:
    """The functions of one network: read a step, and give the logits of the steps so far."""

    def __init__(self, unit: CUnit, network: SingleNetwork, prefix: str) -> None:
        self._unit, self._network, self._prefix = unit, network, prefix
        self._lines: list[str] = []

    def write(self) -> None:
        """Add the functions ``PREFIX_read`` and ``PREFIX_logits`` to the unit."""
        width = self._first_step()
        step, width = self._stem("a", width)
        outputs, width = self._recur(step, width)
        self._pool(outputs, width)
        unit, prefix = self._unit, self._prefix
        kind = "int32_t token" if self._network.is_tokens else "const float *step"
        body = "\n".join(f"    {line}" for line in self._lines)
        unit.function(
            f"static void {prefix}_read({unit.name}_state *state, {kind})\n{{\n"
            f"    float *a = state->a, *b = state->b;\n{body}\n}}"
        )
        self._write_logits(outputs, width)

    def _add(self, *lines: str) -> None:
        self._lines += lines

    def _first_step(self) -> int:
        """Put the embedded or standardised step into ``a``; returns its width."""
        unit, network, prefix = self._unit, self._network, self._prefix
        if network.is_tokens:
            table = network.embed.table()
            width = table.shape[1]
            values, scales = unit.rows(f"{prefix}_embedding", table)
            scale = f" * {scales}[token]" if scales else ""
            self._add(f"const size_t place = (size_t)token * {width};",
                      *_loop(width, f"a[i] = {values}[place + i]{scale};"))  # fmt: skip
        else:
            normalize = network.normalize
            size, width = len(normalize.mean), normalize.output_size
            mean = unit.array(f"{prefix}_mean", normalize.mean)
            std = unit.array(f"{prefix}_std", normalize.std)
            self._add(*_loop(size, f"a[i] = (step[i] - {mean}[i]) / {std}[i];"))
            if normalize.differences:
                last = unit.field(f"{prefix}_last_step", size)
                scale = unit.array(f"{prefix}_difference_scale", normalize.difference_scale)
                self._add(*_loop(
                    size,
                    f"const float before = state->num_steps ? {last}[i] : step[i];",
                    f"a[{size} + i] = (step[i] - before) / {scale}[i];",
                    f"{last}[i] = step[i];",
                ))  # fmt: skip
        self._reserve(width)
        return width

    def _reserve(self, width: int) -> None:
        for name in ("a", "b"):
            self._unit.scratch(name, width)

    def _stem(self, step: str, width: int) -> tuple[str, int]:
        unit, stem = self._unit, self._network.stem
        blocks: Sequence[nn.Module] = [] if stem is None else list(stem.blocks)
        is_strided = any(isinstance(block, StemBlock) and block.stride > 1 for block in blocks)
        if is_strided:
            self._add("int64_t number = state->num_steps;")
        for number, block in enumerate(blocks):
            assert isinstance(block, StemBlock)
            convolution, normalize = block.convolution, block.normalize
            name, size = f"{self._prefix}_block_{number}", convolution.kernel_size[0]
            window = step
            if size > 1:
                window = unit.field(f"{name}_window", size * width)
                kept = (size - 1) * width
                self._add(
                    f"memmove({window}, {window} + {width}, {kept} * sizeof(float));",
                    f"memcpy({window} + {kept}, {step}, {width} * sizeof(float));",
                )
            if block.stride > 1:
                self._add(f"if (number % {block.stride}) {{", "    return;", "}")
                if any(later.stride > 1 for later in blocks[number + 1 :]):  # pyright: ignore
                    self._add(f"number /= {block.stride};")
            outputs = {"a": "b", "b": "a"}[step]
            weights = as_numpy(convolution.weight).transpose(0, 2, 1)
            num_outputs = len(weights)
            self._reserve(num_outputs)
            gain = unit.array(f"{name}_gain", normalize.weight)
            shift = unit.array(f"{name}_shift", normalize.bias)
            self._add(
                unit.product(
                    name, weights.reshape(num_outputs, -1), convolution.bias, window, outputs
                ),
                f"{unit.helper('normalize')}({outputs}, {gain}, {shift}, {num_outputs}, "
                f"{c_number(normalize.eps, unit.real)}, {step if block.is_residual else 'NULL'});",
            )
            step, width = outputs, num_outputs
        return step, width

    def _recur(self, step: str, width: int) -> tuple[str, int]:
        """Returns the expression for the outputs of the last layer, and their width."""
        unit, recurrent = self._unit, self._network.recurrent
        if isinstance(recurrent, NoRecurrence):
            hidden = unit.field(f"{self._prefix}_hidden_0", width)
            self._add(f"memcpy({hidden}, {step}, {width} * sizeof(float));")
            return hidden, width
        assert isinstance(recurrent, Recurrent)
        weights, size = recurrent.weights, recurrent.weights.hidden_size
        num_values = _GATES[recurrent.cell] * size
        x, h = unit.scratch("from_input", num_values), unit.scratch("from_hidden", num_values)
        for layer in range(weights.num_layers):
            name = f"{self._prefix}_layer_{layer}"
            hidden = unit.field(f"{self._prefix}_hidden_{layer}", size)
            parts = {
                part: getattr(weights, f"{part}_l{layer}")
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            self._add(
                unit.product(f"{name}_input", parts["weight_ih"], parts["bias_ih"], step, x),
                unit.product(f"{name}_hidden", parts["weight_hh"], parts["bias_hh"], hidden, h),
            )
            call = recurrent.cell
            memory = [hidden]
            if recurrent.cell == "lstm":
                memory.append(unit.field(f"{self._prefix}_cell_{layer}", size))
            if recurrent.cell == "rnn":
                call = f"rnn_{weights.nonlinearity}"
            else:
                unit.helper("sigmoid")
            self._add(f"{unit.helper(call)}({x}, {h}, {size}, {', '.join(memory)});")
            step = hidden
        return step, size

    def _pool(self, outputs: str, width: int) -> None:
        """Add the outputs of a step to the running pooling."""
        unit, pool, prefix = self._unit, self._network.pool, self._prefix
        if pool.name in ("last", "none"):
            return
        count = unit.counter(f"{prefix}_num_outputs")
        if pool.name != "max":
            total = unit.field(f"{prefix}_total", width, unit.real)
            self._add(f"{unit.real} share = 1;")
            if pool.name in ATTENDING:
                self._attend(pool, outputs, width, total, count)
            self._add(*_loop(width, f"{total}[i] += share * {outputs}[i];"))
            self._add(f"state->{prefix}_weight[0] += share;")
            unit.field(f"{prefix}_weight", 1, unit.real)
        if pool.name in ("max", "concat", "attention_max"):
            highest = unit.field(f"{prefix}_highest", width)
            self._add(*_loop(
                width,
                f"if ({count} == 0 || {outputs}[i] > {highest}[i]) {{",
                f"    {highest}[i] = {outputs}[i];",
                "}",
            ))  # fmt: skip
        self._add(f"{count}++;")

    def _attend(self, pool: Pooling, outputs: str, width: int, total: str, count: str) -> None:
        unit, prefix = self._unit, self._prefix
        num_hidden = pool.project.out_features
        self._reserve(num_hidden)
        peak, weight = unit.field(f"{prefix}_peak", 1, unit.real), f"state->{prefix}_weight"
        self._add(
            unit.product(f"{prefix}_attend", pool.project.weight, pool.project.bias, outputs, "a"),
            *_loop(num_hidden, "a[i] = tanh(a[i]);"),
            unit.product(f"{prefix}_score", pool.score.weight, None, "a", "b"),
            f"if ({count} == 0 || b[0] > {peak}[0]) {{",
            f"    const {unit.real} scale = {count} ? exp({peak}[0] - b[0]) : 0;",
            *(f"    {line}" for line in _loop(width, f"{total}[i] *= scale;")),
            f"    {weight}[0] *= scale;",
            f"    {peak}[0] = b[0];",
            "}",
            f"share = exp(b[0] - {peak}[0]);",
        )

    def _write_logits(self, outputs: str, width: int) -> None:
        unit, network, prefix = self._unit, self._network, self._prefix
        name = network.pool.name
        parts = [outputs] if name in ("last", "none", "concat") else []
        if name in ("mean", "concat", *ATTENDING):
            parts.append("mean")
        if name in ("max", "concat", "attention_max"):
            parts.append(f"state->{prefix}_highest")
        self._reserve(width * len(parts))
        lines = []
        for number, part in enumerate(parts):
            value = f"{part}[i]"
            if part == "mean":
                value = f"(float)(state->{prefix}_total[i] / state->{prefix}_weight[0])"
            lines += _loop(width, f"pooled[{number * width} + i] = {value};")
        lines.append(
            unit.product(
                f"{prefix}_classify", network.classify.weight, network.classify.bias,
                "pooled", "logits",
            )
        )  # fmt: skip
        body = "\n".join(f"    {line}" for line in lines)
        unit.function(
            f"static void {prefix}_logits({unit.name}_state *state, float *logits)\n{{\n"
            f"    float *pooled = state->a;\n{body}\n}}"
        )


def _loop(count: int, *lines: str) -> list[str]:
    return [f"for (size_t i = 0; i < {count}; i++) {{", *(f"    {line}" for line in lines), "}"]
