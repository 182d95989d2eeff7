"""Text features: a text becomes an int32 sequence of token ids ``(steps,)``.

Every kind is one Hugging Face ``tokenizers`` pipeline (normalizer, pre-tokenizer, model) learned
from the training texts and kept as ``tokenizer.json``; the kinds differ in what a token is.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from seqbelt.errors import EMPTY, TOO_LONG, UNREADABLE, WRONG_TYPE, BadInput, SeqbeltError
from seqbelt.features.base import (
    GIT_LFS_MARK,
    Encoder,
    Features,
    Learned,
    Source,
    file_or_content,
    read_bytes,
)
from seqbelt.features.text.encoder import FILE, TextEncoder
from seqbelt.features.text.encoding_ranking import describe_encodings, unmarked_encoding
from seqbelt.features.text.text_decoding import (
    ESCAPES,
    MOJIBAKE,
    decode_text,
    is_escaped,
    is_mojibake,
    mark_of,
)
from seqbelt.features.text.word_entries import (
    MAX_WORD_ENTRIES,
    MIN_WORD_COUNT,
    WORDS_FILE,
    learn_words,
    read_words,
)
from seqbelt.settings import MAX_INTEGER, renamed

if TYPE_CHECKING:  # 0.1 s to import, and the command line only reads settings
    from tokenizers import Tokenizer

CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but tab and line ends, and halves of surrogate pairs: each is a space."""
MAX_ASCII = 127
SAMPLE_BYTES = 300
"""Of a text that is not UTF-8, for finding out what it is."""
_DOCUMENTS = (
    (b"%PDF-", "a PDF"), (b"{\\rtf", "a document in Rich Text Format"),
    (b"PK\x03\x04", "a zip, as documents of Word and LibreOffice are,"),
    (b"\xd0\xcf\x11\xe0", "a document of an old Word"),
    (GIT_LFS_MARK.encode(), "a pointer of Git LFS (run git lfs pull)"),
)  # fmt: skip
LOST = "texts hold \ufffd, for a character that was lost when somebody decoded them"
MARKUP = "texts are pages of HTML, and are taken with their tags"
JSON_OBJECTS = "texts are objects or lists of JSON, and are taken with their names and signs"
BASE64_WORDS = "texts are base64, and are taken as they stand: decode the source"
_BASE64 = re.compile(r"(?=.*[a-z0-9][A-Z])[A-Za-z0-9+/]{10,}={0,2}")
SURE_BASE64 = 64
"""Letters without a blank that are base64 whatever they hold."""
ESCAPED = re.compile("[\udc80-\udcff]")
"""How a byte that is not UTF-8 comes from a table or the command line (PEP 383)."""
INVISIBLES = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Soft hyphen, zero-width space, marks of direction, word joiner, byte-order mark: removed.
Joiners and variation selectors stay: emoji, Persian and Indic scripts are spelled with them."""
VISIBLE = re.compile(
    "[^\\s\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c\u200d\u2800\u3164"
    "\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Neither white space nor, by itself, without a picture (Unicode's default-ignorable)."""


def is_json(text: str) -> bool:
    """Whether a text is an object or a list as JSON writes them."""
    bare = text.strip()
    if bare[:1] + bare[-1:] not in ("{}", "[]"):
        return False
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def is_base64(text: str) -> bool:
    """Whether a text is one word that decodes as base64 to a text, or is too long for a word."""
    if " " in text[:SURE_BASE64].strip():
        return False
    word = "".join(text.splitlines())
    if len(word) % 4 or not _BASE64.fullmatch(word):
        return False
    try:
        return base64.b64decode(word).decode().isprintable() or len(word) >= SURE_BASE64
    except UnicodeDecodeError:
        return len(word) >= SURE_BASE64


