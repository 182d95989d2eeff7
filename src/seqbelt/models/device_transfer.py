"""From the CPU to a GPU without waiting for it."""

import torch
from torch import Tensor


def upload(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device. A GPU is not waited for: the copy is queued behind its work.

    For that the values must lie in page-locked memory; pageable memory would be copied at once,
    when all work before is done.
    """
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
