"""A writer of tables with known values, in the ways that programs and people write them.

It shares no code with the reader: what a table holds is known because it was written from it.
"""

import io
import math
import random
import re
import zipfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from seqbelt.errors import BadInput
from seqbelt.features.arrays.channels import Channels

NAMES = ["x", "acc y", "acc #3", "gyr_z", "U (V)", "가속도", "Größe", "p/hPa", "volume", "ch 6"]
UNITS = ["[V]", "(g)", "m/s2", "[°/s]", "(-)", "hPa", "[mV]", "A", "°C", "g"]
MISSING = ["", "-", "NA", "NaN", "#N/A", "n/a", "null", "#DIV/0!"]
TITLES = ["Recording of 3 May", "Messung 12", "측정 기록", "Logger 4711, channel list below"]
TIME_NAMES = ["time", "Time [s]", "timestamp", "Zeit", "시간", "date"]


MAY_ALSO_SAY = ("features.header: true", "in two ways", "second half", "is one number or several")
"""What a table may be refused for beside the damage in it: that it leaves open what it means."""


@dataclass
class Written:
    """A table as it was written, and what it holds."""

    content: bytes
    values: np.ndarray
    """Float64 ``(rows, channels)``, NaN where a value is missing."""
    names: list[str] | None
    settings: dict = field(default_factory=dict)
    wrong_line: int | None = None
    """The line that is damaged, where one is: the table must be refused by it."""
    may_say: tuple[str, ...] = ()
    """Words of a remark that makes another reading no silent one."""
    about: dict = field(default_factory=dict)

    def describe(self) -> str:
        return f"{self.about} {self.settings}\n{self.content[:400]!r}"


class Verdict(NamedTuple):
    word: str
    why: str = ""


def judge(table: Written) -> Verdict:
    """Whether a table is read as it was meant, or refused by the right line."""
    features = Channels.parse({"kind": "channels", "missing": "mask", **table.settings})
    try:
        raw = features.read(table.content)
        problem = features.problem(raw)
        if problem is not None:
            raise problem
    except BadInput as error:
        lines = {int(found) for found in re.findall(r"\b(?:line|row) (\d+)", str(error))}
        is_open = any(word in str(error) for word in MAY_ALSO_SAY)
        if table.wrong_line is not None and table.wrong_line not in lines and not is_open:
            return Verdict("refused by a wrong line", f"{table.wrong_line}: {error}")
        return Verdict("refused", str(error))
    if table.wrong_line is not None or table.about.get("damage"):
        return Verdict("silently different", f"line {table.wrong_line} is damaged, and was read")
    expected = table.values.astype(np.float32)
    if raw.values.shape != expected.shape or not np.array_equal(
        raw.values, expected, equal_nan=True
    ):
        if any(word in note for word in table.may_say for note in raw.notes):
            return Verdict("refused", "said")
        return Verdict("silently different", f"{raw.values[:3]} for {expected[:3]}: {raw.notes}")
    is_said = any(word in note for word in table.may_say for note in raw.notes)
    if table.names and raw.names and list(raw.names) != table.names and not is_said:
        return Verdict("silently different", f"names {raw.names} for {table.names}")
    return Verdict("equal")


