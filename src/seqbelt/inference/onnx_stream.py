"""A causal network as an ONNX graph of one step: fixed shapes, the state goes in and out.

The graph reads one row of features (or one token id) and the state, and gives the classes of all
rows so far and the new state. Every state begins with zeros. The pooling is the running one of
``RunningPooling``; a strided stem completes an output only at some rows, and at the others the
state behind it is passed on as it came.

Importing this module needs the extra ``onnx``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from seqbelt.errors import SettingsError
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.exportable import why_not_stepwise
from seqbelt.inference.onnx_builder import GraphBuilder, add_axis, add_linear
from seqbelt.inference.onnx_export import file_metadata
from seqbelt.inference.onnx_graph import (
    IR_VERSION,
    OPSET,
    add_average,
    cell_attributes,
    layer_weights,
)
from seqbelt.models.classifier import SingleNetwork
from seqbelt.models.model import ATTENDING
from seqbelt.models.pooling import Pooling
from seqbelt.models.recurrent import Recurrent
from seqbelt.models.stem_layers import StemBlock

INPUT = "step"
OUTPUTS = ("logits", "probabilities")
COUNT = "num_steps"
"""The state that both the strides and the first step go by."""
AFTER = "_out"
"""A state ``x`` goes in as ``x`` and comes out as ``x_out``."""


def export_stream_bytes(bundle: Bundle) -> bytes:
    """The bundle's network as an ONNX file of one step, with classes and settings as metadata.

    Inputs: ``step`` float32 ``(1, features)`` or int64 ``(1,)``, and the states. Outputs:
    ``logits`` and ``probabilities`` float32 ``(1, classes)``, and the states. Raises SettingsError
    for a network that cannot read one step at a time.
    """
    reason = why_not_stepwise(bundle.network)
    if reason is not None:
        raise SettingsError(f"--format onnx-stream: {reason}")
    graph = GraphBuilder()
    states = _States(graph)
    count = states.take(COUNT, TensorProto.INT64, [1])
    states.keep(COUNT, graph.add("Add", count, graph.constant(np.array([1]))))
    networks = [network.main for network in bundle.network.networks]
    rows = [
        _Step(graph, states, network, count, f"network_{number}_" if number else "").logits()
        for number, network in enumerate(networks)
    ]
    logits = add_average(graph, rows)
    graph.name_last("logits", graph.add("Identity", logits))
    scaled = graph.add("Div", "logits", graph.constant(np.float32(bundle.temperature)))
    graph.name_last("probabilities", graph.add("Softmax", scaled, axis=1))
    classes = [1, networks[0].classify.out_features]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "seqbelt_step", [_declared_step(networks[0]), *states.inputs],
            [
                *(helper.make_tensor_value_info(name, TensorProto.FLOAT, classes)
                  for name in OUTPUTS),
                *states.outputs,
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="seqbelt",
    )  # fmt: skip
    helper.set_model_props(model, file_metadata(bundle) | {"stream": "true"})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class OnnxStream(nn.Module):
    """An ONNX file of one step as a torch module that reads sequences step by step."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one step is too little work to share
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        self._zeros = {
            tensor.name: np.zeros(tensor.shape, _KIND_OF_TYPE[tensor.type])
            for tensor in self._session.get_inputs()
            if tensor.name != INPUT
        }

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits float32 ``(batch, classes)`` of padded inputs, as ``SequenceNetwork.forward``."""
        rows = [
            self._read(row[:length].numpy())
            for row, length in zip(inputs, lengths.tolist(), strict=True)
        ]
        return torch.from_numpy(np.concatenate(rows))

    def _read(self, steps: np.ndarray) -> np.ndarray:
        state: Mapping[str, np.ndarray] = self._zeros
        outputs: dict[str, Any] = {}
        for number in range(len(steps)):
            feeds = {INPUT: steps[number : number + 1], **state}
            outputs = dict(zip(self._outputs, self._session.run(None, feeds)))
            state = {name: outputs[name + AFTER] for name in state}
        return outputs["logits"]


_KIND_OF_TYPE = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
}


class _States:
    """The states of a graph: inputs and outputs of one name each."""

    def __init__(self, graph: GraphBuilder) -> None:
        self._graph = graph
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def take(self, name: str, kind: int, shape: list[int]) -> str:
        """Declare a state; returns the name of its value before the step."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape, "zeros at first"))
        self.outputs.append(helper.make_tensor_value_info(name + AFTER, kind, shape))
        return name

    def keep(self, name: str, value: str) -> str:
        """Set the value after the step; returns its name."""
        self._graph.name_last(name + AFTER, self._graph.add("Identity", value))
        return name + AFTER


