"""Video decoding through PyAV: frames at even times, upright, small, one at a time.

FFmpeg's own scaler makes a frame small before NumPy sees it, so memory holds one full frame of a
clip, however long it is.
"""

import io
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqbelt.errors import EMPTY, TOO_LONG, TRUNCATED, UNREADABLE, WRONG_SHAPE, WRONG_TYPE, BadInput
from seqbelt.features.base import reason_of
from seqbelt.features.media_container import (
    GIF_SIGNATURES,
    HEAD_BYTES,
    PNG_SIGNATURE,
    open_container,
    refuse_cut_gif,
    refuse_cut_png,
    refuse_joined,
    refuse_missing_bytes,
    stated_duration_s,
)

CONTAINERS = (
    "avi,mov,mp4,m4a,3gp,matroska,webm,gif,mpeg,mpegvideo,mpegts,flv,asf,ogg,m4v,h264,hevc,av1,ivf,"
    "mxf,mjpeg,dv,y4m,yuv4mpegpipe,apng,mp3,wav,flac"
)
"""What FFmpeg may take a file for. Playlists, whose content makes it open other files and
addresses, are not among them, nor is text, which it would draw as a terminal."""
VIDEO_SIGNATURES = ((4, b"ftyp"), (8, b"AVI "), (0, b"\x1aE\xdf\xa3"), (0, b"GIF8"), (0, b"FLV"))
WHOLE_PACKETS = ("yuv4mpegpipe",)
"""Formats whose frames are all of one size, up to the end of the file."""
TS_PACKETS = (188, 192, 204)
"""Sizes of a packet of MPEG-TS, in bytes: plain, with a time, with a checksum."""
DAMAGED = "packets are missing or damaged, as in a recording with gaps or cut short"
MAX_PIXELS = 1 << 26
"""Largest frame that is decoded: 8192 x 8192."""
COMPLETE = 0.95
"""Share of the promised frames that a whole file has: decoders drop a few at the ends."""
MAX_FALL_S = 1.0
"""By which the time of a frame may be below that of the one before it: damaged files jitter."""
ROUNDING = 1e-6
"""In steps: an even time that a frame misses by less is the frame's own."""
BUFFER_BYTES = 1 << 18
"""Read at a time: each read asks for Python's lock."""


class FrameFormat(NamedTuple):
    """What decoded frames look like."""

    width: int
    height: int
    is_grey: bool
    """Grey ``(height, width)`` rather than ``(height, width, 3)`` red, green, blue."""

    @property
    def pixels(self) -> str:
        return "gray" if self.is_grey else "rgb24"


def decode_video(
    source: Path | bytes | np.ndarray,
    frame_format: FrameFormat,
    frame_rate: float | None,
    max_duration_s: float,
    notes: list[str] | None = None,
) -> Iterator[np.ndarray]:
    """Yield uint8 frames, ``frame_rate`` of them a second of the clip (None: every frame).

    At each even time stands the frame that is nearest to it, so a clip of variable frame rate
    gets steps of equal length. A ready array ``(frames, height, width)`` or ``(frames, height,
    width, 3)`` is taken as sampled already. ``notes`` gets what was not evident of the reading.
    Raises BadInput, maybe after some frames.
    """
    scale, notes = _Scaler(frame_format), [] if notes is None else notes
    if isinstance(source, np.ndarray):
        yield from map(scale, _frames_of_array(source))
        return
    with _open(source) as container:
        frames = _timed_frames(container, max_duration_s, notes)
        for frame, repeats in _sample(frames, frame_rate):
            small = scale(frame)
            for _ in range(repeats):
                yield small


class _Scaler:
    """Scales and turns frames; keeps FFmpeg's scaler, which is costly to set up, between them."""

    def __init__(self, frame_format: FrameFormat) -> None:
        from av.video.reformatter import VideoReformatter

        self.format = frame_format
        self.reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        width, height, _ = self.format
        is_turned, flips = _orientation_of(frame)
        if is_turned:
            width, height = height, width
        # AREA averages, so that thin edges neither flicker nor vanish. One thread: files are
        # what runs in parallel.
        small = self.reformatter.reformat(
            frame, width, height, self.format.pixels, interpolation="AREA", threads=1
        )
        pixels = small.to_ndarray().swapaxes(0, 1) if is_turned else small.to_ndarray()
        return np.flip(pixels, flips) if flips else pixels


