"""What bytes are that would be noise, if they were taken for raw samples."""

import string
from collections.abc import Callable

HEAD_BYTES = 4096
"""Bytes at the start of a signal by which it is known; two frames of MP3 fit into them."""
_FEW_BYTES = 32
"""Bytes that are enough where no frame seems to begin."""
_FRAME_STARTS = b"\xffG"
_SIGNATURES = {
    b"fLaC": "FLAC", b"OggS": "Ogg", b"FORM": "AIFF", b"ID3": "MP3", b"\x1aE\xdf\xa3": "Matroska",
    b"caff": "CAF", b".snd": "AU", b"RF64": "RF64", b"RIFX": "RIFX", b"riff": "W64",
    b"0&\xb2u\x8ef\xcf\x11": "WMA", b"#!AMR": "AMR",
}  # fmt: skip
TEXT = "text"
_MIN_TEXT = 8
"""Bytes that are all printable: samples are not, but by a chance of one in a million."""
_PRINTABLE = frozenset(string.printable.encode())
_MP3_KBITS = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = (44_100, 48_000, 32_000)


def is_decided(head: bytes) -> bool:
    """Whether more bytes would not change what ``name_foreign`` says."""
    return len(head) >= (HEAD_BYTES if head[:1] in _FRAME_STARTS else _FEW_BYTES)


def name_foreign(head: bytes) -> str | None:
    """What a signal is that begins with ``head``, if that is neither a WAV nor raw samples."""
    head = head[:HEAD_BYTES]
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head[4:8] == b"ftyp":
        return "MP4"
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return "MPEG-TS"
    if _is_repeated(head, _mp3_frame_bytes):
        return "MP3"
    if _is_repeated(head, _aac_frame_bytes):
        return "AAC"
    if len(head) >= _MIN_TEXT and _PRINTABLE.issuperset(head):
        return TEXT
    return None


def _is_repeated(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    """Whether a frame begins here, and another where it ends."""
    size = frame_bytes(head)
    return size > 0 and frame_bytes(head[size:]) > 0


def _mp3_frame_bytes(head: bytes) -> int:
    """Length of the frame of MPEG audio, layer III, that begins here; 0 if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[1] & 0x18 == 0x08:
        return 0
    version = 1 if head[1] & 0x18 == 0x18 else 2
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    if bit_rate in (0, 15) or rate == 3:
        return 0
    divisor = {0x18: 1, 0x10: 2, 0x00: 4}[head[1] & 0x18]
    samples = 144 if version == 1 else 72
    size = samples * 1000 * _MP3_KBITS[version][bit_rate - 1] // (_MP3_RATES[rate] // divisor)
    return size + (head[2] >> 1 & 1)


def _aac_frame_bytes(head: bytes) -> int:
    """Length of the ADTS frame that begins here; 0 if none does."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
