"""Frequent words as entries of their own in a vocabulary of pieces.

A word of several pieces is read as its pieces, which other words share, and as itself: step for
step, a frequent word has entries of its own after the tokenizer's, and an embedding that has the
``parts`` of each entry averages the vectors of the piece and of the word. A rare or new word has
only its pieces. Bojanowski et al. 2017 (doi:10.1162/tacl_a_00051) add pieces to words likewise.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

WORDS_FILE = "words.json"
"""Name of the entries in ``Learned`` and so in a bundle."""
MIN_WORD_COUNT = 6
"""Occurrences in training from which a word has entries. Rarer ones are learned by heart: with 2
instead of 6 Korean comments lose a point, and without entries English tweets lose four."""
MAX_WORD_ENTRIES = 32_000
START = "\u2581"
"""Begins the first piece of every word."""


class WordEntries:
    """Words, as tuples of piece ids, and the ids of their entries.

    ``pieces`` are the tokenizer's, in order of their ids: an entry's id is ``len(pieces)`` or more,
    and each word has as many entries as pieces.
    """

    def __init__(self, words: Sequence[Sequence[int]], pieces: Sequence[str]) -> None:
        self._begins_word = _begins_word(pieces)
        self._entries: dict[tuple[int, ...], np.ndarray] = {}
        self.names: list[str] = []
        """Of the entries."""
        parts = [(id, id) for id in range(len(pieces))]
        for word in map(tuple, words):
            first = len(parts)
            self._entries[word] = np.arange(first, first + len(word), dtype=np.int32)
            text = "".join(pieces[id] for id in word)
            self.names += [f"{text} {number}" for number in range(1, len(word) + 1)]
            parts += [(id, first) for id in word]
        self.parts = np.array(parts, dtype=np.int64)
        """Rows of the embedding that each id is the mean of, ``(ids, 2)``: a piece is itself
        twice, an entry its piece and its word."""

    def replace(self, ids: np.ndarray) -> np.ndarray:
        """Piece ids int32 ``(steps,)`` with the pieces of known words replaced by entries."""
        if not self._entries:
            return ids
        replaced = ids.copy()
        for start, word in _words(ids, self._begins_word):
            entries = self._entries.get(word)
            if entries is not None:
                replaced[start : start + len(word)] = entries
        return replaced


def learn_words(
    sequences: Iterable[tuple[np.ndarray, int]],
    pieces: Sequence[str],
    min_count: int,
    max_entries: int,
) -> bytes:
    """The file of the most frequent words of two pieces or more.

    ``sequences`` are piece ids ``(steps,)`` and how often each occurs. Words seen less than
    ``min_count`` times are left out, and those that ``max_entries`` leaves no room for.
    """
    begins_word = _begins_word(pieces)
    counts: Counter[tuple[int, ...]] = Counter()
    for ids, count in sequences:
        for _, word in _words(ids, begins_word):
            if len(word) > 1:
                counts[word] += count
    frequent = [word for word, count in counts.items() if count >= min_count]
    frequent.sort(key=lambda word: (-counts[word], word))
    num_fitting = np.searchsorted(np.cumsum([len(word) for word in frequent]), max_entries, "right")
    return json.dumps({"words": frequent[:num_fitting]}, separators=(",", ":")).encode()


def read_words(content: bytes) -> list[list[int]]:
    """The words of a file that ``learn_words`` wrote."""
    return json.loads(content)["words"]


def _begins_word(pieces: Sequence[str]) -> np.ndarray:
    """Whether each piece is the first of a word, ``(pieces,)``."""
    return np.array([piece.startswith(START) for piece in pieces], dtype=bool)


def _words(ids: np.ndarray, begins_word: np.ndarray) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Where each word begins, and its piece ids."""
    bounds = np.flatnonzero(begins_word[ids])
    pieces = ids.tolist()
    for start, end in zip(bounds.tolist(), [*bounds[1:].tolist(), len(pieces)]):
        yield start, tuple(pieces[start:end])
