"""What every kind of feature offers: a source goes in, a sequence comes out."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from seqbelt.errors import EMPTY, TOO_LONG, UNREADABLE, WRONG_TYPE, BadInput
from seqbelt.settings import Settings

GIT_LFS_MARK = "version https://git-lfs.github.com/"
"""How a file begins that Git LFS put in the place of another."""


@dataclass(frozen=True)
class JoinedSource:
    """Where an item of several inputs comes from."""

    inputs: tuple["Path | str | bytes | np.ndarray | None", ...]
    """The source of each input; None where it is missing."""
    cells: tuple[str, ...]
    """The item's cells of the manifest's columns; empty where one is missing."""


Source: TypeAlias = Path | str | bytes | np.ndarray | JoinedSource
"""Where one item comes from: a file, a text, the bytes of a file, a ready array, or several of
them."""


def file_or_content(source: Source) -> Path | bytes | np.ndarray:
    """The source of a single input, with a path that is given as text as ``Path``."""
    assert not isinstance(source, JoinedSource)  # its inputs are read one by one
    return Path(source) if isinstance(source, str) else source


Learned: TypeAlias = dict[str, bytes]
"""What an encoder learned from training rows: file name -> content, as a bundle stores it."""


MAX_FILE_BYTES = 4 << 30
"""Limit for files of a kind that has no limit of its own."""
_PACKED = (
    (b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4"), (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
)  # fmt: skip
_BZIP2_BLOCK = b"1AY&SY"
NO_BYTES = "the file has no bytes"


class NoContent(bytes):
    """What a source inside another file yields where it cannot be read, with the ``reason``."""

    reason: str

    def __new__(cls, reason: str) -> "NoContent":
        content = super().__new__(cls)
        content.reason = reason
        return content


def read_bytes(source: Path | bytes, max_bytes: float = MAX_FILE_BYTES, setting: str = "") -> bytes:
    """The content of a file.

    Raises BadInput if it cannot be read, holds nothing, is compressed, is no regular file (a pipe
    or a device may have no end) or has more than ``max_bytes``, which ``setting`` allows; no more
    is read.
    """
    if isinstance(source, NoContent):
        raise BadInput(UNREADABLE, source.reason)
    if isinstance(source, bytes):
        content = source
    else:
        with open_file(source) as file:
            _refuse_size(os.fstat(file.fileno()).st_size, max_bytes, setting)
            content = file.read()
    if not content:
        raise BadInput(EMPTY, NO_BYTES)
    if problem := describe_packed(content):
        raise BadInput(WRONG_TYPE, problem)
    return content


def describe_packed(content: bytes) -> str:
    """What to do about a file that is compressed; "" for others."""
    name = next((name for start, name in _PACKED if content.startswith(start)), "")
    if not name or (name == "bzip2" and content[4:10] != _BZIP2_BLOCK):
        return ""
    return f"is compressed by {name}; unpack it"


@contextmanager
def open_file(path: Path) -> Iterator[BufferedReader]:
    """A regular file, open to be read; errors while it is are BadInput too."""
    try:
        # A pipe without a writer would wait for ever, even to be opened.
        with open(path, "rb", opener=_open_at_once) as file:  # faster
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadInput(WRONG_TYPE, "not a regular file: a pipe, a device or a socket")
            yield file
    except IsADirectoryError:
        is_listed = os.access(path, os.R_OK | os.X_OK)
        problem = "a folder, not a file" if is_listed else "a folder that cannot be listed"
        raise BadInput(WRONG_TYPE, problem) from None
    except FileNotFoundError:
        raise BadInput(UNREADABLE, describe_missing(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise BadInput(UNREADABLE, reason_of(error)) from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_size(num_bytes: int, max_bytes: float, setting: str) -> None:
    if num_bytes > max_bytes:
        allowed = f"{setting} allows" if setting else "at most"
        raise BadInput(
            TOO_LONG, f"a file of {num_bytes / 1e6:.4g} MB; {allowed} {max_bytes / 1e6:.4g} MB"
        )


def describe_missing(path: Path) -> str:
    """The missing file, and the likely reason where its name suggests one."""
    message = f"no such file: '{path}'"
    if not path.is_absolute():
        message += f", looked for from {Path.cwd()}"
    if scheme := re.search(r"\b(https?|ftp|s3|gs|hdfs):/", str(path)):
        return f"{message}; it is an address ({scheme[1]}): fetch the file and name its path"
    if re.search(r"(^|/)[A-Za-z]:[\\/]", str(path)):
        return f"{message}; it is a path of Windows: write it relative to the manifest"
    return message


def reason_of(error: Exception) -> str:
    """An error's message, without the number and the file name that OSErrors and FFmpeg add."""
    return getattr(error, "strerror", None) or str(error)