class _Step:
    """The nodes of one network for one step. Their names of states begin with ``prefix``."""

    def __init__(
        self,
        graph: GraphBuilder,
        states: _States,
        network: SingleNetwork,
        count: str,
        prefix: str,
    ) -> None:
        self._graph, self._states, self._network = graph, states, network
        self._prefix, self._count = prefix, count
        self._is_first = graph.add("Equal", count, graph.constant(np.array([0])))
        self._is_due = ""
        """Whether the layer in hand reads a step, bool ``(1,)``; empty: always."""

    def logits(self) -> str:
        """Logits ``(1, classes)`` of all steps so far."""
        max_steps = self._network.settings.max_steps
        if max_steps is not None:
            limit = self._graph.constant(np.array([max_steps]))
            self._is_due = self._graph.add("Less", self._count, limit)
        steps = self._stem(self._first_step())
        outputs, final = self._recur(steps)
        pooled = self._pool(self._network.pool, outputs, final)
        return add_linear(self._graph, pooled, self._network.classify)

    def _keep(self, name: str, new: str, old: str) -> str:
        """Keep a new state if a step is due, else the old one."""
        value = self._graph.add("Where", self._is_due, new, old) if self._is_due else new
        return self._states.keep(self._prefix + name, value)

    def _take(self, name: str, width: list[int], kind: int = TensorProto.FLOAT) -> str:
        return self._states.take(self._prefix + name, kind, width)

    def _first_step(self) -> str:
        """The embedded or standardised step ``(1, width)``."""
        graph, network = self._graph, self._network
        if network.is_tokens:
            return graph.add("Gather", graph.constant(network.embed.table(), "embedding"), INPUT)
        normalize = network.normalize
        centred = graph.add("Sub", INPUT, graph.constant(normalize.mean))
        scaled = graph.add("Div", centred, graph.constant(normalize.std))
        if not normalize.differences:
            return scaled
        last = self._take("last_step", [1, len(normalize.mean)])
        before = graph.add("Where", self._is_first, INPUT, last)
        self._states.keep(last, INPUT)
        difference = graph.add("Sub", INPUT, before)
        difference = graph.add("Div", difference, graph.constant(normalize.difference_scale))
        return graph.add("Concat", scaled, difference, axis=1)

    def _stem(self, step: str) -> str:
        """The output step ``(1, width)``, which counts only if one is due."""
        graph, stem, step_index = self._graph, self._network.stem, self._count
        for number, block in enumerate([] if stem is None else stem.blocks):
            assert isinstance(block, StemBlock)
            step = self._stem_block(f"past_{number}", block, step)
            if block.stride > 1:
                stride = graph.constant(np.array([block.stride]))
                is_output = graph.add(
                    "Equal", graph.add("Mod", step_index, stride), graph.constant(np.array([0]))
                )
                self._is_due = (
                    graph.add("And", self._is_due, is_output) if self._is_due else is_output
                )
                step_index = graph.add("Div", step_index, stride)
        return step

    def _stem_block(self, name: str, block: StemBlock, step: str) -> str:
        graph, convolution, normalize = self._graph, block.convolution, block.normalize
        num_past, _ = block.padding
        window = graph.add("Unsqueeze", step, add_axis(graph, 2))
        if num_past:
            past = self._take(name, [1, convolution.in_channels, num_past])
            window = graph.add("Concat", past, window, axis=2)
            first, end = graph.constant(np.array([1])), graph.constant(np.array([num_past + 1]))
            self._keep(name, graph.add("Slice", window, first, end, add_axis(graph, 2)), past)
        assert convolution.bias is not None
        outputs = graph.add(
            "Conv", window, graph.constant(convolution.weight), graph.constant(convolution.bias)
        )
        outputs = graph.add(
            "LayerNormalization", graph.add("Squeeze", outputs, add_axis(graph, 2)),
            graph.constant(normalize.weight), graph.constant(normalize.bias),
            axis=-1, epsilon=normalize.eps,
        )  # fmt: skip
        outputs = graph.add("Relu", outputs)
        return graph.add("Add", outputs, step) if block.is_residual else outputs

    def _recur(self, step: str) -> tuple[str, str]:
        """The output of this step and the final state, both ``(1, width)``."""
        graph, recurrent = self._graph, self._network.recurrent
        if not isinstance(recurrent, Recurrent):
            last = self._take("hidden_0", [1, recurrent.output_size])
            return step, self._keep("hidden_0", step, last)
        inputs = graph.add("Unsqueeze", step, add_axis(graph, 0))  # (steps, batch, width)
        shape, final = [1, 1, recurrent.weights.hidden_size], ""
        names = ("hidden", "cell") if recurrent.cell == "lstm" else ("hidden",)
        for layer in range(recurrent.weights.num_layers):
            old = [self._take(f"{name}_{layer}", shape) for name in names]
            _, *new = graph.add_many(
                recurrent.cell.upper(), inputs, *layer_weights(graph, recurrent, layer), "", *old,
                num_outputs=1 + len(names), **cell_attributes(recurrent),
            )  # fmt: skip
            inputs = new[0]
            kept = [
                self._keep(f"{name}_{layer}", value, before)
                for name, value, before in zip(names, new, old)
            ]
            final = kept[0]
        first = add_axis(graph, 0)
        return graph.add("Squeeze", inputs, first), graph.add("Squeeze", final, first)

    def _pool(self, pool: Pooling, outputs: str, final: str) -> str:
        """The pooled steps so far ``(1, output_size)``."""
        if pool.name in ("last", "none"):
            return final
        width = self._network.recurrent.output_size
        parts = [final] if pool.name == "concat" else []
        if pool.name != "max":
            parts.append(self._mean(pool, outputs, width))
        if pool.name in ("max", "concat", "attention_max"):
            old = self._take("highest", [1, width])
            new = self._graph.add("Max", old, outputs)
            new = self._graph.add("Where", self._is_first, outputs, new)
            parts.append(self._keep("highest", new, old))
        return self._graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def _mean(self, pool: Pooling, outputs: str, width: int) -> str:
        """The weighted mean of the outputs so far, its sums in float64."""
        graph, double = self._graph, TensorProto.DOUBLE
        values = graph.add("Cast", outputs, to=double)
        total, weight = (
            self._take(name, shape, double)
            for name, shape in (("total", [1, width]), ("weight", [1, 1]))
        )
        if pool.name not in ATTENDING:
            old_total, old_weight = total, weight
            share = graph.constant(np.ones((1, 1)))
        else:
            scores = graph.add("Tanh", add_linear(graph, outputs, pool.project))
            scores = graph.add("Cast", add_linear(graph, scores, pool.score), to=double)
            old_peak = self._take("peak", [1, 1], double)
            peak = graph.add("Max", old_peak, scores)
            peak = graph.add("Where", self._is_first, scores, peak)
            self._keep("peak", peak, old_peak)
            scale = graph.add("Exp", graph.add("Sub", old_peak, peak))
            scale = graph.add("Where", self._is_first, graph.constant(np.zeros((1, 1))), scale)
            share = graph.add("Exp", graph.add("Sub", scores, peak))
            old_total = graph.add("Mul", scale, total)
            old_weight = graph.add("Mul", scale, weight)
        new_total = graph.add("Add", old_total, graph.add("Mul", share, values))
        new_weight = graph.add("Add", old_weight, share)
        mean = graph.add(
            "Div", self._keep("total", new_total, total), self._keep("weight", new_weight, weight)
        )
        return graph.add("Cast", mean, to=TensorProto.FLOAT)


def _declared_step(network: SingleNetwork) -> onnx.ValueInfoProto:
    if network.is_tokens:
        return helper.make_tensor_value_info(INPUT, TensorProto.INT64, [1], "a token id")
    shape = [1, len(network.normalize.mean)]
    about = "one encoded step, not normalised"
    return helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape, about)
