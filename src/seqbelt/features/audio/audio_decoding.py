"""Audio decoding with no system packages: soundfile first, PyAV for what it cannot read.

Only numpy and the decoders are imported here, so that a worker process starts quickly.
"""

import hashlib
import io
import re
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile

from seqbelt.errors import (
    EMPTY,
    NOT_FINITE,
    SILENT,
    TOO_LONG,
    TRUNCATED,
    UNREADABLE,
    WRONG_TYPE,
    BadInput,
)
from seqbelt.features.audio.stated_lengths import (
    refuse_cut_short,
    refuse_more,
    states_frames,
    tag_bytes,
)
from seqbelt.features.base import read_bytes, reason_of
from seqbelt.features.media_container import SEVERAL, open_container, stated_duration_s
from seqbelt.words import count_of

SILENCE_PEAK = 1e-4
"""A recording whose largest sample stays below this (-80 dB of full scale) is silent."""
MIN_RATE, MAX_RATE = 100, 1_000_000
"""Rates in Hz that a recording can have; a damaged header may claim any, and memory would be taken
for it."""


MIN_SAMPLES, MAX_SAMPLES_PER_S = 200_000_000, 48_000
"""A recording may have so many samples of one channel, or, if that is more, so many for each second
it may last: higher rates of hours would take more memory than most machines have."""
BLOCK_VALUES = 1 << 24
"""Samples of all channels that are decoded at a time: longer recordings are mixed down block by
block, so that memory holds one channel of them."""


COMPLETE = 0.98
"""Fraction of the stated duration that a whole recording has: encoders pad and skip at the ends."""
CODEC_SAMPLES = 2400
"""That an encoder adds at the ends of a recording and a decoder skips, whatever the rate."""


OPEN_FRAMES = 1 << 62
"""As many, or more, are no count of samples but one that was left open."""
_PLAIN_KINDS = (1, 3)
"""Of samples in a WAV: whole numbers and floating point."""
_CHUNK_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_ .-]{3}")


class Audio(NamedTuple):
    """Mono samples in -1..1, float32 ``(samples,)``, and their rate in Hz."""

    samples: np.ndarray
    sample_rate: int
    peak: float = 0.0
    """The largest magnitude in the whole recording; 0 where it is not computed."""
    notes: tuple[str, ...] = ()
    """How the recording was read, where that was not evident."""


def max_audio_bytes(max_duration_s: float) -> float:
    """Bytes of the largest file that is read: two channels of four bytes a sample."""
    return 8 * _max_samples(max_duration_s)


def _max_samples(max_duration_s: float) -> float:
    return max(MIN_SAMPLES, MAX_SAMPLES_PER_S * max_duration_s)


def decode_audio(source: Path | bytes, max_duration_s: float) -> Audio:
    """Decode a recording and mix its channels down to their mean.

    Raises BadInput if it is unreadable, empty, silent, truncated, not audio, not finite, or
    longer than ``max_duration_s``.
    """
    content = read_bytes(source, max_audio_bytes(max_duration_s), "features.max_duration_s")
    content = whole_wav(without_tag(content))
    refuse_cut_short(content)
    notes: tuple[str, ...] = ()
    for decode in (_decode_plain_wav, _decode_soundfile):
        try:
            samples, sample_rate = decode(content, max_duration_s)
            break
        except (wave.Error, EOFError, soundfile.LibsndfileError):
            continue
    else:
        samples, sample_rate, notes = _decode_pyav(content, max_duration_s)
    audio = check_samples(samples, sample_rate, max_duration_s)
    return audio._replace(notes=notes + audio.notes)


