"""Which steps decided: shares of an answer's log-odds, step by step.

Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365). The baseline is the input that
says nothing: for numbers the mean step of the training rows, which is 0 once standardised, for
tokens an embedding of 0. On the straight line from there to the sequence the gradient is summed
up, and what a step collects is its share.

What is shared out are the predicted class's log-odds, because a network's logits are known only up
to a number that all classes have in common. The shares add up to the log-odds of the answer less
those of the baseline (completeness); how far the sum misses is measured and reported.
"""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.data.batches import pad
from seqbelt.data.cropping import Crop, crop_steps
from seqbelt.models.ensemble import Network

METHOD = "integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365)"
TOLERANCE = 0.01
"""Completeness gap that is small enough, relative to what is shared out."""
NOTHING = 0.01
"""Log-odds in nats: an answer that differs less from the baseline's leaves nothing to share."""
NUM_PARTS, NODES = 4, 9
"""Parts of the line at first, and points in each: all that most sequences need."""
NARROWEST = 2.0**-20
"""Parts are halved no further: float32 cannot tell their points apart."""
MOST_POINTS = 4096
"""On the whole line, about; then its parts are taken as they are."""
STEPS_AT_ONCE = 32_768
"""Padded steps of all points computed together: tens of megabytes."""


@dataclass(frozen=True)
class Explanation:
    """How much each step spoke for the predicted class, or, below 0, against it."""

    shares: np.ndarray
    """float64 ``(steps,)``, in nats of log-odds; NaN at steps that the network did not read."""
    predicted: int
    """Index of the predicted class."""
    log_odds: float
    """ln(p / (1 - p)) of the predicted class's probability p."""
    baseline_log_odds: float
    """The same class's log-odds at the baseline."""
    num_points: int
    """Points on the line where the gradient was taken."""

    @property
    def gap(self) -> float:
        """How far the shares' sum misses the difference of the log-odds, relative to it."""
        difference = self.log_odds - self.baseline_log_odds
        return abs(float(np.nansum(self.shares)) - difference) / max(abs(difference), NOTHING)


def explain(
    network: Network,
    sequence: np.ndarray,
    max_steps: int | None = None,
    crop: Crop = "head",
) -> Explanation:
    """Explain the answer to one encoded sequence, ``(steps, features)`` or ``(steps,)`` token ids.

    ``max_steps`` and ``crop`` are the model's: what is explained is the answer that it gives, be
    it the mean probability over windows. A step that two windows read gets its shares in both.
    Runs on the network's own device and changes nothing.
    """
    places = crop_steps(np.arange(len(sequence)), max_steps, crop)
    inputs, lengths = pad([sequence[place] for place in places])
    line = _Line(network, inputs.to(next(network.parameters()).device), lengths)
    with _differentiable(network):
        predicted, baseline_log_odds, log_odds = line.ends()
        collected, num_points = line.collect(predicted, log_odds - baseline_log_odds)
    shares = _join(collected, places, len(sequence))
    return Explanation(shares, predicted, log_odds, baseline_log_odds, num_points)


