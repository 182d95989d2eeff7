"""Korean texts as morphemes: stems, particles and endings, by the analyser kiwipiepy.

A text becomes the base forms of its morphemes, separated by spaces, and these are cut into pieces
and numbered as the words of ``Subword`` are. So inflected forms share their stem, the spacing of
the text has no influence, and an unknown noun is spelled by its pieces. Pieces below morphemes:
Park et al. 2020, arXiv:2010.02534.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import metadata
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

import numpy as np

from seqbelt.errors import SettingsError
from seqbelt.features.base import Encoder, Learned
from seqbelt.features.text.encoder import FILE, UNKNOWN, TextCounts, TextEncoder
from seqbelt.features.text.text import Subword
from seqbelt.features.text.word_entries import WORDS_FILE, read_words

if TYPE_CHECKING:
    from kiwipiepy import Kiwi, Token  # pyright: ignore[reportMissingImports]  # an extra

VERSIONS_FILE = "morphemes.json"
"""Name of the analyser's versions in ``Learned`` and so in a bundle and a store."""
PACKAGES = ("kiwipiepy", "kiwipiepy_model")
SPACE_TOLERANCE = 2
"""Spaces that a morpheme may hold: "영 화" is read as "영화"."""
BOUND_TAGS = ("J", "E", "XS", "VC")
"""First letters of the tags (Sejong) of particles, endings, suffixes and the copula."""
BOUND_MARK = "_"
"""Begins a bound morpheme, so that it differs from a noun or a stem that is written alike. The
analyser cuts an underscore of the text off as a symbol of its own."""
REPEATED = re.compile(r"([ㄱ-ㅣ!?.,~;^…\-])\1{2,}")
"""Letters without a syllable and signs, three times or more: ㅋㅋㅋㅋ is read as ㅋㅋ."""
BLOCKS = re.compile(r"(?s).{1,2000}(?=\s|$)|.{1,2000}")
"""What is analysed at once, cut at white space: in longer texts without any the analyser's time
rises with the square of the length."""

_INITIALS, _VOWELS, _FINALS = (
    "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ",
    "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ",
    "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ",
)
STRAY_JAMO = {
    first + number: letter
    for first, letters in ((0x1100, _INITIALS), (0x1161, _VOWELS), (0x11A8, _FINALS))
    for number, letter in enumerate(letters)
}
"""Conjoining jamo that NFC left over, because they make no syllable, to the letters that keyboards
write; each is one character, so that no offset changes."""


class Morphemes(NamedTuple):
    """The morphemes of one text, in the order in which they stand there."""

    forms: list[str]
    """Base forms without white space."""
    places: list[tuple[int, int]]
    """Start and end of each in the text that was analysed."""


class Morpheme(Subword):
    """Stems, particles and endings of Korean, by kiwipiepy, cut into pieces where they are rare.

    The spacing of a text plays no part, ``ㅋㅋㅋㅋ`` is ``ㅋㅋ``, and a letter that was typed under
    a syllable (``먹엌ㅋ``) counts as the letter it repeats. Bound morphemes begin with ``_``.
    """

    kind: Literal["morpheme"]  # type: ignore[assignment]  # another tag than its base
    normalization: Literal["NFC"] = "NFC"  # type: ignore[assignment]  # the analyser needs it
    """The analyser reads composed syllables."""
    tokenizer_file: None = None
    """Not available: the vocabulary is learned."""
    before: ClassVar[dict[str, Any]] = {}

    def learn(self, raws: Iterable[str]) -> Learned:
        """The vocabulary of the training texts' morphemes, and the analyser's versions.

        Raises SettingsError where kiwipiepy is missing, SeqbeltError if there is no text.
        """
        segment = Segmenter(self.lowercase)
        learned = super().learn(" ".join(segment.forms(raw)) for raw in raws)
        return {**learned, VERSIONS_FILE: json.dumps(installed_versions()).encode()}

    def encoder(self, learned: Learned) -> "MorphemeEncoder":
        words = read_words(learned[WORDS_FILE]) if WORDS_FILE in learned else ()
        return MorphemeEncoder(
            learned[FILE],
            self.max_length,
            words,
            Segmenter(self.lowercase),
            json.loads(learned[VERSIONS_FILE]),
        )

    def remarks(self, raw: str, encoder: Encoder) -> tuple[str, ...]:
        assert isinstance(encoder, MorphemeEncoder)
        return (*super().remarks(raw, encoder), *encoder.version_remarks)


