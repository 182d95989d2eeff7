"""Random convolutions: the strong reference without recurrence for sequences of numbers.

ROCKET (Dempster et al. 2020, doi:10.1007/s10618-020-00701-z) with the kernels' thresholds taken
from the data, as MiniRocket does (2021, doi:10.1145/3447548.3467231). Nothing of them is learned;
a ridge classifier reads how often, and by how much, each kernel's response exceeds its
threshold.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from seqbelt.comparison.baselines.baseline import fit_predict
from seqbelt.data.batches import evaluation_plan, pad, step_statistics
from seqbelt.data.sequences import Sequences
from seqbelt.models.step_mask import valid_steps

NUM_KERNELS = 2000
KERNEL_STEPS = 9
MAX_FEATURES = 8
"""Features that a kernel reads at most; how many and which is drawn."""
BATCH_STEPS = 4096
PENALTIES = np.logspace(-1, 5, 7)


def random_convolutions(train: Sequences, test: Sequences) -> np.ndarray:
    """Predictions ``(test rows,)`` of a ridge classifier on the responses of random kernels; its
    penalty is chosen by leave-one-out errors."""
    kernels = _draw(train)
    classifier = make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES))
    return fit_predict(classifier, _convolve(kernels, train), train, _convolve(kernels, test))


@dataclass(frozen=True)
class _Kernels:
    """Random kernels of one dilation: ``weights`` ``(kernels, features, KERNEL_STEPS)`` and
    ``thresholds`` ``(kernels,)``; ``mean`` and ``std`` ``(features,)`` are the training steps'."""

    dilation: int
    weights: Tensor
    thresholds: Tensor
    mean: Tensor
    std: Tensor

    def responses(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Responses ``(batch, kernels, steps)``, and the valid steps ``(batch, 1, steps)``."""
        valid = valid_steps(lengths, inputs.shape[1], inputs.device)
        scaled = ((inputs - self.mean) / self.std).masked_fill(~valid[:, :, None], 0)
        padding = self.dilation * (KERNEL_STEPS // 2)  # zeros, the mean, beyond both ends
        outputs = functional.conv1d(
            scaled.transpose(1, 2), self.weights, padding=padding, dilation=self.dilation
        )
        return outputs, valid[:, None]

    def features(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Fraction of steps above the threshold and largest response, ``(batch, 2 kernels)``."""
        values, valid = self.responses(inputs, lengths)
        above = ((values > self.thresholds[:, None]) & valid).sum(2) / lengths[:, None]
        return torch.cat([above, values.masked_fill(~valid, -torch.inf).amax(2)], dim=1)


def _draw(train: Sequences) -> list[_Kernels]:
    """Kernels of dilations 1, 2, 4, … up to the median length, as many of each."""
    random = np.random.default_rng(0)
    mean, std, _ = step_statistics(train)
    std = torch.where(std > 1e-6, std, 1.0)
    reach = max(1.0, (float(np.median(train.lengths)) - 1) / (KERNEL_STEPS - 1))
    dilations = [2**power for power in range(int(np.log2(reach)) + 1)]
    sample = random.permutation(len(train))[:64]
    inputs, lengths = pad([train[int(index)] for index in sample])
    drawn = []
    for dilation in dilations:
        weights = _draw_weights(random, -(-NUM_KERNELS // len(dilations)), len(mean))
        kernels = _Kernels(dilation, weights, torch.zeros(len(weights)), mean, std)
        outputs, valid = kernels.responses(inputs, lengths)
        responses = outputs.transpose(0, 1)[:, valid[:, 0]].numpy()  # (kernels, valid steps)
        columns = random.integers(responses.shape[1], size=len(weights))
        thresholds = torch.from_numpy(responses[np.arange(len(weights)), columns])
        drawn.append(_Kernels(dilation, weights, thresholds, mean, std))
    return drawn


def _draw_weights(random: np.random.Generator, count: int, num_features: int) -> Tensor:
    """Normal weights of mean 0, on a few features each; the features' number is log-uniform."""
    weights = random.standard_normal((count, num_features, KERNEL_STEPS), np.float32)
    weights -= weights.mean(axis=2, keepdims=True)
    most = min(MAX_FEATURES, num_features)
    wanted = np.exp(random.uniform(0, np.log(most + 1), count)).astype(int).clip(1, most)
    order = random.permuted(np.tile(np.arange(num_features), (count, 1)), axis=1)
    return torch.from_numpy(weights * (order < wanted[:, None])[:, :, None])


def _convolve(kernels: list[_Kernels], sequences: Sequences) -> np.ndarray:
    """Features ``(rows, features)`` of every sequence over its valid steps only."""
    features = None
    for indices, inputs, lengths in _batches(sequences):
        of_dilations = [dilated.features(inputs, lengths) for dilated in kernels]
        batch_features = torch.cat(of_dilations, dim=1).numpy()
        if features is None:
            features = np.empty((len(sequences), batch_features.shape[1]), np.float32)
        features[indices] = batch_features
    assert features is not None  # there are test rows
    return features


def _batches(sequences: Sequences) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    for indices in evaluation_plan(sequences.lengths, BATCH_STEPS):
        yield indices, *pad([sequences[int(index)] for index in indices])
