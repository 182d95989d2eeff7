"""Word vectors read from a local text file, aligned with a vocabulary.

word2vec's text format and fastText's ``.vec`` (a first line ``number dimensions``) and GloVe (no
such line), gzipped or not. The file is read as a stream: memory holds the vocabulary's rows only.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.settings import Settings

MAX_LINE_BYTES = 1 << 20
"""A longer line is no vector; without a limit a binary file could be one line of gigabytes."""


class AlignedVectors(NamedTuple):
    """The vectors of a vocabulary."""

    matrix: np.ndarray
    """float32 ``(tokens, dimensions)``; zeros where the file has no vector."""
    is_found: np.ndarray
    """bool ``(tokens,)``."""

    @property
    def coverage(self) -> float:
        """Share of tokens that have a vector, 0 to 1."""
        return float(self.is_found.mean()) if self.is_found.size else 0.0


class WordVectors(Settings):
    """Where an embedding starts from."""

    path: Path
    """Text file of vectors: word2vec, GloVe or fastText .vec, gzipped or not."""
    frozen: bool = False
    """Keep the vectors as they are read; otherwise training tunes them."""

    def align(self, vocabulary: Sequence[str]) -> AlignedVectors:
        """The vectors of ``vocabulary``, row by row, compared byte by byte with the file's words.

        Of a word that the file has twice the first vector holds. Raises SettingsError if the file
        is missing, SeqbeltError (file, line, expected, found) if it is no vector file.
        """
        rows: dict[bytes, list[int]] = {}
        for row, token in enumerate(vocabulary):
            rows.setdefault(token.encode("utf-8", "surrogatepass"), []).append(row)
        with _open(self.path) as file:
            lines, num_dimensions = _lines(file, self.path)
            matrix = np.zeros((len(vocabulary), num_dimensions), dtype=np.float32)
            is_found = np.zeros(len(vocabulary), dtype=bool)
            for number, line in lines:
                # From the right: some files have words with spaces in them.
                word, *values = line.rsplit(b" ", num_dimensions)
                # Taken out, so that a second vector of the same word finds nothing to fill.
                for row in rows.pop(word, ()):
                    matrix[row] = _floats(values, self.path, number)
                    is_found[row] = True
        return AlignedVectors(matrix, is_found)


def _lines(file: BinaryIO, path: Path) -> tuple[Iterator[tuple[int, bytes]], int]:
    """The lines that hold a vector, with their numbers, and the number of dimensions."""
    first = file.readline(MAX_LINE_BYTES).rstrip()
    fields = first.split(b" ")
    has_header = len(fields) == 2 and all(field.isdigit() for field in fields)
    if len(fields) < 2:
        raise _fault(path, 1, "a word and its numbers, or 'words dimensions'", first)
    num_dimensions = int(fields[1]) if has_header else len(fields) - 1
    if not 0 < num_dimensions < MAX_LINE_BYTES:
        raise _fault(path, 1, "a positive number of dimensions", first)

    def read() -> Iterator[tuple[int, bytes]]:
        if not has_header:
            yield 1, first
        number = 1
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), start=2):
            line = raw.rstrip()
            if line.count(b" ") < num_dimensions:
                raise _fault(path, number, f"a word and {num_dimensions} numbers", line)
            yield number, line
        if has_header and number - 1 < int(fields[0]):
            raise SeqbeltError(
                f"{path}: truncated: line 1 states {int(fields[0])} vectors, found {number - 1}"
            )

    return read(), num_dimensions


def _floats(values: list[bytes], path: Path, number: int) -> np.ndarray:
    try:
        vector = np.array([float(value) for value in values], dtype=np.float32)
    except ValueError:
        raise _fault(path, number, f"{len(values)} numbers", b" ".join(values)) from None
    if not np.isfinite(vector).all():
        raise _fault(path, number, "finite numbers", b" ".join(values))
    return vector


def _fault(path: Path, number: int, expected: str, line: bytes) -> SeqbeltError:
    excerpt = line[:60].decode("utf-8", "backslashreplace")
    hint = "; a binary file? Save it as text" if not line.isascii() and b"\x00" in line else ""
    return SeqbeltError(f"{path}, line {number}: expected {expected}, found {excerpt!r}{hint}")


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open plain or gzipped, known by its first bytes; what goes wrong names the file."""
    try:
        with path.open("rb") as plain:
            is_gzipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if is_gzipped:
                with gzip.open(plain) as unpacked:
                    yield unpacked  # type: ignore[misc]  # a GzipFile reads like a binary file
            else:
                yield plain
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SeqbeltError(f"{path}: the gzip file is damaged or truncated ({error})") from None
    except OSError as error:
        raise SettingsError(f"word vectors: {path}: {error.strerror}") from None
