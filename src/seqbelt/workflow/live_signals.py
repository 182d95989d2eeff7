"""The signals of ``seqbelt stream``: a pipe, a file, or a file that grows."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.arrays.array_encoder import ArrayEncoder
from seqbelt.features.arrays.array_features import ArrayFeatures
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.streaming.byte_streams import Pcm, PcmReader, TableReader
from seqbelt.inference.bundle import Bundle

READ_BYTES = 1 << 16
RAW_SUFFIXES = (".raw", ".pcm")


class Restart(NamedTuple):
    """A piece without content: what follows belongs to another signal."""

    reason: str


class Signal(NamedTuple):
    """A signal in pieces; ``decode`` converts a piece to samples or rows."""

    pieces: Iterator[Any]
    """None where nothing has arrived yet, ``Restart`` where a followed file was replaced."""
    decode: Callable[[Any], np.ndarray]
    finish: Callable[[], np.ndarray]
    """Returns what remains at the end."""
    notes: list[str]
    """How the signal is read, where that was not evident; grows while it is decoded."""
    restarts: list[str]
    """Why what ``decode`` and ``finish`` return next is of another signal; grows as the notes."""


@dataclass(frozen=True)
class SignalReading:
    """How signals are read, as the command's options state it."""

    pcm: Pcm | None = None
    pcm_rate: int | None = None
    follow: bool = False

    @property
    def is_raw(self) -> bool:
        """Whether a file is stated to have raw samples."""
        return self.pcm is not None or self.pcm_rate is not None


def open_signal(bundle: Bundle, file: str, reading: SignalReading, model: str) -> Signal:
    """Open ``file``, or standard input for ``-``; ``model`` is how the user calls the bundle.

    Raises SettingsError for options that do not suit the model or the file; the pieces raise
    BadInput where they cannot be decoded.
    """
    if reading.follow and file == "-":
        raise SettingsError("--follow: needs a FILE, not standard input")
    if file != "-" and not Path(file).is_file():
        what = "a folder; give its files" if Path(file).is_dir() else "no such file"
        raise SettingsError(f"FILE {file}: {what}")
    if reading.is_raw and not isinstance(bundle.features, AudioFeatures):
        option = "--pcm" if reading.pcm is not None else "--pcm-rate"
        raise SettingsError(f"{option}: this model reads tables of numbers, not audio")
    if file != "-" and not reading.follow and not reading.is_raw:
        return _read_file(bundle, Path(file))
    pieces = _follow(Path(file)) if reading.follow else _read_pieces(file)
    return decode_pieces(bundle, pieces, file, reading, model)


def decode_pieces(
    bundle: Bundle, pieces: Iterator[Any], file: str, reading: SignalReading, model: str
) -> Signal:
    """A signal of pieces of bytes, from its first one."""
    features = bundle.features
    if isinstance(features, AudioFeatures):
        command = shlex.join(["seqbelt", "stream", model, "-"])
        conversion = f"Convert it on the way: ffmpeg -i {shlex.quote(file)} -f wav - | {command}"
        sound = PcmReader(features, bundle.encoder, reading.pcm, reading.pcm_rate, conversion)
        return Signal(pieces, sound.push, sound.finish, sound.notes, [])
    assert isinstance(features, ArrayFeatures) and isinstance(bundle.encoder, ArrayEncoder)
    table = TableReader(features, bundle.encoder)
    return Signal(pieces, table.push, table.finish, table.notes, table.restarts)


def _read_file(bundle: Bundle, path: Path) -> Signal:
    """A complete file, decoded as in ``predict``."""
    features = bundle.features
    try:
        raw = features.read(path)
        if isinstance(features, AudioFeatures):
            values = features.prepare_signal(raw)
        else:
            bundle.encoder.encode([raw])  # raises for another number or names of columns
            assert isinstance(bundle.encoder, ArrayEncoder)
            values = bundle.encoder.select(raw)
    except BadInput as error:
        if isinstance(features, AudioFeatures) and path.suffix.lower() in RAW_SUFFIXES:
            error = BadInput(error.reason, *error.message, "; --pcm s16le reads raw samples")
        return Signal(_raise_at_first(error), lambda piece: piece, lambda: np.empty(0), [], [])
    notes = [*features.remarks(raw, bundle.encoder)]
    return Signal(iter([values]), lambda piece: piece, lambda: values[:0], notes, [])


def _raise_at_first(error: BadInput) -> Iterator[Any]:
    """A signal that cannot be read: it fails when its turn comes, and ends no other one."""
    raise error
    yield


def _read_pieces(file: str) -> Iterator[bytes]:
    """Bytes as they arrive, at most ``READ_BYTES`` at a time."""
    if file == "-":
        source = cast(BufferedReader, sys.stdin.buffer)
        while content := source.read1(READ_BYTES):
            yield content
        return
    with Path(file).open("rb") as source:
        while content := source.read1(READ_BYTES):
            yield content


def _follow(path: Path) -> Iterator[bytes | Restart | None]:
    """The bytes of a file that grows, without an end.

    A file that is replaced, as by a log rotation, or cut is read from its start as another signal.
    """
    while True:
        with path.open("rb") as source:
            while True:
                if content := source.read1(READ_BYTES):
                    yield content
                    continue
                yield None
                if reason := _why_restart(path, source):
                    break
        while not path.is_file():
            yield None
        yield Restart(reason)


def _why_restart(path: Path, source: BufferedReader) -> str | None:
    """Why the open file is no longer the one at ``path``; None as long as it is."""
    try:
        status, opened = path.stat(), os.fstat(source.fileno())
    except FileNotFoundError:
        return "replaced"
    if (status.st_dev, status.st_ino) != (opened.st_dev, opened.st_ino):
        return "replaced"
    return "cut" if status.st_size < source.tell() else None