class _Line:
    """The straight line from the baseline to a sequence, which is read in one stretch or more.

    A point is named by its scale, 0 at the baseline and 1 at the sequence. Each step has a scale
    of its own to be differentiated by: that gives its share without a gradient for each feature.
    """

    def __init__(self, network: Network, inputs: Tensor, lengths: Tensor) -> None:
        self.network, self.inputs, self.lengths = network, inputs, lengths
        self.shape = inputs.shape[:2]
        # What it puts out is 0 at the baseline.
        self.first = [one.embed if one.is_tokens else one.normalize for one in network.networks]

    def ends(self) -> tuple[int, float, float]:
        """The predicted class, and its log-odds at the baseline and at the sequence."""
        with torch.no_grad():
            start, end = self._log_probabilities(self._scales(torch.tensor([0.0, 1.0])))
        predicted = int(end.argmax())
        return predicted, float(_log_odds(start, predicted)), float(_log_odds(end, predicted))

    def collect(self, predicted: int, difference: float) -> tuple[np.ndarray, int]:
        """What each step collects, ``(stretches, steps)``, and at how many points.

        A part of the line is halved until it collects what the log-odds change over it. Points
        at equal distances would miss what they change by: a recurrent network can flip from one
        state to another within a thousandth of the line.
        """
        nodes, weights = _lobatto(NODES)
        tolerance = TOLERANCE * max(abs(difference), NOTHING) / (4 * NUM_PARTS)
        parts = deque((part / NUM_PARTS, (part + 1) / NUM_PARTS) for part in range(NUM_PARTS))
        collected, num_points = np.zeros(self.shape), 0
        while parts:
            start, end = parts.popleft()
            log_odds, slopes = self._differentiate(start + (end - start) * nodes, predicted)
            found = (end - start) * np.tensordot(weights, slopes, axes=1)
            num_points += len(nodes)
            missed = abs(found.sum() - (log_odds[-1] - log_odds[0]))
            if missed > tolerance and end - start > NARROWEST and num_points < MOST_POINTS:
                middle = (start + end) / 2
                parts += [(start, middle), (middle, end)]
            else:
                collected += found
        return collected, num_points

    def _differentiate(self, points: np.ndarray, predicted: int) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds ``(points,)`` and their slopes by each scale ``(points, stretches, steps)``."""
        log_odds, slopes = [], []
        for some in torch.from_numpy(points).split(max(1, STEPS_AT_ONCE // self.shape.numel())):
            scales = self._scales(some).requires_grad_()
            found = _log_odds(self._log_probabilities(scales), predicted)
            log_odds.append(found.detach().double().cpu())
            slopes.append(torch.autograd.grad(found.sum(), scales)[0].double().cpu())
        return torch.cat(log_odds).numpy(), torch.cat(slopes).numpy()

    def _scales(self, points: Tensor) -> Tensor:
        """The same scale for every step: ``(points, stretches, steps)``."""
        return points.float().to(self.inputs.device)[:, None, None].repeat(1, *self.shape)

    def _log_probabilities(self, scales: Tensor) -> Tensor:
        """Logs of the mean window probabilities ``(points, classes)``."""
        num_points = len(scales)
        inputs = self.inputs.expand(num_points, *self.inputs.shape).flatten(0, 1)

        def scale(module: nn.Module, arguments: Any, steps: Tensor) -> Tensor:
            return steps * scales.flatten(0, 1)[:, :, None]

        hooks = [one.register_forward_hook(scale) for one in self.first]  # type: ignore[arg-type]
        try:
            logits = self.network(inputs, self.lengths.repeat(num_points))
        finally:
            for hook in hooks:
                hook.remove()
        votes = logits.float().log_softmax(1).view(num_points, len(self.lengths), -1)
        return votes.logsumexp(1) - math.log(len(self.lengths))


@contextmanager
def _differentiable(network: Network) -> Iterator[None]:
    """Without dropout, and yet with a backward pass, which cuDNN has in training mode only."""
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        network.train(was_training)


def _lobatto(num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Lobatto nodes and weights on 0..1: the best rule that has both ends among its nodes."""
    legendre = np.polynomial.Legendre.basis(num_nodes - 1)
    nodes = np.array([-1.0, *np.sort(legendre.deriv().roots().real), 1.0])
    weights = 1 / (num_nodes * (num_nodes - 1) * legendre(nodes) ** 2)
    return (nodes + 1) / 2, weights


def _log_odds(log_probabilities: Tensor, predicted: int) -> Tensor:
    """ln(p / (1 - p)) of one class, from logs ``(..., classes)``; 1 - p is summed, not rounded."""
    others = torch.arange(log_probabilities.shape[-1]) != predicted
    rest = log_probabilities[..., others.to(log_probabilities.device)].logsumexp(-1)
    return log_probabilities[..., predicted] - rest


def _join(collected: np.ndarray, places: list[np.ndarray], num_steps: int) -> np.ndarray:
    """Each stretch's shares at their places in the sequence; NaN where no stretch is."""
    shares = np.full(num_steps, np.nan)
    shares[np.concatenate(places)] = 0
    for row, place in zip(collected, places, strict=True):
        shares[place] += row[: len(place)]
    return shares
