"""Times that stand in several columns of a table: year, month, day, …, or a date beside a clock."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seqbelt.features.arrays.time_columns import first_fall, is_time_name

_NAMES = {
    "year": "year years yr yyyy yy jahr année annee an año ano anno rok год 년 년도 연도 年",
    "month": "month months mon mo monat mois mes mese mês месяц 월 月",
    "quarter": "quarter quarters qtr qtrs quartal trimestre trimester trim kwartaal квартал "
    "분기 季度 四半期",
    "day": "day days dd dom mday dayofmonth tag jour día dia giorno день 일 日",
    "day of the year": "doy dayofyear julianday julian jday yday yearday",
    "week": "week weeks kw woche calendarweek semaine semana неделя 주 週",
    "hour": "hour hours hr hrs hh stunde stunden heure heures hora ora час 시 時 时",
    "hour and minute": "hhmm hourmin hourminute",
    "minute": "minute minutes min mins minuten minuto minuti минута мин 분 分",
    "second": "second seconds sec secs ss sekunde sekunden seconde secondes segundo secondi сек "
    "초 秒",
    "millisecond": "ms msec millis millisecond milliseconds 밀리초",
}
_PART_OF = {name: part for part, names in _NAMES.items() for name in names.split()}
_NEIGHBOURS = (
    ("year", "month"), ("year", "quarter"), ("year", "week"), ("year", "day of the year"),
    ("month", "day"), ("day", "hour"), ("day of the year", "hour"),
    ("day of the year", "hour and minute"), ("day", "hour and minute"), ("hour", "minute"),
)  # fmt: skip
"""Two of these together are meant as one time; a year alone may be a channel."""
_RANGES = {
    "year": (1, 9999), "month": (1, 12), "quarter": (1, 4), "day": (1, 31),
    "day of the year": (1, 366), "week": (1, 53), "hour": (0, 24), "hour and minute": (0, 2400),
    "minute": (0, 59), "second": (0, 60.999999), "millisecond": (0, 999),
}  # fmt: skip
_CLOCK_PARTS = {"hour", "hour and minute", "minute", "second", "millisecond"}
_DAY_S = 86400.0
YEARS = (1900, 2200)
"""What a column without a name must hold to be one of years."""

SERIAL_DAYS = (20_000, 80_000)
"""Of the years 1954 to 2119, as a spreadsheet counts them."""


class JoinedTime(NamedTuple):
    """Columns that give one time together."""

    places: tuple[int, ...]
    seconds: np.ndarray | None
    """Float64 ``(rows,)``; None where the columns are called so and give no time."""
    has_year: bool = True


def find_joined_times(
    names: Sequence[str] | None,
    numbers: Mapping[int, np.ndarray],
    times: Mapping[int, np.ndarray],
) -> list[JoinedTime]:
    """The times of a table that stand in several of its columns.

    ``numbers`` are the columns of numbers by their place, ``times`` those of dates or clocks as
    seconds.
    """
    if names is None:
        unnamed = _of_unnamed(numbers)
        return [unnamed] if unnamed else []
    dates = {p: s for p, s in times.items() if not (s % _DAY_S).any() and s.any()}
    found = _of_parts({index: names[index] for index in numbers}, numbers, dates)
    return [*([found] if found else []), *_of_dates_and_clocks(names, numbers, times, dates)]


def _of_parts(
    names: Mapping[int, str], numbers: Mapping[int, np.ndarray], dates: Mapping[int, np.ndarray]
) -> JoinedTime | None:
    parts: dict[str, int] = {}
    has_maximum = any(name.strip().lower().startswith("max") for name in names.values())
    for index, name in names.items():
        part = part_of_time(name)
        if part == "minute" and has_maximum:
            continue  # min beside max
        if part is not None and parts.setdefault(part, index) != index:
            return None  # two years: not one time
    has_pair = any(set(pair) <= parts.keys() for pair in _NEIGHBOURS)
    if not has_pair and not (dates and {"hour", "hour and minute"} & parts.keys()):
        return None
    seconds = _seconds({part: numbers[index] for part, index in parts.items()})
    for date in dates if seconds is not None and parts.keys() <= _CLOCK_PARTS else ():
        together = dates[date] + seconds
        if not np.isnan(together).any() and first_fall(together) is None:
            return JoinedTime((date, *sorted(parts.values())), together)
    if not has_pair:
        return None
    if seconds is not None and parts.keys() <= _CLOCK_PARTS:  # it begins anew at midnight
        seconds[1:] += _DAY_S * np.cumsum(np.diff(seconds) < -_DAY_S / 2)
    return JoinedTime(tuple(sorted(parts.values())), seconds, "year" in parts)


def _of_unnamed(numbers: Mapping[int, np.ndarray]) -> JoinedTime | None:
    """The first columns, where they could be a date and a clock that rise."""
    order = ("year", "month", "day", "hour", "minute", "second")
    leading = [numbers[index] for index in range(len(order)) if index in numbers]
    if not leading or not ((YEARS[0] <= leading[0]) & (leading[0] <= YEARS[1])).all():
        return None
    for count in range(len(leading), 2, -1):
        seconds = _seconds(dict(zip(order, leading[:count])))
        if seconds is not None and first_fall(seconds) is None:
            return JoinedTime(tuple(range(count)), seconds)
    return None


def part_of_time(name: str) -> str | None:
    """The part of a time that a column is called, such as ``month``; None for other names."""
    bare = re.sub(r"[\[({<].*$", "", unicodedata.normalize("NFC", name)).strip(" #_.:")
    if bare in ("MM", "mm"):  # above YY MM DD hh mm only the case tells them apart
        return "month" if bare == "MM" else "minute"
    return _PART_OF.get(re.sub(r"[\s_\-.]+", "", bare.lower()))


def _seconds(parts: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Seconds of the parts of a time; None where one of them is out of its range."""
    for part, values in parts.items():
        low, high = _RANGES[part]
        whole = part == "second" or (values == np.floor(values)).all()
        if not whole or not ((low <= values) & (values <= high)).all():
            return None
    nothing = np.zeros(len(next(iter(parts.values()))))
    clock = parts.get("hour and minute", nothing)
    days = _days(parts)
    if days is None or (clock % 100 > 59).any():
        return None
    seconds = (
        _DAY_S * days
        + 3600.0 * (parts.get("hour", nothing) + clock // 100)
        + 60.0 * (parts.get("minute", nothing) + clock % 100)
        + parts.get("second", nothing)
        + parts.get("millisecond", nothing) / 1000
    )
    return seconds


def _days(parts: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Days of the dates, 0 without any; None where a month has no such day."""
    nothing = np.zeros(len(next(iter(parts.values()))))
    if "year" not in parts:
        return 31 * parts.get("month", nothing) + parts.get(
            "day", parts.get("day of the year", nothing)
        )
    year = np.where(parts["year"] < 100, parts["year"] + 2000, parts["year"])
    month = parts.get("month", nothing + 1)
    if "quarter" in parts and parts.keys().isdisjoint(("month", "week", "day of the year")):
        month = 3 * parts["quarter"] - 2
    months = (12 * (year - 1970) + month - 1).astype("int64").astype("datetime64[M]")
    day = parts.get("day of the year", parts.get("day", nothing + 1)) - 1
    if "week" in parts and "month" not in parts:
        day = 7 * (parts["week"] - 1)
    days = months.astype("datetime64[D]") + day.astype("int64")
    unit = "M" if "month" in parts else "Y"
    if (days.astype(f"datetime64[{unit}]") != months.astype(f"datetime64[{unit}]")).any():
        return None
    return days.astype("int64").astype(np.float64)


def _of_dates_and_clocks(
    names: Sequence[str],
    numbers: Mapping[int, np.ndarray],
    times: Mapping[int, np.ndarray],
    dates: dict[int, np.ndarray],
) -> list[JoinedTime]:
    """A clock with the date that is nearest to it, where they rise together."""
    clocks = {p: s for p, s in times.items() if p not in dates and s.max(initial=0) <= _DAY_S}
    for index, values in numbers.items():
        if is_time_name(names[index]) and (days := _written_dates(values)) is not None:
            dates[index] = days
    for index, values in numbers.items() if dates else ():
        if index not in dates and is_time_name(names[index]):
            if ((values >= 0) & (values < 1)).all():  # of a day, beside a serial number
                clocks[index] = _DAY_S * values
                continue
            whole = np.floor(values)
            hours, minutes, seconds = whole // 10000, whole // 100 % 100, whole % 100
            if ((hours >= 0) & (hours <= 24) & (minutes < 60) & (seconds < 61)).all():
                clocks[index] = 3600 * hours + 60 * minutes + seconds + values - whole
    found = []
    for clock, of_day in clocks.items() if dates else ():
        date = min(dates, key=lambda index, clock=clock: abs(index - clock))
        together = dates[date] + of_day
        if not np.isnan(together).any() and first_fall(together) is None:
            found.append(JoinedTime((date, clock), together))
    return found


def _written_dates(values: np.ndarray) -> np.ndarray | None:
    """Seconds of dates that are written as 20240131, or as a spreadsheet's serial number; None for
    other numbers."""
    if (
        (values >= SERIAL_DAYS[0]) & (values <= SERIAL_DAYS[1]) & (values == np.floor(values))
    ).all():
        return _DAY_S * values
    if not ((values > 1800_00_00) & (values < 2200_00_00) & (values == np.floor(values))).all():
        return None
    parts = {"year": values // 10000, "month": values // 100 % 100, "day": values % 100}
    return _seconds(parts)
