"""Cells of a table as numbers: decimal signs, thousands separators, words for a missing value.

A table is written in one way throughout, so the signs are found in all its cells together. Where
no cell decides between them the table is refused: "1,234" alone is over a thousand, or over
one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

Cell: TypeAlias = str | float
"""As a file holds it: text, or in a workbook a number. A missing cell of a workbook is ""."""
_ERROR_WORDS = """
#n/a #na #div/0! #value! #ref! #name? #num! #null! #spill! #calc! #field! #blocked! #connect! #busy!
#wert! #nv #bezug! #zahl! #überlauf! #valeur! #nombre! #nom? #nul! #propagation!
#¡valor! #n/d #¡ref! #¡num! #¿nombre? #¡div/0! #¡nulo! #valore! #rif! #nome? #nullo! #valor! #núm!
#nulo! #waarde! #n/b #verw! #getal! #naam? #deel/0! #leeg! #arg! #n/d! #adr! #liczba! #nazwa?
#dziel/0! #zero! #värdefel! #saknas! #referens! #ogiltigt! #namn? #division/0! #skärning!
#værdi! #i/t #reference! #navn? #verdi! #arvo! #puuttuu! #viittaus! #luku! #nimi? #jako/0! #tyhjä!
#hodnota! #odkaz! #číslo! #název? #dělení_nulou! #érték! #hiányzik #hiv! #szám! #név? #zéróosztó!
#знач! #н/д #ссылка! #число! #имя? #дел/0! #пусто! #değer! #yok #başv! #sayi! #ad? #sayi/0! #boş!
"""
ERROR_WORDS = frozenset([*_ERROR_WORDS.split(), "#n/a n/a"])
"""What a spreadsheet writes for a value that it could not compute, in lower case, in the languages
of Europe."""
MISSING_WORDS = ERROR_WORDS | {
    "", "?", "-", "--", "---", "–", "—", ".", "na", "n/a", "n.a.", "nan", "-nan", "null", "none",
    "<na>", "-1.#ind", "1.#ind", "-1.#qnan", "1.#qnan", "nan(ind)", "-nan(ind)", "nan(snan)", "\\n",
    "nil", "n.d.", "k.a.", "nat",
}  # fmt: skip
"""Cells without a value, in lower case."""
ARROW_MISSING = sorted(
    {form for word in MISSING_WORDS for form in (word, word.upper(), word.capitalize())}
    | {"NaN", "-NaN", "#N/A N/A", "<NA>", "NaT"}
)
"""The same in their usual spellings, for a reader that is case-sensitive."""
TRUTH_WORDS = {"true": 1.0, "false": 0.0}
_OVERLOAD_WORDS = """
over under overflow underflow overload overrange underrange ovr ovrng ovld ovfl ol ol. oor o.l. o.r.
+over -over +ol -ol +ovr -ovr +overflow -overflow burnout b.out ∞ +∞ -∞ 1.#inf -1.#inf fault
invalid bad
nodata missing timeout open
"""
OVERLOAD_WORDS = frozenset(_OVERLOAD_WORDS.split()) | {
    "over range", "under range", "out of range", "bad input", "bad data", "no data", "i/o timeout",
}  # fmt: skip
"""What an instrument writes where it could not measure, in lower case: never a column's name."""
SENTINELS = (
    -9999.0, -99999.0, -999.0, -9999.99, -99.0, -8888.0, -32768.0, 999.9, 9999.0, 99999.0, 999999.0,
    32767.0, 65535.0,
)  # fmt: skip
"""What programs write for no value where every cell must be a number."""
HUGE = 1e20
"""No value either, such as the 1e20 of climate models, where other numbers are ordinary."""
EXACT = 2.0**53
"""Whole numbers up to this are exact in float64."""
_SPACES = " \u00a0\u2009\u202f"
_QUOTES = "'’"
_EXPONENT = r"(?:[eEdD][+-]?\d+)?"
"""D is Fortran's, for double precision."""
_PLAIN = re.compile(rf"[+-]?(?:\d+\.?\d*|\.\d+){_EXPONENT}|[+-]?inf(?:inity)?", re.IGNORECASE)
_COMMA = re.compile(rf"[+-]?\d*,\d+{_EXPONENT}")
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}")
_GROUPED = re.compile(
    rf"[+-]?[1-9]\d{{0,2}}(?:([.,{_SPACES}{_QUOTES}])\d{{3}})(?:\1\d{{3}})*(?:([.,])\d*)?{_EXPONENT}"
)
_INDIAN = re.compile(r"[+-]?[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d*)?")
"""1,23,456: thousands, then hundreds of them."""
_MARKED = re.compile(r"[^\w\s]*\s?\d[\d.,_'’\s/:;-]*(?:[eEdD][+-]?\d*)?\s?[^\w\s]*")
"""Digits with signs around them or between them."""
_SIGNS = str.maketrans(
    "\u2212\u2012\u2013\ufe63\uff0d０１２３４５６７８９．，＋", "-----0123456789.,+"
)
"""Minus signs, and letters of full width, as East Asian programs write numbers."""
INVISIBLE = "\u200b\u200e\u200f\u2060\ufeff\u00ad\u202a\u202c\u2066\u2069"
"""What has no picture and may stand around a number or a name."""


