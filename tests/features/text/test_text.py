"""Text features against unicodedata, against the plain tokenizer, and at the edges of text."""

import base64
import functools
import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from seqbelt.errors import (
    EMPTY,
    TOO_LONG,
    UNREADABLE,
    WRONG_TYPE,
    BadInput,
    SeqbeltError,
    SettingsError,
)
from seqbelt.features.text.encoder import FILE, TextCounts, TextEncoder
from seqbelt.features.text.text import Character, Jamo, Subword, Word, clean

TEXTS = [
    "아 더빙.. 진짜 짜증나네요 목소리",
    "흠...포스터보고 초딩영화줄....오버연기조차 가볍지 않구나 ㅋㅋㅋㅋ",
    "너무 재밌었다 그래서 보는 것을 추천한다",
    "a Great film, great film: it's 10/10 😀👍🏽 Café",
    "映画はとても良かった 的 русский текст",
] * 4
UNSEEN = "ꙮ☃"
PIECES = {"kind": "subword", "lowercase": False, "whole_words": False}
"""The tokenizer alone: test_word_entries.py has the words that come on top."""
KINDS = {
    "bpe": Subword(**PIECES, vocabulary_size=200),
    "bytes": Subword(**PIECES, vocabulary_size=400, unseen="bytes"),
    "unigram": Subword(**PIECES, algorithm="unigram", vocabulary_size=200),
    "unigram bytes": Subword(**PIECES, algorithm="unigram", vocabulary_size=450, unseen="bytes"),
    "word": Word(kind="word", lowercase=False),
    "character": Character(kind="character"),
    "jamo": Jamo(kind="jamo"),
}


@pytest.fixture(scope="module")
def encoders() -> dict[str, TextEncoder]:
    return {name: kind.encoder(kind.learn(TEXTS)) for name, kind in KINDS.items()}


every_kind = pytest.mark.parametrize("name", KINDS)
any_text = st.text(max_size=60) | st.text("가각힣가ㅋ e\u0301İK①😀\u200d☃▁<>", max_size=20)


def read_or_none(kind, text: str) -> str | None:
    try:
        return kind.read(text)
    except BadInput:
        return None


@every_kind
def test_ids_of_padding_and_unknown_are_fixed(encoders, name):
    encoder = encoders[name]
    assert (encoder.padding_id, encoder.unknown_id) == (0, 1)
    assert len(encoder.vocabulary) == encoder.num_features <= KINDS[name].vocabulary_size


@every_kind
def test_any_text_that_is_read_has_steps_within_the_vocabulary(encoders, name):
    encoder = encoders[name]

    @settings(max_examples=100, deadline=None)
    @given(st.lists(any_text, max_size=5))
    def check(texts):
        raws = [raw for text in texts if (raw := read_or_none(KINDS[name], text)) is not None]
        together = encoder.encode(raws)
        assert len(together) == len(raws)
        for raw, ids in zip(raws, together):
            assert ids.dtype == np.int32 and ids.ndim == 1 and len(ids)
            assert ids.min() > 0  # padding is no token
            assert ids.max() < encoder.num_features
            np.testing.assert_array_equal(ids, encoder.encode([raw])[0])
            assert len(encoder.offsets(raw)) == len(ids)

    check()


@pytest.mark.parametrize("form", ["NFC", "NFKC", "NFKD", "none"])
@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_encoding_word_by_word_is_encoding_the_text(form, algorithm):
    kind = Subword(
        **PIECES | {"lowercase": True},
        algorithm=algorithm,
        normalization=form,
        vocabulary_size=200,
    )
    learned = kind.learn(TEXTS)
    by_words, plain = kind.encoder(learned), Tokenizer.from_buffer(learned[FILE])

    @settings(max_examples=100, deadline=None)
    @given(any_text | st.text("\u00b4\ufdfa\u00a0\u2003 a가\n", max_size=8))
    def check(text):
        if (raw := read_or_none(kind, text)) is not None:
            expected = plain.encode(raw, add_special_tokens=False).ids
            assert by_words.encode([raw])[0].tolist() == expected

    check()


