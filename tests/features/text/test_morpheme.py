"""Morphemes of Korean: what becomes a token, where it stands, and what is said of the analyser."""

import builtins
import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.kinds import parse_stored
from seqbelt.features.text import morpheme
from seqbelt.features.text.morpheme import VERSIONS_FILE, Morpheme, Segmenter

TEXTS = [
    "먹엌ㅋㅋㅋㅋㅋ 진짜 재밌었어요ㅠㅠㅠ",
    "아버지가방에들어가신다",
    "이 영화 정말 재미있었다!!!!",
    "했다 갔음 예쁜 I LOVE 영화를_가",
    "😀 10000원 ... 映画 Café",
] * 2


@pytest.fixture(scope="module")
def kind() -> Morpheme:
    pytest.importorskip("kiwipiepy", reason="the extra korean is not installed")
    return Morpheme.parse({"kind": "morpheme", "min_count": 1})


@pytest.fixture(scope="module")
def encoder(kind):
    return kind.encoder(kind.learn(TEXTS))


@pytest.fixture(scope="module")
def forms(kind):
    return Segmenter(lowercase=True).forms


def test_stems_and_endings_are_tokens(forms):
    assert forms("예쁜 영화를 봤다") == ["예쁘", "_ᆫ", "영화", "_를", "보", "_었", "_다"]


def test_spacing_plays_no_part(forms):
    assert forms("이 영 화 정말 재 미있 었 다") == forms("이영화정말재미있었다")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("재밌다ㅋㅋㅋㅋㅋㅋㅋ", "재밌다ㅋㅋ"),
        ("슬퍼ㅠㅠㅠㅠㅠ", "슬퍼ㅠㅠ"),
        ("먹엌ㅋㅋㅋ", "먹어ㅋㅋㅋ"),  # a consonant that slipped under the syllable
        ("ᄏᄏᄏ", "ㅋㅋ"),  # conjoining letters that make no syllable
        ("좋다!!!!!!", "좋다!!"),
    ],
)
def test_letters_and_signs_are_normalised(forms, written, read):
    assert forms(written) == forms(read)


def test_a_long_text_is_analysed_in_blocks(encoder, forms):
    sentence = forms("영화가 재미있었다 ")
    text = "영화가 재미있었다 " * 300  # 3,000 characters
    assert forms(text) == sentence * 300
    places = encoder._segmenter.with_places(text).places
    assert text[slice(*places[-2])] == "었" and text[slice(*places[-1])] == "다"
    assert len(forms("ab" * 2_000)) > 1  # no white space to cut at


def test_numbers_keep_their_zeros(forms):
    assert "10000" in forms("10000원")


def test_composed_and_decomposed_texts_are_the_same(encoder):
    for text in TEXTS:
        decomposed = unicodedata.normalize("NFD", text)
        np.testing.assert_array_equal(*encoder.encode([text, decomposed]))
        pieces = [unicodedata.normalize("NFC", piece) for piece in encoder.pieces(decomposed)]
        assert pieces == encoder.pieces(text)


def test_places_of_morphemes(encoder):
    pieces = encoder.pieces("영 화를 봤다!!!!")
    assert list(dict.fromkeys(pieces)) == ["영 화", "를", "봤", "다", "!!!!"]


def test_any_text_has_steps_with_places(kind, encoder):
    @settings(max_examples=20, deadline=None)
    @given(st.text(max_size=40) | st.text("가각힣ㅋㅠ 각_e\u0301İ①😀\u200d☃▁<>", max_size=20))
    def check(text):
        try:
            raw = kind.read(text)
        except BadInput:
            return
        (ids,) = encoder.encode([raw])
        assert ids.dtype == np.int32 and len(ids) and ids.min() > 0
        assert ids.max() < encoder.num_features
        places = encoder.offsets(raw)
        assert len(places) == len(ids)
        assert all(0 <= start <= end <= len(raw) for start, end in places)

    check()


def test_a_text_is_encoded_alone_as_among_others_and_in_threads(encoder):
    together = encoder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda text: encoder.encode([text])[0], TEXTS))
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_same_texts_give_the_same_vocabulary_and_a_stored_kind_reads_it(kind, encoder):
    learned = kind.learn(TEXTS)
    assert learned == kind.learn(iter(TEXTS))
    stored = parse_stored(json.loads(json.dumps(kind.to_dict())))
    for one, other in zip(stored.encoder(learned).encode(TEXTS), encoder.encode(TEXTS)):
        np.testing.assert_array_equal(one, other)


def test_another_version_of_the_analyser_is_a_remark(kind, encoder):
    assert kind.remarks(TEXTS[0], encoder) == ()
    learned = kind.learn(TEXTS)
    versions = json.loads(learned[VERSIONS_FILE])
    learned[VERSIONS_FILE] = json.dumps({**versions, "kiwipiepy": "0.1.0"}).encode()
    (remark,) = kind.remarks(TEXTS[0], kind.encoder(learned))
    assert f"kiwipiepy {versions['kiwipiepy']}" in remark
    assert "learned with 0.1.0" in remark and "pip install kiwipiepy==0.1.0" in remark


def test_a_missing_analyser_names_the_extra(monkeypatch):
    imported = builtins.__import__

    def missing(name, *arguments):
        if name == "kiwipiepy":
            raise ImportError("No module named 'kiwipiepy'")
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    morpheme._load_analyser.cache_clear()
    with pytest.raises(SettingsError, match=r"pip install 'seqbelt\[korean\]'"):
        Morpheme.parse({"kind": "morpheme"}).learn(["글"])


@pytest.mark.parametrize("setting", [{"normalization": "NFD"}, {"tokenizer_file": "a.json"}])
def test_settings_that_the_analyser_cannot_follow_are_refused(setting):
    with pytest.raises(SettingsError, match=next(iter(setting))):
        Morpheme.parse({"kind": "morpheme", **setting})
