"""The corpus: one small input for each kind of trouble that people report, and what must come.

A case writes its input below a folder. It is read as ``values`` (of the first file's recording), or
refused with the words ``refused``; ``said`` must be among the remarks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """One kind of input."""

    name: str
    write: Callable[[Path], None]
    values: list[list[float]] | None = None
    refused: str = ""
    said: str = ""
    settings: tuple[str, ...] = ()


def table(text: str, encoding: str = "utf-8") -> Callable[[Path], None]:
    """Two classes of six such tables each, that differ in a comment at the end only."""

    def write(folder: Path) -> None:
        for label in ("down", "up"):
            (folder / "lay" / label).mkdir(parents=True)
            for number in range(6):
                content = f"{text}# {label} {number}\n".encode(encoding)
                (folder / "lay" / label / f"{number}.csv").write_bytes(content)

    return write


CASES = [
    Case("a number sign in a name", table("acc #1,acc #2\n1,2\n"), [[1, 2]]),
    Case(
        "a spreadsheet's error word",
        table("x,y\n#N/A,2\n1,3\n3,4\n"),
        [[1, 2], [1, 3], [3, 4]],
        settings=("features.missing=interpolate",),
    ),
    Case(
        "decimal commas between commas",
        table("x,y\n0,439,1,250\n"),
        refused=r"down/0\.csv: wrong shape: line 2 has 4 values, line 1 names 2 .*decimal",
    ),
    Case(
        "decimal commas between semicolons",
        table("x;y\n0,439;1,250\n"),
        [[0.439, 1.25]],
        said="decimal commas",
    ),
    Case(
        "pandas' header of numbers",
        table("0,1\n0.5,1.5\n"),
        [[0.5, 1.5]],
        said="line 1 is a header of numbers",
    ),
    Case("pandas' index", table(",x\n0,0.5\n1,1.5\n"), [[0.5], [1.5]], said="numbers the rows"),
    Case("a row of units", table("x,y\n(g),(g)\n1,2\n"), [[1, 2]], said="row of units"),
    Case("a title", table("Recording of 3 May\nx,y\n1,2\n"), [[1, 2]], said="as titles"),
    Case("a sum at the end", table("x,y\n1,2\n3,4\nTotal,\n"), [[1, 2], [3, 4]], said="'Total'"),
    Case("UTF-16", table("가속도,y\n1,2\n", "utf-16"), [[1, 2]], said="utf-16"),
    Case("cp949", table("가속도,y\n1,2\n", "cp949"), [[1, 2]], said="cp949"),
    Case(
        "a column of times",
        table("when,x\n2024-01-01 00:00:00,1\n2024-01-01 00:00:02,2\n"),
        [[1], [2]],
        said="'when' is rising time: not a channel; a row every 2",
    ),
    Case(
        "nothing but words",
        table("x,y\nhigh,low\n"),
        refused=r"none of \d+ training items .*down/0\.csv.*'high' in line 2.*quarantine\.csv",
    ),
]


def as_array(values: list[list[float]]) -> np.ndarray:
    return np.array(values, dtype=np.float32)