def _orientation_of(frame: Any) -> tuple[bool, tuple[int, ...]]:
    """How a player turns and mirrors a frame: whether rows become columns, and the axes that are
    reversed then."""
    stated = frame.side_data.get("DISPLAYMATRIX")
    if stated is None:
        return False, ()
    # A point (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = struct.unpack("=5i", bytes(stated)[:20])
    is_turned = abs(b) > abs(a)
    along_y, along_x = (b, c) if is_turned else (d, a)
    return is_turned, tuple(axis for axis, sign in enumerate((along_y, along_x)) if sign < 0)


def _frames_of_array(frames: np.ndarray) -> Iterator[Any]:
    import av

    if frames.ndim not in (3, 4) or (frames.ndim == 4 and frames.shape[3] != 3):
        raise BadInput(WRONG_SHAPE, f"expected (frames, height, width[, 3]), found {frames.shape}")
    if frames.dtype != np.uint8:
        raise BadInput(WRONG_TYPE, f"expected frames of type uint8, found {frames.dtype}")
    if not frames.size:
        raise BadInput(EMPTY, f"an array of shape {frames.shape} without frames")
    for frame in frames:
        pixels = "gray" if frame.ndim == 2 else "rgb24"
        yield av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), pixels)


@contextmanager
def _open(source: Path | bytes) -> Iterator[Any]:
    """A container that nothing but this one file is read for."""
    from av.error import FFmpegError

    try:
        # FFmpeg reads a file faster than through Python; "file:" keeps it from taking the name
        # for an address.
        if (
            isinstance(source, Path)
            and source.exists()
            and not (source.is_file() or source.is_dir())
        ):
            raise BadInput(WRONG_TYPE, "not a regular file: a pipe, a device or a socket")
        file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
        head, size = _head_of(source)
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as opened:
            if head.startswith(GIF_SIGNATURES):
                refuse_cut_gif(opened)
            elif head.startswith(PNG_SIGNATURE):
                refuse_cut_png(opened)
            elif any(head.startswith(mark, offset) for offset, mark in VIDEO_SIGNATURES):
                refuse_joined(opened)
    except OSError as error:
        raise BadInput(UNREADABLE, reason_of(error)) from None
    if not head:
        raise BadInput(EMPTY, "the file has no bytes")
    refuse_missing_bytes(head, size)
    try:
        container = open_container(file, CONTAINERS, BUFFER_BYTES)
    except (FFmpegError, ValueError) as error:
        why = reason_of(error)
        if any(head.startswith(mark, offset) for offset, mark in VIDEO_SIGNATURES):
            raise BadInput(TRUNCATED, f"begins as a video, but cannot be decoded ({why})") from None
        raise BadInput(WRONG_TYPE, f"not a video that can be decoded ({why})") from None
    with container:
        yield container


def _head_of(source: Path | bytes) -> tuple[bytes, int]:
    """A file's first bytes, and how many it has."""
    if isinstance(source, bytes):
        return source[:HEAD_BYTES], len(source)
    with source.open("rb") as file:
        return file.read(HEAD_BYTES), os.fstat(file.fileno()).st_size


