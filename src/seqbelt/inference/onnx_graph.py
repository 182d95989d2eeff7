"""A trained network as an ONNX graph, node by node (docs/decisions/010-onnx-by-hand.md).

ONNX's LSTM, GRU and RNN operators take the lengths of the sequences: the backward direction starts
at each sequence's end, and padded steps give zeros. So the graph is exact for every batch and every
length.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from seqbelt.inference.onnx_builder import (
    GraphBuilder,
    add_axis,
    add_column,
    add_linear,
    add_row,
    add_zeros,
)
from seqbelt.models.classifier import SingleNetwork
from seqbelt.models.ensemble import Network
from seqbelt.models.model import ATTENDING, Cell
from seqbelt.models.pooling import Pooling
from seqbelt.models.recurrent import Recurrent
from seqbelt.models.standardize import NEGLIGIBLE_SPREAD, Standardize
from seqbelt.models.stem_layers import StemBlock, StemLayers

OPSET = 17
IR_VERSION = 8
"""Supported by ONNX Runtime since 1.13."""

_GATES: dict[Cell, list[int]] = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}
"""Indices of ONNX's gates in torch's order: i, o, f, c in i, f, g, o; z, r, h in r, z, n."""
_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Port(NamedTuple):
    """The names of the values of padded sequences."""

    inputs: str = "inputs"
    lengths: str = "lengths"


ONLY = Port()
"""Of a network with one input."""


def build_graph(
    network: Network,
    metadata: Mapping[str, str],
    temperature: float = 1.0,
    is_several: bool = False,
) -> onnx.ModelProto:
    """The network in evaluation mode as an ONNX model.

    Inputs: ``inputs`` float32 ``(batch, steps, features)`` or int64 ``(batch, steps)``, padded with
    zeros, and ``lengths`` int64 ``(batch,)``, all at least 1. Outputs: those of ``finish_model``. A
    row of length 0 has NaN, an empty batch no rows. ``metadata`` is stored in the file.
    """
    graph = GraphBuilder()
    port, is_present = add_guard(graph, ONLY, network.main)
    rows = [
        add_linear(graph, add_pooled(graph, member.main, port), member.classify)
        for member in network.networks
    ]
    nan = graph.constant(np.float32(np.nan))
    logits = graph.add("Where", is_present, add_average(graph, rows), nan)
    declared = declare_sequence(ONLY, network.main)
    classes = network.classify.out_features
    return finish_model(graph, logits, declared, classes, metadata, temperature, is_several)


def finish_model(
    graph: GraphBuilder,
    logits: str,
    inputs: list[onnx.ValueInfoProto],
    num_classes: int,
    metadata: Mapping[str, str],
    temperature: float,
    is_several: bool,
) -> onnx.ModelProto:
    """The model of a graph that computes ``logits`` of ``inputs``, the first two of a sequence.

    Outputs: ``logits`` and ``probabilities``, float32 ``(batch, classes)``, the latter of the
    former divided by the ``temperature``: of the classes together, or with several labels
    (``is_several``) of each.
    """
    zero, batch = graph.constant(np.array([0])), graph.add("Shape", inputs[1].name)
    graph.name_last("logits", graph.add("Slice", logits, zero, batch, zero))
    scaled = graph.add("Div", "logits", graph.constant(np.float32(temperature)))
    probabilities = (
        graph.add("Sigmoid", scaled) if is_several else graph.add("Softmax", scaled, axis=1)
    )
    graph.name_last("probabilities", probabilities)
    outputs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", num_classes])
        for name in ("logits", "probabilities")
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "seqbelt", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="seqbelt",
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    return model


def add_pooled(graph: GraphBuilder, network: SingleNetwork, port: Port) -> str:
    """What one network classifies, ``(batch, width)``, of guarded sequences."""
    steps, lengths = _first_steps(graph, network, port), port.lengths
    if network.stem is not None:
        steps, lengths = _stem(graph, network.stem, steps, lengths)
    if isinstance(network.recurrent, Recurrent):
        outputs, final = _recurrent(graph, network.recurrent, steps, lengths)
    else:
        outputs, final = steps, _last_valid(graph, steps, lengths)
    return _pool(graph, network.pool, outputs, final, lengths)


def add_guard(graph: GraphBuilder, port: Port, network: SingleNetwork) -> tuple[Port, str]:
    """Sequences of at least one row and one step, with lengths from 1 on: ONNX Runtime's LSTM and
    GRU end the process on an empty batch. And which rows have steps, bool ``(batch, 1)``."""
    one, zero = graph.constant(np.array([1])), graph.constant(np.array([0]))
    kind = np.int64 if network.is_tokens else np.float32
    width = [] if network.is_tokens else [graph.constant(np.array([len(network.normalize.mean)]))]
    steps = graph.add("Shape", port.inputs, start=1, end=2)
    batch = graph.add("Shape", port.inputs, start=0, end=1)
    missing = graph.add("Max", graph.add("Sub", one, steps), zero)
    more_steps = add_zeros(graph, kind, batch, missing, *width)
    inputs = graph.add("Concat", port.inputs, more_steps, axis=1)
    all_steps = graph.add("Shape", inputs, start=1, end=2)
    inputs = add_row(graph, inputs, kind, all_steps, *width)
    lengths = add_row(graph, port.lengths, np.int64)
    is_present = add_column(graph, graph.add("Greater", lengths, zero))
    return Port(inputs, graph.add("Max", lengths, one)), is_present


def add_average(graph: GraphBuilder, logits: list[str]) -> str:
    """Log of the mean probabilities ``(batch, classes)``, as ``average_logits``."""
    if len(logits) == 1:
        return logits[0]
    rows = [graph.add("LogSoftmax", member, axis=1) for member in logits]
    rows = [graph.add("Unsqueeze", member, add_axis(graph, 0)) for member in rows]
    stacked = graph.add("Concat", *rows, axis=0)
    total = graph.add("ReduceLogSumExp", stacked, axes=[0], keepdims=0)
    return graph.add("Sub", total, graph.constant(np.float32(np.log(len(logits)))))


def declare_sequence(
    port: Port, network: SingleNetwork, least: str = "at least 1"
) -> list[onnx.ValueInfoProto]:
    """The inputs of one sequence: its steps, and its lengths with their ``least``."""
    steps = port.inputs.replace("inputs", "steps")
    if network.is_tokens:
        kind, shape, about = onnx.TensorProto.INT64, ["batch", steps], "token ids"
    else:
        kind, about = onnx.TensorProto.FLOAT, "encoded steps, not normalised"
        shape = ["batch", steps, len(network.normalize.mean)]
    return [
        helper.make_tensor_value_info(
            port.inputs, kind, shape, f"{about}; padded with zeros at the end"
        ),
        helper.make_tensor_value_info(
            port.lengths, onnx.TensorProto.INT64, ["batch"], f"steps of each sequence, {least}"
        ),
    ]


def _first_steps(graph: GraphBuilder, network: SingleNetwork, port: Port) -> str:
    """Embedded or normalised steps ``(batch, steps, width)``."""
    if network.is_tokens:
        return graph.add("Gather", graph.constant(network.embed.table(), "embedding"), port.inputs)
    normalize = network.normalize
    centred = graph.add("Sub", port.inputs, graph.constant(normalize.mean))
    by_rows = graph.add("Div", centred, graph.constant(normalize.std))
    parts = [by_rows]
    if normalize.by_sequence:
        parts.append(_scaled_by_sequence(graph, normalize, port))
    if normalize.differences:
        parts.append(_differences(graph, normalize, port.inputs))
    return graph.add("Concat", *parts, axis=2) if len(parts) > 1 else by_rows


def _differences(graph: GraphBuilder, normalize: Standardize, inputs: str) -> str:
    """Each step minus the one before, 0 for the first, scaled: ``(batch, steps, features)``."""
    first, second, last = (add_axis(graph, number) for number in (0, 1, -1))
    start = graph.add("Slice", inputs, first, second, second)
    before = graph.add("Concat", start, graph.add("Slice", inputs, first, last, second), axis=1)
    difference = graph.add("Sub", inputs, before)
    return graph.add("Div", difference, graph.constant(normalize.difference_scale))


def _scaled_by_sequence(graph: GraphBuilder, normalize: Standardize, port: Port) -> str:
    """Steps standardised over their sequence: ``(batch, steps, features)``."""
    valid = graph.add(
        "Unsqueeze", _valid_steps(graph, port.inputs, port.lengths), add_axis(graph, 2)
    )
    zero, step_axis = graph.constant(np.float64(0)), add_axis(graph, 1)
    values = graph.add("Cast", port.inputs, to=onnx.TensorProto.DOUBLE)
    values = graph.add("Where", valid, values, zero)
    counts = graph.add("Unsqueeze", add_column(graph, port.lengths), step_axis)
    counts = graph.add("Cast", counts, to=onnx.TensorProto.DOUBLE)

    def mean(values: str) -> str:
        return graph.add("Div", graph.add("ReduceSum", values, step_axis), counts)

    centred = graph.add("Where", valid, graph.add("Sub", values, mean(values)), zero)
    spread = graph.add("Sqrt", mean(graph.add("Mul", centred, centred)))
    spread = graph.add("Add", spread, graph.constant(normalize.std.double() * NEGLIGIBLE_SPREAD))
    return graph.add("Cast", graph.add("Div", centred, spread), to=onnx.TensorProto.FLOAT)


def _stem(graph: GraphBuilder, stem: StemLayers, steps: str, lengths: str) -> tuple[str, str]:
    """Output steps ``(batch, fewer steps, width)`` and the lengths of their sequences."""
    zero = graph.constant(np.float32(0))
    for block in stem.blocks:
        assert isinstance(block, StemBlock)
        valid = graph.add("Unsqueeze", _valid_steps(graph, steps, lengths), add_axis(graph, 2))
        steps = graph.add("Where", valid, steps, zero)
        outputs = graph.add(
            "Conv", graph.add("Transpose", steps, perm=[0, 2, 1]),
            graph.constant(block.convolution.weight),
            *([] if block.convolution.bias is None else [graph.constant(block.convolution.bias)]),
            pads=block.padding, strides=[block.stride],
        )  # fmt: skip
        normalize = block.normalize
        outputs = graph.add(
            "LayerNormalization", graph.add("Transpose", outputs, perm=[0, 2, 1]),
            graph.constant(normalize.weight), graph.constant(normalize.bias),
            axis=-1, epsilon=normalize.eps,
        )  # fmt: skip
        outputs = graph.add("Relu", outputs)
        steps = graph.add("Add", outputs, steps) if block.is_residual else outputs
        if block.stride > 1:
            one = graph.constant(np.array(1))
            before = graph.add("Sub", lengths, one)
            before = graph.add("Div", before, graph.constant(np.array(block.stride)))
            lengths = graph.add("Add", before, one)
    return steps, lengths


def _last_valid(graph: GraphBuilder, steps: str, lengths: str) -> str:
    """The last valid step ``(batch, width)`` of each sequence."""
    last = graph.add("Sub", lengths, graph.constant(np.array(1)))
    return graph.add("GatherND", steps, add_column(graph, last), batch_dims=1)


def _recurrent(
    graph: GraphBuilder, recurrent: Recurrent, steps: str, lengths: str
) -> tuple[str, str]:
    """Outputs ``(batch, steps, width)`` and the final state ``(batch, width)``."""
    lengths = graph.add("Cast", lengths, to=onnx.TensorProto.INT32)
    steps = graph.add("Transpose", steps, perm=[1, 0, 2])
    join_directions = graph.constant(np.array([0, 0, -1]))
    final = ""
    for layer in range(recurrent.weights.num_layers):
        weights = layer_weights(graph, recurrent, layer)
        outputs, final = graph.add_many(
            recurrent.cell.upper(), steps, *weights, lengths,
            num_outputs=2, **cell_attributes(recurrent),
        )  # fmt: skip
        # (steps, directions, batch, hidden) -> (steps, batch, directions * hidden)
        outputs = graph.add("Transpose", outputs, perm=[0, 2, 1, 3])
        steps = graph.add("Reshape", outputs, join_directions)
    final = graph.add("Transpose", final, perm=[1, 0, 2])
    final = graph.add("Reshape", final, graph.constant(np.array([0, -1])))
    return graph.add("Transpose", steps, perm=[1, 0, 2]), final


def cell_attributes(recurrent: Recurrent) -> dict[str, Any]:
    bidirectional = recurrent.weights.bidirectional
    attributes: dict[str, Any] = {
        "hidden_size": recurrent.weights.hidden_size,
        "direction": "bidirectional" if bidirectional else "forward",
    }
    if recurrent.cell == "rnn":
        activation = "Tanh" if recurrent.weights.nonlinearity == "tanh" else "Relu"
        attributes["activations"] = [activation] * (2 if bidirectional else 1)
    if recurrent.cell == "gru":
        attributes["linear_before_reset"] = 1  # the reset gate acts on the product, as in torch
    return attributes


def layer_weights(graph: GraphBuilder, recurrent: Recurrent, layer: int) -> list[str]:
    """Names of W, R and B: ``(directions, gates * hidden, …)`` in ONNX's order of gates."""
    order = _GATES[recurrent.cell]
    directions = []
    for direction in ["", "_reverse"] if recurrent.weights.bidirectional else [""]:
        parts = [getattr(recurrent.weights, f"{name}_l{layer}{direction}") for name in _PARTS]
        directions.append([_reorder(part.detach().cpu().numpy(), order) for part in parts])
    inputs, hidden, input_bias, hidden_bias = (np.stack(part) for part in zip(*directions))
    biases = np.concatenate([input_bias, hidden_bias], axis=1)
    return [
        graph.constant(inputs, f"layer_{layer}_W"),
        graph.constant(hidden, f"layer_{layer}_R"),
        graph.constant(biases, f"layer_{layer}_B"),
    ]