def test_forgetting_remembered_words_changes_nothing(encoders, monkeypatch):
    expected = encoders["bpe"].encode(TEXTS)
    monkeypatch.setattr("seqbelt.features.text.encoder.MAX_REMEMBERED_CHARACTERS", 10)
    encoder = KINDS["bpe"].encoder(KINDS["bpe"].learn(TEXTS))
    for text, ids in zip(TEXTS, expected):
        np.testing.assert_array_equal(encoder.encode([text])[0], ids)
        assert len(encoder._word_ids) <= 10 + len(text.split())


@every_kind
def test_threads_may_share_an_encoder(name, encoders, monkeypatch):
    expected = encoders[name].encode(TEXTS)
    monkeypatch.setattr("seqbelt.features.text.encoder.MAX_REMEMBERED_CHARACTERS", 10)
    encoder = KINDS[name].encoder(KINDS[name].learn(TEXTS))
    with ThreadPoolExecutor(4) as pool:
        for (ids,), expectation in zip(pool.map(lambda t: encoder.encode([t]), TEXTS), expected):
            np.testing.assert_array_equal(ids, expectation)


@every_kind
def test_known_texts_come_back(encoders, name):
    encoder = encoders[name]
    form = KINDS[name].normalization
    for text, ids in zip(TEXTS, encoder.encode(TEXTS)):
        tokens = "".join(encoder.vocabulary[id] for id in ids).replace("▁", " ")
        expected = unicodedata.normalize(form, text)
        if name in ("character", "jamo"):
            assert tokens == expected
        else:  # punctuation is parted from words, with or without a blank between them
            assert tokens.replace(" ", "") == expected.replace(" ", "")


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3) | st.sampled_from("a ㅋ1"))
)
def test_jamo_are_those_of_unicode(text):
    text = f"가{text}가"
    jamo = Jamo(kind="jamo", min_count=1)
    encoder = jamo.encoder(jamo.learn([text]))
    tokens = [encoder.vocabulary[id] for id in encoder.encode([text])[0]]
    assert tokens == list(unicodedata.normalize("NFD", text))


def test_jamo_of_a_syllable_share_its_place(encoders):
    assert encoders["jamo"].pieces("보는 ㅋ") == ["보", "보", "는", "는", "는", " ", "ㅋ"]
    assert encoders["jamo"].offsets("보는")[2:] == [(1, 2)] * 3


def test_compatibility_jamo_join_under_nfkd():
    jamo = Jamo(kind="jamo", normalization="NFKD", min_count=1)
    encoder = jamo.encoder(jamo.learn(["카ㅋ"]))
    first, _, last = encoder.encode(["카ㅋ"])[0]
    assert first == last


def test_words_follow_the_stated_rule(encoders):
    text = "it's 10/10!! 😀👍🏽 더빙..\n목소리_1"
    expected = ["it", "'", "s", "10", "/", "10", "!!", "😀👍🏽", "더빙", "..", "목소리_1"]
    assert encoders["word"].pieces(text) == expected


@every_kind
def test_pieces_cover_the_text(encoders, name):
    text = f"진짜 great 😀{UNSEEN} 的!"
    covered = {i for start, end in encoders[name].offsets(text) for i in range(start, end)}
    assert covered >= {i for i, character in enumerate(text) if not character.isspace()}


@every_kind
def test_a_text_of_unseen_characters_is_unknown(encoders, name):
    ids = encoders[name].encode([UNSEEN])[0]
    tokens = {encoders[name].vocabulary[id] for id in ids} - {"▁"}  # a word begins
    if "bytes" in name:
        assert tokens == {f"<0x{byte:02X}>" for byte in UNSEEN.encode()}
    else:
        assert tokens == {encoders[name].vocabulary[1]}


@every_kind
def test_a_text_that_spells_a_special_token_is_a_text(name):
    kind = KINDS[name]
    texts = ["< padding > <pad> [UNK] <unk> <0x41> < unknown >"] * 9
    learned = kind.learn(texts)
    ids = kind.encoder(learned).encode(texts[:1])[0]
    assert ids.min() > 1
    plain = Tokenizer.from_buffer(learned[FILE])  # whoever else reads the file is as safe
    assert plain.encode(texts[0]).ids == ids.tolist()
    if "bytes" in name:
        assert ids.min() >= 2 + 256


