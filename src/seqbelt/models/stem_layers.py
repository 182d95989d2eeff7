"""The layers of a stem (``models/stem.py``)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqbelt.models.stem import Stem
from seqbelt.models.step_mask import valid_steps


class StemLayers(nn.Module):
    """The layers of a stem. With ``causal`` an output step depends on no later input step."""

    def __init__(self, settings: Stem, num_features: int, causal: bool) -> None:
        super().__init__()
        self.reduction, self.causal = settings.reduction, causal
        sizes = [num_features, *settings.channels]
        self.output_size = sizes[-1]
        self.blocks = nn.ModuleList(
            StemBlock(*block, causal)
            for block in zip(sizes[:-1], sizes[1:], settings.kernel_sizes, settings.strides)
        )

    def forward(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, steps, features)`` and lengths ``(batch,)`` to ``(batch, fewer steps,
        output_size)`` and the reduced lengths ``(batch,)``, on the device of ``lengths``."""
        channels = steps.transpose(1, 2)
        for block in self.blocks:
            channels, lengths = block(channels, lengths)
        return channels.transpose(1, 2).contiguous(), lengths

    def advance(self, steps: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Outputs ``(1, steps, output_size)`` of the next steps ``(1, steps, features)`` of one
        sequence, for a causal stem without strides.

        ``past`` are the steps before them that each block needs, as the last call returned them;
        empty at the beginning.
        """
        channels, kept = steps.transpose(1, 2), []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, StemBlock)
            channels, last = block.advance(channels, past[number] if past else None)
            kept.append(last)
        return channels.transpose(1, 2).contiguous(), kept


class StemBlock(nn.Module):
    """One block of a stem; tensors are ``(batch, channels, steps)``."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, causal: bool
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(in_channels, out_channels, kernel_size, stride)
        self.normalize = nn.LayerNorm(out_channels)
        self.stride = stride
        self.padding = (kernel_size - 1, 0) if causal else (kernel_size // 2, kernel_size // 2)
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Padded steps are read as zeros, like those before the first step."""
        valid = valid_steps(lengths, inputs.shape[2], inputs.device)
        inputs = inputs.masked_fill(~valid[:, None], 0)
        outputs = self._convolve(F.pad(inputs, self.padding), inputs)
        return outputs, output_lengths(lengths, self.stride)

    def advance(self, inputs: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """The outputs of the next ``inputs`` ``(1, channels, steps)`` of a sequence, and the last
        inputs, which the next call needs as its ``past``."""
        if past is None:
            past = inputs.new_zeros(1, inputs.shape[1], self.padding[0])
        window = torch.cat([past, inputs], dim=2)
        return self._convolve(window, inputs), window[:, :, window.shape[2] - past.shape[2] :]

    def _convolve(self, window: Tensor, inputs: Tensor) -> Tensor:
        """The block's outputs for its ``inputs``, which are padded in ``window``."""
        outputs = self.normalize(self.convolution(window).transpose(1, 2)).transpose(1, 2).relu()
        return outputs + inputs if self.is_residual else outputs


def output_lengths(lengths: Tensor, stride: int) -> Tensor:
    """Numbers of steps ``(batch,)`` after a stride; the first step always stays."""
    return torch.div(lengths - 1, stride, rounding_mode="floor") + 1
