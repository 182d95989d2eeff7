"""Signals as bytes that come in pieces of any size: raw samples, a WAV, lines of a table."""

import io
import struct
from typing import Literal

import numpy as np
import soundfile

from seqbelt.errors import EMPTY, TRUNCATED, WRONG_TYPE, BadInput, Place
from seqbelt.features.arrays.array_encoder import ArrayEncoder, Steps
from seqbelt.features.arrays.array_features import ArrayFeatures, FallingTimes
from seqbelt.features.arrays.text_columns import read_text_table
from seqbelt.features.arrays.text_rows import is_comment
from seqbelt.features.arrays.time_columns import first_fall
from seqbelt.features.audio.audio import AudioFeatures, StreamResampler
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.base import Encoder
from seqbelt.features.streaming.foreign_bytes import TEXT, is_decided, name_foreign
from seqbelt.words import count_of

Pcm = Literal["s16le", "f32le"]
RAW_ENCODINGS: dict[Pcm, str] = {"s16le": "PCM_16", "f32le": "FLOAT"}
WAV_ENCODINGS = {
    (1, 8): "PCM_U8", (1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32", (3, 32): "FLOAT",
    (3, 64): "DOUBLE", (6, 8): "ALAW", (7, 8): "ULAW",
}  # fmt: skip
"""libsndfile's names of what a WAV's format tag and bits say."""
SAMPLE_BYTES = {encoding: bits // 8 for (_, bits), encoding in WAV_ENCODINGS.items()}
WAV_EXTENSIBLE = 0xFFFE
MAX_WAV_HEADER = 1 << 20
NUM_ROWS_REMARKED = 20
"""Rows after which it is said how a table is read: enough to tell how far they are apart."""


class PcmReader:
    """Mono samples out of raw PCM, or out of a WAV, which is known by its first bytes.

    A WAV's own encoding and rate go before ``pcm`` and ``raw_rate`` (in Hz; the model's if None);
    its channels are mixed down to their mean. Another rate than the model's is resampled as in
    files. What follows a WAV's samples is no sound. ``notes`` says what was taken for granted.
    """

    def __init__(
        self,
        features: AudioFeatures,
        encoder: Encoder,
        pcm: Pcm | None = None,
        raw_rate: int | None = None,
        conversion: str = "",
    ) -> None:
        """``conversion`` is a command that converts what this cannot read."""
        self._features, self._encoder, self._conversion = features, encoder, conversion
        self._is_raw_stated = pcm is not None and raw_rate is not None
        self._encoding = RAW_ENCODINGS[pcm or "s16le"]
        self._rate = raw_rate or features.sample_rate
        self._num_channels = 1
        self._resampler: StreamResampler | None = None
        self._pending = b""
        self._is_begun = self._is_ended = False
        self._num_left: int | None = None  # bytes of a WAV's samples
        self.notes: list[str] = []

    def push(self, content: bytes) -> np.ndarray:
        """Float32 ``(samples,)`` in -1..1 that these bytes complete; possibly none.

        Raises BadInput for what is no sound, or in an encoding that cannot be read in pieces.
        """
        content = self._pending + content
        if not self._is_begun:
            start = self._begin(content)
            if start is None:
                self._pending = content
                return np.empty(0, np.float32)
            self._is_begun, content = True, content[start:]
            self._prepare()
        if self._num_left is not None:
            content = content[: self._num_left]
        sample_bytes = SAMPLE_BYTES[self._encoding] * self._num_channels
        num_bytes = len(content) - len(content) % sample_bytes
        if self._num_left is not None:
            self._num_left -= num_bytes
        self._pending = content[num_bytes:]
        samples = self._decode(content[:num_bytes])
        return samples if self._resampler is None else self._resampler.push(samples)

    def finish(self) -> np.ndarray:
        """What was held back until it was known to be no WAV, or by the resampling. Half a sample
        at the end is lost."""
        self._is_ended = True
        samples = self.push(b"")
        if self._resampler is not None:
            samples = np.concatenate([samples, self._resampler.finish()])
        return samples

    def _decode(self, content: bytes) -> np.ndarray:
        if not content:
            return np.empty(0, np.float32)
        samples, _ = soundfile.read(
            io.BytesIO(content), dtype="float32", always_2d=True, samplerate=self._rate,
            channels=self._num_channels, format="RAW", subtype=self._encoding, endian="LITTLE",
        )  # fmt: skip
        if self._num_channels == 1:
            return samples[:, 0]
        return samples.mean(axis=1, dtype=np.float32)

    def _prepare(self) -> None:
        """Once encoding and rate are known."""
        features = self._features
        self.notes += features.remarks(Audio(np.empty(0, np.float32), self._rate), self._encoder)
        if self._rate == features.sample_rate:
            return
        if features.signal_version == 1:
            raise BadInput(
                WRONG_TYPE,
                f"{self._rate} Hz, but the model expects {features.sample_rate} Hz, and the "
                f"resampling that it was trained with needs whole files. {self._conversion}",
            )
        self._resampler = StreamResampler(self._rate, features.sample_rate)

    def _begin(self, content: bytes) -> int | None:
        """The place of the first sample; None if that is not known yet."""
        if not content.startswith(b"RIFF"):
            return self._begin_raw(content)
        if len(content) >= 12 and content[8:12] != b"WAVE":
            raise self._refused(f"RIFF {content[8:12].decode('latin-1')}")
        offset = 12
        while offset + 8 <= len(content):
            name, size = (
                content[offset : offset + 4],
                struct.unpack_from("<I", content, offset + 4)[0],
            )
            offset += 8
            if name == b"data":
                # Recorders that stream leave the size at 0 or at the largest number.
                self._num_left = size if 0 < size < 0xFFFFFFFF - 64 else None
                return offset
            if name == b"fmt " and size >= 16 and len(content) >= offset + size:
                self._read_format(content[offset : offset + size])
            offset += size + size % 2  # chunks are padded to an even length
        if len(content) > MAX_WAV_HEADER or self._is_ended:
            raise BadInput(
                TRUNCATED, f"no data chunk in the first {MAX_WAV_HEADER:,} bytes of the WAV"
            )
        return None

    def _begin_raw(self, content: bytes) -> int | None:
        if not self._is_ended and not is_decided(content):
            return None
        if (kind := name_foreign(content)) is not None:
            raise self._refused(kind)
        if content and not self._is_raw_stated:
            bits = "16-bit integers" if self._encoding == "PCM_16" else "32-bit floats"
            self.notes.append(
                f"no WAV header: taken as raw samples, {bits} of one channel at {self._rate} Hz; "
                "--pcm and --pcm-rate state others"
            )
        return 0

    def _refused(self, kind: str) -> BadInput:
        if kind == TEXT:
            return BadInput(WRONG_TYPE, "text, where a WAV or raw samples were expected")
        return BadInput(
            WRONG_TYPE, f"{kind}; a WAV or raw samples are read in pieces. {self._conversion}"
        )

    def _read_format(self, content: bytes) -> None:
        tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
        if tag == WAV_EXTENSIBLE and len(content) >= 26:
            tag = struct.unpack_from("<H", content, 24)[0]
        if (tag, bits) not in WAV_ENCODINGS or not channels or not rate:
            raise self._refused(
                f"a WAV of {rate} Hz, {count_of(channels, 'channel')}, {bits} bits in format {tag}"
            )
        self._encoding, self._rate = WAV_ENCODINGS[tag, bits], rate
        self._num_channels = channels


class TableReader:
    """Rows of numbers out of the lines of a text table, by the rules that hold for its file."""

    def __init__(self, features: ArrayFeatures, encoder: ArrayEncoder) -> None:
        self._features, self._encoder = features, encoder
        self._pending = b""
        self._above: list[bytes] = []  # lines that came before the first row of values
        self._is_begun = False
        self._num_lines = self._num_rows = 0  # read before, of lines those below ``_above``
        self._first_lines: list[bytes] | None = []  # until it is said how they are read
        self._last_times: dict[int, float] = {}  # by the place of their column
        self._rest: list[bytes] = []  # lines from where the times fell
        self.notes: list[str] = []
        """How the table is read, where that was not evident."""
        self.restarts: list[str] = []
        """Where times fall, as after a restart of a logger: the next rows are another signal's."""

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
        rows = self._read(lines)
        self._remark()
        return rows

    def _read(self, lines: list[bytes]) -> np.ndarray:
        lines, self._rest = [*self._rest, *lines], []
        if not self._is_begun:
            lines = self._begin([*self._above, *lines])
        nothing = np.empty((0, *self._encoder.step_shape), np.float32)
        names = {line.strip() for line in self._above if _has_letters(line)}
        if not any(_is_row(line) and line.strip() not in names for line in lines):
            self._num_lines += len(lines)  # the names again, as a logger writes at its start
            return nothing
        try:
            raw = self._features.read(b"".join([*self._above, *lines]))
            if self._falls(raw):
                self._hold(lines)
                return nothing
            rows = self._encoder.select(raw)
        except FallingTimes as error:
            if error.place is None or error.place.line is None:
                raise
            before = error.place.line - len(self._above) - 1
            rows = self._read(lines[:before])
            self._hold(lines[before:])
            return rows
        except BadInput as error:
            parts = (self._in_signal(p) if isinstance(p, Place) else p for p in error.message)
            raise BadInput(error.reason, *parts) from None
        self._num_lines += len(lines)
        self._num_rows += len(rows)
        if self._first_lines is not None:
            self._first_lines += lines
            if len(self._first_lines) >= NUM_ROWS_REMARKED:
                self._remark()
        return rows

    def _falls(self, raw: Steps) -> bool:
        """Whether times fall from the last row that was read to those of ``raw``."""
        before = self._last_times
        self._last_times = {}
        for aside in raw.asides if len(raw.values) else ():
            if aside.is_time:
                times = aside.values if aside.seconds is None else aside.seconds
                last = before.get(aside.place, np.nan)
                if first_fall(np.array([last, *times])) is not None:
                    self._last_times = {}
                    return True
                self._last_times[aside.place] = times[-1]
        return False

    def _hold(self, lines: list[bytes]) -> None:
        """Keep lines until the rows before them were taken."""
        if not self._rest:
            self._remark()
            line = len(self._above) + self._num_lines + 1
            self.restarts.append(f"the times begin anew in line {line}")
            self._last_times = {}
        self._rest += lines

    def _in_signal(self, place: Place) -> Place:
        """A place in the lines that were just read, of which those above the values came before."""
        line, step = place.line, place.step
        return place._replace(
            line=line if line is None or line <= len(self._above) else line + self._num_lines,
            step=None if step is None else step + self._num_rows,
        )

    def _remark(self) -> None:
        if self._first_lines:
            raw = self._features.read(b"".join([*self._above, *self._first_lines]))
            self.notes += self._features.remarks(raw, self._encoder)
            self._first_lines = None

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


def _has_letters(line: bytes) -> bool:
    return any(map(str.isalpha, line.decode("utf-8", errors="replace")))