def test_rare_characters_and_words_are_unknown():
    texts = ["aa bb", "aa bc"]
    character = Character(kind="character")
    encoder = character.encoder(character.learn(texts))
    assert encoder.vocabulary[2:] == ["a", "b", " "]
    word = Word(kind="word", min_count=2)
    assert word.encoder(word.learn(texts)).encode(["aa bc"])[0].tolist() == [2, 1]
    subword = Subword(kind="subword", min_count=2)
    learned = subword.encoder(subword.learn(texts)).vocabulary
    assert not any("c" in piece for piece in learned[2:]) and any("b" in piece for piece in learned)


@every_kind
@pytest.mark.parametrize("size", [5, 12])
def test_the_vocabulary_has_no_more_entries_than_asked_for(name, size):
    if "bytes" in name:
        size += 300
    kind = KINDS[name].model_copy(update={"vocabulary_size": size})
    for texts in TEXTS, ["안녕" * 30] * 3:
        assert kind.encoder(kind.learn(texts)).num_features <= size


def test_normalisation_and_case():
    kind = Character(kind="character", normalization="NFKC", lowercase=True, min_count=1)
    encoder = kind.encoder(kind.learn(["abé1"]))
    np.testing.assert_array_equal(*encoder.encode(["ＡB e\u0301①".replace(" ", ""), "abé1"]))


def test_cut_lost_and_unknown_are_counted():
    kind = Character(kind="character", max_length=4, min_count=1)
    encoder = kind.encoder(kind.learn(["abcd"]))
    sequences, counts = encoder.encode_counted(["abcdabcd", "ab☃d", "☃"])
    assert [len(ids) for ids in sequences] == [4, 4, 1]
    assert counts == TextCounts(
        num_texts=3, num_cut=1, num_tokens=13, num_truncated_tokens=4, num_unknown=2
    )
    assert (counts.cut_share, counts.lost_share, counts.unknown_share) == (1 / 3, 4 / 13, 2 / 9)
    assert counts + counts == encoder.encode_counted(["abcdabcd", "ab☃d", "☃"] * 2)[1]
    assert encoder.encode_counted([]) == ([], TextCounts()) and TextCounts().cut_share == 0


def test_the_head_stays_and_holds_no_more_memory_than_it_shows():
    kind = Character(kind="character", max_length=4, min_count=1)
    encoder = kind.encoder(kind.learn(["abcdefgh"]))
    (head,) = encoder.encode(["abcdefgh"])
    assert [encoder.vocabulary[id] for id in head] == ["a", "b", "c", "d"]
    assert head.base is None
    assert encoder.pieces("abcdefgh") == ["a", "b", "c", "d"]


LEARN = """
from test_text import hash_learned
print(hash_learned())
"""


@functools.cache
def hash_learned() -> dict[str, str]:
    # Many characters that are rare enough to be no piece of the unigram model by merit.
    rare = ["".join(map(chr, range(start, start + 10))) for start in range(0xAC00, 0xAF00, 10)]
    texts = [f"{text} {word}" for text in TEXTS for word in rare]
    return {n: hashlib.sha256(k.learn(texts)[FILE]).hexdigest() for n, k in KINDS.items()}


