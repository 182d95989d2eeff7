"""Attribution of a prediction to the steps of its sequence.

Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365). The baseline is an input without
information: for numbers the mean step of the training rows, which is 0 once standardised; for
tokens an embedding of 0. The gradient is integrated along the straight line from the baseline to
the sequence, and the integral at a step is its attribution.

Of several inputs all move along the line together, and so do the cells of the columns: 0 is the
mean of a number and no category at all. A missing input is a learned vector at both ends, so it has
no attribution.

The log-odds of the predicted class are attributed, because logits are defined only up to a constant
added to all classes. The attributions add up to the log-odds at the sequence minus those at the
baseline (completeness); the gap is measured and reported.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from seqbelt.cropping import READ_ALL, Cropping
from seqbelt.data.batches import pad
from seqbelt.models.classifier import JoinedNetwork
from seqbelt.models.ensemble import Network

METHOD = "integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365)"
TOLERANCE = 0.01
"""Tolerated completeness gap, relative to the difference of the log-odds."""
NOTHING = 0.01
"""Smallest difference of the log-odds from the baseline's, in nats, that can be attributed."""
NUM_PARTS, NODES = 4, 9
"""Initial parts of the line, and points in each: enough for most sequences."""
NARROWEST = 2.0**-20
"""Smallest part of the line: below it float32 points coincide."""
MOST_POINTS = 4096
"""Approximate limit of points on the line; then parts are not halved any more."""
STEPS_AT_ONCE = 32_768
"""Padded steps computed at once: tens of megabytes."""


@dataclass(frozen=True)
class Explanation:
    """The attribution of one prediction: positive for the predicted class, negative against it."""

    attributions: np.ndarray
    """float64 ``(steps,)``, in nats of log-odds; NaN at steps that the network does not read. Of
    several inputs: the steps of one after the other, then one value for each column."""
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
        """Relative gap between the attributions' sum and the difference of the log-odds."""
        difference = self.log_odds - self.baseline_log_odds
        return abs(float(np.nansum(self.attributions)) - difference) / max(abs(difference), NOTHING)

    @property
    def is_rough(self) -> bool:
        """Whether the gap exceeds what is tolerated."""
        return self.gap > TOLERANCE


def explain(
    network: Network,
    sequence: np.ndarray,
    cropping: Cropping = READ_ALL,
    predicted: int | None = None,
    is_several: bool = False,
) -> Explanation:
    """Explain the prediction for one encoded sequence, ``(steps, features)`` or token ids
    ``(steps,)``, or for a packed item of several inputs (``InputLayout``).

    ``cropping`` is the model's; with windows the mean probability is explained, and
    a step in two windows gets the attributions of both. ``predicted`` is the class whose log-odds
    are attributed, the likeliest unless given. With several labels (``is_several``) it is the label
    whose own log-odds are attributed. Runs on the network's device and changes nothing.
    """
    windows = cropping.windows(np.arange(len(sequence)))
    inputs, lengths = pad([sequence[window] for window in windows])
    label = predicted if is_several else None
    line = _Line(network, inputs.to(next(network.parameters()).device), lengths, label)
    with _differentiable(network):
        chosen, baseline_log_odds, log_odds = line.ends(predicted if label is None else 0)
        collected, num_points = line.collect(chosen, log_odds - baseline_log_odds)
    predicted = chosen if label is None else label
    if line.counts is None:
        attributions = _join(collected, windows, len(sequence))
    else:
        attributions = collected[0, line.is_present]
    return Explanation(attributions, predicted, log_odds, baseline_log_odds, num_points)