class Signs(NamedTuple):
    """How the numbers of a table are written; None where no cell decides it."""

    decimal: str | None = None
    thousands: str | None = None

    @property
    def are_plain(self) -> bool:
        """Whether they are those of a programming language."""
        return self.decimal != "," and not self.thousands


class SignConflict(Exception):
    """The meaning of the signs in the cells is ambiguous or contradictory."""

    def __init__(self, column: int, row: int, why: str) -> None:
        super().__init__(why)
        self.column, self.row = column, row


def as_text(cell: Cell) -> str:
    """A cell as text; a whole number of a workbook without a point."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def is_missing(cell: Cell) -> bool:
    """Whether a cell holds no value."""
    if not isinstance(cell, str):
        return cell != cell
    return cell.strip().lower() in MISSING_WORDS


def looks_like_number(cell: Cell) -> bool:
    """Whether a cell is a number in some way of writing, or true or false."""
    if not isinstance(cell, str):
        return True
    cell = _tidy(cell)
    return bool(
        _PLAIN.fullmatch(cell)
        or _COMMA.fullmatch(cell)
        or _is_grouped(cell)
        or _INDIAN.fullmatch(cell)
        or cell.lower() in TRUTH_WORDS
    )


def resembles_value(cell: Cell) -> bool:
    """Whether a cell that is no number rather is a value than a name: digits and signs only, as
    (1.5), 1.5%, or a word for what could not be measured."""
    if not isinstance(cell, str):
        return False
    cell = _tidy(cell)
    return bool(cell.lower() in OVERLOAD_WORDS or _MARKED.fullmatch(cell))


def _is_grouped(cell: str) -> bool:
    found = _GROUPED.fullmatch(cell)
    return found is not None and found[1] != found[2]


def _tidy(cell: str) -> str:
    tidied = cell.strip()
    if not tidied.isascii():
        tidied = tidied.strip(INVISIBLE).strip()
        # A dash alone is a missing value, and one within a number no sign.
        if any(character.isdigit() for character in tidied):
            tidied = tidied.translate(_SIGNS)
    if tidied[1:2].isspace() and tidied[0] in "+-" and tidied[2:].lstrip()[:1].isdigit():
        return tidied[0] + tidied[2:].lstrip()  # some loggers write all numbers in one width
    return tidied


def plain_numbers(cells: Sequence[Cell]) -> tuple[np.ndarray, list[int]]:
    """Float64 ``(rows,)``, NaN where a cell is missing, and the rows that are not plain numbers."""
    values = np.full(len(cells), np.nan)
    odd = []
    for row, cell in enumerate(cells):
        try:
            values[row] = float(cell)
            if isinstance(cell, str) and "_" in cell:  # a spelling of Python alone
                raise ValueError
        except ValueError:
            values[row] = np.nan
            if not is_missing(cell):
                odd.append(row)
    return values, odd


def find_signs(columns: Sequence[Sequence[Cell]], given: Signs) -> Signs:
    """The signs of a table whose ``columns`` hold numbers that are not all plain.

    Raises SignConflict, naming a cell, where they are ambiguous.
    """
    seen: dict[str, tuple[int, int]] = {}
    counts = Counter[str]()
    for column, cells in enumerate(columns):
        for row, cell in enumerate(cells):
            if isinstance(cell, str):
                for kind in _evidence(_tidy(cell)):
                    seen.setdefault(kind, (column, row))
                    counts[kind] += 1
    decimal = given.decimal or _decimal_of(seen, counts)
    thousands = given.thousands
    if thousands is None:
        other = "." if decimal == "," else ","
        marks = [kind[-1] for kind in seen if kind.startswith("group")]
        if f"unsure{other}" in seen:
            marks.append(other)
        marks = sorted(
            {" " if mark in _SPACES else "'" if mark in _QUOTES else mark for mark in marks}
        )
        if len(marks) > 1:
            location = next(index for kind, index in seen.items() if kind.startswith("group"))
            raise SignConflict(*location, "thousands are separated in two ways")
        thousands = marks[0] if marks else None
    return Signs(decimal, thousands)


def _evidence(cell: str) -> Iterable[str]:
    """What a cell indicates: a decimal sign, a separator of groups, or that it may be either."""
    if found := _AMBIGUOUS.fullmatch(cell):
        yield "unsure" + found[1]
    elif _INDIAN.fullmatch(cell):
        yield from ("group,", "decimal.")
    elif _COMMA.fullmatch(cell):
        yield "decimal,"
    elif "." in cell and _PLAIN.fullmatch(cell):
        yield "decimal."
    elif (found := _GROUPED.fullmatch(cell)) and found[1] != found[2]:
        yield "group" + found[1]
        if found[2]:
            yield "decimal" + found[2]
        elif found[1] in ".,":
            yield "decimal" + ("," if found[1] == "." else ".")


def _decimal_of(seen: Mapping[str, tuple[int, int]], counts: Mapping[str, int]) -> str:
    if "decimal," in seen and "decimal." in seen:
        rarer = min(("decimal,", "decimal."), key=lambda kind: (counts[kind], -seen[kind][1]))
        raise SignConflict(
            *seen[rarer],
            "in this table both a comma and a point are decimal signs",
        )
    if "decimal," in seen:
        return ","
    if "decimal." not in seen and "unsure," in seen:
        raise SignConflict(
            *seen["unsure,"], "its comma may be a decimal sign or separate thousands"
        )
    return "."


def signed_numbers(cells: Sequence[Cell], signs: Signs) -> tuple[np.ndarray, list[int]]:
    """As ``plain_numbers``, for cells written with these signs."""
    decimal, thousands = signs.decimal or ".", signs.thousands
    if thousands == decimal:
        thousands = None
    marks = _SPACES if thousands == " " else _QUOTES if thousands == "'" else thousands
    body = r"\d+"
    if marks:
        separator = f"[{re.escape(marks)}]"
        body = rf"(?:[1-9]\d{{0,2}}(?:{separator}\d{{3}})+|\d+)"
        if marks == ",":
            body = rf"(?:[1-9]\d?(?:,\d{{2}})+,\d{{3}}|{body})"
    mark = re.escape(decimal)
    pattern = re.compile(rf"[+-]?(?:{body}(?:{mark}\d*)?|{mark}\d+){_EXPONENT}")
    drop = str.maketrans("", "", marks or "")
    values = np.full(len(cells), np.nan)
    odd = []
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            values[row] = cell
            continue
        tidied = _tidy(cell)
        if pattern.fullmatch(tidied):
            plain = tidied.translate(drop).replace(decimal, ".").lower()
            values[row] = float(plain.replace("d", "e"))
        elif re.fullmatch(r"[+-]?inf(inity)?", tidied, re.IGNORECASE):
            values[row] = float(tidied)
        elif not is_missing(cell):
            odd.append(row)
    return values, odd


def find_sentinel(values: np.ndarray) -> float | None:
    """A number that usually stands for a missing value, where the others are far from it."""
    finite = values[np.isfinite(values)]
    largest = np.unique(finite[np.abs(finite) >= HUGE])
    for number in (*SENTINELS, *largest[:1].tolist()):
        is_one = finite == number
        if is_one.any() and 2 * np.abs(finite[~is_one]).max(initial=0) < abs(number):
            return number
    return None


def truth_values(cells: Sequence[Cell]) -> np.ndarray | None:
    """1 for true and 0 for false where a column holds nothing else; otherwise None."""
    words = [cell.strip().lower() if isinstance(cell, str) else cell for cell in cells]
    if not all(word in TRUTH_WORDS or is_missing(word) for word in words):
        return None
    known = cast(Mapping[Any, float], TRUTH_WORDS)
    values = [known.get(word, np.nan) for word in words]
    return np.array(values, dtype=np.float64)
