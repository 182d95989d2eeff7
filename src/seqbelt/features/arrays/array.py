"""What a file of numbers holds: the values, and which columns of a table are channels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seqbelt.errors import Place
from seqbelt.features.arrays.joined_times import JoinedTime, find_joined_times
from seqbelt.features.arrays.number_cells import Cell, as_text, find_sentinel, is_missing
from seqbelt.features.arrays.row_kinds import is_word
from seqbelt.features.arrays.spelled_numbers import spelled_numbers
from seqbelt.features.arrays.table_cells import Lines, Table, column_label, first_word
from seqbelt.features.arrays.time_columns import (
    counts_rows,
    describe_spacing,
    first_fall,
    how_it_rises,
    is_row_name,
    is_time_name,
    looks_like_time,
    seconds_of,
    time_unit_s,
)

IGNORED = ("label",)
"""Columns that are no channels, unless other ones are given."""
_LABEL_NAMES = """
labels class classes class_id classid class_label target targets y_true ground_truth groundtruth
annotation annotations category activity activity_id activityid state_label subject subject_id
subjectid participant participant_id user user_id userid 라벨 레이블 클래스 정답 분류
"""
LABEL_NAMES = frozenset(_LABEL_NAMES.split())
"""Names of columns of whole numbers that rather are labels or groups, in lower case."""
SORT = ": the rows are not in the order of time; sort them"
MAX_LONG = 1000
"""Channels of a table in long format."""
MAX_KINDS = 4
"""Of these that are shown."""
SCPI_INFINITY = 9.9e37
"""What instruments that follow SCPI write for an overload."""
SCPI_NAN = 9.91e37
"""What they write for no value."""


class Aside(NamedTuple):
    """Why a column of a table is no channel."""

    why: str
    fall: tuple[str | Place, ...] = ()
    """Where its times fall, or that several rows have each of them, so that the rows are no steps;
    empty where they are."""
    seconds: np.ndarray | None = None
    """The times in seconds, float64 ``(rows,)``; None where their unit is not known."""
    is_time: bool = True
    """False for numbers of the rows."""


class Array(NamedTuple):
    """What a file holds: numbers of any rank, NaN where a table has an empty cell.

    A table (``is_table``) has a row per step. ``names`` are its columns' names where it has a
    header. ``not_numbers`` has, for each column with words, one such word and where it is:
    the numbers of that column mean nothing. ``asides`` are columns of times and row numbers.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    not_numbers: Mapping[int, tuple[str, Place]] = {}
    is_table: bool = False
    asides: Mapping[int, Aside] = {}
    lines: Lines | None = None
    notes: tuple[str, ...] = ()
    names_are_a_comment: bool = False

    def without(self, columns: Sequence[str]) -> "Array":
        """The same without some columns, where it has names and one of these. Notes name
        what no column is called, but for those ignored by default, and columns whose names differ
        in case only."""
        if self.names is None:
            return self
        folded = {name.casefold() for name in columns}
        stay = [name for name in self.names if name not in columns and name.casefold() in folded]
        notes = tuple(
            f"column '{name}' is a channel: features.ignore spells it otherwise" for name in stay
        )
        known = {*IGNORED, *self.names, *(name.casefold() for name in self.names)}
        notes += tuple(
            f"no column '{name}', which features.ignore names"
            for name in columns
            if not {name, name.casefold()} & known
        )
        kept = self._replace(notes=self.notes + notes) if notes else self
        if not set(columns) & set(self.names):
            return kept
        return kept.take(n for n, name in enumerate(self.names) if name not in columns)

    def take(self, columns: Iterable[int]) -> "Array":
        """The same with these columns of a table only, in this order."""
        kept = list(columns)
        return self._replace(
            values=self.values[:, kept],
            names=None if self.names is None else tuple(self.names[index] for index in kept),
            not_numbers={
                n: self.not_numbers[c] for n, c in enumerate(kept) if c in self.not_numbers
            },
            asides={n: self.asides[c] for n, c in enumerate(kept) if c in self.asides},
        )


