"""Whether a table of texts is written as the settings say: a wrong guess reads mojibake."""

import codecs
from pathlib import Path

from charset_normalizer import from_bytes

from seqbelt.errors import SettingsError

SAMPLE_BYTES = 1 << 20
NAMES = {"cp949": "cp949", "johab": "johab", "euc_kr": "cp949", "uhc": "cp949"}
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def check_encoding(path: Path, encoding: str) -> None:
    """Raise SettingsError where a file is not in an encoding, and name the likely one.

    A few broken lines are not the file's fault: each costs its row.
    """
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise SettingsError(
            f"data.encoding: '{encoding}' is unknown; expected a name like utf-8, cp949 or utf-16"
        ) from None
    try:
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
    except OSError:
        return  # whoever reads it will say so
    mark = next((name for mark, name in MARKS.items() if sample.startswith(mark)), None)
    if mark and "16" not in encoding:
        raise SettingsError(f"{path}: is written in UTF-16; set data.encoding: utf-16")
    if encoding != "utf-8":
        return
    lines = [line for line in sample.splitlines() if not line.isascii()]
    broken = [line for line in lines[:-1] or lines if not _is_utf8(line)]
    if len(broken) > 1 and 2 * len(broken) > len(lines):
        guess = _guess(b"\n".join(broken))
        raise SettingsError(
            f"{path}: is not written in UTF-8 ({len(broken)} of {len(lines)} lines that are not "
            f"plain ASCII); {guess}"
        )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def _guess(content: bytes) -> str:
    found = from_bytes(content).best()
    if found is None:
        return "name its encoding in data.encoding"
    name = NAMES.get(found.encoding, found.encoding)
    return f"it looks like {name}: set data.encoding: {name}"
