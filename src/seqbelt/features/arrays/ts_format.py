"""The ``.ts`` files of the UEA and UCR archives: many labelled sequences in one text file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqbelt.errors import SeqbeltError


@dataclass(frozen=True)
class TsExample:
    """One line after ``@data``."""

    values: np.ndarray
    """float32 ``(steps, channels)``; NaN where the file has ``?``."""
    label: str | None
    """None in a file without class labels."""
    line: int
    """Line of the file, from 1."""


class _Fault(Exception):
    """What is wrong with the present line."""


def read_ts(path: str | Path) -> list[TsExample]:
    """Read every example of a ``.ts`` file; lengths may differ from one to the next.

    Raises SeqbeltError naming the file and the line if the file is missing, not of this format,
    has time stamps or numeric targets, or if a line breaks what the header promises.
    """
    header: dict[str, list[str]] = {}
    examples: list[TsExample] = []
    number = 0
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                line = line.strip()
                if not line or line.startswith("#"):
                    continue
                if "data" in header:
                    examples.append(_parse_example(line, header, number))
                elif line.startswith("@"):
                    name, *values = line[1:].split()
                    header[name.lower()] = values
                    _check_header(header)
                else:
                    raise _Fault("expected '@name value' lines up to '@data'")
    except _Fault as fault:
        raise SeqbeltError(f"{path}, line {number}: {fault}") from None
    except UnicodeDecodeError:
        raise SeqbeltError(f"{path}: not a text file, so not a .ts file") from None
    except OSError as error:
        raise SeqbeltError(f"{path}: cannot be read ({error.strerror})") from None
    if not examples:
        raise SeqbeltError(f"{path}: no example follows '@data'")
    return examples


def _check_header(header: dict[str, list[str]]) -> None:
    if _is_true(header, "timestamps"):
        raise _Fault("values with time stamps are not supported; save them as one file each")
    if _is_true(header, "targetlabel"):
        raise _Fault("numeric targets (regression), not class labels")
    if not all(value.isdecimal() for value in header.get("dimensions", [])):
        raise _Fault("@dimensions is not a number of channels")


def _is_true(header: dict[str, list[str]], name: str) -> bool:
    return [value.lower() for value in header.get(name, [])[:1]] == ["true"]


def _parse_example(line: str, header: dict[str, list[str]], number: int) -> TsExample:
    channels, label = line.split(":"), None
    if _is_true(header, "classlabel"):
        label = channels.pop().strip()
        classes = header["classlabel"][1:]
        if classes and label not in classes:
            raise _Fault(f"label '{label[:40]}' is none of @classLabel's: {', '.join(classes)}")
    expected = header.get("dimensions")
    if expected and len(channels) != int(expected[0]):
        raise _Fault(f"{len(channels)} channels, @dimensions says {expected[0]}")
    rows = [_parse_channel(text, index) for index, text in enumerate(channels)]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise _Fault(f"channels of {min(lengths)} and of {max(lengths)} steps in one example")
    return TsExample(np.stack(rows, axis=1), label, number)


def _parse_channel(text: str, index: int) -> np.ndarray:
    cells = text.replace("?", "nan").split(",")
    try:
        return np.array(cells, dtype=np.float32)
    except ValueError as error:
        raise _Fault(f"channel {index}: {error}") from None
