"""What signals and ready features share: safe reading, and a width learned from the data.

How wide a step is stands in the files and not in the settings, so it is learned from the training
rows; a later file of another width is refused and not bent into shape.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from seqbelt.errors import NOT_FINITE, TOO_LONG, WRONG_SHAPE, WRONG_TYPE, BadInput, Place
from seqbelt.features.arrays.array import IGNORED, Array
from seqbelt.features.arrays.array_encoder import ArrayEncoder, AsideColumn, Steps
from seqbelt.features.arrays.number_cells import EXACT
from seqbelt.features.arrays.reading import read_array
from seqbelt.features.arrays.table_cells import column_label
from seqbelt.features.arrays.table_layout import TableOptions
from seqbelt.features.arrays.time_columns import rates_of
from seqbelt.features.base import Encoder, Features, Learned, Source, file_or_content
from seqbelt.settings import renamed

Rate = Annotated[float, Field(gt=0)]
Index = Annotated[int, Field(ge=0)]
LEARNED_FILE = "features.json"
OTHER_RATE = 0.05
"""Deviation from a stated rate that rounded times do not explain."""
MAX_ROUNDED = 1e-3
"""Of a channel's spread; float32 has seven digits."""
FLOAT32_MAX = np.float64(np.finfo(np.float32).max)
"""Of NumPy's type, so that float16 is not asked for a number that it has not."""
NUM_ROWS_LEARNED = 64
"""Training rows whose width is asked for: enough to outvote a stray file, few to read twice."""


class FallingTimes(BadInput):
    """The rows of a table are not in the order of time."""


