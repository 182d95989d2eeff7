"""What signals and ready features share: safe reading, and a width learned from the data.

How wide a step is stands in the files and not in the settings, so it is learned from the training
rows; a later file of another width is refused and not bent into shape.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from seqbelt.errors import NOT_FINITE, TOO_LONG, WRONG_SHAPE, WRONG_TYPE, BadInput, Place
from seqbelt.features.arrays.array import IGNORED, Array
from seqbelt.features.arrays.channel_transforms import hold
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


class AsideColumn(NamedTuple):
    """A column of a table that is no channel, unless a model was trained on it."""

    place: int
    """Among all columns."""
    name: str | None
    values: np.ndarray
    why: str
    seconds: np.ndarray | None = None
    """The times in seconds, of all columns that give them together; None where unknown."""


class Steps(NamedTuple):
    """One decoded item: float32 ``(steps, *shape of a step)`` and its channels' names, if any.

    NaN is a missing value. For a table with names, ``problems`` has the channels that cannot be
    used and why; that matters where they are needed.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    """How the source was read, where that was not evident."""
    asides: tuple[AsideColumn, ...] = ()
    problems: Mapping[str, BadInput] = {}
    names_are_a_comment: bool = False


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

    def encoder(self, learned: Learned) -> "ArrayEncoder":
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
                raise BadInput(
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


class ArrayEncoder:
    """Encodes items whose steps are shaped as the training rows' were."""

    def __init__(
        self,
        settings: ArrayFeatures,
        step_shape: Sequence[int],
        names: Sequence[str] | None,
        means: Sequence[float] | None = None,
    ) -> None:
        self.settings = settings
        self.step_shape = tuple(step_shape)
        self.names = tuple(names) if names is not None else None
        self.means = None if means is None else np.array(means, np.float32)
        """Value of a channel before its first one, ``(channels,)``; None unless gaps are held."""
        self.num_features = settings.num_features(self.step_shape)

    def encode(self, raws: Sequence[Steps]) -> list[np.ndarray]:
        """Float32 ``(steps, num_features)`` each. Raises BadInput if one has another width."""
        encoded = []
        for raw in raws:
            values = self.select(raw)
            if self.means is not None and np.isnan(values).any():
                values = hold(values, self.means)
            encoded.append(np.ascontiguousarray(self.settings.transform(values), dtype=np.float32))
        return encoded

    def select(self, raw: Steps) -> np.ndarray:
        """The channels that the training rows had, ``(steps, *step_shape)``: by their names where
        both have names, else by position. Raises BadInput where one is missing or of no use."""
        values = raw.values
        if self._goes_by_name(raw):
            values = self._by_name(raw)
        elif raw.problems:
            raise next(iter(raw.problems.values()))
        elif raw.asides and (values.shape[1] + len(raw.asides),) == self.step_shape:
            # A model that was trained when these still were channels.
            columns = list(values.T)
            for aside in raw.asides:
                columns.insert(aside.place, aside.values)
            values = np.stack(columns, axis=1)
        shape = values.shape[1:]
        if shape != self.step_shape:
            raise BadInput(
                WRONG_SHAPE,
                f"expected {_shape_text(self.step_shape)} in a step as in the training rows, "
                f"found {_shape_text(shape)}; {self.settings.LONG_AXIS_HINT}",
            )
        return values

    def remarks(self, raw: Steps) -> tuple[str, ...]:
        """How a source was read, where that was not evident."""
        notes = list(raw.notes)
        by_name = self._goes_by_name(raw)
        used = set(self.names or ()) if by_name else set()
        notes += [aside.why for aside in raw.asides if aside.name not in used]
        if by_name and raw.names is not None and self.names is not None:
            extra = [name for name in raw.names if name not in used]
            notes += [f"column '{name}' is none of the training rows': ignored" for name in extra]
            if tuple(name for name in raw.names if name in used) != self.names:
                notes.append("columns in another order than in training: taken by their names")
        elif raw.names and not self.names and not raw.names_are_a_comment:
            notes.append("the training rows had no names of columns: taken in their order")
        elif self.names and raw.names is None and self.step_shape == raw.values.shape[1:]:
            notes.append("no names of columns: taken in the order of training")
        if self.means is not None and np.isnan(raw.values).all(axis=0).any():
            notes.append("a channel without any value: the mean of the training rows is used")
        return tuple(dict.fromkeys(notes))

    def _goes_by_name(self, raw: Steps) -> bool:
        """Names that come from a comment may be none: they count where they are the known ones."""
        if not self.names or not raw.names:
            return False
        return not raw.names_are_a_comment or set(self.names) <= set(raw.names)

    def _by_name(self, raw: Steps) -> np.ndarray:
        assert self.names is not None and raw.names is not None
        if raw.names == self.names and not raw.problems:
            return raw.values
        asides = {aside.name: aside.values for aside in raw.asides}
        if missing := [n for n in self.names if n not in raw.names and n not in asides]:
            names = ", ".join([*raw.names, *(name for name in asides if name)])
            raise BadInput(
                WRONG_SHAPE,
                f"no column {', '.join(map(repr, missing))}; found {names}; the training rows had "
                f"{', '.join(self.names)}",
            )
        for name in self.names:
            if name in raw.problems:
                raise raw.problems[name]
        indices = {name: index for index, name in enumerate(raw.names)}
        columns = [
            raw.values[:, indices[name]] if name in indices else asides[name] for name in self.names
        ]
        return np.stack(columns, axis=1).astype(np.float32)


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


def _shape_text(step_shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, step_shape)) + " values" if step_shape else "1 value"
