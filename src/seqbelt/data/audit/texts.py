"""Near-duplicate texts: most of their shingles in common, or all of their words but one.

Shingles: candidates by MinHash, confirmed by the Jaccard similarity (Broder 1997,
doi:10.1109/SEQUEN.1997.666900). All texts at once in numpy: the maintained libraries hash one text
at a time, which takes minutes where this takes seconds.

Words: texts that are equal once a word is left out of one or both, found by their hashes. Short
texts may be so by chance, or because they have the same form, so the words in common must be
improbable: their information under a model of word pairs, estimated from the other rows, must
exceed the logarithm of the number of pairs of rows that are compared.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import scipy

from seqbelt.data.audit.duplicates import DuplicatePairs, FindDuplicates
from seqbelt.data.sources.equal_content import plain_text

WIDTH = 5
"""Characters in a shingle."""
MIN_CHARACTERS = 20
"""Shorter texts are compared for equality only."""
SIMILARITY = 0.8
"""Jaccard similarity from which two texts are near-duplicates."""
BANDS, ROWS = 10, 4
"""Bands and rows of the 40 hashes; a pair at the threshold is missed with probability 0.5 %."""
MAX_CANDIDATES = 8
"""Largest number of candidates for a text in a band, or for a text without a word."""
MAX_WORDS = 64
"""In longer texts one word changes few shingles."""


def similar_texts(texts: Sequence[str]) -> FindDuplicates:
    """A function that finds rows with similar texts, ignoring case and white space; ``texts`` has
    one text for each row of the store."""
    plain = [plain_text(text) for text in texts]
    names = {text: code for code, text in enumerate(dict.fromkeys(plain))}
    codes = np.array([names[text] for text in plain], dtype=np.int64)
    long = np.array([len(text) >= MIN_CHARACTERS for text in names], dtype=bool)
    long_index = np.cumsum(long) - 1
    shingles, counts = _shingles([text for text in names if len(text) >= MIN_CHARACTERS])
    bands = _bands(shingles, counts)

    def find(held: np.ndarray, before: np.ndarray) -> DuplicatePairs:
        known, first = np.unique(codes[before], return_index=True)
        held_codes = codes[held]
        duplicate = np.full(len(held), -1)
        if not len(known):
            return held[:0], held[:0]
        position = np.searchsorted(known, held_codes).clip(max=len(known) - 1)
        equal = known[position] == held_codes
        duplicate[equal] = before[first[position[equal]]]
        rest = np.flatnonzero(~equal & long[held_codes])
        long_known = known[long[known]]
        a, b = _candidates(bands[:, long_index[held_codes[rest]]], bands[:, long_index[long_known]])
        similar = (
            _jaccard(shingles, counts, long_index[held_codes[rest[a]]], long_index[long_known[b]])
            >= SIMILARITY
        )
        position = np.searchsorted(known, long_known[b[similar]])
        duplicate[rest[a[similar]]] = before[first[position]]
        edited = _EditedTexts([plain[row] for row in before[first]], len(held))
        for index in np.flatnonzero(duplicate < 0):
            match = edited.find(plain[held[index]])
            if match is not None:
                duplicate[index] = before[first[match]]
        return held[duplicate >= 0], duplicate[duplicate >= 0]

    return find


class _EditedTexts:
    """Texts, to be found by others that differ from them in a word; ``num_asked`` are looked up."""

    def __init__(self, texts: Sequence[str], num_asked: int) -> None:
        self.words = [text.split() for text in texts]
        self.least_information = math.log(max(1, len(texts) * num_asked))
        self.single: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, words in enumerate(self.words):
            self.single.update(words)
            self.pairs.update(zip(["", *words], words))
            for key, left_out in _keys(words):
                if len(self.places[key]) < MAX_CANDIDATES:
                    self.places[key].append((number, left_out))
        self.num_words = sum(self.single.values())

    def find(self, text: str) -> int | None:
        """The text that shares the most information with this one, if it is enough."""
        best, most = None, self.least_information
        for key, _ in _keys(text.split()):
            for number, left_out in self.places.get(key, ()):
                information = self._information(self.words[number], left_out)
                if information > most:
                    best, most = number, information
        return best

    def _information(self, words: list[str], left_out: int) -> float:
        """Nats of a text's words but one, estimated from the other texts."""
        own_words, own_pairs = Counter(words), Counter(zip(["", *words], words))
        total = 0.0
        for index, (before, word) in enumerate(zip(["", *words], words)):
            if index == left_out:
                continue
            alone = (self.single[word] - own_words[word] + 1) / (
                self.num_words - len(words) + len(self.single) + 1
            )
            seen = self.pairs[before, word] - own_pairs[before, word]
            count = (self.single[before] if before else len(self.words)) - (
                own_words[before] if before else 1
            )
            total -= math.log((seen + 2 * alone) / (count + 2))
        return total


