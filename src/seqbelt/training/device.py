"""The device that trains, found by Accelerate."""

from typing import Literal

import torch
from accelerate import Accelerator

from seqbelt.errors import SettingsError
from seqbelt.models.fused.build import processor_flags

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["float32", "bf16"]


def find_device(device: Device, precision: Precision) -> Accelerator:
    """The accelerator of this run. It keeps one state a process, which a new run resets.

    Raises SettingsError if the device is not there, or does not compute in that precision.
    """
    from accelerate.state import AcceleratorState

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
    return found


def has_bf16_products() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX-512 or AMX, or ARM's extension)."""
    return not processor_flags().isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def has_fused_optimizer(device: torch.device) -> bool:
    """Whether torch's optimizers update all weights in one kernel there: on a CPU since 2.4."""
    return device.type != "mps" and (device.type != "cpu" or torch.__version__ >= "2.4")
