"""The training device, chosen by Accelerate, and its arithmetic."""

import atexit
import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from seqbelt.errors import SettingsError
from seqbelt.models.fused.library import processor_flags
from seqbelt.training.hyperparameters import Device, Precision
from seqbelt.training.launch import is_single_process


def find_device(device: Device, precision: Precision) -> Accelerator:
    """The accelerator of this run. Accelerate keeps one state per process, which is reset here.

    Raises SettingsError if the device is not available or does not support the precision.
    """
    from accelerate.state import AcceleratorState

    if not is_single_process():
        # Imported later, its default arguments would keep the process group alive.
        importlib.import_module("torch.distributed.nn")
        atexit.register(_destroy_process_group)
    # Accelerate has no public way to begin anew in one process.
    AcceleratorState._reset_state(reset_partial_state=True)  # pyright: ignore[reportPrivateUsage]
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
        "auto": True,
    }
    if not available[device]:
        raise SettingsError(
            f"training.device: {device} is not available on this machine; use auto or cpu"
        )
    accelerator = Accelerator(
        cpu=device == "cpu", mixed_precision="bf16" if precision == "bf16" else "no"
    )
    if precision == "bf16" and accelerator.device.type == "cpu" and not has_bf16_products():
        raise SettingsError(
            "training.precision: this processor has no bfloat16 products (they would be "
            "emulated, slower than float32); set it to float32"
        )
    if precision == "tf32" and accelerator.device.type != "cuda":
        raise SettingsError(
            f"training.precision: tf32 needs a CUDA device, but training.device is "
            f"{accelerator.device}; use float32"
        )
    round_to_tf32(precision == "tf32")
    return accelerator


def _destroy_process_group() -> None:
    """End the communication threads before Python exits, where they would abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Context in which the CPU flushes subnormal numbers to zero.

    A gradient that vanishes over many steps becomes subnormal, and processors take up to a hundred
    times as long for each such number. The former mode is restored at the end.
    """
    were_flushed = float(torch.tensor(1e-40) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_flushed)


def has_bf16_products() -> bool:
    """Whether the processor has bfloat16 products (AVX-512, AMX or ARM's extension)."""
    return not processor_flags().isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def round_to_tf32(is_rounded: bool) -> None:
    """Allow or forbid a GPU to round the factors of float32 products to TF32 (10-bit mantissa).

    torch allows it in cuDNN by default.
    """
    torch.backends.cuda.matmul.allow_tf32 = is_rounded
    torch.backends.cudnn.allow_tf32 = is_rounded


@contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Context in which a GPU multiplies float32 exactly; the former settings are restored. Other
    devices are unaffected."""
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
    """AdamW, fused into one kernel where torch supports that.

    On a GPU the learning rate is a tensor there, so that a CUDA graph can read it.
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
    """Set the learning rate of the next step, without waiting for a GPU."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate


def has_fused_optimizer(device: torch.device) -> bool:
    """Whether torch has fused optimizers on the device: on a CPU since 2.4."""
    return device.type != "mps" and (device.type != "cpu" or torch.__version__ >= "2.4")
