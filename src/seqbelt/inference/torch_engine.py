"""The computation of a bundle's network by torch, or of its ONNX file by ONNX Runtime."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from seqbelt.data.batches import evaluation_plan, pad
from seqbelt.errors import SettingsError
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.engine import ProductPrecision
from seqbelt.training.device import without_tf32
from seqbelt.training.step_scoring import label_steps


class TorchEngine:
    """A bundle's network on a device. On a GPU, TF32 is off while it computes."""

    def __init__(
        self, bundle: Bundle, device: str, is_onnx: bool, precision: ProductPrecision
    ) -> None:
        """``is_onnx`` computes on the CPU by ONNX Runtime; ``device`` auto takes a GPU if there is
        one. Raises SettingsError for an invalid combination, or if ONNX Runtime is not installed.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() and not is_onnx else "cpu"
        self.device = torch.device(device)
        if is_onnx:
            bundle.refuse_several_inputs("--engine onnx")
        self.network = bundle.network.to(self.device).eval()
        for member in self.network.networks:
            member.main.recurrent.chosen_layout(self.device)  # may load the compiled kernel
        # A GPU's memory is for one batch: predictions that began by NumPy have a worker a core.
        self._turn = nullcontext() if self.is_on_cpu else Lock()
        self._num_classes = len(bundle.classes)
        self._precision: ProductPrecision = precision
        self._compute = _onnx_network(bundle, precision) if is_onnx else self.network
        if precision != "float32":
            self._try_precision(bundle)

    @property
    def is_on_cpu(self) -> bool:
        return self.device.type == "cpu"

    def logits(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Logits float32 ``(sequences, classes)`` of encoded sequences."""
        logits = np.empty((len(sequences), self._num_classes), np.float32)
        with self._turn:
            for indices, outputs in self.in_batches(sequences, self._compute):
                logits[indices] = outputs
        return logits

    def step_logits(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Logits float32 ``(steps, classes)`` of each sequence."""
        lengths = np.array([len(sequence) for sequence in sequences])
        with self._turn, without_tf32(self.device):
            return label_steps(self.network, sequences, lengths)

    def in_batches(
        self, sequences: Sequence[np.ndarray], compute: Callable[[Tensor, Tensor], Tensor]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Apply ``compute`` to padded batches of sequences and their lengths; gives each batch's
        indices and float32 outputs."""
        lengths = np.array([len(sequence) for sequence in sequences], int)
        for indices in evaluation_plan(lengths):
            inputs, batch_lengths = pad([sequences[index] for index in indices])
            with (
                without_tf32(self.device),  # with it probabilities depend on the batch
                torch.inference_mode(),
                torch.autocast(self.device.type, torch.bfloat16, self._precision == "bf16"),
            ):
                outputs = compute(inputs.to(self.device), batch_lengths).float().cpu().numpy()
            yield indices, outputs

    def _try_precision(self, bundle: Bundle) -> None:
        """Check that torch supports the precision: some builds have no LSTM in bfloat16."""
        kind = np.int32 if self.network.is_tokens else np.float32
        num_rows = 1 if bundle.layout is None else bundle.layout.num_header_rows
        shape = (1,) if self.network.is_tokens else (num_rows, bundle.num_features)
        try:
            self.logits([np.zeros(shape, kind)])
        except RuntimeError as error:
            raise SettingsError(
                f"--precision {self._precision}: not supported by this build of torch "
                f"({str(error).partition('.')[0]}); use float32, or install a C++ compiler for "
                "the fused kernel"
            ) from None


def _onnx_network(bundle: Bundle, precision: ProductPrecision) -> torch.nn.Module:
    if precision != "float32":
        raise SettingsError(f"--precision {precision}: --engine onnx computes in float32")
    try:
        from seqbelt.inference.onnx_export import OnnxNetwork, export_bytes
    except ImportError as error:
        raise SettingsError(
            f"--engine onnx: {error.name} cannot be imported; pip install 'seqbelt[onnx]'"
        ) from None
    return OnnxNetwork(export_bytes(bundle), num_threads=1)


def use_one_thread() -> None:
    """Run torch's operations in the calling thread alone.

    torch has this number per thread, but new threads start with the number set last by any
    thread; ``restore_num_threads`` restores that.
    """
    torch.set_num_threads(1)


def restore_num_threads() -> None:
    """Let new threads start with the calling thread's number again."""
    torch.set_num_threads(torch.get_num_threads())
