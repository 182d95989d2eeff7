"""Gradient reach: how far back from a sequence's end the loss still teaches the network.

A recurrent network learns from a step only as far as the gradient of the loss comes back to it
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
"""A gradient this small against that of the last step teaches nothing within a training."""
SAMPLE_STEPS = 32_768
"""Steps in a measured sample, at most: half a second's work."""


@dataclass(frozen=True)
class GradientReach:
    """The gradient's norm k steps before the end, relative to the last step's: ``curve[k]``.

    The steps are those that the recurrence reads, of which a stem with strides makes fewer.
    The curve ends at the median length; half of the sequences have no such step further back.
    """

    curve: np.ndarray

    @property
    def steps(self) -> int:
        """Steps at the end, the last included, whose gradient is not negligible."""
        return self._steps_above(NEGLIGIBLE)

    @property
    def half_life(self) -> int:
        """Steps back from the end from which on the gradient stays at half or less."""
        return self._steps_above(0.5)

    @property
    def is_short(self) -> bool:
        """Whether less than half of a median sequence is within reach."""
        return self.steps < len(self.curve) / 2

    @property
    def warning(self) -> str | None:
        """What a short reach means and what to try, for a person; None where it is not short."""
        if not self.is_short:
            return None
        return (
            f"before training the gradient reaches {self.steps} steps back, the median sequence "
            f"has {len(self.curve)}: what comes early may never be learned; try "
            "model.forget_bias=chrono (LSTM, GRU), model.recurrent_init=orthogonal or "
            "model.pooling=mean"
        )

    def _steps_above(self, share: float) -> int:
        above = np.flatnonzero(self.curve > share)
        return int(above[-1]) + 1 if len(above) else 0


def measure_reach(network: SequenceNetwork, batch: Batch) -> GradientReach:
    """Measure on one batch on the network's own device, without dropout; changes nothing.

    The gradient is taken with respect to what enters the recurrent layers at each valid step, and
    through the last layer's forward direction alone: the other one reads the end first, and for
    it the way from the beginning is the short one.
    """
    batch = batch.to(next(network.parameters()).device)
    was_training = network.training
    network.eval()
    try:
        # cuDNN has no backward pass in evaluation mode, and training mode would drop values.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            lengths = batch.lengths
            entering = network.first_steps(batch.inputs, lengths)
            if network.stem is not None:
                entering, lengths = network.stem(entering, lengths)
            entering = entering.detach().requires_grad_()
            outputs, state = network.recurrent(entering, lengths)
            width = network.recurrent.forward_size
            outputs = _forward_only(outputs, width)
            final = _forward_only(network.recurrent.final(state), width)
            pooled, labels = network.pool(outputs, final, lengths), batch.labels
            if network.labels_steps:  # what is asked is how far back the last step's answer looks
                pooled, labels = final, _last(labels, lengths)
            loss = nn.functional.cross_entropy(network.classify(pooled), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, entering)
    finally:
        network.train(was_training)
    return GradientReach(_from_the_end(gradient.norm(dim=2).cpu().numpy(), lengths.cpu().numpy()))


def draw_sample(sequences: Sequences, seed: int) -> Batch:
    """A batch of random sequences, as many as fit the work that a measurement may cost."""
    order = np.random.default_rng(seed).permutation(len(sequences))[:64]
    fitting = np.arange(1, len(order) + 1) * np.maximum.accumulate(sequences.lengths[order])
    return make_batch(sequences, order[: max(1, int((fitting <= SAMPLE_STEPS).sum()))])


def _last(labels: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Class of each row's last step; any will do where it has none."""
    return labels[torch.arange(len(labels)), lengths - 1].clamp_min(0)


def _forward_only(values: torch.Tensor, width: int) -> torch.Tensor:
    """Cut the backward direction, whose values follow the first ``width``, out of the graph."""
    return torch.cat([values[..., :width], values[..., width:].detach()], dim=-1)


def _from_the_end(norms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean norm at each lag relative to lag 0, over the sequences that are long enough."""
    lags = np.arange(int(np.median(lengths)))
    places = lengths[:, None] - 1 - lags
    has_lag = places >= 0
    found = np.where(has_lag, np.take_along_axis(norms, places.clip(0), axis=1), 0.0).sum(0)
    last = (norms[np.arange(len(lengths)), lengths - 1][:, None] * has_lag).sum(0)
    return found / np.maximum(last, np.finfo(norms.dtype).tiny)
