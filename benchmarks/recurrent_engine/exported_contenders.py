"""The network as an ONNX file in ONNX Runtime and OpenVINO: inference only, optional contenders."""

import importlib
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

from recurrent_engine.contenders import HIDDEN_SIZE, Contender, Task, torch_layer
from seqbelt.data.batches import Batch
from seqbelt.inference.onnx_export import OnnxNetwork
from seqbelt.inference.onnx_graph import build_graph
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.models.model import Model


def exported_contenders() -> tuple[list[Contender], str]:
    """The contenders whose packages are installed, and all versions or why there is none."""
    runtimes: dict[str, tuple[str, Callable[[bytes], nn.Module]]] = {
        "ONNX Runtime": ("onnxruntime", OnnxNetwork),
        "OpenVINO": ("openvino", OpenVinoNetwork),
    }
    contenders, versions = [], []
    for name, (package, open_file) in runtimes.items():
        try:
            importlib.import_module(package)
        except ImportError as error:
            versions.append(f"{name} skipped ({error})")
            continue
        versions.append(f"{name} {version(package)}")
        contenders.append(
            Contender(name, _maker(open_file), bucketed=True, slow="long", inference_only=True)
        )
    return contenders, ", ".join(versions)


def _maker(open_file: Callable[[bytes], nn.Module]) -> Callable[[Task, bool], "ExportedRunner"]:
    return lambda task, bf16: ExportedRunner(task, open_file)


class OpenVinoNetwork(nn.Module):
    """An ONNX file in OpenVINO on the CPU, as a torch module."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        import openvino

        core = openvino.Core()
        threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        # OpenVINO rounds to bfloat16 by itself where the processor has its products.
        settings = threads | {"INFERENCE_PRECISION_HINT": "f32"}
        self.compiled = core.compile_model(core.read_model(content), "CPU", settings)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of padded inputs."""
        results = self.compiled({"inputs": inputs.numpy(), "lengths": lengths.numpy()})
        return torch.from_numpy(np.array(results["logits"]))


class ExportedRunner:
    """The network of ``TorchRunner`` as the file that ``seqbelt export`` writes."""

    def __init__(self, task: Task, open_file: Callable[[bytes], nn.Module]) -> None:
        self.network = _network(task)
        self.exported = open_file(build_graph(self.network, {}).SerializeToString())

    def load(self, batch: Batch) -> Batch:
        return batch

    def train(self, batch: Batch) -> None:
        raise NotImplementedError("an exported file is not trained")

    def infer(self, batch: Batch) -> None:
        self.exported(batch.inputs, batch.lengths)

    def error(self, batch: Batch) -> float:
        """Largest difference of a logit from those of torch."""
        with torch.inference_mode():
            expected = self.network(batch.inputs, batch.lengths)
        return float((self.exported(batch.inputs, batch.lengths) - expected).abs().max())


def _network(task: Task) -> SequenceNetwork:
    """Embedding for tokens, one recurrent layer with the contenders' weights, last state."""
    workload = task.workload
    model = Model(
        cell=task.cell,
        hidden_size=HIDDEN_SIZE,
        bidirectional=workload.bidirectional,
        embedding_size=workload.input_size if workload.vocabulary_size else Model().embedding_size,
        pooling="last",
        stem="none",
        scaling="rows",
        differences=False,
    )
    size = workload.vocabulary_size or workload.input_size
    network = build_network(model, size, workload.num_classes, bool(workload.vocabulary_size))
    network.recurrent.weights.load_state_dict(torch_layer(task).state_dict())
    return network.eval()