def _reorder(part: np.ndarray, order: list[int]) -> np.ndarray:
    gates = np.split(part, len(order))
    return np.concatenate([gates[index] for index in order])


def _pool(graph: GraphBuilder, pool: Pooling, outputs: str, final: str, lengths: str) -> str:
    """Pool the valid steps to ``(batch, output_size)``."""
    if pool.name == "last":
        return final
    valid, pooled = _valid_steps(graph, outputs, lengths), []
    if pool.name in ATTENDING:
        pooled.append(_attention(graph, pool, outputs, valid))
    valid = graph.add("Unsqueeze", valid, add_axis(graph, 2))
    if pool.name in ("mean", "concat"):
        total = graph.add("Where", valid, outputs, graph.constant(np.float32(0)))
        total = graph.add("ReduceSum", total, add_axis(graph, 1), keepdims=0)
        counts = graph.add("Cast", add_column(graph, lengths), to=onnx.TensorProto.FLOAT)
        pooled.append(graph.add("Div", total, counts))
    if pool.name in ("max", "concat", "attention_max"):
        masked = graph.add("Where", valid, outputs, graph.constant(np.float32(-np.inf)))
        pooled.append(graph.add("ReduceMax", masked, axes=[1], keepdims=0))
    if pool.name == "concat":
        pooled = [final, *pooled]
    return graph.add("Concat", *pooled, axis=1) if len(pooled) > 1 else pooled[0]


def _attention(graph: GraphBuilder, pool: Pooling, outputs: str, valid: str) -> str:
    scores = add_linear(
        graph, graph.add("Tanh", add_linear(graph, outputs, pool.project)), pool.score
    )
    scores = graph.add("Squeeze", scores, add_axis(graph, 2))
    scores = graph.add("Where", valid, scores, graph.constant(np.float32(-np.inf)))
    weights = graph.add("Softmax", scores, axis=1)
    weights = graph.add("Unsqueeze", weights, add_axis(graph, 2))
    weighted = graph.add("Mul", weights, outputs)
    return graph.add("ReduceSum", weighted, add_axis(graph, 1), keepdims=0)


def _valid_steps(graph: GraphBuilder, steps: str, lengths: str) -> str:
    """Which of ``steps`` ``(batch, steps, width)`` are valid, bool ``(batch, steps)``."""
    num_steps = graph.add("Squeeze", graph.add("Shape", steps, start=1, end=2))
    first, stride = graph.constant(np.array(0)), graph.constant(np.array(1))
    numbers = graph.add("Range", first, num_steps, stride)
    return graph.add("Less", numbers, add_column(graph, lengths))