class ArrayFeatures(Features):
    """What signals and ready features share: safe reading, and a width learned from the data."""

    reads_tables: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    size_setting: ClassVar[str] = "features.max_size_mb"
    version: ClassVar[int] = 2
    MISSING_HINT: ClassVar[str] = ""
    """The setting that reads missing values, where there is one."""
    LONG_AXIS_HINT: ClassVar[str]
    """The setting to look at when steps have another shape than the training rows'."""

    key: str | None = None
    """Name of the array in files that hold several (.npz, .mat, .h5, .pt); null where there is
    only one."""
    sample_rate: Rate | None = Field(
        default=None, validation_alias=renamed("source_rate_hz", "sample_rate")
    )
    """Steps per second in the files, in Hz; null where steps have no time."""
    header: bool | None = None
    """Whether the first line of a table names its columns; null: it does if no cell of it is a
    number, and titles above it and units below it are known."""
    decimal: Literal[".", ","] | None = None
    """The decimal sign in tables; null finds it in the table, and refuses one that leaves it
    open."""
    thousands: Literal[".", ",", " ", "'"] | None = None
    """What separates thousands in tables; null finds it in the table."""
    skip_rows: Annotated[int, Field(ge=0)] = 0
    """Lines of a table that are left out at its top."""
    sheet: str | None = None
    """The sheet of a workbook (.xlsx); null takes the only one that is not empty."""
    ignore: tuple[str, ...] = IGNORED
    """Columns of a table that are no channels: a label, a time."""
    max_steps: Annotated[int, Field(ge=1)] = 1_000_000
    """Longer sequences are quarantined; counted as they stand in the file."""
    max_size_mb: Annotated[float, Field(gt=0)] = 1024.0
    """Arrays that declare more than this are quarantined before memory is taken for them."""

    @property
    def max_file_bytes(self) -> float:
        return self.max_size_mb * 1e6

    def step_s(self) -> float | None:
        return 1 / self.sample_rate if self.sample_rate else None

    def num_steps(self, num_rows: int) -> int:
        return num_rows

    def read(self, source: Source) -> Steps:
        """Read ``(steps, channels)`` or what the settings say. Raises BadInput."""
        path_or_content = file_or_content(source)
        steps = self._arrange(self._read_array(path_or_content).without(self.ignore))
        if isinstance(source, np.ndarray):  # the order of its axes is known: a .ts file states it
            steps = steps._replace(notes=())
        if len(steps.values) > self.max_steps:
            problem = f"{len(steps.values)} steps; features.max_steps allows {self.max_steps}"
            raise BadInput(TOO_LONG, problem)
        with np.errstate(over="ignore", invalid="ignore"):  # of channels that are refused
            values = np.ascontiguousarray(steps.values, dtype=np.float32)
            notes = steps.notes + _note_rounded(steps, values)
        return steps._replace(values=values, notes=notes)

    def learn(self, raws: Iterable[Steps]) -> Learned:
        """The shape of a step and the channels' names that most of the first rows have."""
        seen = Counter[tuple[tuple[int, ...], tuple[str, ...] | None]]()
        values: list[tuple[tuple[int, ...], np.ndarray]] = []
        problem = BadInput(WRONG_SHAPE, "no training row to learn the number of features from")
        for raw in raws:
            if raw.problems:
                problem = next(iter(raw.problems.values())) if not seen else problem
                continue
            seen[raw.values.shape[1:], raw.names] += 1
            if self.holds_values:
                values.append((raw.values.shape[1:], raw.values))
            if seen.total() == NUM_ROWS_LEARNED:
                break
        if not seen:
            raise problem
        (shape, names), _ = seen.most_common(1)[0]
        rows = [rows for of, rows in values if of == shape]
        return self.learn_shape(shape, names, _means(np.concatenate(rows)) if rows else None)

    def learn_shape(
        self,
        step_shape: tuple[int, ...],
        names: tuple[str, ...] | None = None,
        means: Sequence[float] | None = None,
    ) -> Learned:
        """What ``learn`` gives for rows whose steps have this shape; ``means`` are the channels'
        means where gaps need them."""
        learned = {"step_shape": step_shape, "names": names}
        if means is not None:
            learned["means"] = means
        return {LEARNED_FILE: json.dumps(learned).encode()}

    def encoder(self, learned: Learned) -> ArrayEncoder:
        return ArrayEncoder(self, **json.loads(learned[LEARNED_FILE]))

    def num_features(self, step_shape: tuple[int, ...]) -> int:
        """Width of an encoded step whose shape in the file is ``step_shape``."""
        raise NotImplementedError

    def transform(self, values: np.ndarray) -> np.ndarray:
        """``(steps, *step_shape)`` to ``(steps, num_features)``."""
        raise NotImplementedError

    def _read_array(self, source: Path | bytes | np.ndarray) -> Array:
        return read_array(source, self.max_file_bytes, self.key, self.table_options)

    @property
    def holds_values(self) -> bool:
        """Whether a missing value is replaced by the last one before it."""
        return False

    @property
    def table_options(self) -> TableOptions:
        """How tables are written, as far as the settings state it."""
        return TableOptions(self.header, self.decimal, self.thousands, self.skip_rows, self.sheet)

    def problem(self, raw: Steps) -> BadInput | None:
        return next(iter(raw.problems.values()), None)

    def remarks(self, raw: Steps, encoder: Encoder) -> tuple[str, ...]:
        said = encoder.remarks(raw) if isinstance(encoder, ArrayEncoder) else raw.notes
        return said + self._say_other_rate(raw)

    def _say_other_rate(self, raw: Steps) -> tuple[str, ...]:
        """What to say of times that are spaced otherwise than ``sample_rate`` states."""
        if (stated := self.sample_rate) is None:
            return ()
        for aside in raw.asides:
            rates = [] if aside.seconds is None else rates_of(aside.seconds)
            if rates and all(abs(rate / stated - 1) > OTHER_RATE for rate in rates):
                return (
                    f"the times give {rates[0]:.3g} Hz, and features.source_rate_hz is {stated:g}",
                )
        return ()

    def _arrange(self, array: Array) -> Steps:
        """Put steps first and keep what the settings select."""
        raise NotImplementedError

    def _check(self, values: np.ndarray) -> np.ndarray:
        """Which values ``transform`` cannot use, as a mask."""
        return ~(np.abs(values) <= FLOAT32_MAX)

    def _refused(self, values: np.ndarray, array: Array, names: Sequence[str] | None) -> BadInput:
        """Why a channel or an array with values that ``transform`` cannot use is refused."""
        bad = self._check(values)
        step, *channels = np.unravel_index(int(bad.argmax()), bad.shape)
        line = None if array.lines is None else array.lines[int(step)]
        channel = tuple(map(int, channels))
        if len(channels) == 1:
            channel = f"'{names[int(channels[0])]}'" if names else int(channels[0])
        problem = f", channel {channel}"
        if np.isfinite(value := values[(step, *channels)]):
            problem += f": {value:g} does not fit into float32"
        return BadInput(
            NOT_FINITE,
            f"{bad.sum()} values are missing or infinite, first in ",
            Place(line, step=int(step)),
            problem + self.MISSING_HINT,
        )

    def _from_table(self, array: Array, is_chosen: bool = False) -> Steps:
        """Steps of a table: its channels, and apart from them what is none.

        Where columns are chosen by a setting they are channels whatever they hold. Raises BadInput
        for times that fall, and without names for a column that is of no use.
        """
        asides = {} if is_chosen else dict(array.asides)
        for aside in asides.values():
            if aside.fall:
                names = array.names or [str(n) for n in range(array.values.shape[1])]
                together = ", ".join(f"'{names[n]}'" for n, a in asides.items() if a is aside)
                raise FallingTimes(
                    WRONG_TYPE,
                    *aside.fall,
                    f", or name {together} in features.ignore to take the rows as they stand",
                )
        kept = array.take(n for n in range(array.values.shape[1]) if n not in asides)
        if not kept.values.shape[1]:
            why = next(iter(asides.values())).why if asides else "it has no columns"
            raise BadInput(
                WRONG_TYPE, f"the table has no channel ({why}); features.channels selects columns"
            )
        problems: dict[str, BadInput] = {}
        for index in range(kept.values.shape[1]):
            name = kept.names[index] if kept.names else None
            problem = self._problem_of(kept, index)
            if problem is not None:
                if name is None:
                    raise problem
                problems[name] = problem
        columns = tuple(
            AsideColumn(
                index,
                array.names[index] if array.names else None,
                array.values[:, index],
                aside.why,
                aside.seconds,
                aside.is_time,
            )
            for index, aside in asides.items()
        )
        return Steps(
            kept.values, kept.names, array.notes, columns, problems, array.names_are_a_comment
        )

    def _problem_of(self, array: Array, index: int) -> BadInput | None:
        """Why a column cannot be a channel; None where it can."""
        if index in array.not_numbers:
            label, (value, place) = column_label(array.names, index), array.not_numbers[index]
            return BadInput(
                NOT_FINITE if value == "''" else WRONG_TYPE,  # empty: values are missing
                f"column {label} holds {value} in ",
                place,
                ", not a number; "
                "features.channels selects columns, features.ignore leaves some out",
            )
        column = array.values[:, index : index + 1]
        if self._check(column).any():
            names = None if array.names is None else [array.names[index]]
            if names is None:
                return self._refused(array.values, array, None)
            return self._refused(column, array, names)
        return None


