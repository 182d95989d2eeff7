"""The device that trains, found by Accelerate."""

import atexit
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from seqbelt.errors import SettingsError
from seqbelt.models.fused.build import processor_flags
from seqbelt.training.launch import is_single_process

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["float32", "tf32", "bf16"]


def find_device(device: Device, precision: Precision) -> Accelerator:
    """The accelerator of this run. It keeps one state a process, which a new run resets.

    Raises SettingsError if the device is not there, or does not compute in that precision.
    """
    from accelerate.state import AcceleratorState

    if not is_single_process():
        importlib.import_module("torch.distributed.nn")  # loaded later, its defaults hold the group
        atexit.register(_leave_the_group)
    AcceleratorState._reset_state(reset_partial_state=True)
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
        "auto": True,
    }
    if not available[device]:
        raise SettingsError(f"training.device: {device} is not available here; use auto or cpu")
    found = Accelerator(
        cpu=device == "cpu", mixed_precision="bf16" if precision == "bf16" else "no"
    )
    if precision == "bf16" and found.device.type == "cpu" and not has_bf16_products():
        raise SettingsError(
            "training.precision: bf16, but this processor does not multiply bfloat16 (it would be "
            "emulated, slower than float32, or refused); use float32"
        )
    if precision == "tf32" and found.device.type != "cuda":
        raise SettingsError(
            f"training.precision: tf32 is a GPU's, this trains on {found.device}; use float32"
        )
    round_to_tf32(precision == "tf32")
    return found


def _leave_the_group() -> None:
    """End the threads that listen to the other processes while Python still runs: where they let go
    of a tensor later, the process is aborted at its end."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Within it a CPU's numbers below the smallest normal one become zero.

    A gradient that vanishes over many steps passes through them, and processors take up to a
    hundred times as long for each. The caller's own arithmetic is as it was afterwards.
    """
    were_flushed = float(torch.tensor(1e-40) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_flushed)


def has_bf16_products() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX-512 or AMX, or ARM's extension)."""
    return not processor_flags().isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def round_to_tf32(is_rounded: bool) -> None:
    """Whether a GPU may round the factors of float32 products to TF32's ten bits after the point.

    torch lets cuDNN do so unless told otherwise.
    """
    torch.backends.cuda.matmul.allow_tf32 = is_rounded
    torch.backends.cudnn.allow_tf32 = is_rounded


@contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Within it a GPU multiplies float32 exactly; the settings of before are restored. On another
    device nothing is changed."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    round_to_tf32(False)
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def make_optimizer(network: nn.Module, learning_rate: float, weight_decay: float) -> AdamW:
    """AdamW, in one kernel for all weights where torch has that.

    On a GPU the learning rate lies there as well, where a recorded step reads it.
    """
    device = next(network.parameters()).device
    on_gpu = device.type == "cuda"
    return AdamW(
        network.parameters(),
        lr=torch.tensor(learning_rate, device=device) if on_gpu else learning_rate,
        weight_decay=weight_decay,
        fused=has_fused_optimizer(device),
        capturable=on_gpu,
    )


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Change it for the next step. Nothing waits for a GPU."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate


def has_fused_optimizer(device: torch.device) -> bool:
    """Whether torch's optimizers update all weights in one kernel there: on a CPU since 2.4."""
    return device.type != "mps" and (device.type != "cpu" or torch.__version__ >= "2.4")
