"""Audio containers that state how long they are: is all of it there?

Decoders return what there is of a recording that was cut short, most of them without an error.
Sizes that a streaming recorder leaves open (0, or the largest number) state nothing.
"""

import io
import struct
from collections.abc import Iterator

from seqbelt.errors import TRUNCATED, UNREADABLE, WRONG_TYPE, BadInput
from seqbelt.features.media_container import (
    HEAD_BYTES,
    SEVERAL,
    refuse_joined,
    refuse_missing_bytes,
)

TOLERANCE = 0.99
"""Fraction of a stated MP3 length that must be there: some encoders miscount a frame."""
_W64_RIFF = b"riff\x2e\x91\xcf\x11"
_VOC = b"Creative Voice File\x1a"
_FLAC = b"fLaC\0\0\0\x22"
"""A FLAC's first bytes: the mark and the head of its first block."""
_MIN_MP3 = 4096
"""Bytes of frames behind the stated ones that make another recording and no miscount."""
_OPEN_32 = 0xFFFFFFFF - 64


def refuse_cut_short(content: bytes) -> None:
    """Raise BadInput (truncated) where a container states more than ``content`` holds.

    Checks RF64, Wave64, AIFF, AU, CAF, Ogg, AVI, ASF, VOC, and MP3 with a Xing or Info header;
    other content passes.
    """
    start = content[:4]
    if start in (b"RF64", b"BW64") and content[8:12] == b"WAVE":
        _check_chunks(content, "<I", 12, b"data", _ds64_size(content))
    elif content.startswith(_W64_RIFF):
        (stated,) = struct.unpack_from("<Q", content.ljust(24, b"\0"), 16)
        if 24 < stated < 1 << 62:
            _refuse_missing(len(content), stated)
    elif start == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        _check_chunks(content, ">I", 12, b"SSND", None)
    elif start in (b".snd", b"dns.") and len(content) >= 12:
        offset, stated = struct.unpack_from(">II" if start == b".snd" else "<II", content, 4)
        if 0 < stated < _OPEN_32:
            _refuse_missing(len(content) - offset, stated)
            refuse_more(len(content) - offset, stated)
    elif start == b"caff":
        _check_chunks(content, ">q", 8, b"data", None)
    elif start == b"OggS":
        _check_last_page(content)
        _refuse_chained(content)
    elif start == b"fLaC":
        if content.find(_FLAC, 4) > 0:
            raise BadInput(WRONG_TYPE, SEVERAL)
    elif content.startswith(_VOC):
        _check_voc_blocks(content)
    else:
        refuse_missing_bytes(content[:HEAD_BYTES], len(content))
        refuse_joined(io.BytesIO(content))
        _check_xing(content)


def _refuse_missing(present: int, stated: int) -> None:
    if present < stated:
        raise BadInput(TRUNCATED, f"{max(0, present)} of {stated} bytes are there")


def refuse_more(present: int, stated: int) -> None:
    """Raise BadInput where clearly more samples are there than a container states: a decoder would
    leave them out."""
    if present > stated * (2 - TOLERANCE) + 64:
        raise BadInput(
            UNREADABLE,
            f"the header states {stated} bytes of samples, and {present} are there; convert the "
            "recording, so that both agree",
        )


def _refuse_chained(content: bytes) -> None:
    """Raise where an Ogg stream begins after another one has ended."""
    offset, has_ended = 0, False
    while content[offset : offset + 4] == b"OggS" and offset + 27 <= len(content):
        flags, num_segments = content[offset + 5], content[offset + 26]
        if has_ended and flags & 2:
            raise BadInput(WRONG_TYPE, SEVERAL)
        has_ended |= bool(flags & 4)
        offset += 27 + num_segments + sum(content[offset + 27 : offset + 27 + num_segments])


def _ds64_size(content: bytes) -> int | None:
    """The size of an RF64's samples, which stands in its first chunk."""
    if content[12:16] != b"ds64" or len(content) < 36:
        return None
    return struct.unpack_from("<Q", content, 28)[0]


def _check_chunks(
    content: bytes, size_format: str, first: int, name: bytes, stated: int | None
) -> None:
    """Find the chunk of samples and compare its size, or ``stated``, with the bytes there are."""
    for chunk, offset, size in _chunks(content, size_format, first):
        if chunk != name:
            continue
        size = size if stated is None else stated
        is_open = size <= 0 or (size >= _OPEN_32 and size_format.endswith("I") and stated is None)
        if not is_open:
            _refuse_missing(len(content) - offset, size)
        return
    raise BadInput(TRUNCATED, "the file ends before its samples begin")


def _chunks(content: bytes, size_format: str, offset: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the content and size of each chunk."""
    header = 4 + struct.calcsize(size_format)
    while offset + header <= len(content):
        (size,) = struct.unpack_from(size_format, content, offset + 4)
        yield content[offset : offset + 4], offset + header, size
        if size < 0:
            return
        offset += header + size + (size % 2 if size_format.endswith("I") else 0)


def _check_last_page(content: bytes) -> None:
    """An Ogg stream ends with a complete page that is flagged as the last."""
    offset = content.rfind(b"OggS")
    if len(content) - offset >= 27:
        num_segments = content[offset + 26]
        lacing = content[offset + 27 : offset + 27 + num_segments]
        is_whole = len(lacing) == num_segments and len(content) - offset >= 27 + num_segments + sum(
            lacing
        )
        if is_whole and content[offset + 5] & 4:
            return
    raise BadInput(TRUNCATED, "the last Ogg page does not end the stream")


def _check_voc_blocks(content: bytes) -> None:
    """Each block of a Creative Voice File states its size; a block of type 0 is the last."""
    (offset,) = struct.unpack_from("<H", content.ljust(22, b"\0"), len(_VOC))
    while 0 < offset < len(content) and content[offset]:
        size = int.from_bytes(content[offset + 1 : offset + 4], "little")
        _refuse_missing(len(content) - offset - 4, size)
        offset += 4 + size


def _check_xing(content: bytes) -> None:
    """An MP3's first frame may state the bytes of all frames."""
    first, flags, fields = _xing(content)
    if not flags & 2:
        return
    (stated,) = struct.unpack_from(">I", fields, 4 if flags & 1 else 0)
    if len(content) - first < TOLERANCE * stated:
        _refuse_missing(len(content) - first, stated)
    behind = content[first + stated :]
    is_sound = behind[:3] == b"ID3" or (behind[:1] == b"\xff" and behind[1:2] >= b"\xe0")
    is_much = len(behind) > max(_MIN_MP3, (1 - TOLERANCE) * stated)
    if (is_sound and is_much) or states_frames(behind):
        raise BadInput(WRONG_TYPE, SEVERAL)


def states_frames(content: bytes) -> bool:
    """Whether an MP3 states how many frames it has."""
    return bool(_xing(content)[1] & 1)


def tag_bytes(content: bytes) -> int:
    """Bytes of the ID3 tag that a content begins with; 0 without one."""
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    a, b, c, d = content[6:10]  # seven bits each
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def _xing(content: bytes) -> tuple[int, int, bytes]:
    """Where an MP3's first frame begins, the flags of the lengths in it (0 without), and those."""
    first = tag_bytes(content)
    head = content[first : first + 256]
    offset = max(head.find(b"Xing"), head.find(b"Info"))
    if head[:1] != b"\xff" or head[1:2] < b"\xe0" or offset < 0 or len(head) < offset + 16:
        return first, 0, b""
    (flags,) = struct.unpack_from(">I", head, offset + 4)
    return first, flags, head[offset + 8 :]
