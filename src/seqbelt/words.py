"""Numbers with their nouns in messages."""

from seqbelt.texts import Text, text


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun, such as ``1 file`` or ``2,000 files``; ``plural`` where an s does
    not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(fraction: float, digits: int = 1) -> Text:
    """A fraction in per cent, such as ``87.5 %``."""
    return text("fraction", value=100 * fraction, digits=digits)
