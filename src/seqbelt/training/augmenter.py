"""Random changes of the training sequences, drawn anew in every epoch.

The draws depend only on the seed, the epoch and the batch: all cells of a comparison with one seed
read the same numbers, and a resumed training reads those of an uninterrupted one. Only valid steps
are changed; padding stays zero.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seqbelt.data.batches import Batch
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.errors import SettingsError
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.step_mask import valid_steps
from seqbelt.training.augmentation import Augmentation

NUM_SPEEDS = 5
"""Positions along a sequence at which ``time_warp`` draws a speed."""
NUM_EQUALIZER_CURVES = 4
"""Number of cosines in an equalizer's curve, with half a period over all bands up to two."""


@dataclass(frozen=True)
class Augmenter:
    """Augments the batches of one training.

    ``mean`` and ``std`` ``(features,)`` are those of the training rows."""

    settings: Augmentation
    seed: int
    num_classes: int
    mean: Tensor = field(default_factory=lambda: torch.zeros(0))
    std: Tensor = field(default_factory=lambda: torch.zeros(0))

    @classmethod
    def for_network(
        cls, settings: Augmentation, network: SequenceNetwork, seed: int
    ) -> "Augmenter":
        """That of one training, for a network whose statistics are set.

        Raises SettingsError for token ids, for mixup with labels for steps, and for a rotation of
        features that are not in groups of three.
        """
        num_classes = network.classify.out_features
        if not settings.is_on:
            return cls(settings, seed, num_classes)
        if network.is_tokens:
            raise SettingsError(
                "training.augmentation: needs numeric sequences, but these features are "
                "token ids; remove the section, or use model.input_dropout"
            )
        if settings.mixup_alpha and network.labels_steps:
            raise SettingsError(
                "training.augmentation.mixup_alpha: needs one label per sequence, but here "
                "every step has a label; set it to 0"
            )
        normalize = network.main.normalize
        mean, std = normalize.mean.cpu(), normalize.std.cpu()
        if settings.rotation_deg and len(mean) % 3:
            raise SettingsError(
                "training.augmentation.rotation_deg: needs features in groups of three "
                f"(x, y, z), got {len(mean)}; set it to 0, or choose features.channels"
            )
        return cls(settings, seed, num_classes, mean, std)

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The augmented batch, on the CPU; ``time_stretch`` changes the lengths.

        ``mixup_alpha`` makes the labels float32 probabilities ``(batch, classes)``.
        """
        settings = self.settings
        if not settings.is_on:
            return batch
        # Each row occurs in one batch per epoch, so the first row identifies the batch.
        random = np.random.default_rng((self.seed, epoch, int(batch.indices[0]) + 1))
        if settings.time_stretch or settings.time_warp or settings.shift:
            batch = self._move_in_time(batch, random)
        inputs, lengths, labels, _ = batch
        if settings.rotation_deg:
            inputs = self._rotate(inputs, random)
        if settings.frequency_warp:
            inputs = self._warp_frequency(inputs, random)
        if settings.equalizer_std:
            inputs = inputs + self._equalizer(len(inputs), random)
        if settings.scale_std:
            factors = 1 + settings.scale_std * _normal(random, (len(inputs), 1, len(self.mean)))
            inputs = self.mean + (inputs - self.mean) * factors
        if settings.mixup_alpha:
            inputs, labels = self._mix(inputs, lengths, labels, random)
        if settings.noise_std:
            noise = _normal(random, tuple(inputs.shape))
            inputs = inputs + noise * (settings.noise_std * self._spread(inputs, lengths))
        if settings.time_mask_steps or settings.channel_mask:
            inputs = torch.where(self._masks(inputs, lengths, random), self.mean, inputs)
        if settings.feature_dropout:
            inputs = torch.where(self._dropped(inputs, random), self.mean, inputs)
        padding = _steps(inputs) >= lengths[:, None]
        return batch._replace(inputs=inputs.masked_fill(padding[:, :, None], 0), labels=labels)

    def _move_in_time(self, batch: Batch, random: np.random.Generator) -> Batch:
        """Resample each row in time."""
        settings, old = self.settings, batch.lengths.double()
        stretch = 1 + settings.time_stretch * _uniform(random, len(old))
        lengths = (old * stretch).round().clamp_min(1)
        speeds = torch.exp(settings.time_warp * _normal(random, (len(old), NUM_SPEEDS)).double())
        positions = _warped(speeds, lengths) * (old - 1)[:, None]
        positions += (settings.shift * _uniform(random, len(old)) * old).round()[:, None]
        positions = positions.clamp_min(0).minimum((old - 1)[:, None])
        labels = batch.labels
        if labels.ndim == 2 and not labels.is_floating_point():  # labels of steps
            valid = valid_steps(lengths, positions.shape[1], lengths.device)
            labels = labels.gather(1, positions.round().long()).masked_fill(~valid, UNLABELLED)
        return Batch(_read_at(batch.inputs, positions), lengths.long(), labels, batch.indices)

    def _rotate(self, inputs: Tensor, random: np.random.Generator) -> Tensor:
        """Rotate each row's vectors about the origin."""
        from scipy.spatial.transform import Rotation  # few trainings need it

        axes = random.standard_normal((len(inputs), 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        angles = np.deg2rad(self.settings.rotation_deg) * random.uniform(-1, 1, (len(inputs), 1))
        turns = Rotation.from_rotvec(axes * angles).as_matrix().astype(np.float32)
        vectors = inputs.reshape(len(inputs), -1, 3).numpy()
        # numpy's product of many vectors by a 3 x 3 matrix is several times faster than torch's
        return torch.from_numpy(vectors @ turns.transpose(0, 2, 1)).reshape(inputs.shape)

    def _warp_frequency(self, inputs: Tensor, random: np.random.Generator) -> Tensor:
        """Read each row between its bands, at bands multiplied by one factor."""
        rows, _, bands = inputs.shape
        largest = np.log1p(self.settings.frequency_warp)
        factors = torch.exp(largest * _uniform(random, rows))[:, None]
        positions = (torch.arange(bands) * factors).clamp_max(bands - 1)
        return _read_at(inputs.transpose(1, 2), positions).transpose(1, 2)

    def _equalizer(self, rows: int, random: np.random.Generator) -> Tensor:
        """A smooth curve over the bands for each row, ``(batch, 1, bands)``: a few cosines."""
        bands = len(self.std)
        order = torch.arange(1, NUM_EQUALIZER_CURVES + 1)
        phases = (torch.arange(bands)[None] + 0.5) * order[:, None] * (np.pi / bands)
        curves = phases.cos() / order[:, None].sqrt()
        weights = _normal(random, (rows, NUM_EQUALIZER_CURVES))
        return (self.settings.equalizer_std * self.std * (weights @ curves))[:, None]

    def _mix(
        self, inputs: Tensor, lengths: Tensor, labels: Tensor, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix each row and its label with another's."""
        alpha, count = self.settings.mixup_alpha, len(inputs)
        weight = torch.from_numpy(random.beta(alpha, alpha, count)).float()
        weight = torch.maximum(weight, 1 - weight)
        other = torch.from_numpy(random.permutation(count))
        last = (lengths - 1)[:, None]
        positions = (_steps(inputs) * last[other]).double() / last.clamp_min(1)
        others = _read_at(inputs, positions.minimum(last[other]), other)
        targets = labels
        if not labels.is_floating_point():
            targets = F.one_hot(labels, self.num_classes).float()
        mixed = torch.lerp(others, inputs, weight[:, None, None])
        return mixed, torch.lerp(targets[other], targets, weight[:, None])

    def _spread(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Standard deviations of each row's features, ``(batch, 1, features)``, at most those of
        the training rows, so that noise does not drown a quiet recording."""
        padding = (_steps(inputs) >= lengths[:, None])[:, :, None]
        counts = lengths[:, None, None]
        mean = inputs.masked_fill(padding, 0).sum(1, keepdim=True) / counts
        squares = (inputs - mean).square().masked_fill(padding, 0).sum(1, keepdim=True)
        return (squares / counts).sqrt().minimum(self.std)

    def _masks(self, inputs: Tensor, lengths: Tensor, random: np.random.Generator) -> Tensor:
        """Which values are replaced by the mean, bool ``(batch, steps, features)``."""
        rows, _, features = inputs.shape
        longest = np.minimum(self.settings.time_mask_steps, lengths.numpy() // 2)
        steps = _random_run(_steps(inputs), longest, lengths.numpy(), random)
        widest = np.full(rows, int(self.settings.channel_mask * features))
        channels = _random_run(torch.arange(features), widest, np.full(rows, features), random)
        return steps[:, :, None] | channels[:, None, :]

    def _dropped(self, inputs: Tensor, random: np.random.Generator) -> Tensor:
        """Which features are replaced by the mean, bool ``(batch, 1, features)``."""
        rows, _, features = inputs.shape
        fractions = self.settings.feature_dropout * random.random((rows, 1, 1))
        dropped = random.random((rows, 1, features)) < fractions
        dropped[dropped.all(2, keepdims=True).repeat(features, axis=2)] = False
        return torch.from_numpy(dropped)


def _warped(speeds: Tensor, lengths: Tensor) -> Tensor:
    """Monotone positions from 0 at the first to 1 at the last of each row's ``lengths`` steps.

    ``speeds`` ``(batch, NUM_SPEEDS)`` are spaced evenly along the row. Returns float64 ``(batch,
    steps)``; beyond a row's end the positions are 1 or more.
    """
    last = (lengths - 1)[:, None]
    steps = torch.arange(int(lengths.max()), dtype=torch.float64)
    along = (steps * (NUM_SPEEDS - 1) / last.clamp_min(1)).clamp_max(NUM_SPEEDS - 1)
    speed = _read_at(speeds[:, :, None], along)[:, :, 0]
    travelled = F.pad((speed[:, 1:] + speed[:, :-1]).cumsum(1), (1, 0))
    total = travelled.gather(1, last.long())
    return travelled / torch.where(total > 0, total, 1.0)


def _read_at(values: Tensor, positions: Tensor, rows: Tensor | None = None) -> Tensor:
    """Interpolate ``values`` ``(batch, steps, features)`` at float64 ``positions`` ``(batch, new
    steps)``, which lie within each row, or within each of ``rows``."""
    count, steps, features = values.shape
    rows = torch.arange(count) if rows is None else rows
    before, first = positions.floor(), (rows * steps)[:, None]
    fraction = (positions - before).to(values.dtype).reshape(-1, 1)
    flat = values.reshape(-1, features)
    low = flat.index_select(0, (before.long() + first).flatten())
    high = flat.index_select(0, (positions.ceil().long() + first).flatten())
    return torch.lerp(low, high, fraction).reshape(count, -1, features)


def _random_run(
    positions: Tensor, longest: np.ndarray, sizes: np.ndarray, random: np.random.Generator
) -> Tensor:
    """For each row a random run of ``positions`` 0..size-1, of a random length up to
    ``longest``: bool ``(batch, positions)``."""
    width = random.integers(0, longest + 1)
    start = torch.from_numpy(random.integers(0, sizes - width + 1))[:, None]
    return (positions >= start) & (positions < start + torch.from_numpy(width)[:, None])


def _steps(inputs: Tensor) -> Tensor:
    return torch.arange(inputs.shape[1])


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(random.standard_normal(shape, np.float32))


def _uniform(random: np.random.Generator, count: int) -> Tensor:
    """Uniform float64 in -1..1."""
    return torch.from_numpy(random.uniform(-1, 1, count))
