"""A network of several inputs as one ONNX file, with the columns' encoding in it."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from seqbelt.features.input_layout import InputLayout
from seqbelt.features.manifest_columns import Column
from seqbelt.inference.onnx_builder import GraphBuilder, add_axis, add_linear, add_row
from seqbelt.inference.onnx_graph import (
    Port,
    add_average,
    add_guard,
    add_pooled,
    declare_sequence,
    finish_model,
)
from seqbelt.models.classifier import JoinedNetwork
from seqbelt.models.ensemble import Network

LEAST = "0 where it is missing"


def port_of(name: str) -> Port:
    """The file's names of one input; the point keeps them apart from those of nodes."""
    return Port(f"inputs.{name}", f"lengths.{name}")


def cell_input(column: Column) -> str:
    """The file's name of a column."""
    return f"columns.{column.name}"


def build_joined_graph(
    network: Network,
    layout: InputLayout,
    columns: Sequence[Column],
    metadata: Mapping[str, str],
    temperature: float,
    is_several: bool,
) -> onnx.ModelProto:
    """The network as an ONNX model.

    Inputs, for each sequence: ``inputs.NAME`` and ``lengths.NAME`` as of a network with one input,
    with a length of 0 where it is missing. For each column ``columns.NAME`` ``(batch,)``: a number
    as float64, NaN where it is missing; a category as int64, its place among the ``values`` in
    ``columns.json``, then one for any other, then one where it is missing. Outputs: those of
    ``finish_model``; a row without anything, and without columns, has NaN.
    """
    graph = GraphBuilder()
    branches = network.networks[0].branches
    ports = [port_of(size.name) for size in layout.inputs]
    guarded = [add_guard(graph, port, branch) for port, branch in zip(ports, branches, strict=True)]
    cells = [_add_cells(graph, column) for column in columns]
    rows = [_logits(graph, member, guarded, cells) for member in network.networks]
    logits = add_average(graph, rows)
    if not columns:
        is_there, *more = (is_present for _, is_present in guarded)
        for other in more:
            is_there = graph.add("Or", is_there, other)
        logits = graph.add("Where", is_there, logits, graph.constant(np.float32(np.nan)))
    declared = [
        value
        for port, branch in zip(ports, branches, strict=True)
        for value in declare_sequence(port, branch, LEAST)
    ]
    declared += [_declare_cells(column) for column in columns]
    classes = network.classify.out_features
    return finish_model(graph, logits, declared, classes, metadata, temperature, is_several)


def _logits(
    graph: GraphBuilder,
    network: object,
    guarded: Sequence[tuple[Port, str]],
    cells: Sequence[str],
) -> str:
    """One network's logits ``(batch, classes)``, as ``JoinedNetwork.forward``."""
    assert isinstance(network, JoinedNetwork)
    parts = [
        graph.add("Where", is_present, add_pooled(graph, branch, port), graph.constant(absent))
        for (port, is_present), branch, absent in zip(
            guarded, network.branches, network.absent, strict=True
        )
    ]
    together = graph.add("Concat", *parts, *cells, axis=1)
    joined = graph.add("Relu", add_linear(graph, together, network.join))
    return add_linear(graph, joined, network.classify)


def _add_cells(graph: GraphBuilder, column: Column) -> str:
    """The cells of one column, float32 ``(batch, cells)``, as ``Column.encode``."""
    is_number = column.kind == "number"
    given = add_row(graph, cell_input(column), np.float64 if is_number else np.int64)
    values = graph.add("Unsqueeze", given, add_axis(graph, 1))
    if is_number:
        is_missing = graph.add("Not", graph.add("Equal", values, values))  # NaN
        centred = graph.add("Sub", values, graph.constant(np.float64(column.mean)))
        number = graph.add("Div", centred, graph.constant(np.float64(column.std)))
        number = graph.add("Where", is_missing, graph.constant(np.float64(0)), number)
        parts = [
            graph.add("Cast", part, to=onnx.TensorProto.FLOAT) for part in (number, is_missing)
        ]
        return graph.add("Concat", *parts, axis=1)
    other = graph.constant(np.array(len(column.values)))
    is_known = graph.add(
        "And",
        graph.add("GreaterOrEqual", values, graph.constant(np.array(0))),
        graph.add("Less", values, graph.constant(np.array(column.width))),
    )
    codes = graph.add("Where", is_known, values, other)
    cells = graph.add("Equal", codes, graph.constant(np.arange(column.width)[None]))
    return graph.add("Cast", cells, to=onnx.TensorProto.FLOAT)


def _declare_cells(column: Column) -> onnx.ValueInfoProto:
    if column.kind == "number":
        kind, about = onnx.TensorProto.DOUBLE, "the number as it is, NaN where it is missing"
    else:
        kind = onnx.TensorProto.INT64
        other = len(column.values)
        about = f"place among the values of columns.json, {other} other, {other + 1} missing"
    return helper.make_tensor_value_info(cell_input(column), kind, ["batch"], about)