def _keys(words: list[str]) -> Iterator[tuple[int, int]]:
    """Hashes of a text and of the text without each word, with the word's place, -1 for none."""
    yield hash(tuple(words)), -1
    if 1 < len(words) <= MAX_WORDS:
        for index in range(len(words)):
            yield hash((*words[:index], *words[index + 1 :])), index


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes uint64 of all shingles, text by text, and the number of shingles of each text."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    ends = np.repeat(np.cumsum(lengths), lengths)
    starts = np.flatnonzero(np.arange(len(points)) + WIDTH <= ends)
    value = np.zeros(len(starts), dtype=np.uint64)
    for offset in range(WIDTH):
        value = _mix(value + points[starts + offset])
    return value, lengths - WIDTH + 1


def _mix(value: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits after which all bits depend on all (splitmix64's, one round)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return value ^ (value >> np.uint64(27))


def _bands(shingles: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Keys uint64 ``(BANDS, texts)``; similar texts have a key in common."""
    keys = np.zeros((BANDS, len(counts)), dtype=np.uint64)
    if not len(counts):
        return keys
    starts = np.append(0, np.cumsum(counts)[:-1])
    random = np.random.default_rng(0)
    for band in range(BANDS):
        for _ in range(ROWS):
            salt, factor = random.integers(1, 2**63, 2, dtype=np.uint64) * np.uint64(2) + np.uint64(
                1
            )
            hashed = (shingles ^ salt) * factor
            hashed ^= hashed >> np.uint64(32)
            keys[band] = _mix(keys[band] + np.minimum.reduceat(hashed, starts))
    return keys


def _candidates(asked: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of columns with the same key in some band."""
    pairs = []
    for keys, among in zip(asked, known):
        order = np.argsort(among)
        low = np.searchsorted(among[order], keys, "left")
        count = np.searchsorted(among[order], keys, "right") - low
        for nth in range(min(MAX_CANDIDATES, int(count.max(initial=0)))):
            some = np.flatnonzero(count > nth)
            pairs.append(np.stack([some, order[low[some] + nth]]))
    unique = np.unique(np.concatenate(pairs, axis=1), axis=1) if pairs else np.zeros((2, 0), int)
    return unique[0], unique[1]


def _jaccard(
    shingles: np.ndarray, counts: np.ndarray, a: np.ndarray, b: np.ndarray, at_once: int = 50_000
) -> np.ndarray:
    """Jaccard similarity of the shingles of each pair of texts."""
    columns = (shingles >> np.uint64(33)).astype(np.int64)
    bounds = np.append(0, np.cumsum(counts))
    sets = scipy.sparse.csr_matrix(
        (np.ones(len(columns), np.float32), columns, bounds), (len(counts), 2**31)
    )
    sets.sum_duplicates()
    sets.data[:] = 1
    sizes = np.diff(sets.indptr)
    shared = [
        np.asarray(sets[a[i : i + at_once]].multiply(sets[b[i : i + at_once]]).sum(1)).ravel()
        for i in range(0, len(a), at_once)
    ]
    both = np.concatenate(shared) if shared else np.zeros(0)
    return both / (sizes[a] + sizes[b] - both)