class _Line:
    """The straight line from the baseline to a sequence, which is read in one or more windows.

    A point is given by its scale, 0 at the baseline and 1 at the sequence. Each step has its own
    scale, whose derivative is the step's attribution, without a gradient for each feature; so has
    each column.
    """

    def __init__(
        self, network: Network, inputs: Tensor, lengths: Tensor, label: int | None = None
    ) -> None:
        """``label`` is one of several: the classes are then this label and not this label."""
        self.network, self.inputs, self.lengths = network, inputs, lengths
        self.label = label
        layout = network.networks[0].layout
        self.counts = None if layout is None else layout.num_steps(inputs[0].cpu().numpy())
        """Steps of each of several inputs."""
        self.widths = [] if layout is None else [column.width for column in layout.columns]
        sizes = [inputs.shape[1]] if self.counts is None else self.counts.clip(min=1).tolist()
        ends = np.cumsum([0, *sizes]).tolist()
        self.parts = [slice(start, end) for start, end in pairwise(ends)]
        """The scales of each input; a missing one is read as one step."""
        self.shape = (len(inputs), ends[-1] + len(self.widths))

    @property
    def is_present(self) -> np.ndarray:
        """Which scales belong to a step or a column, bool ``(scales,)``."""
        assert self.counts is not None
        steps = np.repeat(self.counts > 0, self.counts.clip(min=1))
        return np.append(steps, np.ones(len(self.widths), bool))

    def ends(self, predicted: int | None) -> tuple[int, float, float]:
        """The class, the likeliest unless given, and its log-odds at the baseline and at the
        sequence."""
        with torch.no_grad():
            start, end = self._log_probabilities(self._scales(torch.tensor([0.0, 1.0])))
        if predicted is None:
            predicted = int(end.argmax())
        return predicted, float(_log_odds(start, predicted)), float(_log_odds(end, predicted))

    def collect(self, predicted: int, difference: float) -> tuple[np.ndarray, int]:
        """Attributions ``(windows, scales)`` and the number of points.

        A part of the line is halved until its integral equals the change of the log-odds. Equally
        spaced points can miss the change: a recurrent network can switch states within a thousandth
        of the line.
        """
        nodes, weights = _lobatto(NODES)
        tolerance = TOLERANCE * max(abs(difference), NOTHING) / (4 * NUM_PARTS)
        parts = deque((part / NUM_PARTS, (part + 1) / NUM_PARTS) for part in range(NUM_PARTS))
        collected, num_points = np.zeros(self.shape), 0
        while parts:
            start, end = parts.popleft()
            log_odds, slopes = self._differentiate(start + (end - start) * nodes, predicted)
            integral = (end - start) * np.tensordot(weights, slopes, axes=1)
            num_points += len(nodes)
            missed = abs(integral.sum() - (log_odds[-1] - log_odds[0]))
            if missed > tolerance and end - start > NARROWEST and num_points < MOST_POINTS:
                middle = (start + end) / 2
                parts += [(start, middle), (middle, end)]
            else:
                collected += integral
        return collected, num_points

    def _differentiate(self, points: np.ndarray, predicted: int) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds ``(points,)`` and their derivatives by each scale ``(points, windows,
        scales)``."""
        log_odds, slopes = [], []
        for chunk in torch.from_numpy(points).split(max(1, STEPS_AT_ONCE // math.prod(self.shape))):
            scales = self._scales(chunk).requires_grad_()
            chunk_log_odds = _log_odds(self._log_probabilities(scales), predicted)
            log_odds.append(chunk_log_odds.detach().double().cpu())
            slopes.append(torch.autograd.grad(chunk_log_odds.sum(), scales)[0].double().cpu())
        return torch.cat(log_odds).numpy(), torch.cat(slopes).numpy()

    def _scales(self, points: Tensor) -> Tensor:
        """The same scale for every step and column: ``(points, windows, scales)``."""
        return points.float().to(self.inputs.device)[:, None, None].repeat(1, *self.shape)

    def _log_probabilities(self, scales: Tensor) -> Tensor:
        """Log of the mean window probabilities ``(points, classes)``."""
        num_points = len(scales)
        inputs = self.inputs.expand(num_points, *self.inputs.shape).flatten(0, 1)
        hooks = self._hooks(scales.flatten(0, 1))
        try:
            logits = self.network(inputs, self.lengths.repeat(num_points))
        finally:
            for hook in hooks:
                hook.remove()
        if self.label is not None:
            own = logits[:, self.label]
            logits = torch.stack([own, torch.zeros_like(own)], dim=1)
        log_probabilities = logits.float().log_softmax(1).view(num_points, len(self.lengths), -1)
        return log_probabilities.logsumexp(1) - math.log(len(self.lengths))

    def _hooks(self, scales: Tensor) -> list[RemovableHandle]:
        """Hooks that apply ``scales`` ``(batch, scales)`` where the baseline is 0: to embedded or
        standardised steps, and to the cells of the columns."""
        hooks = []
        for member in self.network.networks:
            for branch, part in zip(member.branches, self.parts, strict=True):
                first = branch.embed if branch.is_tokens else branch.normalize
                hooks.append(first.register_forward_hook(_scale_steps(scales[:, part])))
            if self.widths and isinstance(member, JoinedNetwork):
                widths = torch.tensor(self.widths, device=scales.device)
                cells = scales[:, -len(self.widths) :].repeat_interleave(widths, dim=1)
                hooks.append(member.join.register_forward_pre_hook(_scale_last(cells)))
        return hooks


def _scale_steps(scales: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    return lambda module, arguments, steps: steps * scales[:, :, None]


def _scale_last(scales: Tensor) -> Callable[[nn.Module, tuple[Tensor]], Tensor]:
    """Scale the last values of each row of a module's input."""

    def scale(module: nn.Module, arguments: tuple[Tensor]) -> Tensor:
        pooled, cells = arguments[0].tensor_split([-scales.shape[1]], dim=1)
        return torch.cat([pooled, cells * scales], dim=1)

    return scale


@contextmanager
def _differentiable(network: Network) -> Iterator[None]:
    """Evaluation mode with a backward pass, which cuDNN supports in training mode only."""
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


def _join(collected: np.ndarray, windows: list[np.ndarray], num_steps: int) -> np.ndarray:
    """Attributions of all windows, added at their positions in the sequence; NaN elsewhere."""
    attributions = np.full(num_steps, np.nan)
    attributions[np.concatenate(windows)] = 0
    for row, window in zip(collected, windows, strict=True):
        attributions[window] += row[: len(window)]
    return attributions