def _note_rounded(steps: Steps, rounded: np.ndarray) -> tuple[str, ...]:
    """What to say of channels whose changes are lost in float32, as those of a Unix time are."""
    exact = steps.values
    if exact.dtype == np.float32 or exact.dtype.itemsize < 4 or exact.ndim != 2:
        return ()
    largest = np.fmax.reduce(np.abs(exact)).astype(np.float64)
    spread = np.fmax.reduce(exact).astype(np.float64) - np.fmin.reduce(exact)
    # Beyond 2^53 whole numbers may have been rounded before, also to a single one.
    before = np.where(largest >= EXACT, np.spacing(largest), 0)
    is_lost = np.fmax.reduce(np.abs(exact - rounded)) + before > MAX_ROUNDED * spread
    return tuple(
        f"channel {column_label(steps.names, index)} changes by less than float32 can keep: "
        "subtract an offset from it"
        for index in np.flatnonzero(((spread > 0) | (before > 0)) & is_lost).tolist()
    )


def _means(rows: np.ndarray) -> list[float]:
    """Mean of each channel of ``(rows, channels)`` without missing values; 0 without any value."""
    is_known = ~np.isnan(rows)
    totals = np.where(is_known, rows, 0).sum(axis=0, dtype=np.float64)
    return (totals / np.maximum(1, is_known.sum(axis=0))).tolist()
