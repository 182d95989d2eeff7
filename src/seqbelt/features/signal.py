"""Sensor signals and ready features: an array of numbers becomes ``(steps, features)``.

How wide a step is stands in the files and not in the settings, so it is learned from the training
rows; a later file of another width is refused and not bent into shape.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from seqbelt.errors import NOT_FINITE, TOO_LONG, WRONG_SHAPE, WRONG_TYPE, BadInput
from seqbelt.features.arrays import Array, read_array
from seqbelt.features.base import Features, Learned, Source
from seqbelt.features.channel_transforms import (
    interpolate,
    num_resampled,
    resample,
    standardize,
    take_nearest,
)

Rate = Annotated[float, Field(gt=0)]
Index = Annotated[int, Field(ge=0)]
LEARNED_FILE = "features.json"
NUM_ROWS_LEARNED = 64
"""Training rows whose width is asked for: enough to outvote a stray file, few to read twice."""


class Steps(NamedTuple):
    """One decoded item: float32 ``(steps, *shape of a step)`` and its channels' names, if any.

    NaN stands for a missing value.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None


class ArrayFeatures(Features):
    """What signals and ready features share: safe reading, and a width learned from the data."""

    reads_tables: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    LONG_AXIS_HINT: ClassVar[str]
    """The setting to look at when steps have another shape than the training rows'."""

    key: str | None = None
    """Name of the array in files that hold several (.npz, .mat, .h5, .pt); null where there is
    only one."""
    sample_rate: Rate | None = None
    """Steps per second in the files, in Hz; null where steps have no time."""
    ignore: tuple[str, ...] = ("label",)
    """Columns of a table that are no channels: a label, a time."""
    max_steps: Annotated[int, Field(ge=1)] = 1_000_000
    """Longer sequences are quarantined; counted as they stand in the file."""
    max_size_mb: Annotated[float, Field(gt=0)] = 1024.0
    """Arrays that declare more than this are quarantined before memory is taken for them."""

    def step_s(self) -> float | None:
        return 1 / self.sample_rate if self.sample_rate else None

    def num_steps(self, num_rows: int) -> int:
        return num_rows

    def read(self, source: Source) -> Steps:
        """Read ``(steps, channels)`` or what the settings say. Raises BadInput."""
        path_or_content = Path(source) if isinstance(source, str) else source
        steps = self._arrange(self._read_array(path_or_content).without(self.ignore))
        if len(steps.values) > self.max_steps:
            found = f"{len(steps.values)} steps; features.max_steps allows {self.max_steps}"
            raise BadInput(TOO_LONG, found)
        steps = steps._replace(values=np.ascontiguousarray(steps.values, dtype=np.float32))
        self._check(steps)
        return steps

    def learn(self, raws: Iterable[Steps]) -> Learned:
        """The shape of a step and the channels' names that most of the first rows have."""
        seen = Counter((raw.values.shape[1:], raw.names) for raw in islice(raws, NUM_ROWS_LEARNED))
        if not seen:
            raise BadInput(WRONG_SHAPE, "no training row to learn the number of features from")
        (shape, names), _ = seen.most_common(1)[0]
        return self.learn_shape(shape, names)

    def learn_shape(
        self, step_shape: tuple[int, ...], names: tuple[str, ...] | None = None
    ) -> Learned:
        """What ``learn`` gives for rows whose steps have this shape."""
        return {LEARNED_FILE: json.dumps({"step_shape": step_shape, "names": names}).encode()}

    def encoder(self, learned: Learned) -> "ArrayEncoder":
        return ArrayEncoder(self, **json.loads(learned[LEARNED_FILE]))

    def num_features(self, step_shape: tuple[int, ...]) -> int:
        """Width of an encoded step whose shape in the file is ``step_shape``."""
        raise NotImplementedError

    def transform(self, values: np.ndarray) -> np.ndarray:
        """``(steps, *step_shape)`` to ``(steps, num_features)``."""
        raise NotImplementedError

    def _read_array(self, source: Path | bytes | np.ndarray) -> Array:
        return read_array(source, self.max_size_mb * 1e6, self.key)

    def _arrange(self, array: Array) -> Steps:
        """Put steps first and keep what the settings select."""
        raise NotImplementedError

    def _check(self, steps: Steps) -> None:
        """Refuse what ``transform`` cannot use."""
        if not np.isfinite(steps.values).all():
            raise BadInput(NOT_FINITE, _describe_missing(steps))