def check_samples(samples: np.ndarray, sample_rate: int, max_duration_s: float) -> Audio:
    """Mix ``(samples,)`` or ``(samples, channels)`` down and refuse what carries no signal."""
    channels = samples
    if samples.ndim == 2:  # a mean of one costs more than the rest of the check
        is_mono = samples.shape[1] == 1
        samples = samples[:, 0] if is_mono else samples.mean(axis=1, dtype=np.float32)
    if samples.ndim != 1 or not samples.size:
        raise BadInput(EMPTY, "the recording has no samples")
    _refuse_too_long(samples.size, sample_rate, max_duration_s)
    peak = abs(np.maximum(samples.max(), -samples.min()))  # abs of all takes as much memory again
    if not np.isfinite(peak):
        raise BadInput(NOT_FINITE, "the recording holds NaN or infinite samples")
    if peak < SILENCE_PEAK:
        if channels.size > samples.size and abs(channels).max() >= SILENCE_PEAK:
            raise BadInput(
                SILENT,
                "its channels are each other's opposite and cancel in their mean; save one of them",
            )
        raise BadInput(SILENT, f"no sample is louder than {peak:.1g} of full scale")
    notes = ()
    if channels.ndim == 2 and channels.shape[1] > 1:
        notes = note_silent(np.maximum(channels.max(axis=0), -channels.min(axis=0)))
    return Audio(np.ascontiguousarray(samples, dtype=np.float32), sample_rate, float(peak), notes)


def note_silent(peaks: np.ndarray) -> tuple[str, ...]:
    """What to say of a recording's channels, of which these are the peaks."""
    if num_silent := int((peaks < SILENCE_PEAK).sum()):
        return (
            f"{num_silent} of {count_of(len(peaks), 'channel')} without a signal: the mean of all "
            f"is {20 * np.log10(len(peaks) / (len(peaks) - num_silent)):.0f} dB quieter than the "
            "others",
        )
    return ()


def _refuse_too_long(num_samples: int, sample_rate: int, max_duration_s: float) -> None:
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise BadInput(UNREADABLE, f"the header claims {sample_rate} samples a second")
    if num_samples > _max_samples(max_duration_s):
        raise BadInput(
            TOO_LONG,
            f"{num_samples:.0f} samples at {sample_rate} Hz; features.max_duration_s "
            f"{max_duration_s:g} allows {_max_samples(max_duration_s):.0f} samples",
        )
    if num_samples > max_duration_s * sample_rate:
        raise BadInput(
            TOO_LONG,
            f"{num_samples / sample_rate:.1f} s; features.max_duration_s allows {max_duration_s:g}",
        )


def without_tag(content: bytes) -> bytes:
    """A recording without the ID3 tag that some programs put before formats that have none, where
    decoders skip it and count wrongly."""
    if content[:3] != b"ID3":
        return content
    bare = content[tag_bytes(content) :]
    return bare if bare[:4] in (b"RIFF", b"RF64", b"FORM", b"fLaC") else content


