"""Bytes to text: by the mark at the beginning, as UTF-8, or by an encoding that somebody names."""

import codecs
import re

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ESCAPES = ((b"\x1b$B", "iso2022_jp"), (b"\x1b$@", "iso2022_jp"), (b"\x1b$)C", "iso2022_kr"))
SUPERSETS = {
    "euc_kr": "cp949", "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030",
    "big5": "big5hkscs", "cp950": "big5hkscs", "iso8859-1": "cp1252", "iso8859-9": "cp1254",
    "koi8-r": "koi8-u", "ascii": "cp1252",
}  # fmt: skip
"""What is often meant by a name that reads less."""
_MULTIBYTE_UTF8 = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{1,3}")
MIN_UTF8_CHARACTERS = 3
"""So many valid ones do not come about by chance in another encoding."""


_BEHIND = "\x80-\xbf\ufffd" + re.escape(bytes(range(0x80, 0xA0)).decode("cp1252", "ignore"))
_MOJIBAKE = re.compile(
    f"[\u00c2-\u00df][{_BEHIND}]|[\u00e0-\u00ef][{_BEHIND}]{{2}}|[\u00f0-\u00f4][{_BEHIND}]{{3}}"
)
"""A character of UTF-8, its bytes read one by one."""
_LEADS = re.compile("[\u00c2-\u00f4]")
_SIGNS = re.compile("[\u00a2-\u00a9\u00ac-\u00b9\u00bc-\u00be]")
"""Of the second half of Latin-1, but for quotation marks: rare in any text."""
MOJIBAKE = (
    "texts such as 'trÃ¨s' are UTF-8 that somebody read in another encoding, and are taken as they "
    "stand: decode the source again"
)


_ESCAPED = re.compile(
    r"&(?:\#\d{2,6}|\#x[0-9A-Fa-f]{2,5}|amp|lt|gt|quot|apos|nbsp|hellip|[lr][sd]quo|[mn]dash|"
    r"[A-Za-z](?:acute|grave|uml|circ|tilde|cedil));|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|"
    r"(?:[=%][C-F][0-9A-F][=%][89AB][0-9A-F])|\S%20\S"
)
ESCAPES = (
    "texts such as 'tr&egrave;s', 'tr%C3%A8s', 'tr=C3=A8s' or 'tr\\u00e8s' hold characters in "
    "another notation, and are taken as they stand: decode the source"
)


def is_escaped(text: str) -> bool:
    """Whether characters of a text are written by their numbers or names, as HTML, addresses, mails
    and programs do."""
    return _ESCAPED.search(text) is not None


def is_mojibake(text: str) -> bool:
    """Whether nearly all of a text that is not ASCII is UTF-8 that was read byte by byte."""
    if text.isascii():
        return False
    found = sum(len(match) for match in _MOJIBAKE.findall(text))
    num_foreign = sum(not character.isascii() for character in text)
    if found > 0 and found >= 0.8 * num_foreign:
        return True
    # Of bytes that became controls only blanks are left between the others.
    signs = _SIGNS.findall(text)
    return len({*signs}) > 2 and len(signs) + len(_LEADS.findall(text)) >= 0.8 * num_foreign


def mark_of(content: bytes) -> str | None:
    """The encoding that a byte-order mark or escape sequences indicate; None without."""
    for mark, name in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return name
    return escaped_in(content)


def escaped_in(content: bytes) -> str | None:
    """The encoding whose escape sequences are in the content."""
    return next((name for escape, name in _ESCAPES if escape in content), None)


def is_utf8(content: bytes) -> bool:
    """Whether bytes are UTF-8 beyond chance: valid, with several characters that are not ASCII."""
    if content.isascii():
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    multibyte = _MULTIBYTE_UTF8.finditer(content)
    return sum(1 for _, _ in zip(multibyte, range(MIN_UTF8_CHARACTERS))) == MIN_UTF8_CHARACTERS


def decode_text(content: bytes, encoding: str = "utf-8") -> str:
    """The text in ``content``: by its mark, as UTF-8 where it is that beyond chance, else by
    ``encoding`` or, where that reads too little, by what is usually meant by its name.

    Raises UnicodeDecodeError.
    """
    if mark := mark_of(content):
        # Errors count from the mark on.
        return content.decode("utf-8" if mark == "utf-8-sig" else mark).removeprefix("\ufeff")
    plain = codecs.lookup(encoding).name
    if plain != "utf-8" and "16" not in plain and "32" not in plain and is_utf8(content):
        return content.decode("utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        if plain not in SUPERSETS:
            raise
        return content.decode(SUPERSETS[plain])
