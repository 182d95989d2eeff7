"""Every text of the reports, in English and in Korean.

A text is made by its key and carries both languages, so that what computes it need not know who
reads it: programs and the terminal take the English, a page takes the language of its reader.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from seqbelt.texts.advice import ADVICE
from seqbelt.texts.comparison import COMPARISON
from seqbelt.texts.controls import CONTROLS
from seqbelt.texts.diagnostics import DIAGNOSTICS
from seqbelt.texts.prediction import PREDICTION
from seqbelt.texts.report import REPORT
from seqbelt.texts.review import REVIEW

Language = Literal["en", "ko"]
ENGLISH: Language = "en"
TEXTS: Mapping[str, tuple[str, str]] = {
    **REPORT, **PREDICTION, **COMPARISON, **CONTROLS, **ADVICE, **DIAGNOSTICS, **REVIEW,
}  # fmt: skip
"""English and Korean by key; ``{names}`` are filled in with ``str.format``."""


class Text(str):
    """A text in English, with its Korean beside it. What ``str`` makes of it is English alone."""

    korean: str
    __slots__ = ("korean",)

    def __new__(cls, english: str, korean: str) -> "Text":
        made = super().__new__(cls, english)
        made.korean = korean
        return made

    def __reduce__(self) -> tuple[type["Text"], tuple[str, str]]:
        return Text, (str(self), self.korean)


def text(key: str, **values: object) -> Text:
    """The text of a key, filled in; each language takes its own of values that are texts."""
    english, korean = TEXTS[key]
    own = {name: in_language(value, "ko") if isinstance(value, Text) else value
           for name, value in values.items()}  # fmt: skip
    return Text(english.format(**values), korean.format(**own))


def join(parts: Iterable[str], between: str = " ") -> Text:
    """Texts one after the other; empty ones are left out."""
    kept = [part for part in parts if part]
    return Text(between.join(kept), between.join(in_language(part, "ko") for part in kept))


def list_first(names: Sequence[str], most: int) -> Text:
    """The first names, and how many more there are."""
    shown = names[:most]
    listed = Text(", ".join(shown), ", ".join(in_language(name, "ko") for name in shown))
    if len(names) <= most:
        return listed
    return text("names_and_more", names=listed, count=len(names) - most)


def in_language(value: object, language: Language) -> str:
    """A text in a language; anything else as it is."""
    return value.korean if language == "ko" and isinstance(value, Text) else str(value)
