"""Standardisation by the statistics of the training rows, as buffers of the network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqbelt.models.device_transfer import upload
from seqbelt.models.model import NEGLIGIBLE_SPREAD
from seqbelt.models.step_mask import valid_steps


class Standardize(nn.Module):
    """Subtract the mean and divide by the standard deviation of the training rows' steps.

    ``by_sequence`` appends each feature standardised by the mean and the standard deviation of its
    sequence, which removes gains and offsets of a recording. ``differences`` appends each feature's
    difference from the step before, divided by the root mean square of the training rows'
    differences.
    """

    mean: Tensor
    std: Tensor
    difference_scale: Tensor

    def __init__(
        self, num_features: int, by_sequence: bool = False, differences: bool = False
    ) -> None:
        super().__init__()
        self.by_sequence, self.differences = by_sequence, differences
        self.output_size = num_features * (1 + by_sequence + differences)
        if differences:
            self.register_buffer("difference_scale", torch.ones(num_features))
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))

    def learn(self, mean: Tensor, std: Tensor, difference_rms: Tensor | None = None) -> None:
        """Set the statistics ``(features,)`` of the training rows: mean and standard deviation over
        steps, root mean square of the differences (the standard deviation unless given). Constant
        features are not scaled."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, 1.0))
        if self.differences:
            scale = self.std if difference_rms is None else difference_rms
            self.difference_scale.copy_(torch.where(scale > 1e-6 * self.std, scale, self.std))

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """``(batch, steps, features)`` to ``(batch, steps, output_size)``."""
        parts = [(inputs - self.mean) / self.std]
        if self.by_sequence:
            parts.append(self._by_sequence(inputs, lengths))
        if self.differences:  # 0 at the first step
            differences = F.pad(inputs[:, 1:] - inputs[:, :-1], (0, 0, 1, 0))
            parts.append(differences / self.difference_scale)
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]

    def _by_sequence(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        # In float64 the mean of a constant feature is exact; Apple's GPUs lack float64.
        dtype = torch.float32 if inputs.device.type == "mps" else torch.float64
        lengths = upload(lengths, inputs.device)
        is_padding = ~valid_steps(lengths, inputs.shape[1], inputs.device)[:, :, None]
        lengths = lengths[:, None, None]
        values = inputs.to(dtype).masked_fill(is_padding, 0)
        # Padding stays 0: it must not affect the range of a quantised product.
        centred = (values - values.sum(1, keepdim=True) / lengths).masked_fill(is_padding, 0)
        spread = (centred.square().sum(1, keepdim=True) / lengths).sqrt()
        return (centred / (spread + NEGLIGIBLE_SPREAD * self.std)).to(inputs.dtype)
