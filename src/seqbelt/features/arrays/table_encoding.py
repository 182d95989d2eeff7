"""In which encoding a table of numbers is written."""

import re

from seqbelt.errors import UNREADABLE, WRONG_TYPE, BadInput
from seqbelt.features.text.encoding_ranking import unmarked_encoding
from seqbelt.features.text.text_decoding import BYTE_ORDER_MARKS

_WESTERN_LETTERS = "°µ²³±·×÷ÄÖÜäöüßéèêëàâáíóúñçôûîïåøæÅØÆÉ€§"


def decode_table(content: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a table, and notes on its encoding.

    Digits and signs are the same in all encodings that are tried: only names and words can suffer.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _decode(content, encoding), () if "8" in encoding else (f"text in {encoding}",)
    if wide := unmarked_encoding(content):
        return _decode(content, wide), (f"text in {wide}",)
    if 0 in content[:4096]:
        raise BadInput(
            WRONG_TYPE, "bytes of zero: not .npy, .npz, .mat, .h5, .pt, .parquet or text columns"
        )
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError:
        encoding = _legacy_encoding(content)
        return _decode(content, encoding), (f"names and words read as {encoding}",)


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadInput(UNREADABLE, f"the text is not in {encoding} ({error.reason})") from None


def _legacy_encoding(content: bytes) -> str:
    """An encoding of before Unicode in which these bytes make words."""
    sample = b"\n".join(line for line in content.splitlines() if not line.isascii())[:20_000]
    # Korean letters are two bytes, mostly both above 127; a sign of Western ones, as in [°C],
    # stands alone, and cp949 would take the letter behind it along.
    if not re.search(rb"[\x80-\xff]{2}", sample) and all(
        character.isascii() or character in _WESTERN_LETTERS
        for character in sample.decode("cp1252", "replace")
    ):
        return "cp1252"
    try:
        words = sample.decode("cp949", errors="strict" if len(sample) < 20_000 else "ignore")
        foreign = [letter for letter in words if not letter.isascii()]
        if all(
            "가" <= letter <= "힣" or letter in "℃㎏㎜㎝㎡㎧°±×÷′″Ω㎐㎷㎂·" for letter in foreign
        ):
            return "cp949"
    except UnicodeDecodeError:
        pass
    words = sample.decode("cp1252", errors="ignore")
    if all(character.isascii() or character in _WESTERN_LETTERS for character in words):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    guess = best.encoding if best is not None else "cp1252"
    for encoding in (guess, "cp1252"):
        try:
            content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if not encoding.startswith(("utf", "cp037", "cp500")):
            return encoding
    return "latin-1"
