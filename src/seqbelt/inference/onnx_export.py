"""Export a bundle as an ONNX file with metadata, and run such a file as a torch module.

Importing this module needs the extra ``onnx``.
"""

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.joined_inputs import COLUMNS_FILE, SeveralInputs
from seqbelt.features.manifest_columns import Column, columns_from_bytes
from seqbelt.features.pretrained.onnx_model import MODEL_FILE
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.onnx_features import add_features
from seqbelt.inference.onnx_graph import build_graph
from seqbelt.inference.onnx_joined import build_joined_graph, cell_input, port_of

FORMAT = 1
_INT8_OPERATORS = ["LSTM", "Gather", "MatMul"]
_CROPS = {
    "head": "its first max_steps steps are read",
    "random": "its first max_steps steps are read",
    "tail": "its last max_steps steps are read",
    "windows": (
        "ceil(steps / max_steps) windows of max_steps steps are read, which start at "
        "round(linspace(0, steps - max_steps, number of windows)); the prediction is the mean "
        "of their probabilities, raised to the power of 1 / temperature and divided by its sum"
    ),
}


_SEVERAL_WINDOWS = (
    "; each label's probability is the sigmoid of the log-odds of the mean of its probabilities, "
    "divided by temperature"
)


def export_bytes(bundle: Bundle) -> bytes:
    """The bundle's network as an ONNX file, with classes and settings as metadata."""
    # With windows the caller averages the probabilities and then calibrates the mean.
    temperature = 1.0 if bundle.model.cropping.uses_windows else bundle.temperature
    metadata, is_several = file_metadata(bundle), bundle.target.is_several
    if bundle.layout is None:
        graph = build_graph(bundle.network, metadata, temperature, is_several)
    else:
        columns = columns_of(bundle)
        graph = build_joined_graph(
            bundle.network, bundle.layout, columns, metadata, temperature, is_several
        )
    return graph.SerializeToString()


def columns_of(bundle: Bundle) -> tuple[Column, ...]:
    """The columns that a bundle of several inputs learned."""
    return columns_from_bytes(bundle.learned[COLUMNS_FILE])


def crop_rule(bundle: Bundle) -> str | None:
    """How the user of the file must crop sequences longer than the model reads; else None."""
    model = bundle.model
    if model.max_steps is None:
        return None
    rule = _CROPS[model.crop]
    if bundle.target.is_several and model.crop == "windows":
        rule = rule.partition(";")[0] + _SEVERAL_WINDOWS
    return f"of a sequence longer than max_steps, {model.max_steps}, {rule}"


def file_metadata(bundle: Bundle) -> dict[str, str]:
    """Strings by key; all but the name, the crop's rule and the learned files are JSON.

    ``framing`` of audio is in samples, of several inputs by the name of each.
    """
    metadata = {
        "format": json.dumps(FORMAT),
        "name": bundle.name,
        "classes": json.dumps(bundle.classes, ensure_ascii=False),
        "features": json.dumps(bundle.features.to_dict(), ensure_ascii=False),
        "model": json.dumps(bundle.model.to_dict(), ensure_ascii=False),
        "bundle": json.dumps(bundle.fingerprint),
        "temperature": json.dumps(bundle.temperature),
    }
    if bundle.target.is_several:
        metadata["labels"] = json.dumps(bundle.target.name)
        metadata["thresholds"] = json.dumps(bundle.label_thresholds)
    if bundle.target.is_ordered:
        metadata["ordered"] = json.dumps(True)
    rule, features = crop_rule(bundle), bundle.features
    if rule is not None:
        metadata["crop"] = rule
    if isinstance(features, AudioFeatures):
        metadata["framing"] = json.dumps(_framing(features))
    if isinstance(features, SeveralInputs):
        sounds = {
            name: _framing(section)
            for name, section in features.inputs.items()
            if isinstance(section, AudioFeatures)
        }
        metadata["framing"] = json.dumps(sounds)
    learned = {
        f"learned/{name}": content.decode()
        for name, content in bundle.learned.items()
        if not name.endswith(MODEL_FILE)  # another ONNX file; encoder.json has its hash
    }
    return metadata | learned


def _framing(features: AudioFeatures) -> dict[str, int]:
    return {name: getattr(features, name) for name in ("fft_size", "window", "hop")}


