"""From the CPU to a GPU without waiting for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

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


@contextmanager
def beside(*inputs: Tensor) -> Iterator[None]:
    """On a GPU, let what is computed here run beside what follows, until ``join``.

    ``inputs`` are the tensors that it reads.
    """
    device = inputs[0].device
    if device.type != "cuda":
        yield
        return
    stream = _stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    for tensor in inputs:
        tensor.record_stream(stream)  # its memory is not given to others before
    with torch.cuda.stream(stream):
        yield


def join(*outputs: Tensor) -> None:
    """Wait, on the GPU, for what ``beside`` computed: ``outputs``."""
    device = outputs[0].device
    if device.type != "cuda":
        return
    current = torch.cuda.current_stream(device)
    current.wait_stream(_stream(device))
    for tensor in outputs:
        tensor.record_stream(current)


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