@pytest.mark.parametrize("num_threads", ["1", "2"])
def test_the_same_texts_give_the_same_bytes_in_every_process(num_threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": num_threads, "PYTHONHASHSEED": num_threads}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    there = subprocess.run(
        [sys.executable, "-c", LEARN], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == str(hash_learned())


def test_learning_needs_a_text():
    with pytest.raises(SeqbeltError, match="no training text"):
        Word(kind="word").learn([])


# Reading


def reason(source, **values) -> tuple[str, str]:
    with pytest.raises(BadInput) as caught:
        Character(kind="character", **values).read(source)
    return caught.value.reason, str(caught.value)


def test_a_str_a_path_and_bytes_are_read_alike(tmp_path):
    path = tmp_path / "review.txt"
    path.write_bytes("\ufeff좋다 😀\r\n".encode())
    kind = Character(kind="character")
    assert kind.read(path) == kind.read(path.read_bytes()) == kind.read("좋다 😀") == "좋다 😀"
    assert kind.read("review.txt") == "review.txt"


@pytest.mark.parametrize(
    "text",
    ["", " \t\n\u3000", "\x00\x07", "\u200b\ufeff", "\u200d", "\ufe0f ", "\ud800", "\u3164"],
    ids=["nothing", "space", "control", "zero-width", "joiner", "variation", "surrogate", "filler"],
)
def test_a_text_that_shows_nothing_is_empty(text):
    assert reason(text)[0] == EMPTY
    assert reason(b"")[0] == EMPTY


def test_control_characters_are_spaces_and_invisible_ones_are_gone():
    assert clean("a\x00b\x85c\x1fd\ud800e") == "a b c d e"
    assert clean("so\u00adft\u200b \ufeff\u202ex") == "soft x"
    assert clean("a\tb\r\nc") == "a\tb\r\nc"
    assert clean("👩\u200d👩\u200d👧 ❤\ufe0f") == "👩\u200d👩\u200d👧 ❤\ufe0f"


@given(st.text(st.characters(exclude_categories=[]), max_size=50))
def test_a_clean_text_is_utf8_without_controls_and_stays_as_it_is(text):
    cleaned = clean(text)
    cleaned.encode()
    assert not {c for c in cleaned if unicodedata.category(c) == "Cc"} - set("\t\n\r")
    assert clean(cleaned) == cleaned


def test_invalid_utf8_names_the_byte():
    kind, said = reason("\ufeffab".encode() + b"\xff\xfe")
    assert kind == UNREADABLE
    assert said.startswith("unreadable: not UTF-8: byte 0xff at offset 5 (invalid start byte)")
    assert "offset 1" in reason("a가".encode()[:-1])[1]
    from_a_table = b"ab\xe9".decode("utf-8", "surrogateescape")
    kind, said = reason(from_a_table)
    assert kind == UNREADABLE
    assert said.startswith("unreadable: not UTF-8: byte 0xe9 at character 2")
    assert Character(kind="character").read("half an emoji: \ud83d!") == "half an emoji:  !"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("text", ["très bon", "25 °C, 3 µV", "좋아요", "хорошо", "“so”"])
def test_text_that_was_decoded_by_another_encoding_is_said(text, encoding):
    word = Word(kind="word")
    said = word.remarks(text.encode().decode(encoding, "replace"), None)
    assert said and "UTF-8 that somebody read in another encoding" in said[0]
    for fine in (text, "»Spaß«", "MANHÃ", "É «café»", "plain"):
        assert not word.remarks(fine, None)


@pytest.mark.parametrize(
    "text",
    ["tr&egrave;s bon", "it&#39;s &amp; that", "tr%C3%A8s", "a%20b", "tr=C3=A8s", r"tr\u00e8s",
     r"b'tr\xc3\xa8s'"],
)  # fmt: skip
def test_characters_in_another_notation_are_said(text):
    word = Word(kind="word")
    (said,) = word.remarks(text, None)
    assert "hold characters in another notation, and are taken as they stand" in said
    for fine in ("AT&T; R&D", "100%20 or so", "x=C3=4", r"C:\users\new", "&c;", "50% 20"):
        assert not word.remarks(fine, None)


def test_json_and_base64_are_said():
    word = Word(kind="word")
    for text in ('{"text": "good"}', '[{"a": 1}]'):
        assert "objects or lists of JSON" in word.remarks(text, None)[0]
    for content in (b"good film", "좋은 영화였다".encode(), bytes(range(200, 250))):
        assert "are base64" in word.remarks(base64.b64encode(content).decode(), None)[0]
    for fine in ("[deleted]", "{so}", "encyclopedia", "JavaScriptXML", "ha" * 50, "GoodFilm"):
        assert not word.remarks(fine, None)


def test_what_is_left_of_texts_decoded_by_another_encoding_is_said(tmp_path):
    word = Word(kind="word")
    path = tmp_path / "a.txt"
    for text in ("좋은 영화였다. 다시 보고 싶다.", "これはとても良い映画です"):
        path.write_bytes(text.encode().decode("latin-1").encode())
        assert "UTF-8 that somebody read" in word.remarks(word.read(path), None)[0]
    assert "a character that was lost" in word.remarks("a good \ufffd film", None)[0]
    for fine in ("« café » à 25 °C, 3 m²", "¿Qué? ¡Así! 1º, 2ª", "§ 5: für ©, Größe", "50 £ ± 2 €"):
        assert not word.remarks(fine, None)


def test_a_pointer_to_a_file_is_no_text():
    with pytest.raises(BadInput, match="git lfs pull"):
        Word(kind="word").read(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")


def test_a_page_of_html_is_said_to_be_taken_with_its_tags():
    word = Word(kind="word")
    assert "pages of HTML" in word.remarks("\n<!DOCTYPE html><p>good", None)[0]
    assert not word.remarks("a <b>good</b> film, not <html>", None)


def test_long_texts_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "book.txt"
    path.write_text("x" * 41)
    monkeypatch.setattr(
        "seqbelt.features.audio.audio_decoding.read_bytes", lambda path: pytest.fail("read")
    )
    assert reason(path, max_characters=9) == (
        TOO_LONG,
        "too long: at least 10 characters; features.max_characters allows 9",
    )
    assert reason("가" * 10, max_characters=9)[0] == TOO_LONG
    assert Character(kind="character", max_characters=9).read("가" * 9) == "가" * 9


def test_what_is_no_text_is_refused(tmp_path):
    assert reason(np.zeros(3))[0] == WRONG_TYPE
    assert reason(tmp_path)[0] == WRONG_TYPE
    assert reason(tmp_path / "missing.txt")[0] == UNREADABLE


# A tokenizer of the user's own


def save_tokenizer(path, unknown="[UNK]", special=()) -> Tokenizer:
    vocabulary = {"good": 0, "film": 1, **({unknown: 7} if unknown else {}), "[": 3, "]": 4}
    model = models.WordLevel({**vocabulary, "PAD": 5}, unk_token=unknown or "missing")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(special))
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))
    return tokenizer


