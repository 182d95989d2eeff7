"""Tiny encoders as ONNX files: the cases that the features must read, run alone or refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RATE = 1000
KERNEL, STRIDE, WIDTH = 40, 20, 3
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def _value(name: str, shape: list[Any], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _weights(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    values = np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[-1])
    return numpy_helper.from_array(values.astype(np.float32), name)


def _axes(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto],
    opset: int = 17,
    **metadata: str,
) -> Path:
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def convolution(
    path: Path,
    minus: str = "",
    is_transposed: bool = True,
    batch: int | str = "batch",
    samples: int | str = "samples",
    **options: Any,
) -> Path:
    """Waveforms to convolutions ``(batch, steps, 3)``, or features first; ``minus`` the mean over
    the "batch" or the "time", or plus "noise"."""
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "one"], ["wide"]),
        helper.make_node("Conv", ["wide", "w"], ["conv"], strides=[STRIDE]),
    ]
    last = "conv"
    if minus in ("batch", "time"):
        axis = {"batch": 0, "time": 2}[minus]
        nodes += [
            helper.make_node("ReduceMean", [last], ["mean"], axes=[axis], keepdims=1),
            helper.make_node("Sub", [last, "mean"], ["rest"]),
        ]
        last = "rest"
    if minus == "noise":
        nodes += [
            helper.make_node("RandomNormalLike", [last], ["random"], scale=0.1),
            helper.make_node("Add", [last, "random"], ["noisy"]),
        ]
        last = "noisy"
    shape = [batch, "steps", WIDTH] if is_transposed else [batch, WIDTH, "steps"]
    if is_transposed:
        nodes.append(helper.make_node("Transpose", [last], ["features"], perm=[0, 2, 1]))
    else:
        nodes.append(helper.make_node("Identity", [last], ["features"]))
    weights = [_weights("w", WIDTH, 1, KERNEL), _axes("one", 1)]
    return save(
        path, nodes, [_value("waveform", [batch, samples])], [_value("features", shape)], weights,
        **options,
    )  # fmt: skip


def recurrence(path: Path, window: int = 50) -> Path:
    """A window and a state to half the state plus a product of the window."""
    nodes = [
        helper.make_node("MatMul", ["audio", "w"], ["seen"]),
        helper.make_node("Mul", ["state", "half"], ["kept"]),
        helper.make_node("Add", ["seen", "kept"], ["stateN"]),
        helper.make_node("Cast", ["sr"], ["rate"], to=FLOAT),
        helper.make_node("Div", ["rate", "thousand"], ["scale"]),
        helper.make_node("Mul", ["stateN", "scale"], ["output"]),
    ]
    weights = [
        _weights("w", window, WIDTH),
        numpy_helper.from_array(np.array(0.5, np.float32), "half"),
        numpy_helper.from_array(np.array(1000, np.float32), "thousand"),
    ]
    inputs = [
        _value("audio", ["batch", window]),
        _value("state", ["batch", WIDTH]),
        _value("sr", [], INT64),
    ]
    outputs = [_value("output", ["batch", WIDTH]), _value("stateN", ["batch", WIDTH])]
    return save(path, nodes, inputs, outputs, weights)


def pictures(
    path: Path, size: int | str = 8, is_mixed: bool = False, batch: int | str = "batch"
) -> Path:
    """Pictures ``(batch, 3, size, size)`` to means of convolutions ``(batch, 4, 1, 1)``."""
    nodes = [
        helper.make_node("Conv", ["pixels", "w"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["pooled"]),
    ]
    last = "pooled"
    if is_mixed:
        nodes += [
            helper.make_node("ReduceMean", [last], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", [last, "mean"], ["rest"]),
        ]
        last = "rest"
    nodes.append(helper.make_node("Identity", [last], ["features"]))
    inputs = [_value("pixels", [batch, 3, size, size])]
    outputs = [_value("features", [batch, 4, 1, 1])]
    return save(path, nodes, inputs, outputs, [_weights("w", 4, 3, 2, 2)])


def token_vectors(
    path: Path, num_tokens: int, is_masked: bool = True, length: int | str = "tokens"
) -> Path:
    """Token ids to their vectors plus the mean of the text's, as attention would mix them; the mean
    is over padding too where it is not masked."""
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
        helper.make_node("Unsqueeze", ["mask", "two"], ["wide"]),
        helper.make_node("Mul", ["vectors", "wide"], ["masked"]),
        helper.make_node("ReduceSum", ["masked" if is_masked else "vectors", "one"], ["sum"]),
        helper.make_node("ReduceSum", ["wide", "one"], ["count"]),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["vectors", "mean"], ["hidden"]),
    ]
    weights = [_weights("embeddings", num_tokens, WIDTH), _axes("one", 1), _axes("two", 2)]
    shape = ["batch", length]
    inputs = [_value("input_ids", shape, INT64), _value("attention_mask", shape, INT64)]
    return save(path, nodes, inputs, [_value("hidden", [*shape, WIDTH])], weights)
