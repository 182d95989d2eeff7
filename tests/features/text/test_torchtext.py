"""torchtext's words against torchtext itself (where it can be imported), and without it."""

import gzip
import sys
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqbelt.errors import SettingsError
from seqbelt.features.text.encoder import FILE, PADDING, UNKNOWN
from seqbelt.features.text.text import Word, clean
from seqbelt.features.text.tokenizer_training import serialise
from seqbelt.features.text.torchtext import import_torchtext, make_torchtext_words
from seqbelt.features.text.word_vectors import WordVectors

NAMES = ["basic_english", "split"]
TEXTS = [
    "You can now install TorchText using pip!",
    "\"It's GREAT\"; see: (page 3), really?<br />No...   <BR />it isn't",
    "아 더빙.. 진짜 짜증나네요 목소리 ㅋㅋㅋ",
    "😀👍🏽 Café, ΟΔΥΣΣΕΥΣ! ΑΣ.Σ İstanbul ẞ",
    "映画は とても良かった\u3000的\ttext\r\nend",
]
EXPECTED = [
    "you can now install torchtext using pip !",
    "it ' s great see ( page 3 ) , really ? no . . . it isn ' t",
    "아 더빙 . . 진짜 짜증나네요 목소리 ㅋㅋㅋ",
    "😀👍🏽 café , οδυσσευς ! ασ . ς i̇stanbul ß",
    "映画は とても良かった 的 text end",
]


@pytest.fixture(scope="module")
def torchtext() -> Any:
    try:
        return import_torchtext()
    except SettingsError:
        pytest.skip("torchtext is not importable here: make test-torchtext")


def get_tokenizer(torchtext, name: str):
    return torchtext.data.utils.get_tokenizer(None if name == "split" else name)


def split_without_torchtext(name: str, texts: list[str]) -> list[list[str]]:
    words = make_torchtext_words({UNKNOWN: 0}, name)
    normalize, split = words.normalizer.normalize_str, words.pre_tokenizer.pre_tokenize_str
    return [[word for word, _ in split(normalize(text))] for text in texts]


def test_the_rules_give_the_known_words():
    found = split_without_torchtext("basic_english", TEXTS)
    assert [" ".join(words) for words in found] == EXPECTED


UNKNOWN_TO_PYTHON = ("Cn", "Cs")
"""Characters that this Python's Unicode has not, though the rules may have, and no characters."""
odd_text = st.text(st.characters(exclude_categories=UNKNOWN_TO_PYTHON), max_size=40) | st.text(
    "ΣΑσ.ʰ'\u0301\u0345 \"<br />BR,()!?;:\x00\x1c\x1f\x85\u2028가ㅋ😀\u200d\ufe0f\t\n", max_size=30
)


@pytest.mark.parametrize("name", NAMES)
def test_the_rules_are_torchtext_s_on_any_text(torchtext, name):
    split = get_tokenizer(torchtext, name)

    @settings(max_examples=1000, deadline=None)
    @given(odd_text)
    def check(text):
        (found,) = split_without_torchtext(name, [text])
        assert found == split(text)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_the_rules_are_torchtext_s_on_every_character(torchtext, name):
    split = get_tokenizer(torchtext, name)
    characters = map(chr, range(0x110000))
    known = (c for c in characters if unicodedata.category(c) not in UNKNOWN_TO_PYTHON)
    texts = [f"Ab{character}C Σ{character}" for character in known]
    for text, found in zip(texts, split_without_torchtext(name, texts), strict=True):
        assert found == split(text)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["sst2/train.tsv", "nsmc/ratings_test.txt.gz"])
def test_the_rules_are_torchtext_s_on_real_texts(torchtext, name, file, real_data):
    content = real_data(file).read_bytes()
    content = gzip.decompress(content) if file.endswith(".gz") else content
    texts = content.decode().split("\n")
    split = get_tokenizer(torchtext, name)
    assert split_without_torchtext(name, texts) == [split(text) for text in texts]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limits", [{}, {"min_count": 1}, {"min_count": 1, "vocabulary_size": 9}])