def test_an_own_tokenizer_keeps_its_ids(tmp_path):
    own = save_tokenizer(tmp_path / "own.json", special=["[PAD]"])
    kind = Word(kind="word", tokenizer_file=tmp_path / "own.json")
    learned = kind.learn([])  # nothing is learned, so no text is needed
    (tmp_path / "own.json").unlink()  # the bundle has it
    encoder = kind.encoder(learned)
    assert encoder.encode(["Good FILM\nawful film"])[0].tolist() == [0, 1, 7, 1]
    assert (encoder.unknown_id, encoder.padding_id) == (7, own.token_to_id("[PAD]"))
    assert encoder.num_features == 1 + max(own.get_vocab().values())
    assert encoder.padding_id not in encoder.encode(["[PAD]"])[0]
    assert encoder.encode_counted(["bad film"])[1].unknown_share == 0.5


def test_an_own_tokenizer_gets_the_tokens_it_lacks(tmp_path):
    own = Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    own.normalizer = normalizers.Replace("x", "")
    own.save(str(tmp_path / "own.json"))
    kind = Subword(kind="subword", tokenizer_file=tmp_path / "own.json")
    encoder = kind.encoder(kind.learn([]))
    assert encoder.num_features == 4
    assert sorted([encoder.unknown_id, encoder.padding_id]) == [2, 3]
    assert encoder.encode(["ab", "xx"])[1].tolist() == [encoder.unknown_id]  # nothing was left
    assert encoder.pieces("xx") == ["xx"]


def test_settings_that_an_own_tokenizer_would_ignore_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="remove lowercase, vocabulary_size"):
        Subword.parse(
            {
                "kind": "subword",
                "tokenizer_file": "own.json",
                "lowercase": False,
                "vocabulary_size": 9,
            }
        )
    kind = Subword.parse({"kind": "subword", "tokenizer_file": "own.json"})
    assert Subword.parse(kind.to_dict()) == kind


def test_a_tokenizer_file_that_is_none_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"tokenizer_file: .*missing.json: No such file"):
        Word(kind="word", tokenizer_file=tmp_path / "missing.json").learn([])
    (tmp_path / "own.json").write_text(json.dumps({"vocab": {}}))
    with pytest.raises(SettingsError, match=r"own.json: expected a Hugging Face tokenizer.json"):
        Word(kind="word", tokenizer_file=tmp_path / "own.json").learn([])


def test_bytes_need_room():
    with pytest.raises(SettingsError, match="258 entries"):
        Subword.parse({"kind": "subword", "unseen": "bytes", "vocabulary_size": 100})


def test_jamo_refuses_a_form_that_composes():
    with pytest.raises(SettingsError, match="normalization"):
        Jamo.parse({"kind": "jamo", "normalization": "NFC"})
