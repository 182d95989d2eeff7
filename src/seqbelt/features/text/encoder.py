"""From texts to token ids with a Hugging Face tokenizer, fast and with the losses counted."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from seqbelt.features.text.word_entries import WordEntries

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
"""Name of the tokenizer in ``Learned`` and so in a bundle."""
PADDING, UNKNOWN = "< padding >", "< unknown >"
"""Tokens 0 and 1 of a learned vocabulary. The spaces in them make sure that no text, not even one
that writes "<unk>", is ever encoded as one of them: no learned token has an inner space."""
PADDING_NAMES = (PADDING, "[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<PAD>")
UNKNOWN_NAMES = (UNKNOWN, "[UNK]", "<unk>", "<|unk|>", "<UNK>")
SEPARATOR = "\x1f"
"""Stands between words that are encoded together; ``str.split`` leaves no word that has it."""
WORDS_PER_CALL = 32
"""Words encoded as one text: a text costs microseconds whatever its length, but a batch must give
every core a few."""
MAX_REMEMBERED_CHARACTERS = 4_000_000
"""Of words whose ids are kept: about 200 MB at most, and NSMC's 360,000 words are 1.7 million."""


@dataclass(frozen=True)
class TextCounts:
    """Truncated texts and unknown tokens. Counts of several batches add up with ``+``."""

    num_texts: int = 0
    num_cut: int = 0
    """Texts longer than ``max_length``."""
    num_tokens: int = 0
    """Tokens before the cut."""
    num_truncated_tokens: int = 0
    """Tokens beyond ``max_length``."""
    num_unknown: int = 0
    """Unknown tokens among those kept."""

    def __add__(self, other: "TextCounts") -> "TextCounts":
        return TextCounts(*(a + b for a, b in zip(vars(self).values(), vars(other).values())))

    @property
    def cut_share(self) -> float:
        """Fraction of texts that were truncated, 0 to 1."""
        return self.num_cut / max(1, self.num_texts)

    @property
    def lost_share(self) -> float:
        """Fraction of tokens that were truncated, 0 to 1."""
        return self.num_truncated_tokens / max(1, self.num_tokens)

    @property
    def unknown_share(self) -> float:
        """Fraction of unknown tokens among those kept, 0 to 1."""
        return self.num_unknown / max(1, self.num_tokens - self.num_truncated_tokens)

    def fractions(self) -> dict[str, float]:
        """The three fractions under the names that JSON output and metrics have."""
        names = ("cut_share", "lost_share", "unknown_share")
        return {name: getattr(self, name) for name in names}

    def to_stored(self) -> dict[str, int]:
        """The counts under the keys of ``store.json``, which do not follow the names here."""
        return {_STORED_NAMES.get(name, name): count for name, count in vars(self).items()}

    @classmethod
    def from_stored(cls, counts: Mapping[str, int]) -> "TextCounts":
        """The counts that ``to_stored`` gave."""
        names = {stored: name for name, stored in _STORED_NAMES.items()}
        return cls(**{names.get(name, name): count for name, count in counts.items()})


_STORED_NAMES = {"num_truncated_tokens": "num_lost"}


