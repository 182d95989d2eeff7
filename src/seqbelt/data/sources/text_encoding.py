"""How tables and texts are written: a wrong guess reads mojibake, so nothing is guessed."""

import codecs
from pathlib import Path

from seqbelt.errors import SettingsError
from seqbelt.features.base import describe_packed
from seqbelt.features.text.encoding_ranking import (
    describe_encodings,
    rank_encodings,
    unmarked_encoding,
)
from seqbelt.features.text.text_decoding import (
    decode_text,
    is_utf8,
    mark_of,
)

_SIGNATURES = {
    b"PK\x03\x04": "is a workbook or an archive and no text; name it .xlsx, .ods or .zip",
    b"\xd0\xcf\x11\xe0": "is a workbook of an old format and no text; name it .xls",
    b"PAR1": "is a Parquet file and no text; name it .parquet",
    b"%PDF": "is a PDF and no table; save the table as .csv or .xlsx",
}
SAMPLE_BYTES = 1 << 20
HEAD_BYTES = 1 << 12
MAX_TEXT_BYTES = 64 << 20
"""Larger files of text are not decoded here; their reader refuses them by their size."""


def check_encoding_name(encoding: str) -> None:
    """Raise SettingsError for a name that is no encoding of texts."""
    try:
        "".encode(encoding)
    except LookupError:
        raise SettingsError(
            f"data.encoding: '{encoding}' is unknown; expected a name like utf-8, cp949 or utf-16"
        ) from None


def check_encoding(path: Path, encoding: str) -> None:
    """Raise SettingsError where a table is not in an encoding, and name the likely ones.

    A few broken lines are not the file's fault: each costs its row.
    """
    check_encoding_name(encoding)
    try:
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
    except OSError:
        return  # reading it gives the reason
    for signature, kind in _SIGNATURES.items():
        if sample.startswith(signature):
            raise SettingsError(f"{path}: {kind}")
    if problem := describe_packed(sample):
        raise SettingsError(f"{path}: {problem}")
    mark, plain = mark_of(sample), plain_name(encoding)
    if mark and mark not in ("utf-8-sig", plain) and not plain.startswith(mark):
        name = mark.upper() if mark.startswith("utf") else mark
        raise SettingsError(f"{path}: is written in {name}; set data.encoding: {mark}")
    if plain != "utf-8":
        return
    if wide := unmarked_encoding(sample):
        raise SettingsError(f"{path}: looks like {wide}; set data.encoding: {wide}")
    rows = sample.splitlines()
    if len(sample) == SAMPLE_BYTES:  # the last one may be cut
        rows = rows[:-1] or rows
    lines = [line for line in rows if not line.isascii()]
    broken = [line for line in lines if not _is_utf8(line)]
    if len(broken) > 1 and 2 * len(broken) > len(lines):
        # Lines of UTF-16 begin within a character where they are split at bytes.
        ranked = rank_encodings(sample[:HEAD_BYTES])
        is_wide = bool(ranked) and ranked[0].encoding.startswith("utf-16")
        hint = describe_encodings(sample[:HEAD_BYTES] if is_wide else _some(broken))
        raise SettingsError(
            f"{path}: is not written in UTF-8 ({len(broken)} of {len(lines)} lines that are not "
            f"plain ASCII); {hint}"
        )


def read_table_bytes(path: Path, encoding: str, notes: list[str]) -> bytes:
    """The content of a table as UTF-8 without a mark. Bytes that do not belong to the encoding
    come through as they are, and cost their row.

    Raises SettingsError where the encoding does not read most of the file, OSError.
    """
    content = path.read_bytes()
    plain = plain_name(encoding)
    if plain == "utf-8":
        return content.removeprefix(codecs.BOM_UTF8)
    if is_utf8(content) and not plain.startswith("utf-"):
        notes.append(f"{path}: is valid UTF-8 and read as that, not as data.encoding: {encoding}")
        return content.removeprefix(codecs.BOM_UTF8)
    try:
        return decode_text(content, encoding).removeprefix("\ufeff").encode("utf-8")
    except UnicodeDecodeError as error:
        if plain.startswith("utf-"):
            raise SettingsError(
                f"{path}: is not written in {encoding}: {error.reason} at byte {error.start}; "
                "correct data.encoding"
            ) from None
    lines = content.splitlines()
    broken = [line for line in lines if not line.isascii() and not _is_in(encoding, line)]
    num_beyond = sum(not line.isascii() for line in lines)
    if 2 * len(broken) > num_beyond:
        raise SettingsError(
            f"{path}: is not written in {encoding} (data.encoding): {len(broken)} of {num_beyond} "
            f"lines that are not plain ASCII do not fit; {describe_encodings(_some(broken))}"
        )
    text = content.decode(encoding, "surrogateescape")
    return text.encode("utf-8", "surrogateescape")


def read_text_file(path: Path, encoding: str) -> str | Path:
    """The text of a file; the path itself for one with a mark, for valid UTF-8, which any reader
    takes, and for what cannot be read at all."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_TEXT_BYTES:
            return path
        content = path.read_bytes()
    except (OSError, ValueError):
        return path
    if mark_of(content) or (is_utf8(content) and not plain_name(encoding).startswith("utf-")):
        return path
    try:
        return decode_text(content, encoding)
    except UnicodeDecodeError:
        pass
    try:
        return content.decode(encoding, "surrogateescape")  # its reader refuses what is left over
    except UnicodeDecodeError:
        return path


def plain_name(encoding: str) -> str:
    """One spelling for all names of an encoding; UTF-8 with a mark is UTF-8."""
    name = codecs.lookup(encoding).name
    return "utf-8" if name == "utf-8-sig" else name


def _some(lines: list[bytes]) -> bytes:
    return b"\n".join(lines[:200])


def _is_utf8(line: bytes) -> bool:
    return _is_in("utf-8", line)


def _is_in(encoding: str, line: bytes) -> bool:
    try:
        line.decode(encoding)
        return True
    except UnicodeDecodeError:
        return False
