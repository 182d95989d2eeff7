"""Media files: opened with any version of PyAV; are all the bytes there that AVI and ASF state, or
that a GIF ends with?"""

import os
import struct
from importlib.metadata import version
from typing import Any, BinaryIO

from seqbelt.errors import TRUNCATED, WRONG_TYPE, BadInput

GIF_SIGNATURES = (b"GIF87a", b"GIF89a")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = 1 << 14
"""Of a file, in which its size is stated."""
SEVERAL = "several recordings one after the other, of which a decoder reads the first: split it"
MIN_BOX, MAX_BOXES = 8, 100_000
"""Bytes of a box of MP4, and boxes that are looked at."""
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
"""The elements of which a Matroska consists."""
_OPEN_32 = 0xFFFFFFFF - 64
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def open_container(
    file: str | BinaryIO, formats: str | None = None, buffer_size: int = 1 << 15
) -> Any:
    """PyAV's input container, of one of the ``formats`` if given; tags in any encoding do no harm,
    and a content that names files or addresses opens none. Raises FFmpegError, ValueError."""
    import av  # 0.3 s to import and seldom needed

    options = {"protocol_whitelist": "file" if isinstance(file, str) else "none"}
    if formats is not None:
        options["format_whitelist"] = formats
    more: dict[str, Any] = {}
    if int(version("av").partition(".")[0]) < 19:  # later versions escape such tags
        more["metadata_errors"] = "ignore"
    return av.open(file, "r", options=options, buffer_size=buffer_size, **more)


def stated_duration_s(container: Any) -> float:
    """From the first time to the last, in seconds; 0 where it is not stated."""
    duration = (container.duration or 0) / 1e6
    if container.format.name.startswith("matroska"):  # counts from 0, also where a live signal does
        duration -= (container.start_time or 0) / 1e6
    return duration


def refuse_cut_gif(file: BinaryIO) -> None:
    """Raise BadInput (truncated) where a GIF ends before its trailer."""
    head = file.read(13)
    _skip_colours(file, head[10] if len(head) == 13 else 0)
    while (kind := file.read(1)) != b";":
        if kind == b"!":
            file.read(1)
        elif kind == b",":
            screen = file.read(9)
            _skip_colours(file, screen[8] if len(screen) == 9 else 0)
            file.read(1)
        elif kind:
            return  # nothing that is known: the decoder decides
        else:
            raise BadInput(TRUNCATED, "the GIF ends before its trailer")
        while size := file.read(1):
            if size == b"\0":
                break
            file.seek(size[0], os.SEEK_CUR)


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, os.SEEK_CUR)


def refuse_cut_png(file: BinaryIO) -> None:
    """Raise BadInput (truncated) where a PNG, perhaps an animated one, ends before its last chunk,
    and where another one follows."""
    file.seek(len(PNG_SIGNATURE))
    kind = b""
    while kind != b"IEND":
        header = file.read(8)
        if len(header) < 8:
            raise BadInput(TRUNCATED, "the PNG ends before its last chunk")
        kind = header[4:]
        file.seek(int.from_bytes(header[:4], "big") + 4, os.SEEK_CUR)  # with its checksum
    if file.read(8) == PNG_SIGNATURE:
        raise BadInput(WRONG_TYPE, SEVERAL)


def refuse_joined(file: BinaryIO) -> None:
    """Raise BadInput where another MP4 or Matroska begins behind the first, which alone a decoder
    reads."""
    offset = 0
    for _ in range(MAX_BOXES):
        header = file.read(16)
        if offset and (header[4:8] == b"ftyp" or header.startswith(_EBML)):
            raise BadInput(WRONG_TYPE, SEVERAL)
        length = _length_of_element(header)
        if length < MIN_BOX:
            return  # the end, not such a container, or a part that goes on to the end
        offset += length
        file.seek(offset)


def _length_of_element(header: bytes) -> int:
    """Bytes of a box of MP4 or an element of Matroska with its header; 0 where none is stated."""
    if header[:4] in (_EBML, _SEGMENT) and len(header) > 4 and header[4]:
        width = 9 - header[4].bit_length()
        size = int.from_bytes(header[4 : 4 + width], "big") & (1 << 7 * width) - 1
        return 0 if size == (1 << 7 * width) - 1 else 4 + width + size
    if len(header) < 8 or not header[4:8].isalnum():
        return 0
    size = int.from_bytes(header[:4], "big")
    return int.from_bytes(header[8:16], "big") if size == 1 else size


def refuse_missing_bytes(head: bytes, num_bytes: int) -> None:
    """Raise BadInput (truncated) where an AVI or ASF (.wmv, .wma) that begins with ``head`` states
    more than ``num_bytes``; sizes that a streaming recorder leaves open state nothing."""
    stated = 0
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        (size,) = struct.unpack_from("<I", head, 4)
        stated = 8 + size if 0 < size < _OPEN_32 else 0
    elif head.startswith(_ASF):
        offset = head.find(_ASF_PROPERTIES)
        if 0 <= offset <= len(head) - 92:
            (size,) = struct.unpack_from("<Q", head, offset + 40)
            (flags,) = struct.unpack_from("<I", head, offset + 88)
            stated = 0 if flags & 1 else size  # a broadcast states no size
    if num_bytes < stated:
        raise BadInput(TRUNCATED, f"{num_bytes} of {stated} bytes are there")
