"""Media files: opened with any version of PyAV; are all the bytes there that AVI and ASF state?"""

import struct
from importlib.metadata import version
from typing import Any, BinaryIO

from seqbelt.errors import TRUNCATED, BadInput

HEAD_BYTES = 1 << 14
"""Of a file, in which its size is stated."""
_OPEN_32 = 0xFFFFFFFF - 64
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def open_container(file: str | BinaryIO, **options: Any) -> Any:
    """PyAV's input container; tags in any encoding do no harm. Raises FFmpegError, ValueError."""
    import av  # 0.3 s to import and seldom needed

    if int(version("av").partition(".")[0]) < 19:  # later versions escape such tags
        options["metadata_errors"] = "ignore"
    return av.open(file, "r", **options)


def refuse_missing_bytes(head: bytes, num_bytes: int) -> None:
    """Raise BadInput (truncated) where an AVI or ASF (.wmv, .wma) that begins with ``head`` states
    more than ``num_bytes``; sizes that a streaming recorder leaves open state nothing."""
    stated = 0
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        (size,) = struct.unpack_from("<I", head, 4)
        stated = 8 + size if 0 < size < _OPEN_32 else 0
    elif head.startswith(_ASF):
        place = head.find(_ASF_PROPERTIES)
        if 0 <= place <= len(head) - 92:
            (size,) = struct.unpack_from("<Q", head, place + 40)
            (flags,) = struct.unpack_from("<I", head, place + 88)
            stated = 0 if flags & 1 else size  # a broadcast states no size
    if num_bytes < stated:
        raise BadInput(TRUNCATED, f"{num_bytes} of {stated} bytes are there")