class TextFeatures(Features):
    """What all kinds of text features share: reading, normalisation, limits, a vocabulary.

    In a learned vocabulary padding is 0 and unknown is 1. The encoder reports how much the
    limits cut (``TextEncoder.encode_counted``).
    """

    is_tokens: ClassVar[bool] = True
    reads_text: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    size_setting: ClassVar[str] = "features.max_characters"

    normalization: Literal["NFC", "NFKC", "NFD", "NFKD", "none"] = "NFC"
    """Unicode normalisation form of every text."""
    lowercase: bool = False
    """Fold upper case into lower case, after normalisation."""
    max_length: int = Field(
        default=512, ge=1, validation_alias=renamed("truncate_tokens", "max_length")
    )
    """Tokens kept of a text, from its start; the rest is truncated and counted."""
    max_characters: Annotated[int, Field(ge=1)] = 1_000_000
    """Longer texts are quarantined before any work is spent on them."""
    vocabulary_size: Annotated[int, Field(ge=3)] = 16_000
    """Most entries the vocabulary may have, padding and unknown included."""
    min_count: Annotated[int, Field(ge=1)] = 2
    """Characters (and words, where tokens are words) seen less often in training are unknown, so
    that the unknown token is itself trained."""
    tokenizer_file: Path | None = None
    """A Hugging Face tokenizer.json of your own: nothing is learned, its ids, normalisation,
    padding and unknown tokens hold (they are appended where it has none); null learns one."""

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        if self.tokenizer_file is not None:
            still_used = {"kind", "max_length", "max_characters", "tokenizer_file"}
            idle = [
                name
                for name, field in type(self).model_fields.items()
                if name not in still_used and getattr(self, name) != field.default
            ]
            if idle:
                raise ValueError(f"tokenizer_file decides this by itself; remove {', '.join(idle)}")
        return self

    @property
    def max_file_bytes(self) -> float:
        return max_text_bytes(self.max_characters)

    def read(self, source: Source) -> str:
        """The text in ``source``, as ``read_text`` reads it. Raises BadInput."""
        return read_text(source, self.max_characters, self.size_setting)

    def remarks(self, raw: str, encoder: Encoder) -> tuple[str, ...]:
        notes = (MOJIBAKE,) if is_mojibake(raw) else ()
        notes += (ESCAPES,) if is_escaped(raw) else ()
        notes += (LOST,) if "\ufffd" in raw else ()
        notes += (JSON_OBJECTS,) if is_json(raw) else ()
        notes += (BASE64_WORDS,) if is_base64(raw) else ()
        is_page = raw[:20].lstrip().lower().startswith(("<!doctype html", "<html"))
        return (*notes, MARKUP) if is_page else notes

    def learn(self, raws: Iterable[str]) -> Learned:
        """Learn the vocabulary from the training texts: ``{"tokenizer.json": content}``.

        The same texts in the same order give the same bytes. Raises SettingsError if
        ``tokenizer_file`` cannot be used, SeqbeltError if there is no text.
        """
        from seqbelt.features.text import tokenizer_training

        if self.tokenizer_file is not None:
            return {FILE: tokenizer_training.adopt(self.tokenizer_file)}
        normalizer = tokenizer_training.make_normalizer(self.normalization, self.lowercase)
        texts = [normalizer.normalize_str(raw) for raw in raws]
        if not texts:
            raise SeqbeltError("no training text to learn a vocabulary from")
        tokenizer = self._train(texts)
        tokenizer.normalizer = tokenizer_training.chain(normalizer, tokenizer.normalizer)
        return {FILE: tokenizer_training.serialise(tokenizer)}

    def _train(self, texts: list[str]) -> "Tokenizer":
        """A tokenizer trained on texts that are normalised already; its normalizer comes after."""
        raise NotImplementedError

    def encoder(self, learned: Learned) -> TextEncoder:
        by_words = self._encodes_by_words and self.tokenizer_file is None
        words = read_words(learned[WORDS_FILE]) if WORDS_FILE in learned else ()
        return TextEncoder(learned[FILE], self.max_length, by_words, words)

    _encodes_by_words: ClassVar[bool] = False
    """Words do not influence each other, and finding their pieces is what takes the time."""


WORDS_PER_ENTRY, MIN_ENTRIES, MAX_ENTRIES = 16, 2_000, 16_000
"""``vocabulary_size: auto`` of subwords. A rare word that is an entry of its own is learned from
few examples, and its pieces, which new texts need, from none."""


