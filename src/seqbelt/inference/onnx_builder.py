"""An ONNX graph under construction: its nodes and constants, and what several graphs add."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor, nn


class GraphBuilder:
    """Nodes and constants of a graph under construction; a value is its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Tensor | np.ndarray | np.generic, name: str | None = None) -> str:
        """Add a constant array; returns its name, by default a generated one."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        if name is None or any(name == constant.name for constant in self.constants):
            name = f"{name or 'constant'}_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        return self.add_many(operator, *inputs, num_outputs=1, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, num_outputs: int, **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; returns their names."""
        stem = f"{operator.lower()}_{len(self.nodes)}"
        names = [f"{stem}_{number}" for number in range(num_outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, stem, **attributes))
        return names

    def name_last(self, name: str, value: str) -> None:
        """Rename the last node's only output, ``value``, for the user of the graph."""
        assert list(self.nodes[-1].output) == [value]
        self.nodes[-1].output[0] = name


def add_axis(graph: GraphBuilder, axis: int) -> str:
    return graph.constant(np.array([axis]))


def add_column(graph: GraphBuilder, values: str) -> str:
    return graph.add("Unsqueeze", values, add_axis(graph, 1))


def add_zeros(graph: GraphBuilder, kind: type, *shape: str) -> str:
    value = numpy_helper.from_array(np.zeros(1, kind))
    return graph.add("ConstantOfShape", graph.add("Concat", *shape, axis=0), value=value)


def add_row(graph: GraphBuilder, values: str, kind: type, *shape: str) -> str:
    """The values with a row of zeros, of this ``shape``, if they have none."""
    one, zero = graph.constant(np.array([1])), graph.constant(np.array([0]))
    batch = graph.add("Shape", values, start=0, end=1)
    missing = graph.add("Max", graph.add("Sub", one, batch), zero)
    return graph.add("Concat", values, add_zeros(graph, kind, missing, *shape), axis=0)


def add_linear(graph: GraphBuilder, values: str, layer: nn.Linear) -> str:
    """A product and a sum instead of Gemm, which ONNX Runtime does not quantise."""
    product = graph.add("MatMul", values, graph.constant(layer.weight.T))
    if layer.bias is None:
        return product
    return graph.add("Add", product, graph.constant(layer.bias))