class TextEncoder:
    """Encodes texts as ``TextFeatures.read`` returns them.

    ``by_words`` encodes each distinct word once and remembers it: right only where no token
    spans white space and words do not influence each other, worth it only for subwords. ``words``
    (only with it) have entries of their own, as ``WordEntries`` describes.
    """

    def __init__(
        self,
        content: bytes,
        max_length: int,
        by_words: bool = False,
        words: Sequence[Sequence[int]] = (),
    ) -> None:
        from tokenizers import AddedToken, Tokenizer

        self._tokenizer = Tokenizer.from_buffer(content)
        self.max_length = max_length
        self.padding_id: int = self._tokenizer.padding["pad_id"]  # type: ignore[index]
        self.unknown_id: int = unknown_id(self._tokenizer)  # type: ignore[assignment]
        self.vocabulary: list[str] = _tokens_by_id(self._tokenizer.get_vocab())
        """The token of each id; a text has no token of an id that the tokenizer leaves out ("")."""
        self._words = WordEntries(words, self.vocabulary) if words else None
        if self._words is not None:
            self.vocabulary += self._words.names
        # This module cuts, and only the batches pad.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # Do not parse special tokens, such as "[PAD]", in user text.
        self._tokenizer.encode_special_tokens = True
        self._word_ids: dict[str, bytes] = {}
        self._num_remembered = 0
        self._encode_whole = self._encode_by_words if by_words else self._encode_texts
        if by_words:
            # Added after the vocabulary was counted: no sequence ever has it.
            self._tokenizer.add_tokens([AddedToken(SEPARATOR, normalized=False)])
            self._separator_id = self._tokenizer.token_to_id(SEPARATOR)

    @property
    def num_features(self) -> int:
        """Size of the vocabulary: every id is below it."""
        return len(self.vocabulary)

    @property
    def parts(self) -> np.ndarray | None:
        """Rows of the embedding that each id is the mean of, ``(ids, 2)``; None: its own row."""
        return None if self._words is None else self._words.parts

    def encode(self, raws: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text: int32 ``(steps,)``, 1 to ``max_length`` steps."""
        return self.encode_counted(raws)[0]

    def encode_counted(self, raws: Sequence[str]) -> tuple[list[np.ndarray], TextCounts]:
        """``encode``, and what was cut and unknown."""
        sequences = list(self._encode_whole(raws))
        lengths = np.array([len(ids) for ids in sequences], dtype=np.int64)
        for index in np.flatnonzero(lengths == 0):
            # A tokenizer of the user's own may leave nothing of a text; a sequence has a step.
            sequences[index] = np.array([self.unknown_id], dtype=np.int32)
        too_long = np.flatnonzero(lengths > self.max_length)
        for index in too_long:
            # A copy, so that the steps kept do not hold a whole book in memory.
            sequences[index] = sequences[index][: self.max_length].copy()
        return sequences, TextCounts(
            num_texts=len(sequences),
            num_cut=len(too_long),
            num_tokens=int(lengths.clip(min=1).sum()),
            num_truncated_tokens=int((lengths - self.max_length).clip(min=0).sum()),
            num_unknown=self._count_unknown(sequences),
        )

    def offsets(self, raw: str) -> list[tuple[int, int]]:
        """Where each step of ``encode([raw])[0]`` lies: ``raw[start:end]``.

        Several steps share one place where they spell one character: the jamo of a syllable,
        the bytes of an emoji.
        """
        encoding = self._tokenizer.encode(raw, add_special_tokens=False)
        return encoding.offsets[: self.max_length] or [(0, len(raw))]

    def pieces(self, raw: str) -> list[str]:
        """The text under each step of ``encode([raw])[0]``, as ``raw`` writes it."""
        return [raw[start:end] for start, end in self.offsets(raw)]

    def _count_unknown(self, sequences: list[np.ndarray]) -> int:
        ids = np.concatenate(sequences) if sequences else np.empty(0, np.int32)
        return int(np.count_nonzero(ids == self.unknown_id))

    def _encode_texts(self, texts: Sequence[str]) -> Iterable[np.ndarray]:
        # "fast" leaves out the offsets.
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return (np.array(encoding.ids, dtype=np.int32) for encoding in encodings)

    def _encode_by_words(self, texts: Sequence[str]) -> Iterable[np.ndarray]:
        if self._num_remembered > MAX_REMEMBERED_CHARACTERS:
            self._word_ids, self._num_remembered = {}, 0
        known = self._word_ids  # another thread may forget; this call keeps what it needs
        words_of_texts = [text.split() for text in texts]
        new = list(set(chain.from_iterable(words_of_texts)).difference(known))
        known.update(zip(new, self._encode_words(new)))
        self._num_remembered += sum(map(len, new))
        for words in words_of_texts:
            yield np.frombuffer(bytearray().join(map(known.__getitem__, words)), dtype=np.int32)

    def _encode_words(self, words: list[str]) -> Iterable[bytes]:
        """The int32 ids of each word, as bytes: they join faster than lists and arrays do."""
        groups = [
            SEPARATOR.join(words[start : start + WORDS_PER_CALL])
            for start in range(0, len(words), WORDS_PER_CALL)
        ]
        for ids in self._encode_texts(groups):
            content, width = ids.tobytes(), ids.itemsize
            start = 0
            for end in (*(np.flatnonzero(ids == self._separator_id) * width), len(content)):
                yield self._with_entries(content[start:end])
                start = end + width

    def _with_entries(self, content: bytes) -> bytes:
        if self._words is None:
            return content
        return self._words.replace(np.frombuffer(content, dtype=np.int32)).tobytes()


def unknown_id(tokenizer: "Tokenizer") -> int | None:
    """The id that a tokenizer gives to what it does not know, by its model or by its name."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:
        return model["unk_id"]
    names = (model.get("unk_token"), *UNKNOWN_NAMES)
    ids = (tokenizer.token_to_id(name) for name in names if name)
    return next((id for id in ids if id is not None), None)


def _tokens_by_id(ids: dict[str, int]) -> list[str]:
    tokens = [""] * (max(ids.values()) + 1)
    for token, id in ids.items():
        tokens[id] = token
    return tokens