class Subword(TextFeatures):
    """Frequent pieces of words, learned; a word's first piece begins with the mark U+2581.

    Byte-pair encoding: Sennrich et al. 2016, doi:10.18653/v1/P16-1162. Unigram: Kudo 2018,
    doi:10.18653/v1/P18-1007; it takes tens of times longer to learn.
    """

    kind: Literal["subword"]
    lowercase: bool = True
    """Fold upper case into lower case, after normalisation."""
    vocabulary_size: Literal["auto"] | Annotated[int, Field(ge=3)] = "auto"  # type: ignore[assignment]
    """Most entries the vocabulary may have, padding and unknown included; auto takes as many as
    the training texts have examples for."""
    algorithm: Literal["bpe", "unigram"] = "bpe"
    """How the pieces are chosen."""
    unseen: Literal["unknown", "bytes"] = "unknown"
    """What a character outside the vocabulary becomes: the unknown token, or its UTF-8 bytes
    (256 entries of the vocabulary)."""
    whole_words: bool = True
    """Give the frequent words of the training texts entries of their own beside their pieces, as
    far as ``vocabulary_size`` leaves room; without it a word is its pieces alone."""
    before: ClassVar[Mapping[str, Any]] = {"whole_words": False}
    _encodes_by_words: ClassVar[bool] = True

    @model_validator(mode="after")
    def _leave_room_for_bytes(self) -> Self:
        size = self.vocabulary_size
        if self.unseen == "bytes" and size != "auto" and size < 300:
            raise ValueError(
                f"unseen: bytes takes 258 entries; vocabulary_size {self.vocabulary_size} is below "
                "300"
            )
        return self

    def _train(self, texts: list[str]) -> "Tokenizer":
        from seqbelt.features.text.tokenizer_training import train_subwords

        size = self.vocabulary_size
        if size == "auto":
            num_words = sum(len(text.split()) for text in texts)
            size = min(max(num_words // WORDS_PER_ENTRY, MIN_ENTRIES), MAX_ENTRIES)
        return train_subwords(texts, self.algorithm, size, self.min_count, self.unseen == "bytes")

    def learn(self, raws: Iterable[str]) -> Learned:
        texts = list(raws)
        learned = super().learn(texts)
        if not self.whole_words or self.tokenizer_file is not None:
            return learned
        counts = Counter(chain.from_iterable(text.split() for text in texts))
        # Not of a derived kind: these texts are cut into words already.
        encoder = TextFeatures.encoder(self.replace(max_length=MAX_INTEGER), learned)
        sequences = zip(encoder.encode(list(counts)), counts.values(), strict=True)
        room = MAX_WORD_ENTRIES
        if self.vocabulary_size != "auto":
            room = max(0, self.vocabulary_size - encoder.num_features)
        words = learn_words(sequences, encoder.vocabulary, MIN_WORD_COUNT, room)
        return {**learned, WORDS_FILE: words}


class Word(TextFeatures):
    """Words: runs of letters, digits, marks and underscores; and runs of any other characters.

    White space separates and is no token. ``don't :-)`` is ``don``, ``'``, ``t``, ``:-)``.
    """

    kind: Literal["word"]
    lowercase: bool = True
    """Fold upper case into lower case, after normalisation."""
    torchtext: Literal["basic_english", "split"] | None = None
    """Learn words by this tokenizer of torchtext (``split``: at white space) and its ``Vocab``;
    null learns the words described above. torchtext is needed to learn and not to predict."""

    def _train(self, texts: list[str]) -> "Tokenizer":
        from seqbelt.features.text.tokenizer_training import train_words

        if self.torchtext is not None:
            from seqbelt.features.text.torchtext import train_torchtext_words

            return train_torchtext_words(
                texts, self.torchtext, self.vocabulary_size, self.min_count
            )
        return train_words(texts, self.vocabulary_size, self.min_count)


class Character(TextFeatures):
    """Unicode code points, white space included; an emoji of several is several tokens."""

    kind: Literal["character"]

    def _train(self, texts: list[str]) -> "Tokenizer":
        from seqbelt.features.text.tokenizer_training import train_characters

        return train_characters(texts, self.vocabulary_size, self.min_count)


class Jamo(Character):
    """Hangul syllables as their conjoining jamo (two or three), all else as characters."""

    kind: Literal["jamo"]  # type: ignore[assignment]  # another tag than its base
    normalization: Literal["NFD", "NFKD"] = "NFD"  # type: ignore[assignment]  # those decompose
    """Form that decomposes; NFKD also turns compatibility jamo into conjoining ones."""


def max_text_bytes(max_characters: int) -> float:
    """Bytes of the largest file with so many characters."""
    return 4.0 * max_characters + 4  # no character takes more, nor does a mark


def read_text(source: Source, max_characters: int, size_setting: str) -> str:
    """The text in ``source``: a str is the text itself, a Path or bytes are UTF-8, or what the mark
    at their beginning says.

    Control characters become spaces, invisible ones are removed, the ends are stripped. Raises
    BadInput if it is unreadable, not UTF-8, too long, or shows nothing.
    """
    if isinstance(source, str):
        text = clean(_refuse_escaped(source))
    else:
        text = clean(_decode(file_or_content(source), max_characters, size_setting))
    if not VISIBLE.search(text):
        raise BadInput(EMPTY, "the text has no visible character")
    _refuse_too_long(len(text), max_characters)
    return text


def _decode(source: Path | bytes | np.ndarray, max_characters: int, size_setting: str) -> str:
    if isinstance(source, np.ndarray):
        raise BadInput(WRONG_TYPE, "an array, not a text")
    if isinstance(source, Path) and source.is_file():
        _refuse_too_long(source.stat().st_size // 4, max_characters)
    content = read_bytes(source, max_text_bytes(max_characters), size_setting)
    if kind := next((kind for start, kind in _DOCUMENTS if content.startswith(start)), ""):
        raise BadInput(WRONG_TYPE, f"{kind} and no plain text: save it as one, in UTF-8")
    mark = mark_of(content)
    if mark and not mark.startswith("utf"):
        raise BadInput(UNREADABLE, f"not UTF-8: {describe_encodings(content)}")
    if not mark and (name := unmarked_encoding(content)):
        raise BadInput(
            UNREADABLE,
            f"not UTF-8: it looks like {name} without a mark; set data.encoding: {name}",
        )
    try:
        return decode_text(content)
    except UnicodeDecodeError as error:
        byte = content[error.start]
        first = next(index for index, byte in enumerate(content) if byte > MAX_ASCII)
        begin = content.rfind(b"\n", 0, first) + 1 if first > SAMPLE_BYTES else 0
        sample = content[begin : begin + SAMPLE_BYTES]
        # One invalid byte among valid UTF-8 letters is no evidence of another encoding.
        read = [
            character for character in sample.decode("utf-8", "replace") if not character.isascii()
        ]
        is_other = 4 * read.count("\ufffd") > len(read)
        hint = "; " + describe_encodings(sample) if is_other else ""
        raise BadInput(
            UNREADABLE,
            f"not {error.encoding.upper()}: byte 0x{byte:02x} at offset {error.start} "
            f"({error.reason}){hint}",
        ) from None


def _refuse_too_long(num_characters: int, max_characters: int) -> None:
    if num_characters > max_characters:
        raise BadInput(
            TOO_LONG,
            f"at least {num_characters} characters; "
            f"features.max_characters allows {max_characters}",
        )


def _refuse_escaped(text: str) -> str:
    if escaped := ESCAPED.search(text):
        byte = ord(escaped[0]) - 0xDC00
        raise BadInput(
            UNREADABLE,
            f"not UTF-8: byte 0x{byte:02x} at character {escaped.start()}, nor of an encoding that "
            "data.encoding names",
        )
    return text


def clean(text: str) -> str:
    """Apply the rules for control and invisible characters, and strip the ends."""
    return INVISIBLES.sub("", CONTROLS.sub(" ", text)).strip()
