"""Rows with the same content, found before anything is encoded."""

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from seqbelt.data.sources.manifest import Manifest
from seqbelt.features.base import Source
from seqbelt.features.encoding import hash_content, hash_if_readable

TAIL_BYTES = 4096
"""Files of equal size are read in full only if so many bytes at their ends are equal."""


def content_codes(manifest: Manifest) -> np.ndarray:
    """One number for each distinct content, int ``(rows,)``, in the order of first occurrence.

    Texts are compared without regard to case, white space and Unicode form, all else byte by
    byte. Of files only those with equal sizes are read. A source that cannot be read equals no
    other.
    """
    keys: list[object] = [None] * len(manifest)
    files: dict[object, list[tuple[int, Path]]] = defaultdict(list)
    for row, source in enumerate(manifest.sources()):
        if isinstance(source, Path):
            files[_size(source)].append((row, source))
        else:
            keys[row] = plain_text(source) if isinstance(source, str) else hash_content(source)
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


def _several(sets: Iterable[list[tuple[int, Path]]]) -> Iterator[list[tuple[int, Path]]]:
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