def to_array(table: Table, line_word: str = "line") -> Array:
    """A table as float64 ``(rows, columns)``; what its columns of times and row numbers are."""
    names, lines = table.names, table.lines
    table, notes = _with_spelled_numbers(table)
    columns: list[np.ndarray] = []
    words: dict[int, tuple[str, Place]] = {}
    asides: dict[int, Aside] = {}
    times = {
        index: seconds
        for index, column in enumerate(table.columns)
        if isinstance(column, list) and (seconds := seconds_of(column)) is not None
    }
    joined, added = _asides_of_joined(table, times, line_word)
    notes += added
    for index, column in enumerate(table.columns):
        seconds = times.get(index)
        if isinstance(column, list) and seconds is None:
            row = _odd_row(column)
            shown = f"'{str(column[row])[:40]}'"
            if (first := next((c for c in column if not is_missing(c)), "")) and not is_word(first):
                # Where such a column is needed the file is refused; elsewhere this note is all.
                label = column_label(names, index)
                notes += (f"column {label} holds {shown} beside numbers or times",)
            words[index] = shown, Place(lines[row], line_word=line_word)
            columns.append(np.full(len(column), np.nan))
            continue
        values = _without_overloads(column) if isinstance(column, np.ndarray) else seconds
        assert values is not None
        columns.append(values)
        is_leading = len(asides) == index  # no channel stands before it
        aside = joined.get(index) or _aside_of(table, index, values, seconds, is_leading, line_word)
        if aside is not None:
            asides[index] = aside
        else:
            notes += _doubts(table, index, values, is_leading)
    asides, added = _look_for_long_format(table, columns, asides)
    notes += added
    values = np.stack(columns, axis=1) if columns else np.empty((0, 0))
    notes += _differing_times(names or (), values, asides)
    return Array(values, names, words, True, asides, lines, notes, table.names_are_a_comment)


def _look_for_long_format(
    table: Table, columns: Sequence[np.ndarray], asides: dict[int, Aside]
) -> tuple[dict[int, Aside], tuple[str, ...]]:
    """The columns of times with a fault where the table has a row for each time and channel and not
    a row per step; a note where the channels are numbers, which may as well be values."""
    for times in asides if table.names is not None else ():
        num_rows, num_times = len(columns[times]), len(np.unique(columns[times]))
        if not 1 < num_times < num_rows <= MAX_LONG * num_times:
            continue
        for column_index, column in enumerate(table.columns):
            kinds = [*dict.fromkeys(column)] if column_index not in asides else []
            pairs = set(zip(columns[times].tolist(), column, strict=True))
            if not len(pairs) == num_rows == num_times * len(kinds):
                continue
            time, name = (column_label(table.names, index) for index in (times, column_index))
            listed = ", ".join(as_text(kind) for kind in kinds[:MAX_KINDS])
            shape = (
                f"a row for each time of {time} and each {name} ({listed}), the long format, and "
                "not a row per step"
            )
            if isinstance(column, np.ndarray) and not asides[times].fall:
                return asides, (f"perhaps {shape}; {name} is read as a channel",)
            fall = f"the table has {shape}: make a column of each, as pandas' DataFrame.pivot does"
            return {**asides, times: Aside("", (fall,))}, ()
    return asides, ()


def _aside_of(
    table: Table,
    index: int,
    values: np.ndarray,
    seconds: np.ndarray | None,
    is_leading: bool,
    line_word: str,
) -> Aside | None:
    """Why a column of numbers is no channel; None for a channel."""
    name = table.names[index] if table.names else ""
    label = f"column {column_label(table.names, index)}"
    is_time = is_time_name(name) or (is_time_name(name, weak=True) and (np.diff(values) > 0).all())
    if seconds is not None or is_time:
        if seconds is None and (unit_s := time_unit_s(name, table.units.get(name, ""))):
            seconds = values * unit_s
        return _aside_of_times(values, table.columns[index], table.lines, line_word, label, seconds)
    if table.names and is_leading and counts_rows(values, name):
        which = "the first column" if index == 0 else label
        return Aside(f"{which} numbers the rows: not a channel", is_time=False)
    return None


def _doubts(table: Table, index: int, values: np.ndarray, is_leading: bool) -> tuple[str, ...]:
    """Notes on a channel that may be none, or that holds a mark for missing values."""
    name = table.names[index] if table.names else ""
    label = f"column {column_label(table.names, index)}"
    notes: tuple[str, ...] = ()
    if is_leading and index < len(table.columns) - 1 and (how := how_it_rises(values)):
        notes += (f"{label} rises {how}, as times do, and is a channel (features.channels)",)
    elif is_time_name(name, weak=True) or is_row_name(name):
        notes += (f"{label} is called like a time or a number of the rows, and is none",)
    elif name.strip().lower() in LABEL_NAMES and (values == np.floor(values)).all():
        notes += (f"{label} is a channel, though it is called like a label (features.ignore)",)
    if (number := find_sentinel(values)) is not None:
        notes += (f"{label} holds {number:g}, read as a value; it often means a missing value",)
    return notes


