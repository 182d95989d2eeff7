"""A causal network as an ExecuTorch program of one step, and such a program as a torch module.

Importing this module needs the extra ``executorch``.
"""

import numpy as np
import torch
from executorch.exir import (  # pyright: ignore[reportMissingImports]  # an extra
    to_edge_transform_and_lower,
)
from executorch.runtime import Runtime  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn

from seqbelt.errors import SettingsError
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.exportable import why_not_stepwise
from seqbelt.inference.torch_step import StepNetwork


def export_executorch_bytes(bundle: Bundle) -> bytes:
    """The program of ``StepNetwork``, for the portable kernels.

    Raises SettingsError for a network that cannot read one step at a time.
    """
    reason = why_not_stepwise(bundle.network)
    if reason is not None:
        raise SettingsError(f"--format executorch: {reason}")
    network = StepNetwork(bundle).eval()
    exported = torch.export.export(network, network.example(), strict=False)
    return to_edge_transform_and_lower(exported).to_executorch().buffer


class ExecutorchStream(nn.Module):
    """A program of one step as a torch module that reads sequences step by step."""

    def __init__(self, content: bytes, example: tuple[Tensor, ...]) -> None:
        super().__init__()
        self._content = content  # the runtime reads from it
        method = Runtime.get().load_program(content).load_method("forward")
        assert method is not None
        self._method = method
        self._states = example[1:]

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits float32 ``(batch, classes)`` of padded inputs, as ``SequenceNetwork.forward``."""
        rows = zip(inputs, lengths.tolist(), strict=True)
        return torch.cat([self._read(row[:length]) for row, length in rows])

    def _read(self, steps: Tensor) -> Tensor:
        states, logits = list(self._states), torch.full((1, 1), np.nan)
        for step in steps.split(1):
            logits, _, *new_states = self._method.execute((step.contiguous(), *states))
            states = [state.clone() for state in new_states]  # the next step overwrites the outputs
        return logits.clone()
