import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.errors import BadInput
from seqbelt.features.text.encoding_ranking import (
    CLEAR_LEAD,
    describe_encodings,
    rank_encodings,
    unmarked_encoding,
)
from seqbelt.features.text.text import Word
from seqbelt.features.text.text_decoding import (
    decode_text,
    is_utf8,
    mark_of,
)

SENTENCES = {
    "ko": ("연기가 별로라 지루하고 돈이 아깝다", "cp949 euc_kr johab utf-16-le utf-16-be"),
    "ja": ("この映画はとても面白かったです", "cp932 euc_jp iso2022_jp"),
    "zh": ("这部电影非常好看，我很喜欢", "gb18030 gbk"),
    "zh-tw": ("這部電影非常好看，我很喜歡", "big5 gb18030"),
    "ru": ("Отличный фильм, очень понравился", "cp1251 koi8-r cp866 iso8859-5"),
    "uk": ("Дуже гарний фільм, мені сподобався", "cp1251 koi8-u"),
    "fr": ("Mauvaise qualité, très déçu", "cp1252 latin-1 mac_roman cp850"),
    "de": ("Der Film war schön und überraschend", "cp1252 latin-1"),
    "es": ("¡Qué película! Me encantó el niño", "cp1252"),
    "tr": ("Çok güzel bir film, şiddetle öneririm, ağladım", "cp1254 iso8859-9"),
    "cs": ("Film byl skvělý, příliš žluťoučký kůň", "cp1250 iso8859-2"),
    "pl": ("Słaba jakość, żałuję zakupu", "cp1250 iso8859-2"),
    "el": ("Πολύ καλή ταινία, μου άρεσε", "cp1253 iso8859-7"),
    "he": ("איכות גרועה, לא מומלץ", "cp1255"),
    "ar": ("جودة سيئة لا أنصح به", "cp1256"),
    "th": ("หนังดีมาก ชอบมากครับ", "cp874"),
    "lv": ("Briesmīga filma, laika izšķiešana", "cp1257"),
    "hu": ("Szörnyű film, időpazarlás", "cp1250 iso8859-2"),
}
WRITTEN = [(text, name) for text, names in SENTENCES.values() for name in names.split()]


@pytest.mark.parametrize(("text", "encoding"), WRITTEN)
def test_the_hint_names_an_encoding_that_reads_the_text_as_it_was_written(text, encoding):
    content = text.encode(encoding)
    hint = describe_encodings(content)
    named = [word.rstrip(";,:") for word in hint.split() if word[0].isalpha()]
    readers = []
    for name in named:
        try:
            if content.decode(name) == text:
                readers.append(name)
        except (LookupError, UnicodeDecodeError):
            continue
    assert readers, hint


ENGLISH = (
    "don’t go",
    "the film’s “great” plot… was long",
    "“Yes”, he said – for 20 €.",
    "costs £5 at 10° at night",
    "10 m² of floor, 5½ hours",
    "naïve and fiancée, 5 °C",
)


@pytest.mark.parametrize("text", ENGLISH)
def test_marks_and_signs_in_english_name_the_encoding_of_windows(text):
    content = f"a little before it\n{text} and then some more words\n".encode("cp1252")
    best, *others = rank_encodings(content)
    assert content.decode(best.encoding) == content.decode("cp1252")
    old = [other.score for other in others if other.encoding in ("mac_roman", "cp850")]
    assert best.score > max(old) + CLEAR_LEAD


def test_single_letters_of_another_alphabet_are_no_words():
    # As in a set of messages whose signs were damaged before it was published.
    content = b"call to receive a \xe5\xa3900 prize or \xe5\xa3100 that\xe5\xd5s all\n" * 3
    named = {candidate.encoding for candidate in rank_encodings(content)[:3]}
    assert "cp1252" in named
    assert not named & {"koi8-u", "cp866", "cp1251"}
    word = "the film Брат is a classic film and I liked it a lot\n".encode("cp1251")
    assert rank_encodings(word * 3)[0].encoding == "cp1251"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_tells_the_encoding(encoding):
    assert decode_text("좋은 영화".encode(encoding)) == "좋은 영화"
    assert mark_of("좋은 영화".encode()) is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["a good film", "좋은 영화 a good film, 1", "Ужасный фильм, да"])
def test_wide_characters_without_a_mark_are_noticed(text, encoding):
    found = unmarked_encoding(text.encode(encoding))
    assert found == encoding or (found is None and not text.isascii())
    assert unmarked_encoding(text.encode()) is None


@pytest.mark.parametrize(
    "text", ["좋은 영화, 정말", "Ужасный фильм", "très déçu, à éviter", "这部电影太差了"]
)
def test_utf7_is_noticed_by_the_letters_that_it_reads(text):
    assert unmarked_encoding(text.encode("utf-7")) == "utf-7"
    assert unmarked_encoding("这部电影太差了".encode("hz")) == "hz"
    assert unmarked_encoding(b"a ~{hm} and ~{oh} of code~}") is None
    for plain in ("C++ +settings a+b +821012345678", "1+1 +ABC+DEF+GHI", f"{text} +ABCD-"):
        assert unmarked_encoding(plain.encode()) is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("หนังแย่มาก เสียเวลา", "tis_620"), ("这部电影太差了，我不推荐。", "utf-16-le"),
     ("Ужасный фильм, да", "utf-16-be"), ("Un film affreux, à éviter, déçu", "cp1252")],
)  # fmt: skip
def test_a_text_in_another_encoding_is_refused_with_one_that_reads_it(text, encoding):
    with pytest.raises(BadInput) as caught:
        Word(kind="word").read(text.encode(encoding))
    named = str(caught.value).split("data.encoding: ")[1].split()[0].rstrip(".;")
    assert text.encode(encoding).decode(named) == text


def test_utf8_is_read_as_that_whatever_was_named():
    assert decode_text("좋은 영화".encode(), "cp949") == "좋은 영화"
    assert not is_utf8(b"plain") and not is_utf8("é".encode()) and not is_utf8(b"\xb0\xa1\xb0\xa1")


def test_a_narrow_name_reads_what_is_usually_written_under_it():
    assert decode_text("뷁, 똠방각하".encode("cp949"), "euc-kr") == "뷁, 똠방각하"
    assert decode_text("①髙".encode("cp932"), "shift_jis") == "①髙"


@given(st.binary(max_size=200))
def test_any_bytes_have_a_hint_and_no_error(content):
    assert describe_encodings(content)


def test_texts_in_files_have_marks_and_reasons():
    features = Word(kind="word")
    assert features.read("나쁜 영화".encode("utf-16")) == "나쁜 영화"
    with pytest.raises(BadInput, match=r"byte 0xc1 .*data\.encoding: cp949"):
        features.read("좋은 영화 정말 이 영화".encode("cp949"))
    with pytest.raises(BadInput, match=r"data\.encoding: utf-16-le"):
        features.read("a good film".encode("utf-16-le"))
