"""What must be right in a .mat file (MATLAB 5) before SciPy may read it.

SciPy takes a header at its word: a bomb fills the memory, and a data type that does not exist ends
the process, because it is used as a place in a table. The layout is that of "MAT-File Level 5 File
Format" (MathWorks).
"""

import struct
import zlib
from collections.abc import Callable

from seqbelt.errors import TRUNCATED, UNREADABLE, WRONG_TYPE, BadInput

MATRIX, COMPRESSED = 14, 15
_FIRST_PARTS = ((6,), (5,), (1,), (1, 2, 3, 4, 5, 6, 7, 9, 12, 13))
"""Data types of a numeric variable's flags, dimensions, name and numbers."""
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x800
_HEAD_BYTES = 1 << 16
"""More than a numeric variable has before its numbers."""


def check_mat(content: bytes, refuse_size: Callable[[int], None]) -> None:
    """Raise BadInput for a variable that is cut off, larger than allowed, or damaged.

    ``refuse_size`` raises for too many bytes; what is inflated is not kept.
    """
    order = "<" if content[126:128] == b"IM" else ">"
    offset, total = 128, 0
    while offset + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, offset)
        offset += 8
        if offset + size > len(content):
            raise BadInput(TRUNCATED, f"{len(content) - offset} of {size} bytes are there")
        if kind == MATRIX:
            _check_variable(content[offset : offset + min(size, _HEAD_BYTES)], order)
        elif kind == COMPRESSED:
            total = _inflate(content[offset : offset + size], order, total, refuse_size)
        offset += size


def _inflate(piece: bytes, order: str, total: int, refuse_size: Callable[[int], None]) -> int:
    """Check a compressed variable; returns the bytes that were inflated so far."""
    inflater, head = zlib.decompressobj(), b""
    while piece and not inflater.eof:
        inflated = inflater.decompress(piece, 1 << 20)
        head += inflated[: _HEAD_BYTES - len(head)]
        total += len(inflated)
        refuse_size(total)
        piece = inflater.unconsumed_tail
    if len(head) >= 8 and struct.unpack_from(order + "I", head)[0] == MATRIX:
        _check_variable(head[8:], order)
    return total


def _check_variable(head: bytes, order: str) -> None:
    """Walk the parts of a numeric variable up to its numbers; SciPy leaves the others alone."""
    offset = 0
    try:
        for number, allowed in enumerate(_FIRST_PARTS):
            (kind,) = struct.unpack_from(order + "I", head, offset)
            size = kind >> 16  # a part of four bytes at most has both in one word
            step, kind = (8, kind & 0xFFFF) if size else (8, kind)
            if not size:
                (size,) = struct.unpack_from(order + "I", head, offset + 4)
                step += -(-size // 8) * 8
            if number == 0:
                (flags,) = struct.unpack_from(order + "I", head, offset + 8)
                if flags & 0xFF not in _NUMERIC_CLASSES:
                    return
                if flags & _COMPLEX:
                    raise BadInput(WRONG_TYPE, "complex numbers, not real ones")
            if kind not in allowed:
                raise BadInput(UNREADABLE, f"a variable has a part of type {kind}")
            offset += step
    except struct.error:
        raise BadInput(TRUNCATED, "a variable ends before its numbers begin") from None
