"""What a row of a table is: names, units, values, a sum of the others, a remark."""

import re
from collections.abc import Sequence
from typing import TypeAlias

from seqbelt.features.arrays.number_cells import (
    Cell,
    as_text,
    is_missing,
    looks_like_number,
    resembles_value,
)
from seqbelt.features.arrays.time_columns import looks_like_time

_SUMMARY_WORDS = """
sum sums total totals subtotal mean average avg median min max minimum maximum std stdev stddev sd
variance var count summe gesamt mittelwert mittel durchschnitt anzahl somme moyenne suma promedio
media somma 합계 총계 소계 총합 평균 최대 최소 최댓값 최솟값 표준편차 개수 합 계 合計 平均 最大
最小 总计 合计 平均值 итого сумма среднее
"""
_UNITS = """
g mg kg m mm cm km s ms us µs μs ns min h hz khz v mv µv uv a ma µa n kn nm n·m pa kpa mpa hpa bar
mbar c °c ℃ f °f k deg ° degree degrees rad grad % ppm db dba t mt ut µt μt gauss w kw j lx lux bpm
rpm l ml px count counts raw cal a.u. au arb - n/a -/- m/s m/s2 m/s^2 m/s² m/s*s rad/s deg/s °/s dps
km/h g/l mg/dl 1/s 1 ohm kohm ω
second seconds volt volts ampere amperes celsius kelvin pascal newton meter metre ts rn smp avg tot
"""
COMMENT_NAMES = frozenset(("comment", "comments", "remark", "remarks"))
SUMMARY_WORDS = frozenset(_SUMMARY_WORDS.split()) | {
    "grand total",
    "std dev",
    "std. dev.",
    "standard deviation",
}
"""What stands in the rows that a program adds below the values, in lower case."""
UNITS = frozenset(_UNITS.split()) | {"deg c", "deg f"}
_BRACKETED = re.compile(r"[\[({<].*[\])}>]")
_TIME_FORMAT = re.compile(r"(?=.*(?:yy|hh))[ymdhsft0/:. -]{4,30}")
RULE = re.compile(r":?(?:-{3,}|={3,}|_{3,}):?|:-+:?|-+:")
"""Drawn below names: ``---``, and in Markdown ``:--:``."""
_QUOTIENT = re.compile(r"[^\s\d]{1,6}[/·*^²³][^\s]{1,6}")
MAX_NAME = 40
"""Letters of a column's name within a table."""
Row: TypeAlias = tuple[int, Sequence[Cell]]
"""A line's number, from 1, and its cells."""


def is_word(cell: Cell) -> bool:
    """Whether a cell is neither empty nor a number nor a time."""
    return not (is_missing(cell) or looks_like_number(cell) or looks_like_time(cell))


def is_number(cell: Cell) -> bool:
    """Whether a cell is a number and no missing value."""
    return not is_missing(cell) and looks_like_number(cell)


def is_summary(cells: Sequence[Cell], is_number_column: Sequence[bool]) -> bool:
    """Whether a row sums the others up: it says so where they have numbers, or in its first
    cell."""
    return any(
        isinstance(cell, str) and cell.strip().lower().rstrip(":") in SUMMARY_WORDS
        for column, cell in enumerate(cells)
        if column == 0 or (column < len(is_number_column) and is_number_column[column])
    )


def is_remark(cells: Sequence[Cell], width: int) -> bool:
    """Whether a row of a table of ``width`` columns is one remark, such as "100 rows" or "End"."""
    filled = [cell for cell in cells if cell != ""]
    if len(filled) != 1 or width < 2 or not is_word(cells[0]) or resembles_value(cells[0]):
        return False
    return len(cells) < width or bool(re.search(r"\w\W+\w|:$", str(cells[0])))


def without_end(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows without those at the end that hold nothing or a remark, or that sum the others up."""
    stop = len(rows)
    width = max((len(cells) for _, cells in rows), default=0)
    while stop > 1 and (
        all(cell == "" for cell in rows[stop - 1][1])
        or is_summary(rows[stop - 1][1], ())
        or is_remark(rows[stop - 1][1], width)
    ):
        stop -= 1
    return rows[:stop]


def is_values(cells: Sequence[Cell], kinds: Sequence[bool]) -> bool:
    """Whether a row has numbers where the others have them, and no words there."""
    numbers = [cell for cell, is_one in zip(cells, kinds) if is_one]
    return (
        len(cells) >= len(kinds) - 1
        and any(is_number(cell) for cell in numbers)
        and not any(is_word(cell) or looks_like_time(cell) for cell in numbers)
    )


def are_names(cells: Sequence[Cell]) -> bool:
    return len(cells) > 1 and all(
        is_word(cell)
        and not resembles_value(cell)
        and len(str(cell)) <= MAX_NAME
        and any(map(str.isalnum, str(cell)))
        for cell in cells
    )


def could_name(cells: Sequence[Cell], width: int) -> bool:
    """Whether a comment above the values can only be their columns' names."""
    return (
        width > 1
        and len(cells) == width
        and len(set(cells)) == width
        and all(is_word(cell) and len(str(cell)) <= MAX_NAME for cell in cells)
    )


def are_units(cells: Sequence[Cell]) -> bool:
    filled = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    if len(filled) < sum(cell != "" for cell in cells) or any(map(resembles_value, filled)):
        return False
    return bool(filled) and all(
        _BRACKETED.fullmatch(cell)
        or RULE.fullmatch(cell)
        or cell.lower() in UNITS
        or _QUOTIENT.fullmatch(cell)
        or _TIME_FORMAT.fullmatch(cell.lower())
        for cell in filled
    )


def is_count(cells: Sequence[Cell]) -> bool:
    """Whether cells are 0, 1, 2, … or 1, 2, 3, …, as numbers of columns are."""
    return len(cells) > 1 and any(
        [*map(as_text, cells)] == [str(number) for number in range(start, start + len(cells))]
        for start in (0, 1)
    )


def trimmed(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Cells without the empty ones at the end."""
    stop = len(cells)
    while stop and cells[stop - 1] == "":
        stop -= 1
    return cells[:stop]


def extent(cells: Sequence[Cell]) -> tuple[int, int]:
    return len(trimmed(cells)), len(cells)


def fits(cells: Sequence[Cell], width: int) -> bool:
    """Whether a line can name ``width`` columns: as many cells, but for an empty one at the end."""
    return (
        len(cells) == width
        or (len(cells) > width and len(trimmed(cells)) <= width)
        or (len(cells) == width - 1 and width > 1 and cells[-1] != "")
    )
