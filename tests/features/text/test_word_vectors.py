"""Word vectors in each format, and files that are none."""

import gzip

import numpy as np
import pytest

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.text.word_vectors import WordVectors

HEADER = b"3 2\n"
ROWS = "영화 0.5 -1\nthe 1e-1 2\n. . . 7 8\n".encode()
VOCABULARY = ["< padding >", "the", "영화", "missing", "the"]
EXPECTED = np.array([[0, 0], [0.1, 2], [0.5, -1], [0, 0], [0.1, 2]], np.float32)


@pytest.fixture
def vectors(tmp_path):
    def write(content: bytes) -> WordVectors:
        path = tmp_path / "vectors"
        path.write_bytes(content)
        return WordVectors(path=path)

    return write


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize(
    "content",
    [HEADER + ROWS, ROWS, (HEADER + ROWS).replace(b"\n", b" \n"), ROWS.replace(b"\n", b"\r\n")],
    ids=["fasttext", "glove", "word2vec", "windows"],
)
def test_every_format_gives_the_same_rows(vectors, content, pack):
    aligned = vectors(pack(content)).align(VOCABULARY)
    assert aligned.matrix.dtype == np.float32
    np.testing.assert_array_equal(aligned.matrix, EXPECTED)
    assert aligned.is_found.tolist() == [False, True, True, False, True]
    assert aligned.coverage == 0.6


def test_words_may_have_spaces_in_them(vectors):
    matrix, is_found = vectors(HEADER + ROWS).align([".", ". . ."])
    assert is_found.tolist() == [False, True] and matrix[1].tolist() == [7, 8]


def test_the_first_vector_of_a_word_holds(vectors):
    assert vectors(b"a 1 2\na 3 4\n").align(["a"]).matrix.tolist() == [[1, 2]]


def test_an_empty_vocabulary_has_no_coverage(vectors):
    aligned = vectors(ROWS).align([])
    assert aligned.matrix.shape == (0, 2) and aligned.coverage == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: expected a word and its numbers, or 'words dimensions', found ''"),
        (b"2 0\n", "line 1: expected a positive number of dimensions, found '2 0'"),
        (b"a 1 2\nb 1\n", "line 2: expected a word and 2 numbers, found 'b 1'"),
        (b"2 2\na 1 2\nb 1 x\n", "line 3: expected 2 numbers, found '1 x'"),
        (b"a 1 nan\n", "line 1: expected finite numbers, found '1 nan'"),
        (b"3 2\na 1 2\nb 1 2\n", "truncated: line 1 states 3 vectors, found 2"),
        (b"2 2\na \x00\x00\x80?\x00\x00\x80?\n", "line 2: expected a word and 2 numbers"),
        (gzip.compress(HEADER + ROWS, mtime=0)[:-9], "the gzip file is damaged or truncated"),
        (b"\x1f\x8bno gzip", "the gzip file is damaged or truncated"),
    ],
    ids=[
        "empty",
        "no-dimensions",
        "too-few-numbers",
        "no-number",
        "not-finite",
        "too-few-vectors",
        "binary",
        "truncated-gzip",
        "no-gzip",
    ],
)
def test_what_is_no_vector_file_is_named_by_line(vectors, content, message):
    settings = vectors(content)
    with pytest.raises(SeqbeltError) as caught:
        settings.align(["a", "b"])
    assert message in str(caught.value) and str(settings.path) in str(caught.value)


def test_a_binary_file_is_recognised(vectors):
    with pytest.raises(SeqbeltError, match="a binary file"):
        vectors(b"2 2\na \x00\x00\x80?\x00\x00\x80?\n").align(["a"])


def test_a_missing_file_is_an_error_of_settings(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        WordVectors(path=tmp_path / "missing.vec").align(["a"])
