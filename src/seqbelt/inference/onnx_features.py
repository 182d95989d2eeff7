"""Features of raw signals as an ONNX graph, in front of the network's.

Recordings come as samples at the model's sample rate; resampling stays outside, since it depends on
the rate of each recording. A frame is multiplied with cosines and sines in float64, so that the
logarithm of quiet bands agrees with the features of files.
"""

import numpy as np
import onnx
from onnx import helper

from seqbelt.errors import SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import AudioFeatures, LogMel, Mfcc, Waveform
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.exportable import num_channels, samples_before, why_not_raw
from seqbelt.inference.onnx_builder import GraphBuilder
from seqbelt.inference.onnx_graph import IR_VERSION, OPSET

PREFIX = "features_"


def add_features(network: onnx.ModelProto, bundle: Bundle) -> onnx.ModelProto:
    """The network's file with the features in front of it.

    Audio: inputs ``samples`` float32 ``(batch, samples)`` at ``features.sample_rate`` and
    ``num_samples`` int64 ``(batch,)``. Channels: ``rows`` float32 ``(batch, rows, channels)`` and
    ``num_rows``. What follows a row's own length is ignored. Raises SettingsError for features that
    are not supported.
    """
    reason = why_not_raw(bundle)
    if reason is not None:
        raise SettingsError(f"--raw: {reason}")
    is_audio = isinstance(bundle.features, AudioFeatures)
    graph = GraphBuilder()
    build = _audio_steps if is_audio else _channel_steps
    steps, lengths = build(graph, bundle)
    if bundle.model.max_steps is not None:
        most = graph.constant(np.array([bundle.model.max_steps]))
        zero, one = graph.constant(np.array([0])), graph.constant(np.array([1]))
        steps = graph.add("Slice", steps, zero, most, one)
        lengths = graph.add("Min", lengths, most)
    outputs = [
        helper.make_tensor_value_info(steps, onnx.TensorProto.FLOAT, None),
        helper.make_tensor_value_info(lengths, onnx.TensorProto.INT64, ["batch"]),
    ]
    features = helper.make_model(
        helper.make_graph(
            graph.nodes, "features", _declared_inputs(bundle), outputs, graph.constants
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    kept = [value.name for value in features.graph.input]
    features = onnx.compose.add_prefix(features, PREFIX, rename_inputs=False)
    merged = onnx.compose.merge_models(
        features,
        network,
        io_map=[(PREFIX + steps, "inputs"), (PREFIX + lengths, "lengths")],
        producer_name="seqbelt",
    )
    assert [value.name for value in merged.graph.input] == kept
    metadata = {entry.key: entry.value for entry in network.metadata_props}
    del merged.metadata_props[:]
    helper.set_model_props(merged, metadata | {"raw": "true"})
    onnx.checker.check_model(merged, full_check=True)
    return merged


def _declared_inputs(bundle: Bundle) -> list[onnx.ValueInfoProto]:
    features = bundle.features
    if isinstance(features, AudioFeatures):
        names, shape = ("samples", "num_samples"), ["batch", "samples"]
        about = f"mono samples from -1 to 1 at {features.sample_rate} Hz"
    else:
        names, shape = ("rows", "num_rows"), ["batch", "rows", num_channels(bundle)]
        about = "rows of the channels"
    return [
        helper.make_tensor_value_info(names[0], onnx.TensorProto.FLOAT, shape, about),
        helper.make_tensor_value_info(
            names[1], onnx.TensorProto.INT64, ["batch"], f"{names[0]} of each row, at least 1"
        ),
    ]


def _channel_steps(graph: GraphBuilder, bundle: Bundle) -> tuple[str, str]:
    """Steps of channels, with their differences where the features have them."""
    features = bundle.features
    assert isinstance(features, Channels)
    if not features.differences:
        return graph.add("Identity", "rows"), graph.add("Identity", "num_rows")
    axis, zero = graph.constant(np.array([1])), graph.constant(np.array([0]))
    one = graph.constant(np.array([1]))
    first = graph.add("Slice", "rows", zero, one, axis)
    most = graph.constant(np.array([np.iinfo(np.int64).max]))
    before = graph.add("Concat", first, graph.add("Slice", "rows", zero, most, axis), axis=1)
    before = graph.add("Slice", before, zero, graph.add("Shape", "rows", start=1, end=2), axis)
    steps = graph.add("Concat", "rows", graph.add("Sub", "rows", before), axis=2)
    return steps, graph.add("Identity", "num_rows")


def _audio_steps(graph: GraphBuilder, bundle: Bundle) -> tuple[str, str]:
    """Steps ``(batch, steps, features)`` of samples, and the number of steps of each row."""
    features = bundle.features
    assert isinstance(features, LogMel | Waveform)
    hop, window = features.hop, features.window
    zero, one = graph.constant(np.array(0)), graph.constant(np.array(1))
    axis, first = graph.constant(np.array([1])), graph.constant(np.array([0]))
    total = graph.add("Squeeze", graph.add("Shape", "samples", start=1, end=2))
    positions = graph.add("Range", zero, total, one)
    is_valid = graph.add("Less", positions, graph.add("Unsqueeze", "num_samples", axis))
    silence = graph.constant(np.float32(0))
    samples = graph.add("Where", is_valid, "samples", silence)
    # Frame t begins at sample t * hop - before; zeros lie beyond both ends.
    before = samples_before(features)
    ends = graph.constant(np.array([0, before, 0, window]))
    padded = graph.add("Pad", samples, ends)
    num_steps = graph.add("Add", graph.add("Div", total, graph.constant(np.array(hop))), one)
    starts = graph.add(
        "Mul", graph.add("Range", zero, num_steps, one), graph.constant(np.array(hop))
    )
    indices = graph.add(
        "Add", graph.add("Unsqueeze", starts, axis), graph.constant(np.arange(window))
    )
    frames = graph.add("Gather", padded, indices, axis=1)
    steps = frames if isinstance(features, Waveform) else _log_mel(graph, features, frames)
    number = graph.add("Add", graph.add("Div", "num_samples", graph.constant(np.array([hop]))), one)
    is_there = graph.add("Greater", "num_samples", first)
    lengths = graph.add("Where", is_there, number, first)
    if features.subtract_mean:
        steps = _without_mean(graph, steps, lengths, num_steps)
    return steps, lengths


def _log_mel(graph: GraphBuilder, features: LogMel, frames: str) -> str:
    """Decibels of the mel bands of frames ``(batch, steps, window)``, or their cosine transform."""
    window, filters = (part.astype(np.float64) for part in features.window_and_filters)
    angles = np.outer(np.arange(features.window), np.arange(features.fft_size // 2 + 1))
    angles = 2 * np.pi / features.fft_size * angles
    frames = graph.add("Cast", frames, to=onnx.TensorProto.DOUBLE)
    parts = []
    for waves in (np.cos(angles), np.sin(angles)):
        projected = graph.add("MatMul", frames, graph.constant(window[:, None] * waves))
        parts.append(graph.add("Mul", projected, projected))
    energies = graph.add("MatMul", graph.add("Add", *parts), graph.constant(filters.T))
    floor = graph.constant(np.float64(10 ** (features.floor_db / 10)))
    logarithms = graph.add("Log", graph.add("Max", energies, floor))
    decibels = graph.add("Mul", logarithms, graph.constant(np.float64(10 / np.log(10))))
    if isinstance(features, Mfcc):
        cosines = features.cosines.astype(np.float64)
        decibels = graph.add("MatMul", decibels, graph.constant(cosines))
    return graph.add("Cast", decibels, to=onnx.TensorProto.FLOAT)


def _without_mean(graph: GraphBuilder, steps: str, lengths: str, num_steps: str) -> str:
    """Steps less the mean over the valid steps of each row."""
    zero, one = graph.constant(np.array(0)), graph.constant(np.array(1))
    axis = graph.constant(np.array([1]))
    positions = graph.add("Range", zero, num_steps, one)
    is_valid = graph.add("Less", positions, graph.add("Unsqueeze", lengths, axis))
    weights = graph.add("Cast", is_valid, to=onnx.TensorProto.FLOAT)
    weights = graph.add("Unsqueeze", weights, graph.constant(np.array([2])))
    total = graph.add("ReduceSum", graph.add("Mul", steps, weights), axis)
    count = graph.add("Max", graph.add("ReduceSum", weights, axis), graph.constant(np.float32(1)))
    return graph.add("Sub", steps, graph.add("Div", total, count))
