"""Pooling of the outputs at the valid steps to one vector per sequence."""

import torch
from torch import Tensor, nn

from seqbelt.models.model import ATTENDING, ATTENTION_WIDTH, LOCAL, POOLED_PARTS, PoolingName
from seqbelt.models.step_mask import valid_steps

MIN_RELATIVE_SCORE = -60.0
"""Attention scores are at least this far below the sequence's largest one, within float32."""


class Pooling(nn.Module):
    """Pool outputs ``(batch, steps, width)`` to ``(batch, output_size)`` over valid steps only.

    ``last`` is the final state; ``attention`` learns one score for each step (Yang et al. 2016,
    doi:10.18653/v1/N16-1174, with the score a linear function of the output's tanh);
    ``attention_max`` concatenates that and the maximum; ``concat`` concatenates last, mean and max
    (Howard & Ruder 2018, arXiv:1801.06146); ``none`` keeps every step, ``(batch, steps, width)``,
    with zeros at padded steps.
    """

    def __init__(self, name: PoolingName, width: int) -> None:
        super().__init__()
        self.name: PoolingName = name
        self.output_size = POOLED_PARTS.get(name, 1) * width
        if name in ATTENDING:
            # Narrow: the scores must cost little compared with the recurrence.
            self.project = nn.Linear(width, ATTENTION_WIDTH)
            self.score = nn.Linear(ATTENTION_WIDTH, 1, bias=False)

    def forward(self, outputs: Tensor, final: Tensor, lengths: Tensor) -> Tensor:
        """``final`` ``(batch, width)`` is the final hidden state; ``lengths`` ``(batch,)`` are on
        the CPU or on the outputs' device."""
        if self.name == "last":
            return final
        valid = valid_steps(lengths, outputs.shape[1], outputs.device)
        if self.name == "none":
            # Padded steps may be NaN, which would reach the weights' gradient.
            return outputs.masked_fill(~valid[:, :, None], 0)
        if self.name in ATTENDING:
            attended = (self.weights(outputs, valid)[:, :, None] * outputs).sum(1)
            if self.name == "attention":
                return attended
            return torch.cat([attended, _max(outputs, valid)], dim=1)
        if self.name == "mean":
            return _mean(outputs, valid)
        if self.name == "max":
            return _max(outputs, valid)
        return torch.cat([final, _mean(outputs, valid), _max(outputs, valid)], dim=1)

    def around_steps(self, outputs: Tensor, lengths: Tensor, num_steps: int) -> Tensor:
        """Pool the ``num_steps`` valid steps around each step: ``(batch, steps, output_size)``.

        ``num_steps`` is odd. Raises ValueError for a pooling that is not ``LOCAL``.
        """
        if self.name not in LOCAL:
            raise ValueError(f"pooling {self.name} needs the complete sequence")
        valid = valid_steps(lengths, outputs.shape[1], outputs.device)
        pooled = []
        if self.name in ATTENDING:
            scores = self.scores(outputs).masked_fill(~valid, -torch.inf)
            scores = (scores - scores.amax(1, keepdim=True)).clamp_min(MIN_RELATIVE_SCORE)
            pooled.append(_local_mean(outputs, scores.exp() * valid, num_steps))
        if self.name == "mean":
            pooled.append(_local_mean(outputs, valid.to(outputs.dtype), num_steps))
        if self.name in ("max", "attention_max"):
            highest = outputs.masked_fill(~valid[:, :, None], -torch.inf).transpose(1, 2)
            around = nn.functional.max_pool1d(highest, num_steps, 1, num_steps // 2)
            pooled.append(around.transpose(1, 2))
        return torch.cat(pooled, dim=2).masked_fill(~valid[:, :, None], 0)

    def weights(self, outputs: Tensor, valid: Tensor) -> Tensor:
        """Attention weights ``(batch, steps)``; rows sum to 1, padded steps have 0."""
        return self.scores(outputs).masked_fill(~valid, -torch.inf).softmax(dim=1)

    def scores(self, outputs: Tensor) -> Tensor:
        """Attention scores ``(batch, steps)`` before the softmax."""
        return self.score(torch.tanh(self.project(outputs))).squeeze(2)


def _mean(outputs: Tensor, valid: Tensor) -> Tensor:
    # masked_fill, not a product: padded steps are undefined and may be NaN.
    total = outputs.masked_fill(~valid[:, :, None], 0).sum(1)
    return total / valid.sum(1, keepdim=True)


def _max(outputs: Tensor, valid: Tensor) -> Tensor:
    return outputs.masked_fill(~valid[:, :, None], -torch.inf).amax(1)


def _local_mean(outputs: Tensor, weights: Tensor, num_steps: int) -> Tensor:
    """Mean of the ``num_steps`` outputs around each step by ``weights`` ``(batch, steps)``."""
    weighted = torch.cat([outputs.nan_to_num() * weights[:, :, None], weights[:, :, None]], dim=2)
    sums = nn.functional.avg_pool1d(
        weighted.transpose(1, 2), num_steps, 1, num_steps // 2
    ).transpose(1, 2)
    return sums[:, :, :-1] / sums[:, :, -1:].clamp_min(torch.finfo(sums.dtype).tiny)
