"""Export a bundle as an ONNX file with metadata, and run such a file as a torch module.

Importing this module needs the extra ``onnx``.
"""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from seqbelt.data.labels.targets import DEFAULT_THRESHOLD
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.pretrained.onnx_model import MODEL_FILE
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.onnx_features import add_features
from seqbelt.inference.onnx_graph import build_graph

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
    graph = build_graph(
        bundle.network, file_metadata(bundle), temperature, bundle.target.is_several
    )
    return graph.SerializeToString()


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

    ``framing`` of audio is in samples.
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
        metadata["thresholds"] = json.dumps(
            bundle.thresholds or [DEFAULT_THRESHOLD] * len(bundle.classes)
        )
    if bundle.target.is_ordered:
        metadata["ordered"] = json.dumps(True)
    rule, features = crop_rule(bundle), bundle.features
    if rule is not None:
        metadata["crop"] = rule
    if isinstance(features, AudioFeatures):
        framing = {name: getattr(features, name) for name in ("fft_size", "window", "hop")}
        metadata["framing"] = json.dumps(framing)
    learned = {
        f"learned/{name}": content.decode()
        for name, content in bundle.learned.items()
        if not name.endswith(MODEL_FILE)  # another ONNX file; encoder.json has its hash
    }
    return metadata | learned


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