def write_table(draw: random.Random) -> Written:
    """A random table in a random dialect, now and then damaged."""
    num_rows, num_channels = draw.randint(1, 30), draw.randint(1, 6)
    values, texts = _numbers(draw, num_rows, num_channels)
    if draw.random() < 0.1:
        return _workbook(draw, values)
    delimiter = draw.choice([",", ",", ";", ";", "\t", "|", " "])
    decimal = draw.choice([".", ".", ","])
    thousands = draw.choice([None, None, None, {".": ",", ",": "."}[decimal], "'", " "])
    if delimiter == " ":
        thousands = None
    quotes = draw.choice(["never", "needed", "all"]) if delimiter != " " else "never"
    encoding = draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp949", "cp1252"])
    header = draw.choice(["names", "names", "names", "none", "pandas"])
    names = draw.sample(NAMES, num_channels) if header == "names" else None
    if names and delimiter == " ":
        names = [name.replace(" ", "_") for name in names]
    about = {
        "delimiter": delimiter, "decimal": decimal, "thousands": thousands, "quotes": quotes,
        "encoding": encoding, "header": header,
    }  # fmt: skip
    rows = [[_spell(cell, decimal, thousands) for cell in row] for row in texts]
    for row, column in [(r, c) for r in range(num_rows) for c in range(num_channels)]:
        # A table without any value in a column or a row says nothing about it.
        if row and draw.random() < 0.03 and num_rows > 2 and num_channels > 1 and column:
            missing = MISSING if delimiter != " " else MISSING[1:]
            rows[row][column], values[row, column] = draw.choice(missing), math.nan
    top, bottom = [], []
    columns_before = 0
    if names and draw.random() < 0.25:
        name, cells = _times(draw, num_rows, delimiter)
        names_row = [name, *names]
        rows = [[cell, *row] for cell, row in zip(cells, rows, strict=True)]
        columns_before, about["time"] = 1, name
    elif (header == "pandas" and draw.random() < 0.5) or (names and draw.random() < 0.15):
        start = draw.choice([0, 0, 7])
        rows = [[str(start + n), *row] for n, row in enumerate(rows)]
        names_row = ["", *(names or map(str, range(num_channels)))]
        columns_before, about["index"] = 1, True
        if delimiter == " ":
            return write_table(draw)  # an empty name is none between blanks
    else:
        names_row = list(names or map(str, range(num_channels)))
    if header == "none":
        names_row = None
    width = num_channels + columns_before
    if header == "names":
        if draw.random() < 0.2:
            top += [[title] for title in draw.sample(TITLES, draw.randint(1, 2))]
            about["titles"] = True
        top.append(names_row)
        if draw.random() < 0.2:
            top.append([""] * columns_before + draw.choices(UNITS, k=num_channels))
            about["units"] = True
            if columns_before and delimiter == " ":
                top[-1][0] = "[s]"
    elif names_row:
        top.append(names_row)
    if names and draw.random() < 0.12 and delimiter != " " and num_rows > 2:
        word = draw.choice(["Sum", "Total", "Mittelwert", "합계"])
        bottom.append([word, *[""] * (width - 1)])
        about["summary"] = word
    comments = ["# written by a logger"] if draw.random() < 0.1 else []
    trailing = delimiter != " " and draw.random() < 0.1 and header != "none"
    damage, wrong = None, None
    if draw.random() < 0.15 and num_rows > 4 and width > 1:
        damage, wrong = draw.choice(["short", "long", "word"]), draw.randrange(2, num_rows)
        about["damage"] = damage
        if damage == "short":
            rows[wrong] = rows[wrong][:-1]
        elif damage == "long":
            rows[wrong] = [*rows[wrong], "7"]
        else:
            rows[wrong][-1] = "oops"
    end = draw.choice(["\n", "\n", "\r\n"])
    lines = [*comments]
    wrong_line = None
    for number, row in enumerate([*top, *rows, *bottom]):
        line = delimiter.join(_quote(cell, delimiter, quotes) for cell in row)
        lines.append(line + (delimiter if trailing else ""))
        if wrong is not None and number == len(top) + wrong:
            wrong_line = len(lines)
    text = end.join(lines) + draw.choice([end, ""])
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        content, encoding = text.encode("utf-8"), "utf-8"
    if delimiter in (decimal, thousands) and quotes == "never":
        wrong_line = None  # no line of it can be taken apart
    settings = {}
    if draw.random() < 0.15:
        settings["decimal"] = decimal
        if thousands:
            settings["thousands"] = thousands
    if encoding not in ("utf-8", "utf-8-sig", "utf-16"):
        names = None  # names of before Unicode are guessed and said
    return Written(
        content,
        values,
        names,
        settings,
        wrong_line,
        ("decimal sign", "thousands", "features.header", "features.decimal", "row of units"),
        about,
    )