def _with_spelled_numbers(table: Table) -> tuple[Table, tuple[str, ...]]:
    """The table with numbers for columns that spell them in one way, and notes on it. Where
    commas or points may separate thousands nothing is."""
    columns, notes = list(table.columns), table.notes
    if not table.signs.are_plain:
        return table, notes
    for index, column in enumerate(columns):
        if not isinstance(column, list):
            continue
        if found := spelled_numbers(table.names[index] if table.names else "", column):
            columns[index], spelling = found
            notes += (f"column {column_label(table.names, index)}: {spelling}",)
    return table._replace(columns=columns), notes


def _asides_of_joined(
    table: Table, times: Mapping[int, np.ndarray], line_word: str
) -> tuple[dict[int, Aside], tuple[str, ...]]:
    """Why columns are no channels that give a time together, by place; notes on others."""
    numbers = {
        n: column for n, column in enumerate(table.columns) if isinstance(column, np.ndarray)
    }
    asides: dict[int, Aside] = {}
    notes: tuple[str, ...] = ()
    for joined in find_joined_times(table.names, numbers, times):
        label = "columns " + ", ".join(column_label(table.names, index) for index in joined.places)
        aside = _aside_of_joined(joined, table.lines, line_word, label)
        if table.names is None:
            notes += (f"{label} rise together as the parts of a time do, and are channels",)
        elif aside is None:
            notes += (f"{label} are called like the parts of a time, and do not give one",)
        else:
            asides |= dict.fromkeys(joined.places, aside)
    return asides, notes


def _aside_of_joined(time: JoinedTime, lines: Lines, line_word: str, label: str) -> Aside | None:
    row = None if time.seconds is None else first_fall(time.seconds)
    if time.seconds is None or (row is not None and not time.has_year):
        return None
    if row is not None:
        place = Place(lines[row], line_word=line_word)
        return Aside("", (place, f", {label}: the time is earlier than before{SORT}"))
    spacing = describe_spacing(time.seconds, "{:.2g} s".format)
    why = f"{label} are rising time together: no channels"
    return Aside(why + (f"; {spacing}" if spacing else ""), seconds=time.seconds)


def _differing_times(
    names: Sequence[str], values: np.ndarray, asides: Mapping[int, Aside]
) -> tuple[str, ...]:
    """Notes on a second column of times with the same name, which differs from the first."""
    notes = []
    for index in asides if names else ():
        first = re.sub(r"\.\d+$", "", names[index])
        if first != names[index] and first in names:
            others = values[:, names.index(first)]
            if names.index(first) in asides and not np.array_equal(values[:, index], others):
                notes.append(
                    f"times '{first}' and '{names[index]}' differ: a row is not of one time"
                )
    return tuple(notes)


def _odd_row(column: Sequence[Cell]) -> int:
    """The first row because of which a column is none of numbers nor of times."""
    row = first_word(column)
    if not looks_like_time(column[row]):
        return row
    dates = (n for n, c in enumerate(column) if not is_missing(c) and seconds_of([c]) is None)
    return next(dates, row)


def _without_overloads(values: np.ndarray) -> np.ndarray:
    """Values of which those that SCPI instruments write for infinity and NaN are such."""
    if not np.nanmax(np.abs(values), initial=0) >= SCPI_INFINITY:
        return values
    values = np.where(np.abs(values) == SCPI_INFINITY, np.copysign(np.inf, values), values)
    return np.where(values == SCPI_NAN, np.nan, values)


def _aside_of_times(
    values: np.ndarray,
    cells: np.ndarray | list[Cell],
    lines: Lines,
    line_word: str,
    label: str,
    seconds: np.ndarray | None,
) -> Aside:
    row = first_fall(values)
    if row is None:
        spacing = (
            describe_spacing(values)
            if seconds is None
            else describe_spacing(seconds, "{:.2g} s".format)
        )
        why = f"{label} is rising time: not a channel" + (f"; {spacing}" if spacing else "")
        return Aside(why, seconds=seconds)
    fall = f", {label}: '{as_text(cells[row])}' is earlier than before{SORT}"
    return Aside("", (Place(lines[row], line_word=line_word), fall))