class OnnxNetwork(nn.Module):
    """An ONNX file as a torch module, from padded ``inputs`` and ``lengths`` to logits.

    It computes on the CPU, with as many threads as torch unless ``num_threads`` is given.
    """

    def __init__(self, content: bytes, num_threads: int | None = None) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits float32 ``(batch, classes)``, as ``SequenceNetwork.forward``.

        Raises ValueError for a length of 0 or beyond the inputs' steps.
        """
        if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= inputs.shape[1]:
            raise ValueError(
                f"lengths from {int(lengths.min())} to {int(lengths.max())}; expected 1 to "
                f"{inputs.shape[1]}, the steps of the inputs"
            )
        values, sizes = self.session.get_inputs()
        if len(values.shape) < inputs.ndim and not values.type.startswith("tensor(int"):
            inputs = inputs.squeeze(2)  # samples, which a batch holds as steps of one feature
        feeds = {values.name: inputs.numpy(), sizes.name: lengths.numpy()}
        (logits,) = self.session.run(["logits"], feeds)
        return torch.from_numpy(np.asarray(logits))


class JoinedOnnxNetwork(OnnxNetwork):
    """An ONNX file of several inputs as a torch module, from packed items to logits."""

    def __init__(self, content: bytes, layout: InputLayout, columns: Sequence[Column]) -> None:
        super().__init__(content)
        self._layout, self._columns = layout, columns

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits float32 ``(batch, classes)`` of packed items ``(batch, rows, width)``."""
        items = inputs.numpy()
        feeds = self._sequences(items)
        cells = np.stack([self._layout.cells(item) for item in items])
        for column, part in zip(self._columns, self._layout.column_slices().values(), strict=True):
            feeds[cell_input(column)] = _uncode(column, cells[:, part])
        (logits,) = self.session.run(["logits"], feeds)
        return torch.from_numpy(np.asarray(logits))

    def _sequences(self, items: np.ndarray) -> dict[str, np.ndarray]:
        """Padded steps and lengths of each input, without steps where all are missing."""
        sequences = [self._layout.unpack(item) for item in items]
        counts = np.stack([self._layout.num_steps(item) for item in items])
        feeds: dict[str, np.ndarray] = {}
        for index, (size, lengths) in enumerate(zip(self._layout.inputs, counts.T, strict=True)):
            width = () if size.is_tokens else (size.width,)
            kind = np.int64 if size.is_tokens else np.float32
            steps = np.zeros((len(items), lengths.max(), *width), kind)
            for row, of in zip(steps, sequences, strict=True):
                if (sequence := of[index]) is not None:
                    row[: len(sequence)] = sequence
            port = port_of(size.name)
            feeds |= {port.inputs: steps, port.lengths: lengths}
        return feeds


def _uncode(column: Column, cells: np.ndarray) -> np.ndarray:
    """What the file reads of a column, of its encoded cells ``(rows, cells)``."""
    if column.kind == "category":
        return cells.argmax(1)
    return np.where(cells[:, 1] > 0, np.nan, cells[:, 0].astype(np.float64) * column.std
                    + column.mean)  # fmt: skip


def run_file(bundle: Bundle, content: bytes) -> OnnxNetwork:
    """A bundle's file as a torch module that takes what the bundle's network does."""
    if bundle.layout is None:
        return OnnxNetwork(content)
    return JoinedOnnxNetwork(content, bundle.layout, columns_of(bundle))


def export_raw_bytes(bundle: Bundle, content: bytes) -> bytes:
    """``content``, the file of the bundle's network, with the features in front of it.

    Raises SettingsError for features that cannot be exported.
    """
    return add_features(onnx.load_from_string(content), bundle).SerializeToString()


def quantize(content: bytes) -> tuple[bytes, list[str]]:
    """The file with int8 weights, and the kinds of operators that have them.

    ONNX Runtime quantises the embedding, the products of linear layers and the LSTM; a GRU and an
    RNN keep float32. The scale of an LSTM's or a product's input is taken from the whole batch.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(content)
        quantize_dynamic(
            source, target, _INT8_OPERATORS, per_channel=True, weight_type=QuantType.QInt8
        )
        model = onnx.load(target)
    before, after = _operators(onnx.load_from_string(content)), _operators(model)
    kinds = [kind for kind in _INT8_OPERATORS if after.count(kind) < before.count(kind)]
    model.metadata_props.add(key="quantized", value=json.dumps(kinds))
    return model.SerializeToString(), kinds


def _operators(model: onnx.ModelProto) -> list[str]:
    """The operators that work on float32 weights: one name for each node."""
    weights = model.graph.initializer
    floats = {weight.name for weight in weights if weight.data_type == onnx.TensorProto.FLOAT}
    return [node.op_type for node in model.graph.node if floats.intersection(node.input)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the advice to infer shapes first: the graph has them."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
