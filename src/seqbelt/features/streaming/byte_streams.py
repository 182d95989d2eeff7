"""Signals as bytes that come in pieces of any size: raw samples, a WAV, lines of a table."""

import struct
from typing import Literal

import numpy as np

from seqbelt.errors import EMPTY, TRUNCATED, BadInput, SettingsError
from seqbelt.features.arrays.array_features import ArrayEncoder, ArrayFeatures
from seqbelt.features.arrays.text_columns import read_text_table
from seqbelt.features.arrays.text_rows import is_comment

Pcm = Literal["s16le", "f32le"]
FORMATS = {"s16le": "<i2", "f32le": "<f4"}
WAV_FORMATS = {(1, 16): "s16le", (3, 32): "f32le"}
WAV_EXTENSIBLE = 0xFFFE
MAX_WAV_HEADER = 1 << 20
NOT_PCM = (b"fLaC", b"OggS", b"FORM", b"ID3", b"\x1aE\xdf\xa3", b"caff")
"""How files begin that would be noise if their bytes were taken for samples."""


class PcmReader:
    """Mono samples out of raw PCM, or out of a WAV, which is known by its first bytes.

    A WAV's own format goes before ``pcm``; its channels are mixed down to their mean. It must
    have ``sample_rate`` Hz: resampling looks ahead. What follows its samples is no sound.
    """

    def __init__(self, sample_rate: int, pcm: Pcm = "s16le") -> None:
        self.sample_rate = sample_rate
        self._pcm: Pcm = pcm
        self._num_channels = 1
        self._pending = b""
        self._is_begun = self._is_ended = False
        self._num_left: int | None = None  # bytes of a WAV's samples

    def push(self, content: bytes) -> np.ndarray:
        """Float32 ``(samples,)`` in -1..1 that these bytes complete; possibly none.

        Raises SettingsError for a WAV of another rate or encoding.
        """
        content = self._pending + content
        if not self._is_begun:
            start = self._begin(content)
            if start is None:
                self._pending = content
                return np.empty(0, np.float32)
            self._is_begun, content = True, content[start:]
        if self._num_left is not None:
            content = content[: self._num_left]
        kind = np.dtype(FORMATS[self._pcm])
        num_bytes = len(content) - len(content) % (kind.itemsize * self._num_channels)
        if self._num_left is not None:
            self._num_left -= num_bytes
        self._pending = content[num_bytes:]
        samples = np.frombuffer(content[:num_bytes], kind).astype(np.float32)
        if self._pcm == "s16le":
            samples /= 32768
        if self._num_channels > 1:
            samples = samples.reshape(-1, self._num_channels).mean(axis=1, dtype=np.float32)
        return samples

    def finish(self) -> np.ndarray:
        """What was held back until it was known to be no WAV. Half a sample at the end is lost."""
        self._is_ended = True
        return self.push(b"")

    def _begin(self, content: bytes) -> int | None:
        """The place of the first sample; None if that is not known yet."""
        if content.startswith(NOT_PCM):
            raise SettingsError(
                "the input is compressed audio. " + conversion_hint(self.sample_rate)
            )
        if not content.startswith(b"RIFF"):
            return 0 if len(content) >= 4 or self._is_ended else None
        place = 12
        while place + 8 <= len(content):
            if content[8:12] != b"WAVE":
                return 0
            name, size = content[place : place + 4], struct.unpack_from("<I", content, place + 4)[0]
            place += 8
            if name == b"data":
                # Recorders that stream leave the size at 0 or at the largest number.
                self._num_left = size if 0 < size < 0xFFFFFFFF - 64 else None
                return place
            if name == b"fmt " and size >= 16 and len(content) >= place + size:
                self._read_format(content[place : place + size])
            place += size + size % 2  # chunks are padded to an even length
        if len(content) > MAX_WAV_HEADER or self._is_ended:
            raise BadInput(
                TRUNCATED, f"no data chunk in the first {MAX_WAV_HEADER:,} bytes of the WAV"
            )
        return None

    def _read_format(self, content: bytes) -> None:
        tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
        if tag == WAV_EXTENSIBLE and len(content) >= 26:
            tag = struct.unpack_from("<H", content, 24)[0]
        if (tag, bits) not in WAV_FORMATS or rate != self.sample_rate or not channels:
            raise SettingsError(
                f"unsupported WAV: {rate} Hz, {bits} bits (format {tag}); expected "
                f"{self.sample_rate} Hz, 16-bit integers or 32-bit floats. "
                + conversion_hint(self.sample_rate)
            )
        self._pcm, self._num_channels = WAV_FORMATS[tag, bits], channels  # pyright: ignore[reportAttributeAccessIssue]


def conversion_hint(sample_rate: int) -> str:
    """How a user gets samples that need no resampling."""
    return (
        f"Convert it on the way: ffmpeg -i FILE -ac 1 -ar {sample_rate} -f s16le - | "
        "seqbelt stream MODEL -"
    )


class TableReader:
    """Rows of numbers out of the lines of a text table, by the rules that hold for its file."""

    def __init__(self, features: ArrayFeatures, encoder: ArrayEncoder) -> None:
        self._features, self._encoder = features, encoder
        self._pending = b""
        self._above: list[bytes] = []  # lines that came before the first row of values
        self._is_begun = False

    def push(self, content: bytes) -> np.ndarray:
        """Float32 ``(rows, channels)`` of the lines that these bytes complete; possibly none.

        Raises BadInput as reading the file would.
        """
        *lines, self._pending = (self._pending + content).splitlines(keepends=True) or [b""]
        if self._pending.endswith(b"\n"):
            lines, self._pending = [*lines, self._pending], b""
        return self._read(lines)

    def finish(self) -> np.ndarray:
        """The last line, where no line end follows it."""
        lines, self._pending = [self._pending], b""
        return self._read(lines)

    def _read(self, lines: list[bytes]) -> np.ndarray:
        if not self._is_begun:
            lines = self._begin([*self._above, *lines])
        if not any(_is_row(line) for line in lines):
            return np.empty((0, *self._encoder.step_shape), np.float32)
        return self._encoder.select(self._features.read(b"".join([*self._above, *lines])))

    def _begin(self, lines: list[bytes]) -> list[bytes]:
        """Keep what stands above the values, and how the table is written; returns the values'
        lines, none as long as there are none."""
        self._above = lines
        if not any(_is_row(line) for line in lines):
            return []
        try:
            table = read_text_table(b"".join(lines), self._features.table_options)
        except BadInput as error:
            if error.reason == EMPTY:
                return []
            raise
        if not any(isinstance(column, np.ndarray) for column in table.columns):
            return []  # titles and names so far
        self._is_begun, first = True, table.lines[0] - 1
        self._above, lines = lines[:first], lines[first:]
        given_settings: dict[str, object] = {}
        if table.signs.decimal == ",":
            given_settings["decimal"] = ","
        if any("header of numbers" in note for note in table.notes):
            given_settings["header"] = True
        elif not any(map(_is_row, self._above)):
            given_settings["header"] = False
        self._features = self._features.replace(**given_settings)
        return lines


def _is_row(line: bytes) -> bool:
    """Whether a line is neither empty nor a comment."""
    return bool(line.strip()) and not is_comment(line.decode("utf-8-sig", errors="replace"))
