"""Many sources to sequences, in order, in parallel, with bounded memory.

Preparation and prediction both go through here, so that a file is read, refused and encoded by
the same rules in both.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from seqbelt.ahead import map_ahead
from seqbelt.errors import EMPTY, NOT_FINITE, UNREADABLE, BadInput
from seqbelt.features.base import (
    NO_BYTES,
    Encoder,
    Features,
    JoinedSource,
    NoContent,
    Source,
    open_file,
    read_bytes,
)
from seqbelt.features.crash_board import Board

IndexedSource: TypeAlias = tuple[int, Source]
"""A source and its index among all sources; the outcome carries the same index."""
CHUNK_ITEMS = 128
CHUNK_BYTES = 16 << 20


@dataclass(frozen=True)
class Encoded:
    """One item's outcome: a sequence, or the reason why there is none."""

    index: int
    content_hash: str
    """Hash of the content, 32 hexadecimal digits; empty where it could not be read."""
    sequence: np.ndarray | BadInput | None
    """None where the caller has this content already."""
    remarks: tuple[str, ...] = ()
    """How the content was read, where that was not evident."""


def stamp_source(source: Source) -> int:
    """64 bits that change when a source does: a file's path, size and time; else its content.

    0 for a file that cannot be looked at: no two of those are the same.
    """
    digest = hashlib.blake2b(digest_size=8)
    if isinstance(source, Path):
        try:
            status = source.stat()
        except (OSError, ValueError):
            return 0
        stamp = f"{source}\0{status.st_size}\0{status.st_mtime_ns}"
        digest.update(stamp.encode("utf-8", "surrogateescape"))
    elif isinstance(source, JoinedSource):
        stamps = [None if part is None else stamp_source(part) for part in source.inputs]
        if 0 in stamps:
            return 0
        digest.update(repr((stamps, source.cells)).encode("utf-8", "surrogatepass"))
    else:
        digest.update(_as_bytes(source))
    return int.from_bytes(digest.digest(), "little") or 1


_blake2b = partial(hashlib.blake2b, digest_size=16)


def hash_content(source: Source) -> str:
    """A hash of what an item holds, whatever its name: 128 bits of BLAKE2b, in hexadecimal.

    Raises BadInput if the content cannot be read.
    """
    if isinstance(source, JoinedSource):
        parts = [None if part is None else hash_content(part) for part in source.inputs]
        source = repr((parts, source.cells))
    if isinstance(source, Path):
        with open_file(source) as file:  # a long recording need not fit into memory
            digest = hashlib.file_digest(file, _blake2b)
            if not file.tell():
                raise BadInput(EMPTY, NO_BYTES)
        return digest.hexdigest()
    content = read_bytes(source) if isinstance(source, NoContent) else _as_bytes(source)
    return _blake2b(content).hexdigest()


def hash_if_readable(source: Source) -> str | None:
    """``hash_content``; None if the content cannot be read."""
    try:
        return hash_content(source)
    except BadInput:
        return None


def _as_bytes(source: str | bytes | np.ndarray) -> bytes:
    if isinstance(source, np.ndarray):
        return f"{source.dtype}{source.shape}".encode() + np.ascontiguousarray(source).tobytes()
    return source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source


def encode_sources(
    features: Features,
    encoder: Encoder,
    sources: Iterable[IndexedSource],
    is_known: Callable[[str], bool] | None = None,
    num_workers: int | None = None,
    board: Board | None = None,
    initializer: Callable[[], object] | None = None,
) -> Iterator[Encoded]:
    """Encode numbered sources, yielding one outcome for each, in their order.

    Content whose hash ``is_known`` is hashed but not decoded. Decoding and transforms run in
    threads (both leave Python's lock); only a few chunks are in memory at a time, however many
    sources there are. The ``board`` records what each thread is processing. Each thread calls the
    ``initializer`` first; without one torch is imported, if that makes encoding faster.
    """
    num_workers, board = num_workers or available_cores(), board or Board()
    if initializer is None and features.faster_with_torch:
        initializer = _import_torch
    encode = partial(_encode_chunk, features, encoder, is_known, board)
    pool = ThreadPoolExecutor(num_workers, "encode", initializer)
    with closing(map_ahead(pool, encode, chunks(sources, CHUNK_ITEMS), num_workers)) as encoded:
        yield from chain.from_iterable(encoded)


def _import_torch() -> None:
    import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chunks(sources: Iterable[IndexedSource], max_items: int) -> Iterator[list[IndexedSource]]:
    """Sources, so many at a time or fewer where those are ``CHUNK_BYTES`` already."""
    chunk: list[IndexedSource] = []
    num_bytes = 0
    for index, source in sources:
        chunk.append((index, source))
        num_bytes += _size(source)
        if len(chunk) >= max_items or num_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


def _size(source: Source) -> int:
    if isinstance(source, JoinedSource):
        return sum(_size(part) for part in source.inputs if part is not None)
    if isinstance(source, np.ndarray):
        return source.nbytes
    if isinstance(source, Path):
        try:
            return source.stat().st_size
        except (OSError, ValueError):
            return 0
    return len(source)


def _encode_chunk(
    features: Features,
    encoder: Encoder,
    is_known: Callable[[str], bool] | None,
    board: Board,
    chunk: list[IndexedSource],
) -> list[Encoded]:
    hashes, raws = [], []
    with board.working_on([index for index, _ in chunk]) as slot:
        for position, (_, source) in enumerate(chunk):
            slot.mark_busy(position)
            content_hash, raw = _read(features, is_known, source)
            hashes.append(content_hash)
            raws.append(raw)
        slot.mark_busy(len(chunk))
        sequences = _encode_each(encoder, raws)
    remarks = [
        features.remarks(raw, encoder) if isinstance(sequence, np.ndarray) else ()
        for raw, sequence in zip(raws, sequences, strict=True)
    ]
    return [
        Encoded(index, content_hash, sequence, notes)
        for (index, _), content_hash, sequence, notes in zip(
            chunk, hashes, sequences, remarks, strict=True
        )
    ]


def _read(
    features: Features, is_known: Callable[[str], bool] | None, source: Source
) -> tuple[str, Any]:
    """The content's hash, and what was decoded: None if known, BadInput if it cannot be."""
    content_hash = ""
    try:
        # Files are read once: the bytes that were hashed are the bytes that are decoded.
        content = features.fetch(source)
        content_hash = hash_content(content)
        known = is_known is not None and is_known(content_hash)
        return content_hash, None if known else features.read(content)
    except BadInput as error:
        return content_hash, error
    except Exception as error:  # a decoder's own fault must cost one item, not the batch
        return content_hash, BadInput(UNREADABLE, f"{type(error).__name__}: {error}")


def _encode_each(encoder: Encoder, raws: list) -> list[np.ndarray | BadInput | None]:
    """Encode the good ones together; if that fails, each alone, to find the culprit."""
    good = [i for i, raw in enumerate(raws) if raw is not None and not isinstance(raw, BadInput)]
    outcomes: list = list(raws)
    try:
        for index, sequence in zip(good, encoder.encode([raws[i] for i in good]), strict=True):
            outcomes[index] = sequence
    except Exception:
        for index in good:
            try:
                (outcomes[index],) = encoder.encode([raws[index]])
            except BadInput as error:
                outcomes[index] = error
            except Exception as error:
                outcomes[index] = BadInput(UNREADABLE, f"{type(error).__name__}: {error}")
    return [
        BadInput(NOT_FINITE, "the features hold NaN or infinite values")
        if isinstance(outcome, np.ndarray) and not np.isfinite(outcome).all()
        else outcome
        for outcome in outcomes
    ]