def _numbers(
    draw: random.Random, num_rows: int, num_channels: int
) -> tuple[np.ndarray, list[list[str]]]:
    """Values and their plain spelling, a way of writing for each column."""
    columns, texts = [], []
    for _ in range(num_channels):
        scale = draw.choice([1, 1, 1, 50, 3000, 2e6])
        form = draw.choice(["{:.3f}", "{:.3f}", "{:.6f}", "{:.1f}", "{:.0f}", "{:.4e}", "{:g}"])
        spelled = [form.format(draw.gauss(0, scale)) for _ in range(num_rows)]
        spelled = ["0" if word == "-0" else word for word in spelled]
        texts.append(spelled)
        columns.append([float(word) for word in spelled])
    return np.array(columns).T.copy(), [list(row) for row in zip(*texts, strict=True)]


def _spell(text: str, decimal: str, thousands: str | None) -> str:
    whole, point, rest = text.partition(".")
    if thousands and "e" not in text:
        whole = re.sub(r"(?<=\d)(?=(\d{3})+$)", thousands, whole)
    return whole + (decimal if point else "") + rest


def _quote(cell: str, delimiter: str, quotes: str) -> str:
    if quotes == "all" or (quotes == "needed" and (delimiter in cell or '"' in cell)):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _times(draw: random.Random, num_rows: int, delimiter: str) -> tuple[str, list[str]]:
    """A column of times: seconds, dates, or times of a day."""
    name = draw.choice(TIME_NAMES)
    if delimiter == " ":
        name = name.replace(" ", "_")
    kind = draw.choice(["seconds", "iso", "clock", "german"])
    if kind == "seconds" or delimiter == " ":
        step = draw.choice([1, 20, 500])
        return name, [str(n * step) for n in range(num_rows)]
    start = datetime(2024, draw.randint(1, 12), draw.randint(1, 28), draw.randint(0, 22))
    moments = [start + timedelta(seconds=n) for n in range(num_rows)]
    form = {"iso": "%Y-%m-%d %H:%M:%S", "clock": "%H:%M:%S", "german": "%d.%m.%Y %H:%M:%S"}[kind]
    return name, [moment.strftime(form) for moment in moments]


def _workbook(draw: random.Random, values: np.ndarray) -> Written:
    num_channels = values.shape[1]
    names = draw.sample(NAMES, num_channels)
    rows: list[list] = [names, *values.tolist()]
    if draw.random() < 0.3:
        rows.insert(0, [draw.choice(TITLES)])
    if draw.random() < 0.3:
        rows.insert(rows.index(names) + 1, draw.choices(UNITS, k=num_channels))
    content = workbook_bytes(rows)
    return Written(content, values, names, may_say=("row of units",), about={"workbook": True})


def workbook_bytes(rows: list[list], *more: list[list]) -> bytes:
    """An .xlsx with these rows on its first sheet; further sheets by their rows."""
    sheets = [rows, *more]
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    document = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    numbers = range(1, len(sheets) + 1)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{document}.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" '
            f'ContentType="{document}.worksheet+xml"/>'
            for n in numbers
        )
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        + "".join(f'<sheet name="Sheet{n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="rId{n}" Type="{relations}/worksheet" '
            f'Target="worksheets/sheet{n}.xml"/>'
            for n in numbers
        )
        + "</Relationships>",
    }
    for number, one in zip(numbers, sheets, strict=True):
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{_sheet_rows(one)}</sheetData></worksheet>'
        )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, head + text)
    return file.getvalue()


def _sheet_rows(rows: list[list]) -> str:
    found = []
    for number, row in enumerate(rows, start=1):
        cells = []
        for column, value in enumerate(row):
            place = f"{chr(65 + column)}{number}"
            if isinstance(value, str):
                text = escape(value)
                cells.append(f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>')
            elif value == value:
                cells.append(f'<c r="{place}"><v>{value!r}</v></c>')
        found.append(f'<row r="{number}">{"".join(cells)}</row>')
    return "".join(found)