def test_ids_are_those_of_torchtext_s_vocabulary(torchtext, name, limits):
    kind = Word(kind="word", torchtext=name, normalization="none", **{"lowercase": False} | limits)
    texts = [clean(text) for text in [*TEXTS, *TEXTS[:2]]]
    encoder, split = kind.encoder(kind.learn(texts)), get_tokenizer(torchtext, name)
    vocabulary = torchtext.vocab.build_vocab_from_iterator(
        map(split, texts),
        min_freq=kind.min_count,
        specials=[PADDING, UNKNOWN],
        max_tokens=kind.vocabulary_size,
    )
    vocabulary.set_default_index(1)
    assert encoder.vocabulary == vocabulary.get_itos()
    for text in [*texts, "unseen 말 IT'S"]:
        assert encoder.encode([text])[0].tolist() == vocabulary(split(text))
        assert len(encoder.pieces(text)) == len(split(text))


def test_a_text_without_words_is_unknown(torchtext):
    kind = Word(kind="word", torchtext="basic_english")
    assert kind.encoder(kind.learn(TEXTS * 2)).encode(['";:"'])[0].tolist() == [1]


def test_texts_are_normalised_before_they_are_split(torchtext):
    kind = Word(kind="word", torchtext="split", lowercase=True, min_count=1)
    encoder = kind.encoder(kind.learn(["cafe\u0301"]))
    assert encoder.encode(["CAFÉ"])[0].tolist() == [2]


def test_what_was_learned_goes_on_as_a_tokenizer_file(torchtext, tmp_path):
    """The way from torchtext to a current torch: its vocabulary, trained anew."""
    kind = Word(kind="word", torchtext="basic_english", min_count=1)
    learned = kind.learn(TEXTS)
    (tmp_path / "words.json").write_bytes(learned[FILE])
    later = Word(kind="word", tokenizer_file=tmp_path / "words.json")
    old, new = kind.encoder(learned), later.encoder(later.learn([]))
    assert new.vocabulary == old.vocabulary
    for one, two in zip(old.encode(TEXTS), new.encode(TEXTS), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("header", ["", "4 3\n"], ids=["no-header", "header"])
def test_word_vectors_are_those_that_torchtext_reads(torchtext, header, tmp_path, monkeypatch):
    import ssl

    # torchtext switches the checks of certificates off, for the whole process.
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_default_https_context)
    path = tmp_path / "vectors.vec"
    path.write_text(f"{header}the 0.1 -2 3e-3\n목소리 1 2 3\nit 4 5 6\n. 7 8 9\n", "utf-8")
    kind = Word(kind="word", torchtext="basic_english", min_count=1)
    vocabulary = kind.encoder(kind.learn(TEXTS)).vocabulary
    theirs = torchtext.vocab.Vectors(str(path), cache=str(tmp_path / "cache"))
    aligned = WordVectors(path=path).align(vocabulary)
    np.testing.assert_array_equal(aligned.matrix, theirs.get_vecs_by_tokens(vocabulary).numpy())
    assert aligned.is_found.sum() == 3


# Without torchtext


def test_without_torchtext_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchtext", None)
    kind = Word.parse({"kind": "word", "torchtext": "basic_english"})
    with pytest.raises(SettingsError) as caught:
        kind.learn(TEXTS)
    for part in ("features.torchtext", "needs torch 2.3", "constraints-oldest.txt"):
        assert part in str(caught.value)


def test_what_torchtext_taught_is_used_without_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchtext", None)
    ids = {PADDING: 0, UNKNOWN: 1, "it": 2, "'": 3, "great": 4}
    learned = {FILE: serialise(make_torchtext_words(ids, "basic_english"))}
    encoder = Word(kind="word", torchtext="basic_english").encoder(learned)
    assert encoder.encode(['"IT\'S" Great'])[0].tolist() == [2, 3, 1, 4]


@pytest.mark.parametrize("name", ["spacy", "moses", ""])
def test_other_tokenizers_are_refused_by_name(name):
    with pytest.raises(SettingsError, match=r"torchtext.*'basic_english' or 'split'"):
        Word.parse({"kind": "word", "torchtext": name})