def _timed_frames(
    container: Any, max_duration_s: float, notes: list[str]
) -> Iterator[tuple[float, Any]]:
    """Every frame with its time in seconds since the first; never backwards."""
    from av.error import FFmpegError

    stream = _video_stream(container, notes)
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    # AVI has a frame rate and no times; FFmpeg's guess at them goes astray on B-frames.
    is_timed = container.format.name != "avi"
    expected = stream.frames
    stated = stated_duration_s(container) * rate
    if expected and stated:  # an edit list hides frames before a cut
        expected = min(expected, stated)
    if not expected and len(container.streams) == 1:
        expected = stated
    _refuse_too_long(expected / rate, max_duration_s)
    first, time, count, end, is_damaged = None, 0.0, 0, 0, False
    try:
        for packet, frame in _decode(container, stream):
            is_damaged |= packet.is_corrupt or frame.is_corrupt
            end = max(end, (packet.pos or 0) + packet.size)
            if not count:
                _note_transparency(frame, notes)
            if is_timed and frame.pts is not None:
                first = frame.time if first is None else first
                if frame.time - first < time - MAX_FALL_S:
                    raise BadInput(
                        UNREADABLE,
                        f"the times of frames fall back after {time:.1f} s, as in videos joined "
                        "byte by byte: join them with a program for videos",
                    )
                time = max(time, frame.time - first)
            else:
                time = count / rate
            if time > max_duration_s:
                _refuse_too_long(time, max_duration_s)
            count += 1
            yield time, frame
    except FFmpegError as error:
        reason = TRUNCATED if count else UNREADABLE
        raise BadInput(reason, f"decoding ends after {count} frames ({error})") from None
    present = count if stream.frames else time * rate + 1
    if present < COMPLETE * expected - 2:
        raise BadInput(TRUNCATED, f"{present:.0f} of {expected:.0f} frames are there")
    if container.format.name in WHOLE_PACKETS and container.size > end:
        raise BadInput(TRUNCATED, f"{container.size - end} bytes at the end are no whole frame")
    has_part = container.format.name == "mpegts" and all(container.size % n for n in TS_PACKETS)
    if is_damaged or has_part:
        notes.append(DAMAGED)
    if not count:
        raise BadInput(EMPTY, "the video stream has no frames")
    if count > 1 and not time:
        raise BadInput(UNREADABLE, f"all {count} frames have the same time")


def _decode(container: Any, stream: Any) -> Iterator[tuple[Any, Any]]:
    """Every frame with the packet that completed it."""
    for packet in container.demux(stream):
        yield from ((packet, frame) for frame in packet.decode())


def _note_transparency(frame: Any, notes: list[str]) -> None:
    has_alpha = any(part.is_alpha for part in frame.format.components)
    if has_alpha and frame.to_ndarray(format="rgba")[..., 3].min() < 255:
        notes.append("transparent pixels are read in the colours that they hide")


def _video_stream(container: Any, notes: list[str]) -> Any:
    """The stream that a player shows: not the cover picture of a song."""
    from av.stream import Disposition

    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos:
        if not container.streams.audio and container.format.name.startswith("mov"):
            raise BadInput(TRUNCATED, "an MP4 without its index, which often stands at the end")
        raise BadInput(WRONG_TYPE, "a media file without a video stream")
    moving = [stream for stream in videos if stream.frames != 1] or videos
    best = container.streams.best("video")
    stream = best if best in moving else moving[0]
    if len(moving) > 1:
        notes.append(f"{len(moving)} video tracks, of which the one that players choose is read")
    if stream.width * stream.height > MAX_PIXELS:
        raise BadInput(TOO_LONG, f"frames of {stream.width} x {stream.height} pixels")
    stream.thread_type = "NONE"  # files are what runs in parallel: faster, and less memory
    return stream


def _refuse_too_long(duration_s: float, max_duration_s: float) -> None:
    if duration_s > max_duration_s:
        allowed = f"features.max_duration_s allows {max_duration_s:g}"
        raise BadInput(TOO_LONG, f"{duration_s:.1f} s; {allowed}")


def _sample(
    frames: Iterator[tuple[float, Any]], frame_rate: float | None
) -> Iterator[tuple[Any, int]]:
    """Frames with how often each stands at the even times ``0, 1 / frame_rate, ...``.

    The nearest frame rather than the last one: milliseconds, to which many containers round,
    would otherwise make every other step a frame late.
    """
    if frame_rate is None:
        yield from ((frame, 1) for _, frame in frames)
        return
    num_steps, held, held_time = 0, None, 0.0
    for time, frame in frames:
        middle = (held_time + time) / 2 * frame_rate  # in steps
        if middle > num_steps and held is not None:
            repeats = math.ceil(middle - ROUNDING) - num_steps
            if repeats:
                yield held, repeats
                num_steps += repeats
        held, held_time = frame, time
    total = math.floor(held_time * frame_rate + ROUNDING) + 1
    if held is not None and total > num_steps:
        yield held, total - num_steps
