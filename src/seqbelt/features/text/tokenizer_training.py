"""Learning the tokenizers of ``seqbelt.features.text``. Imported only where one is learned."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from seqbelt.errors import SettingsError
from seqbelt.features.text.encoder import PADDING, PADDING_NAMES, UNKNOWN, UNKNOWN_NAMES, unknown_id

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
"""The names that ``tokenizers`` gives to bytes."""
SPECIAL_SCORE = 0.0
BYTE_SCORE = -1000.0
"""Log probability of byte tokens: no text that writes "<0x41>" is cheaper as one of them."""
APPENDED_STEP = 1e-4
"""See ``_canonical_unigram``."""


def make_normalizer(form: str, lowercase: bool) -> normalizers.Normalizer:
    """Normalise, then lower the case."""
    steps = [] if form == "none" else [getattr(normalizers, form)()]
    return normalizers.Sequence(steps + [normalizers.Lowercase()] * lowercase)


def chain(
    first: normalizers.Normalizer, second: normalizers.Normalizer | None
) -> normalizers.Normalizer:
    """One normaliser after the other."""
    return first if second is None else normalizers.Sequence([first, second])


def train_characters(texts: list[str], vocabulary_size: int, min_count: int) -> Tokenizer:
    """The most frequent characters."""
    tokens = [PADDING, UNKNOWN, *_frequent_characters(texts, vocabulary_size - 2, min_count)]
    vocabulary = {token: id for id, token in enumerate(tokens)}
    # BPE without merges: a character is looked up, never cut out by a pre-tokenizer, which
    # would take several times longer.
    return Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))


def train_words(texts: list[str], vocabulary_size: int, min_count: int) -> Tokenizer:
    """The most frequent words."""
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_count,
        special_tokens=[PADDING, UNKNOWN],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train_subwords(
    texts: list[str], algorithm: str, vocabulary_size: int, min_count: int, byte_fallback: bool
) -> Tokenizer:
    """Pieces of words by ``algorithm`` (``bpe`` or ``unigram``)."""
    special = [PADDING, UNKNOWN, *(BYTES if byte_fallback else ())]
    common: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "special_tokens": special,
        "show_progress": False,
    }
    if algorithm == "bpe":
        model = models.BPE(unk_token=UNKNOWN, byte_fallback=byte_fallback)
        trainer = trainers.BpeTrainer(min_frequency=min_count, **common)
    else:
        model = models.Unigram()
        trainer = trainers.UnigramTrainer(unk_token=UNKNOWN, **common)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        # Runs of letters and digits, and runs of other characters: "good" is the same in "good!".
        [pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace()]
    )
    # Trainers take every character they see into the vocabulary, whatever its count and the
    # size that was asked for; so they see the frequent ones only.
    words = [" ".join(text.split()) for text in texts]
    limit = vocabulary_size - len(special) - 1  # the mark of a word's beginning is one more
    kept = {*_frequent_characters(words, limit, min_count), " "}
    dropped = dict.fromkeys(map(ord, _count_characters(words).keys() - kept), " ")
    tokenizer.train_from_iterator((text.translate(dropped) for text in words), trainer)
    if algorithm == "unigram":
        tokenizer = _canonical_unigram(tokenizer, vocabulary_size, byte_fallback)
    return tokenizer


def serialise(tokenizer: Tokenizer) -> bytes:
    """The tokenizer.json of a learned tokenizer."""
    tokenizer.enable_padding(pad_id=0, pad_token=PADDING)
    content = json.loads(tokenizer.to_str())
    # Trainers register the special tokens as patterns to be found in texts; in ours they are
    # never found, and looking costs time.
    content["added_tokens"] = []
    return _dump(content)


def adopt(path: Path) -> bytes:
    """The user's tokenizer.json, with a padding and an unknown token added if it has none.

    Raises SettingsError if the file is missing or is no tokenizer.json.
    """
    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"features.tokenizer_file: {path}: {error.strerror}") from None
    except Exception as error:  # tokenizers raises nothing more precise
        raise SettingsError(
            f"features.tokenizer_file: {path}: expected a Hugging Face tokenizer.json ({error})"
        ) from None
    if unknown_id(tokenizer) is None:
        tokenizer.add_special_tokens([UNKNOWN_NAMES[0]])
    if tokenizer.padding is None:
        present = (name for name in PADDING_NAMES if tokenizer.token_to_id(name) is not None)
        name = next(present, PADDING)
        tokenizer.add_special_tokens([name])
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id(name), pad_token=name)
    return _dump(json.loads(tokenizer.to_str()))


def _count_characters(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return counts


def _frequent_characters(texts: list[str], limit: int, min_count: int) -> list[str]:
    """At most ``limit`` characters seen at least ``min_count`` times, the most frequent first."""
    counts = _count_characters(texts)
    frequent = [character for character, count in counts.items() if count >= min_count]
    return sorted(frequent, key=lambda character: (-counts[character], character))[:limit]


def _canonical_unigram(
    tokenizer: Tokenizer, vocabulary_size: int, byte_fallback: bool
) -> Tokenizer:
    """The same model from the same texts, in every process, and no larger than asked for.

    The trainer adds floats in the order of a random hash, so scores differ in their last digits.
    Characters that are no piece by merit it appends in that order too, the n-th of them at the
    lowest score plus n times ``APPENDED_STEP``; here all of those get the lowest score.
    """
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    num_special = 2 + len(BYTES) * byte_fallback
    pieces = dict(model["vocab"][num_special:])
    lowest = min(pieces.values(), default=0.0)
    appended = lowest + APPENDED_STEP * sum(len(piece) == 1 for piece in pieces)
    learned = [
        (piece, round(lowest if len(piece) == 1 and score <= appended else score, 4))
        for piece, score in pieces.items()
    ]
    # Characters first, so that none is cut off: without them words cannot be spelled.
    learned.sort(key=lambda item: (len(item[0]) > 1, -item[1], item[0]))
    special = [(PADDING, SPECIAL_SCORE), (UNKNOWN, SPECIAL_SCORE)]
    special += [(name, BYTE_SCORE) for name in BYTES] if byte_fallback else []
    model["vocab"] = (special + learned)[:vocabulary_size]
    model["unk_id"], model["byte_fallback"] = 1, byte_fallback
    return Tokenizer.from_str(json.dumps(content))


def _dump(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
