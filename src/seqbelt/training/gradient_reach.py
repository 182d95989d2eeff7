"""Gradient reach: how many steps back from a sequence's end the gradient is not negligible.

A recurrent network learns from a step only if the gradient of the loss reaches it
(Bengio et al. 1994, doi:10.1109/72.279181; Pascanu et al. 2013, arXiv:1211.5063).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from seqbelt.data.batches import Batch, make_batch
from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import SequenceNetwork

NEGLIGIBLE = 1e-3
"""Norm relative to the last step's below which a gradient has no effect on training."""
SAMPLE_STEPS = 32_768
"""Largest number of steps in the measured sample: about half a second of computing."""


@dataclass(frozen=True)
class GradientReach:
    """The gradient's norm k steps before the end, relative to the last step's: ``curve[k]``.

    The steps are those after the stem. The curve ends at the median length, beyond which fewer than
    half of the sequences have a step.
    """

    curve: np.ndarray

    @property
    def steps(self) -> int:
        """Steps at the end, the last included, whose gradient is not negligible."""
        return self._steps_above(NEGLIGIBLE)

    @property
    def half_life(self) -> int:
        """Steps back from the end beyond which the gradient is half or less."""
        return self._steps_above(0.5)

    @property
    def is_short(self) -> bool:
        """Whether the reach is less than half of the median length."""
        return self.steps < len(self.curve) / 2

    @property
    def warning(self) -> str | None:
        """A message with remedies; None where the reach is not short."""
        if not self.is_short:
            return None
        return (
            f"before training the gradient reaches {self.steps} steps back, the median sequence "
            f"has {len(self.curve)}: early steps may not be learned; try "
            "model.forget_bias=chrono (LSTM, GRU), model.recurrent_init=orthogonal or "
            "model.pooling=mean"
        )

    def _steps_above(self, fraction: float) -> int:
        above = np.flatnonzero(self.curve > fraction)
        return int(above[-1]) + 1 if len(above) else 0


def measure_reach(network: SequenceNetwork, batch: Batch) -> GradientReach:
    """Measure the reach on one batch, on the network's device, without dropout or side effects.

    The gradient is taken with respect to the recurrent layers' inputs at each valid step, through
    the last layer's forward direction only: the backward direction ends at the first step, from
    which its path is short. Of several inputs the first is measured.
    """
    batch = batch.to(next(network.parameters()).device)
    was_training = network.training
    network.eval()
    try:
        # cuDNN has no backward pass in evaluation mode, and training mode would drop values.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            branch, inputs, lengths, classify = network.main_branch(batch.inputs, batch.lengths)
            entering = branch.first_steps(inputs, lengths)
            if branch.stem is not None:
                entering, lengths = branch.stem(entering, lengths)
            entering = entering.detach().requires_grad_()
            outputs, state = branch.recurrent(entering, lengths)
            width = branch.recurrent.forward_size
            outputs = _forward_only(outputs, width)
            final = _forward_only(branch.recurrent.final(state), width)
            pooled, labels = branch.pool(outputs, final, lengths), batch.labels
            if network.labels_steps:  # measured for the prediction at the last step
                pooled, labels = final, _last(labels, lengths)
            loss = nn.functional.cross_entropy(classify(pooled), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, entering)
    finally:
        network.train(was_training)
    return GradientReach(_from_the_end(gradient.norm(dim=2).cpu().numpy(), lengths.cpu().numpy()))


def draw_sample(sequences: Sequences, seed: int) -> Batch:
    """A batch of random sequences, at most 64 and about ``SAMPLE_STEPS`` padded steps."""
    order = np.random.default_rng(seed).permutation(len(sequences))[:64]
    fitting = np.arange(1, len(order) + 1) * np.maximum.accumulate(sequences.lengths[order])
    return make_batch(sequences, order[: max(1, int((fitting <= SAMPLE_STEPS).sum()))])


def _last(labels: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Class of each row's last step; 0 where that step has no label."""
    return labels[torch.arange(len(labels)), lengths - 1].clamp_min(0)


def _forward_only(values: torch.Tensor, width: int) -> torch.Tensor:
    """Detach the backward direction, the values after the first ``width``."""
    return torch.cat([values[..., :width], values[..., width:].detach()], dim=-1)


def _from_the_end(norms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean norm at each lag relative to lag 0, over the sequences that have that lag."""
    lags = np.arange(int(np.median(lengths)))
    positions = lengths[:, None] - 1 - lags
    has_lag = positions >= 0
    totals = np.where(has_lag, np.take_along_axis(norms, positions.clip(0), axis=1), 0.0).sum(0)
    last = (norms[np.arange(len(lengths)), lengths - 1][:, None] * has_lag).sum(0)
    return totals / np.maximum(last, np.finfo(norms.dtype).tiny)
