"""Asynchronous copies from the CPU to a GPU."""

import torch
from torch import Tensor


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device, without waiting for a GPU.

    The values are put into page-locked memory first: a copy from pageable memory waits for all work
    before it.
    """
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
