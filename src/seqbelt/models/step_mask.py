"""Which steps of a padded batch belong to its sequences."""

import torch
from torch import Tensor

from seqbelt.models.device_transfer import upload


def valid_steps(lengths: Tensor, num_steps: int, device: torch.device) -> Tensor:
    """Bool ``(batch, num_steps)`` on a device, true for the first ``lengths`` ``(batch,)``."""
    return torch.arange(num_steps, device=device) < upload(lengths, device)[:, None]