class Segmenter:
    """Cuts texts into morphemes. Raises SettingsError where kiwipiepy is missing."""

    def __init__(self, lowercase: bool) -> None:
        from tokenizers import Tokenizer, models

        from seqbelt.features.text.tokenizer_training import make_normalizer

        self._analyser = load_analyser()
        self._normalizer = make_normalizer("NFC", lowercase)
        # One token a character, for the places of characters before the normalisation.
        self._characters = Tokenizer(models.BPE({UNKNOWN: 0}, [], unk_token=UNKNOWN))
        self._characters.normalizer = self._normalizer

    def forms(self, raw: str) -> list[str]:
        """The base forms of a text's morphemes."""
        return self._segment(raw).forms

    def with_places(self, raw: str) -> Morphemes:
        """The morphemes with their places in ``raw``."""
        forms, spans = self._segment(raw)
        characters = self._characters.encode(raw, add_special_tokens=False).offsets
        starts = [*(start for start, _ in characters), len(raw)]
        # A composed character is said to come from the first of its parts: up to the next one.
        return Morphemes(forms, [(starts[start], starts[end]) for start, end in spans])

    def _segment(self, raw: str) -> Morphemes:
        text = self._normalizer.normalize_str(raw).translate(STRAY_JAMO)
        forms, spans = [], []
        for block in BLOCKS.finditer(text):
            tokens = cast("list[Token]", self._analyser.tokenize(block[0], normalize_coda=True))
            for token in tokens:
                mark = BOUND_MARK if token.tag.startswith(BOUND_TAGS) else ""
                form = mark + REPEATED.sub(r"\1\1", "".join(token.form.split()))
                if form:
                    start = block.start() + token.start
                    forms.append(form)
                    spans.append((start, start + token.len))
        return Morphemes(forms, spans)


class MorphemeEncoder(TextEncoder):
    """``TextEncoder`` of morphemes. ``versions`` are those that the vocabulary was learned with."""

    def __init__(
        self,
        content: bytes,
        max_length: int,
        words: Sequence[Sequence[int]],
        segmenter: Segmenter,
        versions: dict[str, str],
    ) -> None:
        super().__init__(content, max_length, by_words=True, words=words)
        self._segmenter = segmenter
        self.version_remarks = tuple(
            f"{package} {installed} cuts the morphemes; the vocabulary was learned with "
            f"{versions[package]}: pip install {package}=={versions[package]}"
            for package, installed in installed_versions().items()
            if installed != versions[package]
        )
        """What to say where another version of the analyser is installed; empty where it is not."""

    def encode_counted(self, raws: Sequence[str]) -> tuple[list[np.ndarray], TextCounts]:
        return super().encode_counted([" ".join(self._segmenter.forms(raw)) for raw in raws])

    def offsets(self, raw: str) -> list[tuple[int, int]]:
        """As in ``TextEncoder``; the pieces of a morpheme all have the morpheme's place."""
        forms, spans = self._segmenter.with_places(raw)
        starts = np.cumsum([0, *(len(form) + 1 for form in forms)])
        encoding = self._tokenizer.encode(" ".join(forms), add_special_tokens=False)
        owners = np.searchsorted(starts, [end - 1 for _, end in encoding.offsets], "right") - 1
        return [spans[owner] for owner in owners[: self.max_length]] or [(0, len(raw))]


_loading = Lock()


def load_analyser() -> "Kiwi":
    """The analyser, one in a process: it takes seconds to load and half a gigabyte.

    Raises SettingsError where kiwipiepy is missing or does not load.
    """
    with _loading:
        return _load_analyser()


@cache
def _load_analyser() -> "Kiwi":
    try:
        from kiwipiepy import Kiwi  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SettingsError(
            f"features.kind: morpheme needs kiwipiepy, which cannot be imported ({error}): "
            "pip install 'seqbelt[korean]'"
        ) from None
    try:
        analyser = Kiwi(num_workers=1)  # the threads of preparation and prediction call it
    except Exception as error:  # a missing or damaged model file: kiwipiepy has no type for it
        raise SettingsError(
            f"features.kind: morpheme: kiwipiepy cannot load its model ({error}): "
            "pip install --force-reinstall kiwipiepy kiwipiepy_model"
        ) from None
    analyser.global_config.space_tolerance = SPACE_TOLERANCE
    return analyser


def installed_versions() -> dict[str, str]:
    """Version of each package that decides how texts are cut."""
    return {package: metadata.version(package) for package in PACKAGES}