def whole_wav(content: bytes) -> bytes:
    """Refuse a WAV whose data chunk promises more bytes than follow. libsndfile would not say so.

    Recorders that stream leave the size at 0 or at the largest number: those are whole, and the
    0 is returned as the largest number, which libsndfile understands.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return content
    offset = 12
    while offset + 8 <= len(content):
        name, size = content[offset : offset + 4], struct.unpack_from("<I", content, offset + 4)[0]
        offset += 8
        if name == b"data":
            if len(content) - offset < size < 0xFFFFFFFF - 64:
                raise BadInput(TRUNCATED, f"{len(content) - offset} of {size} bytes are there")
            if size == 0 and not content[offset : offset + 4].strip().isalnum():  # no chunk's name
                return content[: offset - 4] + b"\xff\xff\xff\xff" + content[offset:]
            _refuse_samples_behind(content, offset, size)
            return content
        if name == b"fmt ":
            _check_format(content[offset : offset + size])
        offset += size + size % 2  # chunks are padded to an even length
    raise BadInput(TRUNCATED, "the WAV ends before its samples begin")


def _refuse_samples_behind(content: bytes, offset: int, size: int) -> None:
    """Raise where what follows the samples of a WAV is neither a chunk, a tag nor padding."""
    behind = offset + min(size, len(content) - offset)
    rest = memoryview(content)[behind:]
    if bytes(rest[:12]).lstrip(b"\0")[:4] in (b"RIFF", b"data"):
        raise BadInput(WRONG_TYPE, SEVERAL)
    names = (bytes(rest[:4]), bytes(rest[1:5]))  # padded to an even length or not
    if any(name[:3] in (b"ID3", b"TAG") or _CHUNK_NAME.fullmatch(name) for name in names):
        return
    if bytes(rest).strip(b"\0"):
        refuse_more(size + len(rest), size)


def _check_format(described: bytes) -> None:
    """Raise where the header of a WAV contradicts itself: its samples would be read as others."""
    if len(described) < 16:
        return
    kind, channels, _, _, step, bits = struct.unpack_from("<HHIIHH", described)
    if kind in _PLAIN_KINDS and step < channels * ((bits + 7) // 8):
        raise BadInput(
            UNREADABLE, f"the header states {channels} x {bits} bits in a step of {step} bytes"
        )


def _decode_plain_wav(content: bytes, max_duration_s: float) -> tuple[np.ndarray, int]:
    """16-bit PCM, which most recordings are, four times as fast as libsndfile. Else wave.Error."""
    with wave.open(io.BytesIO(content)) as file:
        if file.getsampwidth() != 2 or file.getnframes() * 2 > len(content):
            raise wave.Error("not 16 bit, or a stream whose size was never filled in")
        if file.getnframes() * file.getnchannels() > BLOCK_VALUES:
            raise wave.Error("long: left to libsndfile, block by block")
        _refuse_too_long(file.getnframes(), file.getframerate(), max_duration_s)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        if samples.size < file.getnframes() * file.getnchannels():
            raise wave.Error("the sizes in the header contradict each other")
        # libsndfile's scale, so that the same recording as FLAC gives the same numbers
        samples = samples.astype(np.float32) / 32768
        return samples.reshape(-1, file.getnchannels()), file.getframerate()


def _decode_soundfile(content: bytes, max_duration_s: float) -> tuple[np.ndarray, int]:
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        if file.frames >= OPEN_FRAMES:
            raise wave.Error("left to PyAV, which needs no count")
        # The header's count is a claim; refuse before memory is taken for it.
        _refuse_too_long(file.frames, file.samplerate, max_duration_s)
        if file.format == "FLAC" and file.subtype in _FLAC_BYTES:
            return _read_flac(file, content), file.samplerate
        samples = _read_blocks(file, "float32")
        is_exact = file.format in ("FLAC", "OGG")
        is_short = len(samples) < (1 if is_exact else COMPLETE) * file.frames
        if is_short and (is_exact or (file.format == "MP3" and states_frames(content))):
            raise BadInput(TRUNCATED, f"{len(samples)} of {file.frames} samples are there")
        return samples, file.samplerate


_FLAC_BYTES = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}
"""Bytes of a sample, as the MD5 of a FLAC counts them."""


def _read_flac(file: soundfile.SoundFile, content: bytes) -> np.ndarray:
    """Samples of a FLAC, compared with its count and its MD5."""
    digest, width = hashlib.md5(usedforsecurity=False), _FLAC_BYTES[file.subtype]

    def scale(block: np.ndarray) -> np.ndarray:
        high = np.ascontiguousarray(block, "<i4").view(np.uint8).reshape(-1, 4)[:, 4 - width :]
        digest.update(high.tobytes())
        return block.astype(np.float32) / np.float32(2**31)

    try:
        samples = _read_blocks(file, "int32", scale)
    except soundfile.LibsndfileError as error:
        raise BadInput(TRUNCATED, f"damaged or cut short: {reason_of(error)}") from None
    if len(samples) < file.frames:
        raise BadInput(TRUNCATED, f"{len(samples)} of {file.frames} samples are there")
    stated = content[26:42] if content[:4] == b"fLaC" else b""
    if stated.strip(b"\0") and digest.digest() != stated:
        raise BadInput(UNREADABLE, "damaged: the samples do not have the MD5 that is stated")
    return samples


def _read_blocks(
    file: soundfile.SoundFile,
    dtype: Literal["float64", "float32", "int32", "int16"],
    scale: Callable[[np.ndarray], np.ndarray] = lambda block: block,
) -> np.ndarray:
    """All samples as float32, ``(samples, channels)``; of a long recording, which is read block by
    block, their mean ``(samples,)``.

    The count is named because GSM cannot be read "to the end": it has no seek.
    """
    if file.frames * file.channels <= BLOCK_VALUES:
        return scale(file.read(frames=file.frames, dtype=dtype, always_2d=True))
    mixed, count = np.empty(file.frames, np.float32), 0
    while count < file.frames:
        size = min(BLOCK_VALUES // file.channels, file.frames - count)
        block = scale(file.read(frames=size, dtype=dtype, always_2d=True))
        if not len(block):
            break
        mixed[count : count + len(block)] = block.mean(axis=1, dtype=np.float32)
        count += len(block)
    return mixed[:count]


STATED_BY = ("matroska", "asf", "mov")
"""Containers, as FFmpeg names them, whose header states a duration; others are estimated."""


_MEDIA_SIGNATURES = ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3"), (0, b"0&\xb2u\x8ef\xcf\x11"))
"""First bytes of MP4, Matroska and WMA, whose index may stand at the end that is missing."""


def _refuse_shorter(container: Any, stream: Any, duration_s: float) -> None:
    """Raise where a container states a longer stream than was decoded."""
    if not container.format.name.startswith(STATED_BY):
        return
    stated = None
    if stream.duration:
        stated = float(stream.duration * stream.time_base)
    elif container.duration and len(container.streams) == 1:
        stated = stated_duration_s(container)
    skipped_s = max(0.1, CODEC_SAMPLES / stream.sample_rate)
    if stated is not None and duration_s < COMPLETE * stated - skipped_s:
        raise BadInput(TRUNCATED, f"{duration_s:.1f} of {stated:.1f} s are there")


def _decode_pyav(content: bytes, max_duration_s: float) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """The mean of all channels ``(samples,)``, its rate, and what is to be said."""
    import av  # 0.3 s to import and seldom needed
    from av.error import FFmpegError

    pieces: list[np.ndarray] = []
    try:
        with open_container(io.BytesIO(content)) as container:
            if not container.streams.audio:
                raise BadInput(WRONG_TYPE, "a media file without an audio stream")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise BadInput(WRONG_TYPE, "samples in a format that is not known")
            if (
                stream.duration and stream.time_base and stream.sample_rate
            ):  # refuse before an hour is decoded
                stated = float(stream.duration * stream.time_base) * stream.sample_rate
                _refuse_too_long(int(stated), stream.sample_rate, max_duration_s)
            to_float = av.AudioResampler(format="fltp")
            num_samples, first_s, end_s = 0, None, 0.0
            peaks = np.zeros(1, np.float32)
            for frame in container.decode(stream):
                if frame.pts is not None:
                    first_s = frame.time if first_s is None else first_s
                    end_s = frame.time + frame.samples / frame.sample_rate - first_s
                for piece in to_float.resample(frame):
                    channels = piece.to_ndarray()
                    peaks = np.maximum(peaks, abs(channels).max(axis=1))
                    # FFmpeg's own mix to mono is 3 dB louder than the channels' mean.
                    pieces.append(channels.mean(axis=0))
                    num_samples += pieces[-1].size
                    _refuse_too_long(num_samples, piece.sample_rate, max_duration_s)
            if not pieces:
                raise BadInput(EMPTY, "the audio stream has no samples")
            duration_s = num_samples / stream.sample_rate
            _refuse_shorter(container, stream, max(duration_s, end_s))
            notes = note_silent(peaks) if peaks.max() >= SILENCE_PEAK else ()
            if duration_s < COMPLETE * end_s - 0.1:
                notes += ("the times have gaps, as of a pause: the samples are joined there",)
            if (num_tracks := len(container.streams.audio)) > 1:
                notes += (f"the first of {num_tracks} audio tracks is read",)
            return np.concatenate(pieces), stream.sample_rate, notes
    except (FFmpegError, ValueError) as error:
        if pieces:
            why = f"decoding ends after {sum(map(len, pieces))} samples ({reason_of(error)})"
            raise BadInput(TRUNCATED, why) from None
        if any(content.startswith(mark, offset) for offset, mark in _MEDIA_SIGNATURES):
            why = f"begins as a media file, but cannot be decoded ({reason_of(error)})"
            raise BadInput(TRUNCATED, why) from None
        why = f"not an audio file that can be decoded ({reason_of(error)})"
        raise BadInput(WRONG_TYPE, why) from None
