"""Frequent words beside their pieces."""

import numpy as np
import pytest

from seqbelt.features.kinds import parse_stored
from seqbelt.features.text.text import Subword
from seqbelt.features.text.word_entries import WORDS_FILE, WordEntries, learn_words, read_words

PIECES = ["< padding >", "< unknown >", "▁un", "kind", "▁", "ly", "▁the"]
UNKIND, UNKINDLY, THE = (2, 3), (2, 3, 5), (6,)


def ids(*words) -> np.ndarray:
    return np.array([id for word in words for id in word], dtype=np.int32)


class TestWordEntries:
    entries = WordEntries([UNKIND, UNKINDLY], PIECES)

    def test_each_step_of_a_known_word_is_its_piece_and_its_word(self):
        replaced = self.entries.replace(ids(THE, UNKIND, UNKINDLY, UNKIND))
        assert replaced.tolist() == [6, 7, 8, 9, 10, 11, 7, 8]
        assert self.entries.parts[replaced[1:6]].tolist() == [
            [2, 7], [3, 7],
            [2, 9], [3, 9], [5, 9],
        ]  # fmt: skip

    def test_pieces_and_unknown_words_stay(self):
        other = ids(THE, (2, 5), (1,), THE)
        np.testing.assert_array_equal(self.entries.replace(other), other)
        assert self.entries.parts[: len(PIECES)].tolist() == [[id, id] for id in range(len(PIECES))]

    def test_names_are_told_apart(self):
        assert self.entries.names[:2] == ["▁unkind 1", "▁unkind 2"]


class TestLearnWords:
    sequences = ((ids(THE, UNKIND), 3), (ids(UNKINDLY, THE), 2), (ids((2, 5)), 1))

    def learn(self, min_count: int = 2, max_entries: int = 100) -> list[list[int]]:
        return read_words(learn_words(self.sequences, PIECES, min_count, max_entries))

    def test_words_of_several_pieces_by_their_counts(self):
        assert self.learn() == [[*UNKIND], [*UNKINDLY]]
        assert self.learn(min_count=1) == [[*UNKIND], [*UNKINDLY], [2, 5]]
        assert self.learn(min_count=3) == [[*UNKIND]]

    @pytest.mark.parametrize("room, number", [(0, 0), (1, 0), (2, 1), (4, 1), (5, 2)])
    def test_entries_fit_into_the_room(self, room, number):
        assert len(self.learn(max_entries=room)) == number


def make_texts(count: int = 1500) -> list[str]:
    """The same words of twelve random letters six times: more than a small vocabulary holds."""
    letters = np.random.default_rng(0).choice(list("abcdefghij"), (count, 12))
    return ["".join(word) for word in letters] * 6


class TestSubword:
    @pytest.fixture(scope="class")
    def texts(self) -> list[str]:
        return make_texts()

    @pytest.fixture(scope="class")
    def learned(self, texts) -> dict[str, bytes]:
        return dict(Subword(kind="subword").learn(texts))

    def test_a_frequent_word_has_the_same_entries_wherever_it_stands(self, texts, learned):
        encoder = Subword(kind="subword").encoder(learned)
        pieces = Subword(kind="subword").encoder(
            {n: learned[n] for n in learned if n != WORDS_FILE}
        )
        assert pieces.parts is None and encoder.parts is not None
        assert len(encoder.parts) == len(encoder.vocabulary) == encoder.num_features
        num_entries = 0
        for word in texts[:200]:
            alone, marked, after = encoder.encode([word, f"{word}!", f"a {word}"])
            assert marked[: len(alone)].tolist() == alone.tolist()
            assert after[-len(alone) :].tolist() == alone.tolist()
            np.testing.assert_array_equal(encoder.parts[alone, 0], pieces.encode([word])[0])
            num_entries += (alone >= pieces.num_features).sum()
        assert num_entries > 200

    def test_settings_stored_before_there_were_entries_are_known_as_before(self):
        values = Subword(kind="subword").to_dict()
        del values["whole_words"]
        stored = parse_stored(values)
        assert stored.whole_words is False and stored.identity() == values
        assert Subword(kind="subword").identity()["whole_words"] is True

    def test_without_whole_words_nothing_but_pieces_is_learned(self, texts):
        assert WORDS_FILE not in Subword(kind="subword", whole_words=False).learn(texts)

    @pytest.mark.parametrize("size", [100, 500])
    def test_a_vocabulary_of_a_given_size_is_not_exceeded(self, texts, size):
        features = Subword(kind="subword", vocabulary_size=size, min_count=1)
        assert features.encoder(features.learn(texts)).num_features <= size