class Encoder(Protocol):
    """Turns what ``Features.read`` returned into sequences. Pure: no item changes another."""

    @property
    def num_features(self) -> int:
        """Width of a step; for token ids, the size of the vocabulary."""
        ...

    def encode(self, raws: Sequence[Any]) -> list[np.ndarray]:
        """Encode items together: float32 ``(steps, features)`` or int32 ``(steps,)`` token ids.

        The result for an item does not depend on the others beyond rounding (1e-6).
        """
        ...


class Features(Settings):
    """Base of the feature settings. ``kind`` names the class in YAML."""

    is_tokens: ClassVar[bool] = False
    """Sequences are integer token ids ``(steps,)`` that the model embeds."""
    reads_text: ClassVar[bool] = False
    """Items are texts (a manifest's ``text`` column, or files of text)."""
    reads_tables: ClassVar[bool] = False
    """A table (.csv, .parquet, …) may itself be an item, and is one unless it names items."""
    needs_torch: ClassVar[bool] = False
    """Whether encoding imports torch."""
    faster_with_torch: ClassVar[bool] = False
    """Whether encoding uses torch where it is loaded."""
    learns: ClassVar[bool] = False
    """``learn`` must see the training rows before anything can be encoded."""
    learns_from_sources: ClassVar[bool] = False
    """``learn`` takes sources and reads them itself."""
    size_setting: ClassVar[str] = ""
    """Name of the setting that ``max_file_bytes`` follows from."""
    before: ClassVar[Mapping[str, Any]] = {}
    """Settings that older bundles do not name, with what those models were trained with."""
    version: ClassVar[int] = 1
    """Raised whenever the same settings give other numbers, so that prepared data is redone."""

    def identity(self) -> dict[str, Any]:
        """The settings that identify prepared data and predictions: without those of
        ``before`` that are as they were, so that what is older stays known."""
        values = self.to_dict()
        return {
            name: value
            for name, value in values.items()
            if name not in self.before or value != self.before[name]
        }

    def files_stamp(self) -> str:
        """Changes with the content of files that the settings name; empty without such files.

        Raises SettingsError if one is missing.
        """
        return ""

    def section_widths(self, encoder: "Encoder") -> tuple[tuple[str, int], ...]:
        """Kind and number of features of each section, in their order; empty for one kind."""
        return ()

    def identifying(self, learned: Learned) -> Learned:
        """What identifies prepared data and predictions among what was learned."""
        return learned

    def notes(self, learned: Learned) -> tuple[str, ...]:
        """Notes for the user on what was found when ``learned`` was made."""
        return ()

    @property
    def max_file_bytes(self) -> float:
        """Larger files are refused before anything of them is read."""
        return MAX_FILE_BYTES

    @property
    def is_spectrum(self) -> bool:
        """Whether the features are the bands of a spectrum, in order of rising frequency."""
        return False

    has_one_unit: ClassVar[bool] = False
    """Whether all features have the same unit, so that copies are compared without rescaling."""

    def comparable(self, sequence: np.ndarray) -> np.ndarray:
        """A sequence ``(steps, features)`` in the form in which copies of a source are alike
        although they were encoded, scaled or cropped otherwise."""
        return sequence

    @property
    def mirrored(self) -> np.ndarray | None:
        """Which feature each feature becomes where the source is mirrored, int ``(features,)``;
        None where that is not known."""
        return None

    def fetch(self, source: Source) -> Source:
        """The source with the bytes of its file. Raises BadInput, nothing else."""
        if isinstance(source, Path | NoContent):
            return read_bytes(source, self.max_file_bytes, self.size_setting)
        return source

    def read(self, source: Source) -> Any:
        """Decode one source into what ``Encoder.encode`` takes. Raises BadInput, nothing else."""
        raise NotImplementedError

    def problem(self, raw: Any) -> BadInput | None:
        """Why what ``read`` returned cannot be used by itself, though a part of it may be."""
        return None

    def learn(self, raws: Iterable[Any]) -> Learned:
        """Learn from the training rows (a vocabulary, say). Signals learn nothing here."""
        return {}

    def encoder(self, learned: Learned) -> Encoder:
        """The encoder that these settings and ``learned`` make."""
        raise NotImplementedError

    def remarks(self, raw: Any, encoder: Encoder) -> tuple[str, ...]:
        """How a source was read, where that was not evident: sentences that are the same for the
        same way of reading, so that a summary can count them."""
        return ()

    def num_steps(self, num_rows: int) -> int:
        """Steps of a source with so many rows or samples, as the settings count them."""
        raise NotImplementedError

    @property
    def keeps_time(self) -> bool:
        """Whether step k stands k times ``step_s`` after the source's beginning."""
        return True

    def step_s(self) -> float | None:
        """Seconds from one step to the next, where steps have a time."""
        return None
