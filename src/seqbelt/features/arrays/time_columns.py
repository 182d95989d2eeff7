"""Columns of a table that say when or in which row a value was measured: those are no channels."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache

import numpy as np

from seqbelt.features.arrays.column_names import UNNAMED
from seqbelt.features.arrays.number_cells import Cell, is_missing

_TIME_NAMES = """
time times timestamp timestamps datetime date zeit uhrzeit datum zeitstempel temps horodatage heure
tiempo fecha hora 시간 시각 일시 날짜 타임스탬프 時間 时间 時刻 日時 日期 время дата
"""
_WEAK_TIME_NAMES = """
t s sec secs second seconds ms millis milliseconds us microseconds ns nanoseconds elapsed epoch utc
clock ts 초 xvalue xaxis secondselapsed elapsedseconds elapsedtime timeelapsed
czas tempo tijd tijdstip tid zaman čas idő aika thờigian
"""
_ROW_NAMES = """
index idx id no nr row rownum # sample samplenumber frame step record recordno recno nseq packet
sampleindex sampleno sampleid sampleidx frameindex framenumber frameno frameid rowindex rowid rowno
rownumber stepindex stepno packetnumber counter
번호 순번
"""
_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
TIME_NAMES = frozenset(_TIME_NAMES.split())
"""Names of columns of times, in lower case and without a unit."""
WEAK_TIME_NAMES = frozenset(_WEAK_TIME_NAMES.split())
"""Names that a column of times may have, and others too."""
ROW_NAMES = frozenset(_ROW_NAMES.split())
"""Names of columns that may count the rows."""
_LEAD_WORDS = ("local", "utc", "gps", "unix", "system", "sensor", "sample", "elapsed", "relative",
               "absolute", "recording", "device", "host", "phone", "log", "epoch")  # fmt: skip
MANY_ROWS = 8
"""So many rows rise throughout once in 8! by chance."""
YEARS = (1900, 2100)
"""Between these, fewer rows rise as years with decimals do."""
_TIME_UNITS_S = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "ms": 1e-3, "us": 1e-6,
    "µs": 1e-6, "μs": 1e-6, "ns": 1e-9,
}  # fmt: skip
_DAY_S = 86400.0
_AFTERNOON = ("오후", "下午", "午後", "p")
_CLOCK = (
    r"(?:(?P<half1>오전|오후|上午|下午|午前|午後|[AaPp]\.?[Mm]\.?)\s*)?"
    r"(?P<h>\d{1,3})(?::|[시時时点]\s*)(?P<min>\d{2}|\d(?=[분分]))"
    r"(?:(?::|[분分]\s*)(?P<s>\d{2}|\d(?=[초秒]))(?:[.,:](?P<f>\d+))?[초秒]?|[분分])?"
    r"(?:\s*(?P<half2>[AaPp]\.?[Mm]\.?|오전|오후|上午|下午|午前|午後))?"
    r"(?:\s*(?:Z|UTC|GMT|(?P<zone>[+-]\d{2}):?(?P<zone_min>\d{2})|[A-Z]{2,4}T))?"
)
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?"
_DATES = (
    r"(?P<y>\d{4})(?P<sep>[-/.])\s*(?P<m>\d{1,2})(?P=sep)\s*(?P<d>\d{1,2})\.?",
    r"(?P<y>\d{4})[년年]\s*(?P<m>\d{1,2})[월月]\s*(?P<d>\d{1,2})[일日](?:\s*\(\w\))?",
    r"(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})",
    r"(?P<one>\d{1,2})(?P<sep>[-/.])(?P<two>\d{1,2})(?P=sep)(?P<y>\d{4}|\d{2})",
    rf"{_WEEKDAY}(?P<d>\d{{1,2}})[- ](?P<name>[A-Za-z]{{3}})[a-z]*\.?[- ](?P<y>\d{{4}}|\d{{2}})",
    rf"{_WEEKDAY}(?P<name>[A-Za-z]{{3}})[a-z]*\.? (?P<d>\d{{1,2}}),? (?P<y>\d{{4}})",
    r"(?P<y>(?:19|20)\d{2})-?W(?P<week>\d{2})(?:-?(?P<weekday>[1-7]))?",
)
_FORMS = tuple(
    re.compile(form)
    for form in (
        *(rf"{day}(?:(?:\s*T\s*|\s+|,\s*|:|(?<=日)){_CLOCK})" for day in _DATES),
        rf"{_WEEKDAY}(?P<name>[A-Za-z]{{3}}) +(?P<d>\d{{1,2}}) {_CLOCK} (?P<y>\d{{4}})",  # ctime
        _CLOCK,
        r"(?P<min>\d{2}):(?P<s>\d{2})\.(?P<f>\d+)",  # as spreadsheets show the time of a test
        r"(?P<d>\d+) days? \+?" + _CLOCK,  # since a start, as pandas writes it
        *(day for number, day in enumerate(_DATES) if number != 2),  # 20240101 alone is a number
    )
)
_YEAR = "(?P<y>(?:19|20)\\d{2})"
_PERIODS = tuple(
    re.compile(form)
    for form in (
        rf"{_YEAR}[-/](?P<m>\d{{1,2}})",
        rf"(?P<m>\d{{1,2}})/{_YEAR}",
        rf"{_YEAR}[년年](?:\s*(?:(?P<m>\d{{1,2}})[월月]|(?P<week>\d{{1,2}})[주週周]|(?P<q>[1-4])분기))?",
        rf"(?P<name>[A-Za-z]{{3}})[a-z]*\.?(?:[- /]{_YEAR}|-(?P<y2>\d{{2}}))",
        rf"{_YEAR}[- /](?P<name>[A-Za-z]{{3}})[a-z]*",
        rf"{_YEAR}[- /]?Q(?P<q>[1-4])",
        rf"Q(?P<q>[1-4])[- /]{_YEAR}",
        rf"(?P<q>[1-4])Q[- /']?(?:{_YEAR}|(?P<y2>\d{{2}}))",
        rf"{_YEAR}[- /]?W(?P<week>\d{{1,2}})",
    )
)
"""Months, quarters, weeks and years of their own: times where a whole column holds them, and names
of columns elsewhere."""
_UNIT_BEHIND = re.compile(r"[\[({<].*$|/\s*(s|sec|ms|µs|us|ns|min|h)$")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), start=1)}


def looks_like_time(cell: Cell) -> bool:
    """Whether a cell is a date, a time of day or both."""
    if not isinstance(cell, str) or not any(mark in cell for mark in ":-/.W년年 시時时点"):
        return False
    return any(form.fullmatch(cell.strip()) for form in _FORMS)


def seconds_of(cells: Sequence[Cell]) -> np.ndarray | None:
    """Seconds, float64 ``(rows,)``, of cells that are dates, times, months or the like, NaN where
    one is missing.

    None where a cell is something else. Days come before months unless that cannot be.
    """
    first = next((cell for cell in cells if not is_missing(cell)), None)
    if first is None:
        return None
    for month_first in (False, True):
        found = _parse_all(cells, month_first)
        if found is not None and (month_first or first_fall(found) is None):
            return found
    return _parse_all(cells, False)


def _parse_all(cells: Sequence[Cell], month_first: bool) -> np.ndarray | None:
    values = np.full(len(cells), np.nan)
    form = None
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            return None
        text = cell.strip()
        found = form.fullmatch(text) if form else None
        if found is None:
            if is_missing(text):
                continue
            form = next((one for one in (*_FORMS, *_PERIODS) if one.fullmatch(text)), None)
            found = form.fullmatch(text) if form else None
            if found is None:
                return None
        try:
            values[row] = _seconds(found.groupdict(), month_first)
        except ValueError:
            return None
    return values


def _seconds(parts: dict[str, str | None], month_first: bool) -> float:
    total = 0.0
    if year := parts.get("y") or parts.get("y2"):
        day, month = parts.get("d") or "1", parts.get("m") or "1"
        if parts.get("one"):
            day, month = parts["one"], parts["two"]
            if month_first:
                day, month = month, day
        elif parts.get("name"):
            month = str(_MONTHS.get(str(parts["name"]).lower(), 0))
        elif quarter := parts.get("q"):
            month = str(3 * int(quarter) - 2)
        if week := parts.get("week"):
            monday = date.fromisocalendar(int(year), int(week), 1).toordinal()
            total = (monday + int(parts.get("weekday") or 1) - 1) * _DAY_S
        else:
            total = _day(year, month, day) * _DAY_S
    elif parts.get("d"):
        total = int(str(parts["d"])) * _DAY_S
    if parts.get("min"):
        hour = int(parts.get("h") or 0)
        half = (parts.get("half1") or parts.get("half2") or "").lower()
        if half:
            hour = hour % 12 + (12 if half.startswith(_AFTERNOON) else 0)
        minute, second = int(parts["min"] or 0), int(parts.get("s") or 0)
        if minute > 59 or second > 60:  # 60 is a leap second
            raise ValueError(f"no time of day has {minute} minutes and {second} seconds")
        total += 3600.0 * hour + 60.0 * minute + second
        if parts.get("f"):
            total += float("0." + str(parts["f"]))
    if zone := parts.get("zone"):
        minutes = 60 * int(zone[1:]) + int(parts["zone_min"] or 0)
        total -= 60.0 * minutes * (-1 if zone[0] == "-" else 1)
    return total


@lru_cache(4096)
def _day(year: str, month: str, day: str) -> int:
    century = 2000 if len(year) == 2 else 0
    return date(century + int(year), int(month), int(day)).toordinal()


def first_fall(values: np.ndarray) -> int | None:
    """The first row whose value is below the one before it; None where they only rise.

    Times of a day may begin anew at midnight.
    """
    known = np.flatnonzero(~np.isnan(values))
    steps = np.diff(values[known])
    falls = np.flatnonzero(steps < 0)
    if np.nanmax(values, initial=0) <= _DAY_S:
        falls = falls[steps[falls] > -_DAY_S / 2]
    return int(known[falls[0] + 1]) if len(falls) else None


def is_time_name(name: str, *, weak: bool = False) -> bool:
    """Whether a column is called a time, whatever its unit; ``weak`` for names of other things
    too."""
    words = _UNIT_BEHIND.sub("", unicodedata.normalize("NFC", name)).strip().lower()
    words = re.sub(r"\.\d+$", "", words.removeprefix("# ").strip())  # of a name that is there twice
    base = re.sub(r"[\s_\-.]+", " ", words).strip()
    bare = re.sub(r" (s|sec|ms|us|ns|seconds|utc|local)$", "", base)
    if weak:
        names = {base.replace(" ", ""), bare.replace(" ", "")}
        return bool(names & WEAK_TIME_NAMES) or base.endswith((" second", " seconds"))
    base = bare
    for lead in _LEAD_WORDS:
        base = base.removeprefix(lead + " ")
    return base.replace(" ", "") in TIME_NAMES or base.replace("/", "") == "datetime"


def time_unit_s(name: str, unit: str = "") -> float | None:
    """Seconds in the unit of a column of times, that of its row of units or else the one in its
    name; None where neither is known."""
    if unit := unit.strip(" []()").lower():
        return _TIME_UNITS_S.get(unit)
    behind = re.split(r"[_\[(]", name.lower().rstrip(")]"))[-1].strip()
    return _TIME_UNITS_S.get(behind) if is_time_name(name) else None


def counts_rows(values: np.ndarray, name: str) -> bool:
    """Whether a column numbers the rows: whole numbers that rise by one under such a name, or that
    rise or never repeat where it has no name."""
    if not len(values) or not np.isfinite(values).all() or (values != np.floor(values)).any():
        return False
    if name.strip() in ("", f"{UNNAMED}0"):
        return len(np.unique(values)) == len(values)
    return is_row_name(name) and bool((np.diff(values) == 1).all())


def is_row_name(name: str) -> bool:
    """Whether a column is called a number of the rows."""
    return re.sub(r"[\s_\-.]+", "", name.lower()) in ROW_NAMES


def how_it_rises(values: np.ndarray) -> str:
    """``evenly`` where each value is as much above the one before it as all others are, of three or
    more; ``throughout`` where more values rise than would by chance, or as years do; else ""."""
    steps = np.diff(values.astype(np.float64))
    if len(steps) > 1 and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=0):
        return "evenly"
    are_years = len(steps) > 1 and YEARS[0] <= values.min() and values.max() < YEARS[1]
    is_long = len(values) >= MANY_ROWS or are_years
    return "throughout" if is_long and bool((steps > 0).all()) else ""


def rates_of(seconds: np.ndarray) -> list[float]:
    """Rows per second by the usual spacing of times and by the mean one; the first is right where
    there are gaps, the second where times are rounded."""
    steps = np.diff(seconds[~np.isnan(seconds)])
    spacings = (np.median(steps), steps.mean()) if len(steps) else ()
    return [1 / float(spacing) for spacing in spacings if spacing > 0]


def describe_spacing(values: np.ndarray, show: Callable[[float], str] = "{:.2g}".format) -> str:
    """How far apart rows are in time, in words; "" for one row."""
    steps = np.diff(values[~np.isnan(values)])
    usual = float(np.median(steps)) if len(steps) else 0.0
    if usual <= 0:
        return ""
    late, early = (steps > 1.9 * usual).mean(), (steps < 0.55 * usual).mean()
    if max(late, early) > 0.1:
        return "rows at more than one rate"
    return f"a row every {show(usual)}" + (", with gaps" if late else "")
