"""The corpus: small inputs of each kind of trouble that people report, and what must come.

A case is a source of a few files. It is read: the first sequence has ``values`` or the classes have
these counts; or refused with the words ``message``. What is read otherwise than it stands is said
with the words ``message``. ``docs/generate_cases.py`` makes a page of them.
"""

import bz2
import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
import soundfile

Content = str | bytes


class Case(NamedTuple):
    """One input and what comes of it."""

    kind: str
    shown: str
    """The input as the page shows it."""
    files: Mapping[str, Content]
    values: list[list[float]] | None = None
    classes: Mapping[str, int] | None = None
    message: str = ""
    settings: tuple[str, ...] = ()
    features: str = "channels"
    source: str = "lay"
    refused_row: bool = False
    """Whether one row is quarantined, with ``message``, and the others are read."""

    @property
    def is_read(self) -> bool:
        return self.values is not None or self.classes is not None

    def write(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def _numbers(
    text: str,
    values: list[list[float]] | None = None,
    message: str = "",
    *settings: str,
    encoding: str = "utf-8",
    shown: str = "",
) -> Case:
    """Two classes of six such tables each, that differ in a comment at the end only."""
    files = {
        f"lay/{label}/{number}.csv": f"{text}# {label} {number}\n".encode(encoding)
        for label in ("down", "up")
        for number in range(6)
    }
    note = f" ({encoding})" if encoding != "utf-8" else ""
    return Case("Tables of numbers", (shown or text) + note, files, values, None, message, settings)


def _manifest(
    kind: str,
    text: str,
    classes: Mapping[str, int] | None = None,
    message: str = "",
    *settings: str,
    name: str = "m.csv",
    encoding: str = "utf-8",
    refused_row: bool = False,
) -> Case:
    note = f" ({encoding})" if encoding != "utf-8" else ""
    files = {name: text.encode(encoding)}
    return Case(
        kind, text + note, files, None, classes, message, settings, "word", name, refused_row
    )


def _folders(
    names: str, classes: Mapping[str, int] | None = None, message: str = "", *settings: str
) -> Case:
    """Two recordings in each of the named folders."""
    files = {
        f"lay/{name}/{number}.npy": _array(place + number / 10)
        for place, name in enumerate(names.split(", "))
        for number in range(2)
    }
    return Case("Which folders are classes", names, files, None, classes, message, settings)


def _recording(shown: str, name: str, content: bytes, message: str) -> Case:
    files = {f"lay/{label}/{n}.wav": _sound(n + 1) for label in "ab" for n in range(2)}
    return Case(
        "Media", shown, files | {f"lay/a/{name}": content}, None, {"a": 2, "b": 2}, message,
        ("features.sample_rate=8000",), "log_mel", "lay", True,
    )  # fmt: skip


def _text(shown: str, content: bytes, message: str = "") -> Case:
    """A file beside four texts: refused with the message, or read where there is none."""
    files = {f"lay/{label}/{n}.txt": f"film {n}" for label in "ab" for n in range(2)}
    is_refused = bool(message)
    return Case(
        TEXTS, shown, {**files, "lay/a/x.txt": content}, None, {"a": 3 - is_refused, "b": 2},
        message, (), "word", "lay", is_refused,
    )  # fmt: skip


def _array(value: float) -> bytes:
    file = io.BytesIO()
    np.save(file, np.full((5, 1), value, np.float32))
    return file.getvalue()


def _parquet(columns: Mapping[str, object]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def _sound(seed: int, file_format: str = "WAV") -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).normal(size=4000) / 10
    soundfile.write(file, noise, 8000, format=file_format)
    return file.getvalue()


PLAIN = "good,pos\nbad,neg\n"
LABELS, MANIFESTS, QUOTES, TEXTS = "Labels and groups", "Manifests", "Quotes", "Encodings"
CASES = [
    _folders("Train/a, Train/b, TEST/a, TEST/b", {"a": 4, "b": 4}, "TEST/ as test"),
    _folders(
        "train/a, train/b, test/a, test/b, docs/x", {"a": 4, "b": 4}, "left out beside them: docs"
    ),
    _folders("Trainingsdaten/a, Testdaten/a", {"a": 4}, "Testdaten/ as test"),
    _folders("a/train, a/test, b/train, b/test", {"a": 4, "b": 4}, "parts below the class folders"),
    _folders("train/a, train/b, other/a", None, "others are not (other). Set data.split_folders"),
    _folders("data/a, data/b", None, "set data.source: lay/data"),
    _folders(
        "fold1/a, fold1/b, fold2/a, fold2/b",
        {"fold1": 4, "fold2": 4},
        "called alike in all of them (a, b)",
    ),
    _folders("a, b, __MACOSX, .git", {"a": 2, "b": 2}),
    _manifest(LABELS, "text,label\ngood,pos\nfine,pos \nbad,neg\n", {"pos": 2, "neg": 1}),
    _manifest(
        LABELS,
        "text,label\ngood,Pos\nfine,pos\nbad,neg\n",
        {"Pos": 1, "pos": 1, "neg": 1},
        "differ only in case",
    ),
    _manifest(
        LABELS,
        "text,label\ngood,kız\nfine,KIZ\nbad,x\n",
        {"kız": 1, "KIZ": 1, "x": 1},
        "differ only in case",
    ),
    _manifest(
        LABELS,
        "text,label\ngood,po\u200ds\nfine,pos\nbad,x\n",
        {"po\u200ds": 1, "pos": 1, "x": 1},
        "classes 'pos' (1), 'po\\u200ds' (1) differ only in case",
    ),
    _manifest(
        LABELS,
        "text,label\ngood,1\nfine,1.0\nbad,0\n",
        {"1": 1, "1.0": 1, "0": 1},
        "are the same number",
    ),
    _manifest(
        LABELS,
        f"text,label\n{PLAIN}odd,\n",
        {"pos": 1, "neg": 1},
        "unknown label",
        refused_row=True,
    ),
    _manifest(
        LABELS,
        '{"text": "good", "label": 1.0}\n{"text": "bad", "label": 0}\n'
        '{"text": "odd", "label": NaN}\n',
        {"1": 1, "0": 1},
        "unknown label",
        name="m.jsonl",
        refused_row=True,
    ),
    _manifest(
        LABELS,
        '{"text": "good", "label": 1}\n{"text": "odd", "label": 1e400}\n',
        {"1": 1},
        "unknown label",
        name="m.jsonl",
        refused_row=True,
    ),
    _manifest(
        LABELS,
        "text,label,group\ngood,pos,1\nbad,neg,nan\nfine,pos,\n",
        {"pos": 2, "neg": 1},
        "1 row without a group: each is its own",
    ),
    _manifest(
        LABELS,
        "text,label,group\ngood,pos,1\nbad,neg,nan\n",
        {"pos": 1, "neg": 1},
        "group 'nan' (1) looks like a missing value; it is taken as a name",
    ),
    _manifest(
        MANIFESTS,
        f"text,label\n{PLAIN}\nlabel,meaning\npos,positive\n",
        None,
        "line 5: 'label, meaning' names columns below an empty line: a second table",
    ),
    _manifest(
        MANIFESTS,
        f"text,label\n{PLAIN}\nfile,category\nx,dog\n",
        None,
        "line 5: 'file, category' stands below an empty line, and no other row has its label",
    ),
    _manifest(
        MANIFESTS,
        "id,text,label\n7,good,pos\n7,bad,neg\n",
        {"pos": 1, "neg": 1},
        "the id '7' stands in several rows ('7' in line 2 and line 3)",
    ),
    _manifest(
        LABELS,
        f"text,label\n{PLAIN}fine,#REF!\n",
        {"pos": 1, "neg": 1},
        "line 4: column 'label' holds '#REF!', a spreadsheet's error: correct the cell",
        refused_row=True,
    ),
    Case(
        LABELS,
        "m.parquet (label: float32 0.1, 0.2)",
        {
            "m.parquet": _parquet(
                {"text": ["good", "bad"], "label": np.array([0.1, 0.2], np.float32)}
            )
        },
        classes={"0.1": 1, "0.2": 1},
        features="word",
        source="m.parquet",
    ),
    _manifest(
        LABELS,
        '{"text": "good", "label": ["a", "b"]}\n',
        None,
        "line 1: column 'label' holds a list",
        name="m.jsonl",
    ),
    _manifest(
        LABELS,
        '{"text": "good", "label": "a", "label": "b"}\n',
        None,
        "line 1: the manifest cannot be read: the key 'label' appears twice",
        name="m.jsonl",
    ),
    _manifest(MANIFESTS, "sep=;\ntext;label\ngood;pos\nbad;neg\n", {"pos": 1, "neg": 1}),
    _manifest(
        MANIFESTS,
        f"Reviews of May\ntext,label\n{PLAIN}",
        {"pos": 1, "neg": 1},
        "line 1 stands above the header: left out",
    ),
    _manifest(MANIFESTS, "text,label,,\ngood,pos,,\nbad,neg,,\n", {"pos": 1, "neg": 1}),
    _manifest(MANIFESTS, "text;label\ngood;pos\n", None, "or the delimiter in data.delimiter: ';'"),
    _manifest(
        MANIFESTS,
        "sentence,label\ngood,pos\n",
        None,
        "no column 'path' or 'text'; found sentence, label",
    ),
    _manifest(
        MANIFESTS,
        f"text,label\n{PLAIN}fine, nice,pos\n",
        None,
        "m.csv, line 4: 3 values, but the header has 2",
    ),
    _manifest(
        MANIFESTS,
        f"text,label\n{PLAIN}text,label\n{PLAIN}",
        {"pos": 2, "neg": 2},
        "line 4: the row repeats the header",
        refused_row=True,
    ),
    _manifest(
        MANIFESTS,
        f"text,label\n{PLAIN}Total,2\n",
        {"pos": 1, "neg": 1},
        "line 4: the row 'total' sums the others up",
        refused_row=True,
    ),
    _manifest(
        QUOTES,
        'text,label\n"good\nfine,pos\nbad,neg\n',
        None,
        "line 2: a quotation mark opens a value and runs on",
    ),
    _manifest(
        QUOTES,
        'text,label\n"good \\"x\\" y",pos\n',
        None,
        "line 2: a quotation mark opens a value without a closing one",
    ),
    _manifest(MANIFESTS, f"text,label\n{PLAIN}", None, "it is a text: name it .csv", name="m.xlsx"),
    Case(
        MANIFESTS,
        "m.csv (a workbook)",
        {"m.csv": b"PK\x03\x04\x14\x00\x06\x00"},
        message="m.csv: is a workbook or an archive and no text; name it .xlsx",
        features="word",
        source="m.csv",
    ),
    _manifest(QUOTES, 'label, text\n"pos", "good, fine"\n"neg", "bad"\n', {"pos": 1, "neg": 1}),
    _numbers("acc #1,acc #2\n1,2\n", [[1, 2]]),
    _numbers("x,y\n1,3\n#####,2\n4,5\n", None, "column 'x' holds '#####' in line 3"),
    _numbers("x,y\n1,1e300\n", None, "channel 'y': 1e+300 does not fit into float32"),
    _numbers(
        "a b\tc\n1\t2\n3\t\t4\n5\t6\n", None, "line 3 has 3 values, the columns named in line 1"
    ),
    _numbers(
        "time,seconds_elapsed,x\n17,0.01,1\n18,0.02,2\n",
        [[1], [2]],
        "column 'seconds_elapsed' is rising time: not a channel",
    ),
    _numbers(
        "<!DOCTYPE html><html>404</html>\n",
        None,
        "line 1: '<!DOCTYPE html><html>404</html' begins HTML",
    ),
    _numbers(
        "x,y\n#N/A,2\n1,3\n3,4\n", [[1, 2], [1, 3], [3, 4]], "", "features.missing=interpolate"
    ),
    _numbers(
        "x,y\n1,2\n#NV,3\n3,4\n", [[1, 2], [2, 3], [3, 4]], "", "features.missing=interpolate"
    ),
    _numbers(
        "x,y\n1,\n2,3\n",
        None,
        "1 values are missing or infinite, first in line 2 (step 0), channel 'y'; "
        "features.missing: interpolate",
    ),
    _numbers(
        "x,y\n0,439,1,250\n",
        None,
        "line 2 has 4 values, line 1 names 2 columns; where commas are decimal "
        "signs, features.decimal: ',' says so",
    ),
    _numbers("x;y\n0,439;1,250\n", [[0.439, 1.25]], "decimal commas"),
    _numbers("x;y\n1.234,5;2\n", [[1234.5, 2]], "thousands separated by points"),
    _numbers("x;y\n1,234;2\n", None, "its comma may be a decimal sign or separate thousands"),
    _numbers("x;y\n1'234.5;2\n", [[1234.5, 2]], "thousands separated by apostrophes"),
    _numbers("x;y\n1,23,456;2.5\n", [[123456, 2.5]], "thousands separated by commas"),
    _numbers("x,y\n\u22121.5,\u20132\n", [[-1.5, -2]]),
    _numbers("x,y\n1.5,2\nOver,3\n", None, "column 'x' holds 'Over' in line 3, not a number"),
    _numbers("x,y\n(1.5),(2)\n1.5,3\n", None, "line 2, column 0: '(1.5)' is not a number"),
    _numbers(
        "x,y\n1.5,9.9E+37\n",
        None,
        "1 values are missing or infinite, first in line 2 (step 0), channel 'y'",
    ),
    _numbers("0,1\n0.5,1.5\n", [[0.5, 1.5]], "line 1 is a header of numbers"),
    _numbers(
        ",x\n0,0.5\n1,1.5\n", [[0.5], [1.5]], "the first column numbers the rows: not a channel"
    ),
    _numbers("x,y\n(g),(g)\n1,2\n", [[1, 2]], "line 2 is a row of units, '(g), (g)': not a step"),
    _numbers(
        "x,y\n---,---\n1,2\n3,4\n",
        [[1, 2], [3, 4]],
        "line 2 is drawn below the names: not a step",
        "features.missing=interpolate",
    ),
    _numbers(
        "x,y\n1,2\n\n3,4\n",
        [[1, 2], [3, 4]],
        "empty lines and comments between the values are left out",
    ),
    _numbers(
        "x,y\n1,2\n#3,4\n5,6\n",
        [[1, 2], [5, 6]],
        "empty lines and comments between the values are left out",
    ),
    _numbers(
        "2019,2020\n1.5,2.5\n3.5,4.5\n",
        [[2019, 2020], [1.5, 2.5], [3.5, 4.5]],
        "line 1, of whole numbers above others with a point, is read as values",
    ),
    _numbers(
        "t,x\n1,5\n2,6\nRMS,9\n",
        [[5], [6], [9]],
        "column 't' holds 'RMS' beside numbers or times",
        "features.channels=[x]",
    ),
    _numbers(
        "x,Label\n1.5,0\n2.5,0\n",
        [[1.5, 0], [2.5, 0]],
        "column 'Label' is a channel: features.ignore spells it otherwise",
    ),
    _numbers(
        "x,y\n1.5,0\n2.5,0\n",
        [[1.5, 0], [2.5, 0]],
        "no column 'subject', which features.ignore names",
        "features.ignore=[subject]",
    ),
    _numbers(
        "x\n16777217\n16777219\n",
        [[16777216], [16777220]],
        "channel 'x' changes by less than float32 can keep: subtract an offset from it",
    ),
    _numbers(
        "x\n9007199254740992\n9007199254740993\n",
        [[2**53], [2**53]],
        "channel 'x' changes by less than float32 can keep: subtract an offset from it",
    ),
    _numbers(
        "year,x\n2023.04,5\n2023.12,7\n2023.29,6\n",
        None,
        "column 'year' rises throughout, as times do, and is a channel",
    )._replace(classes={"down": 6, "up": 6}),
    _numbers(
        "time_s,x\n0,1\n0.02,2\n0.04,3\n",
        [[1], [2], [3]],
        "the times give 50 Hz, and features.source_rate_hz is 100",
        "features.source_rate_hz=100",
    ),
    _numbers(
        "x\n1E2\n2E3\n",
        [[100], [2000]],
        "'1E2' is read as a number with an exponent (hexadecimal: 0x)",
    ),
    _numbers("a,b\n1E,2A\n1F,2B\n20,2C\n", None, "line 3, column 0: '1F' is not a number"),
    _numbers(
        "week,x\n2024-W52,1\n2025-W01,2\n",
        [[1], [2]],
        "column 'week' is rising time: not a channel; a row every 6e+05 s",
    ),
    _numbers(
        "time,x\nMon Nov 30 18:47:57 2026,1\nMon Nov 30 18:47:59 2026,2\n",
        [[1], [2]],
        "column 'time' is rising time: not a channel; a row every 2 s",
    ),
    _numbers(
        "time,axis,value\n0,x,1\n0,y,2\n1,x,3\n1,y,4\n",
        None,
        "the table has a row for each time of 'time' and each 'axis' (x, y), the long format, and "
        "not a row per step: make a column of each",
    ),
    _numbers(
        "axis,time,value\nx,0,1\nx,1,2\ny,0,3\ny,1,4\n",
        None,
        "the table has a row for each time of 'time' and each 'axis' (x, y), the long format",
    ),
    _numbers(
        "time,axis,value\n0,1,5\n0,2,6\n1,1,7\n1,2,8\n",
        [[1, 5], [2, 6], [1, 7], [2, 8]],
        "perhaps a row for each time of 'time' and each 'axis' (1, 2), the long format",
    ),
    _numbers(
        "frame,x\n1,5\n2,6\n4,7\n",
        [[1, 5], [2, 6], [4, 7]],
        "column 'frame' is called like a time or a number of the rows, and is none",
    ),
    _numbers(
        "a,x\n1700000000,5\n1700000256,7\n1700000512,6\n",
        [[1700000000, 5], [1700000256, 7], [1700000512, 6]],
        "column 'a' rises evenly, as times do, and is a channel",
    ),
    _numbers(
        "t,x\n2024-10-27T02:59:59+02:00,1\n2024-10-27T02:00:00+01:00,2\n",
        [[1], [2]],
        "column 't' is rising time: not a channel; a row every 1 s",
    ),
    _numbers(
        "t,x\n2024-03-31T01:59:59+01:00,1\n2024-03-31T02:00:00+02:00,2\n",
        None,
        "'2024-03-31T02:00:00+02:00' is earlier than before",
    ),
    _numbers(
        "year,month,day,x\n2024,2,29,1\n2024,3,1,2\n",
        [[1], [2]],
        "columns 'year', 'month', 'day' are rising time together: no channels",
    ),
    _numbers(
        "year,quarter,x\n2023,4,1\n2024,1,2\n",
        [[1], [2]],
        "columns 'year', 'quarter' are rising time together: no channels",
    ),
    _numbers(
        "Date,Time,x\n45292,0.75,1\n45293,0.25,2\n",
        [[1], [2]],
        "columns 'Date', 'Time' are rising time together: no channels",
    ),
    _numbers(
        "x,U\n1,12.5 mV\n2,0.5 mV\n",
        [[1, 12.5], [2, 0.5]],
        "column 'U': every cell has the unit 'mV', which is left out",
    ),
    _numbers("x,U\n1,12.5 mV\n2,0.5 V\n", None, "column 'U' holds '12.5 mV' in line 2"),
    _numbers(
        "x,code\n1,0x1F\n2,0x0A\n",
        [[1, 31], [2, 10]],
        "column 'code': numbers are hexadecimal",
    ),
    _numbers(
        "x,valve\n1,ON\n2,OFF\n",
        [[1, 1], [2, 0]],
        "column 'valve': on and off are 1 and 0",
    ),
    _numbers(
        "date,time,x\n2024-02-29,22:00:00,1\n2024-03-01,06:00:00,2\n",
        [[1], [2]],
        "columns 'date', 'time' are rising time together: no channels",
    ),
    _numbers(
        "t,x,,t,y\n0,5,,0,7\n1,6,,1,3\n",
        [[5, 7], [6, 3]],
        "column 3 is empty; those right of it are read with those left of it",
    ),
    _numbers(
        "t,x\n0,5\n1,6\n\nt,y\n0,7\n",
        None,
        "line 5: 't, y' names columns anew below values: a second table",
    ),
    _numbers(
        '"x" "y"\n"1" 1.5 2.5\n"2" 0.5 0.25\n',
        [[1.5, 2.5], [0.5, 0.25]],
        "the first numbers the rows, as R writes them",
    ),
    _numbers(
        "x,class\n1.5,0\n2.5,1\n",
        [[1.5, 0], [2.5, 1]],
        "column 'class' is a channel, though it is called like a label (features.ignore)",
    ),
    _numbers(
        "t,x\n2024-02-29,1\n2024-02-30,2\n",
        None,
        "column 't' holds '2024-02-30' in line 3, not a number",
    ),
    _numbers("가속도,y\n1,2\n", [[1, 2]], "text in utf-16-le", encoding="utf-16-le"),
    _numbers(
        "Recording of 3 May\nx,y\n1,2\n",
        [[1, 2]],
        "lines above the column names are left out as titles",
    ),
    _numbers(
        "1764420000,1764420000\n32,32\n0.5,1.5\n",
        [[0.5, 1.5]],
        "lines 1 and 2 are the start and the rate, as Empatica writes them",
    ),
    _numbers(
        "x,y\n1,2\n3,4\nTotal,\n",
        [[1, 2], [3, 4]],
        "the last row 'Total' sums the others up: not a step",
    ),
    _numbers(
        "x,y\n1,2\n3,4\nx,y\n5,6\n",
        [[1, 2], [3, 4], [5, 6]],
        "lines that repeat the column names are left out",
    ),
    _numbers(
        "x,y\n1,2\n3\n",
        None,
        "line 3 has 1 values, the columns named in line 1 are 2; a value is "
        "missing, or the line was cut off",
    ),
    _numbers("가속도,y\n1,2\n", [[1, 2]], "text in utf-16", encoding="utf-16"),
    _numbers("가속도,y\n1,2\n", [[1, 2]], "names and words read as cp949", encoding="cp949"),
    _numbers(
        "시각,x\n2026.11.29 오후 3:04:05,1\n2026.11.29 오후 3:04:07,2\n",
        [[1], [2]],
        "column '시각' is rising time: not a channel; a row every 2",
    ),
    _numbers(
        "t,x\n2026-11-29 12:00:02,1\n2026-11-29 12:00:01,2\n",
        None,
        "line 3, column 't': '2026-11-29 12:00:01' is earlier than before: the rows are not in "
        "the order of time",
    ),
    _numbers(
        "x,y\nhigh,low\n",
        None,
        "down/0.csv: wrong type: column 'x' holds 'high' in line 2, not a number",
    ),
    _manifest(
        TEXTS,
        "text,label\n좋은 영화,긍정\n나쁜 영화,부정\n재미있다,긍정\n",
        None,
        "it looks like cp949, which reads '좋은 영화,긍정': set data.encoding: cp949",
        encoding="cp949",
    ),
    _manifest(
        TEXTS,
        "text,label\n좋은 영화,긍정\n나쁜 영화,부정\n",
        None,
        "is not written in UTF-8 (2 of 2 lines that are not plain ASCII)",
        encoding="cp949",
    ),
    _manifest(
        TEXTS,
        "text,label\nХороший фильм,да\nПлохой фильм,нет\n",
        None,
        "looks like utf-16-be; set data.encoding: utf-16-be",
        encoding="utf-16-be",
    ),
    _manifest(
        TEXTS,
        "text,label\n좋은 영화,긍정\n나쁜 영화,부정\n",
        None,
        "looks like utf-7; set data.encoding: utf-7",
        encoding="utf-7",
    ),
    _manifest(
        TEXTS,
        "text,label\n좋은 영화,긍정\n",
        {"긍정": 1},
        "",
        "data.encoding=utf-16",
        encoding="utf-16",
    ),
    Case(
        "Tables of numbers",
        "a table compressed by gzip",
        {f"lay/{label}/{n}.csv": gzip.compress(b"x\n1\n") for label in "ab" for n in range(2)},
        message="is compressed by gzip; unpack it",
    ),
    _text("a text in UTF-32 with a mark", "좋은 영화".encode("utf-32")),
    _text("a text in ISO 2022", "良い映画".encode("iso2022_jp"), "set data.encoding: iso2022_jp"),
    _text("a PDF called .txt", b"%PDF-1.4 ...", "a PDF and no plain text"),
    _text("a Rich Text file", b"{\\rtf1 good film}", "a document in Rich Text Format"),
    _text("a Word file", b"PK\x03\x04 word/document.xml", "a zip, as documents of Word"),
    _text("a text compressed by bzip2", bz2.compress(b"film"), "is compressed by bzip2; unpack it"),
    _recording("half of an AIFF", "x.aiff", _sound(9, "AIFF")[:4000], "truncated"),
    _recording("half of a WAV", "x.wav", _sound(9)[:4000], "truncated"),
    _recording("an empty file", "x.wav", b"", "the file has no bytes"),
    _recording("a text called .wav", "x.wav", b"no sound", "not an audio file that can be decoded"),
]


def as_array(values: list[list[float]]) -> np.ndarray:
    return np.array(values, dtype=np.float32)
