"""What cuDNN's kernels take for a step in time, and where it has no fast one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from gpu_training.rates import set_precision, wait
from gpu_training.ways import MODULES, autocast

COLUMNS = (("float32", False), ("float32", True), ("tf32", False), ("bf16", False))
"""Precision, and whether the batch is packed. bf16 is autocast, as the product trains."""
HIDDEN_SIZES = (64, 128, 192, 256, 384, 512)
BATCH, STEPS, FEATURES = 32, 256, 64


@dataclass(frozen=True)
class Kernel:
    """Microseconds for each step in time, forward and backward, of one layer in one direction."""

    cell: str
    hidden_size: int
    precision: str
    is_packed: bool
    microseconds: float


def time_kernels(device: torch.device, hidden_sizes: Sequence[int]) -> list[Kernel]:
    found = []
    for cell in MODULES:
        for hidden_size in hidden_sizes:
            for precision, is_packed in COLUMNS:
                took = _time(cell, hidden_size, precision, is_packed, device)
                found.append(Kernel(cell, hidden_size, precision, is_packed, took))
    return found


def _time(
    cell: str, hidden_size: int, precision: str, is_packed: bool, device: torch.device
) -> float:
    set_precision(precision)
    torch.manual_seed(0)
    layer = MODULES[cell](FEATURES, hidden_size, batch_first=True).to(device)
    inputs = torch.randn(BATCH, STEPS, FEATURES, device=device, requires_grad=True)
    lengths = torch.linspace(STEPS // 2, STEPS, BATCH).long()

    def loss() -> Tensor:
        if not is_packed:
            return layer(inputs)[0].float().sum()
        packed = pack_padded_sequence(inputs, lengths, True, enforce_sorted=False)
        return layer(packed)[0].data.sum()

    def step() -> None:
        layer.zero_grad(set_to_none=True)
        with autocast(precision, device):
            found = loss()
        found.backward()

    return 1e6 * min(_seconds(step, device) for _ in range(3)) / STEPS


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    step()
    wait(device)
    began = time.perf_counter()
    for _ in range(3):
        step()
    wait(device)
    return (time.perf_counter() - began) / 3
