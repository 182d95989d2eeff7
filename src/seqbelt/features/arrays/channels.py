"""Sensor signals: channels over time become ``(steps, features)``."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from seqbelt.errors import WRONG_SHAPE, BadInput
from seqbelt.features.arrays.array import Array
from seqbelt.features.arrays.array_encoder import Steps
from seqbelt.features.arrays.array_features import FLOAT32_MAX, ArrayFeatures, Index, Rate
from seqbelt.features.arrays.channel_transforms import (
    interpolate,
    num_resampled,
    resample,
    standardize,
    take_nearest,
)
from seqbelt.features.arrays.time_columns import how_it_rises


class Channels(ArrayFeatures):
    """A signal of one or more channels: ``(steps, channels)`` or a table with a row per step.

    Features of a step, in this order: the channels, their differences, their mask.
    """

    kind: Literal["channels"]
    MISSING_HINT = "; features.missing: interpolate, hold or mask reads missing ones"
    LONG_AXIS_HINT = "features.time_axis says along which axis the steps run"

    channels: Annotated[tuple[str | Index, ...], Field(min_length=1)] | None = None
    """Channels to keep, in this order: names of columns, or indices from 0. Null keeps all."""
    time_axis: Literal[0, 1] = 0
    """Axis of an array along which the steps run: 0 for ``(steps, channels)``, 1 for
    ``(channels, steps)``. Rows of a table always are steps."""
    resample_rate: Rate | None = None
    """Steps per second to resample to, in Hz, with a low-pass filter; needs ``source_rate_hz``."""
    missing: Literal["error", "interpolate", "hold", "mask"] = "error"
    """What to do with empty cells and NaN: ``error`` quarantines the file; ``interpolate`` draws
    a line between the neighbours, or repeats the nearest at the ends; ``hold`` repeats the last
    value before the gap, as a live signal allows, and uses the mean of the training rows before a
    channel's first value; ``mask`` interpolates and appends a feature for each channel that is 1
    where a value was missing."""
    standardize: Literal["none", "sequence"] = "none"
    """``sequence`` gives every channel of each sequence mean 0 and deviation 1 (a constant one
    becomes 0); its level and amplitude are lost."""
    differences: bool = False
    """Append each channel's change since the previous step (0 in the first step)."""

    @model_validator(mode="after")
    def _check_rates(self) -> "Channels":
        if self.resample_rate is not None and self.sample_rate is None:
            raise ValueError("resample_rate needs source_rate_hz, the rate of the files")
        return self

    @property
    def holds_values(self) -> bool:
        return self.missing == "hold"

    def step_s(self) -> float | None:
        rate = self.resample_rate or self.sample_rate
        return 1 / rate if rate else None

    def num_steps(self, num_rows: int) -> int:
        if self.sample_rate is None or self.resample_rate is None:
            return num_rows
        return num_resampled(num_rows, self.sample_rate, self.resample_rate)

    def num_features(self, step_shape: tuple[int, ...]) -> int:
        return step_shape[0] * (1 + self.differences + (self.missing == "mask"))

    def transform(self, values: np.ndarray) -> np.ndarray:
        absent = np.isnan(values)
        values = interpolate(values, absent) if absent.any() else values
        mask = absent.astype(np.float32)
        if self.resample_rate is not None and self.resample_rate != self.sample_rate:
            values = resample(values, self.sample_rate, self.resample_rate)  # type: ignore[arg-type]
            mask = take_nearest(mask, len(values))
        if self.standardize == "sequence":
            values = standardize(values)
        parts = [values]
        if self.differences:
            parts.append(np.diff(values, axis=0, prepend=values[:1]))
        if self.missing == "mask":
            parts.append(mask)
        return np.concatenate(parts, axis=1)

    def _arrange(self, array: Array) -> Steps:
        if array.values.ndim > 2 or not array.values.ndim:
            raise BadInput(WRONG_SHAPE, f"expected (steps, channels), found {array.values.shape}")
        if array.values.ndim == 1:
            array = array._replace(values=array.values[:, None])
        elif self.time_axis == 1 and not array.is_table:
            array = array._replace(values=array.values.T)
        if self.channels is not None:
            num_channels = array.values.shape[1]
            picked = [_find_channel(name, array.names, num_channels) for name in self.channels]
            array = array.take(picked)
        if array.is_table:
            return self._from_table(array, self.channels is not None)
        if self._check(array.values).any():
            raise self._refused(array.values, array, None)
        steps, channels = array.values.shape
        notes = ()
        if steps < channels:
            notes += (
                f"arrays of fewer steps than channels, which are {channels} "
                f"(features.time_axis: {1 - self.time_axis} turns them round)",
            )
        may_be_time = channels > 1 and self.channels is None
        if may_be_time and (how := how_it_rises(array.values[:, 0])):
            notes += (f"channel 0 rises {how}, as times do, and is one (features.channels)",)
        return Steps(array.values, notes=notes)

    def _check(self, values: np.ndarray) -> np.ndarray:
        bad = np.abs(values) > FLOAT32_MAX
        if self.missing == "error":
            bad |= np.isnan(values)
        elif self.missing == "interpolate":  # of nothing but gaps
            bad |= np.isnan(values).all(axis=0)
        return bad


def _find_channel(wanted: str | int, names: tuple[str, ...] | None, num_channels: int) -> int:
    """Index of a channel given by name or index."""
    if isinstance(wanted, int):
        if wanted >= num_channels:
            raise BadInput(WRONG_SHAPE, f"no channel {wanted}: the highest is {num_channels - 1}")
        return wanted
    if names is None:
        raise BadInput(WRONG_SHAPE, f"no channel '{wanted}': the file does not name its channels")
    if wanted not in names:
        raise BadInput(WRONG_SHAPE, f"no channel '{wanted}'; found: {', '.join(names)}")
    return names.index(wanted)