class ArrayEncoder:
    """Encodes items whose steps are shaped as the training rows' were."""

    def __init__(
        self, settings: ArrayFeatures, step_shape: Sequence[int], names: Sequence[str] | None
    ) -> None:
        self.settings = settings
        self.step_shape = tuple(step_shape)
        self.names = tuple(names) if names is not None else None
        self.num_features = settings.num_features(self.step_shape)

    def encode(self, raws: Sequence[Steps]) -> list[np.ndarray]:
        """Float32 ``(steps, num_features)`` each. Raises BadInput if one has another width."""
        return [self._encode(raw) for raw in raws]

    def _encode(self, raw: Steps) -> np.ndarray:
        found = raw.values.shape[1:]
        if found != self.step_shape:
            raise BadInput(
                WRONG_SHAPE,
                f"expected {_shape_text(self.step_shape)} in a step as in the training rows, "
                f"found {_shape_text(found)}; {self.settings.LONG_AXIS_HINT}",
            )
        if self.names and raw.names and raw.names != self.names:
            expected, names = ", ".join(self.names), ", ".join(raw.names)
            raise BadInput(WRONG_SHAPE, f"expected the columns {expected}, found {names}")
        return np.ascontiguousarray(self.settings.transform(raw.values), dtype=np.float32)


class Channels(ArrayFeatures):
    """A signal of one or more channels: ``(steps, channels)`` or a table with a row per step.

    Features of a step, in this order: the channels, their differences, their mask.
    """

    kind: Literal["channels"]
    LONG_AXIS_HINT = "features.time_axis says along which axis the steps run"

    channels: Annotated[tuple[str | Index, ...], Field(min_length=1)] | None = None
    """Channels to keep, in this order: names of columns, or indices from 0. Null keeps all."""
    time_axis: Literal[0, 1] = 0
    """Axis of an array along which the steps run: 0 for ``(steps, channels)``, 1 for
    ``(channels, steps)``. Rows of a table always are steps."""
    header: bool | None = None
    """Whether the first line of text columns names them; null: it does if no cell of it is a
    number."""
    resample_rate: Rate | None = None
    """Steps per second to resample to, in Hz, with a low-pass filter; needs ``sample_rate``."""
    missing: Literal["error", "interpolate", "mask"] = "error"
    """What to do with empty cells and NaN: ``error`` quarantines the file; ``interpolate`` draws
    a line between the neighbours, or repeats the nearest at the ends; ``mask`` does so too and
    appends a feature for each channel that is 1 where a value was missing."""
    standardize: Literal["none", "sequence"] = "none"
    """``sequence`` gives every channel of each sequence mean 0 and deviation 1 (a constant one
    becomes 0); its level and amplitude are lost."""
    differences: bool = False
    """Append each channel's change since the previous step (0 in the first step)."""

    @model_validator(mode="after")
    def _check_rates(self) -> "Channels":
        if self.resample_rate is not None and self.sample_rate is None:
            raise ValueError("resample_rate needs sample_rate, the rate of the files")
        return self

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

    def _read_array(self, source: Path | bytes | np.ndarray) -> Array:
        return read_array(source, self.max_size_mb * 1e6, self.key, self.header)

    def _arrange(self, array: Array) -> Steps:
        values, names, words, is_table = array
        if values.ndim > 2 or not values.ndim:
            raise BadInput(WRONG_SHAPE, f"expected (steps, channels), found {values.shape}")
        if values.ndim == 1:
            values = values[:, None]
        elif self.time_axis == 1 and not is_table:
            values = values.T
        if self.channels is not None:
            picked = [_find_channel(name, names, values.shape[1]) for name in self.channels]
        else:
            picked = list(range(values.shape[1]))
        for index in picked:
            if index in words:
                name = names[index] if names else index
                raise BadInput(
                    WRONG_TYPE,
                    f"column {name} holds '{words[index][:40]}', not numbers; "
                    "features.channels selects columns",
                )
        return Steps(values[:, picked], tuple(names[i] for i in picked) if names else None)

    def _check(self, steps: Steps) -> None:
        absent = np.isnan(steps.values)
        if np.isinf(steps.values).any() or (self.missing == "error" and absent.any()):
            raise BadInput(NOT_FINITE, _describe_missing(steps))
        if self.missing == "interpolate" and (empty := absent.all(axis=0)).any():
            channel = _channel_name(steps, int(empty.argmax()))
            raise BadInput(NOT_FINITE, f"channel {channel} has no value to interpolate from")


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


def _channel_name(steps: Steps, index: int) -> str:
    return steps.names[index] if steps.names else str(index)


def _describe_missing(steps: Steps) -> str:
    """Where the first value that is no finite number stands."""
    bad = ~np.isfinite(steps.values)
    step, *place = np.unravel_index(int(bad.argmax()), bad.shape)
    channel = _channel_name(steps, int(place[0])) if len(place) == 1 else tuple(map(int, place))
    return f"{bad.sum()} values are missing or infinite, first at step {step}, channel {channel}"


def _shape_text(step_shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, step_shape)) + " values" if step_shape else "1 value"
