"""Rows with the same content, found before anything is encoded."""

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from seqbelt.data.sources.manifest import Manifest
from seqbelt.features.base import Source
from seqbelt.features.encoding import hash_content, hash_if_readable

TAIL_BYTES = 4096
"""Files of equal size are read in full only if so many bytes at their ends are equal."""
BEGINNING = 64
"""Texts are compared in full only if so many of their letters are equal."""
T = TypeVar("T")


def content_codes(manifest: Manifest) -> np.ndarray:
    """One number for each distinct content, int ``(rows,)``, in the order of first occurrence.

    Texts are compared without regard to case, white space and Unicode form, all else byte by
    byte. Of files only those with equal sizes are read, of texts only those with equal beginnings
    are compared in full. A source that cannot be read equals no other.
    """
    keys: list[object] = [None] * len(manifest)
    files: dict[object, list[tuple[int, Path]]] = defaultdict(list)
    texts: dict[str, list[int]] = defaultdict(list)
    for row, source in enumerate(manifest.sources()):
        if isinstance(source, Path):
            files[_size(source)].append((row, source))
        elif isinstance(source, str):
            texts[_beginning(source)].append(row)
        else:
            keys[row] = hash_content(source)
    for rows in _several(texts.values()):
        for row, text in zip(rows, manifest.sources(rows), strict=True):
            assert isinstance(text, str)
            keys[row] = plain_text(text)
    files.pop(None, None)
    for same_size in _several(files.values()):
        tails: dict[object, list[tuple[int, Path]]] = defaultdict(list)
        for row, path in same_size:
            tails[_tail(path)].append((row, path))
        for same_tail in _several(tails.values()):
            for row, path in same_tail:
                keys[row] = hash_if_readable(path)
    codes: dict[object, int] = {}
    return np.array(
        [codes.setdefault(row if key is None else (key,), len(codes)) for row, key in
         enumerate(keys)], dtype=np.int64,
    )  # fmt: skip


def plain_text(text: str) -> str:
    """A text for comparison: case, white space and Unicode form made uniform."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def first_of_each(codes: np.ndarray) -> np.ndarray:
    """For each row the first row with the same code, int ``(rows,)``."""
    _, first, of_row = np.unique(codes, return_index=True, return_inverse=True)
    return first[of_row]


def count_split_rows(split: np.ndarray, codes: np.ndarray) -> int:
    """Rows of the validation and the test part whose content a training row has, and rows of the
    test part whose content a validation row has."""
    count = 0
    for held, before in (("validation", ["train"]), ("test", ["train", "validation"])):
        count += int(np.isin(codes[split == held], codes[np.isin(split, before)]).sum())
    return count


def _beginning(text: str) -> str:
    """The first letters of ``plain_text``. Those behind them, of which a part of the text may have
    another Unicode form than the whole, are not needed."""
    plain = plain_text(text[: 8 * BEGINNING])
    if len(plain) < 2 * BEGINNING and len(text) > 8 * BEGINNING:  # long white space
        plain = plain_text(text)
    return plain[:BEGINNING]


def _several(sets: Iterable[list[T]]) -> Iterator[list[T]]:
    return (rows for rows in sets if len(rows) > 1)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None


def _tail(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            file.seek(-min(TAIL_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return hashlib.blake2b(file.read(TAIL_BYTES), digest_size=16).digest()
    except (OSError, ValueError):
        return str(path)  # equals no other
