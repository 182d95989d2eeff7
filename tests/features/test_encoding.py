import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqbelt.errors import EMPTY, NOT_FINITE, SILENT, UNREADABLE, BadInput
from seqbelt.features import encoding
from seqbelt.features.base import Features, Source
from seqbelt.features.encoding import encode_sources, hash_content, stamp_source


class Bytes(Features):
    """A recording of numbers: each byte is a step. Bytes above 200 misbehave."""

    def read(self, source: Source) -> bytes:
        assert isinstance(source, bytes)
        if not source:
            raise BadInput(EMPTY, "nothing")
        if source[0] == 255:
            raise RuntimeError("the decoder's own fault")
        return source

    def encoder(self, learned):
        return self

    @property
    def num_features(self) -> int:
        return 1

    def encode(self, raws: Sequence[bytes]) -> list[np.ndarray]:
        for raw in raws:
            if raw[0] == 254:
                raise ValueError("cannot be encoded")
            if raw[0] == 253:
                raise BadInput(SILENT, "too quiet")
        arrays = [np.frombuffer(raw, np.uint8).astype(np.float32)[:, None] for raw in raws]
        return [np.where(array == 252, np.nan, array) for array in arrays]


REASONS = {255: UNREADABLE, 254: UNREADABLE, 253: SILENT, 252: NOT_FINITE}


def run(contents: Sequence[Source], **options):
    return list(encode_sources(Bytes(), Bytes(), enumerate(contents), **options))


BAD = [b"\xff", b"\xfe\x01", b"\xfd", b"\x01\xfc", b""]


@example(contents=[b"\x01", *BAD, b"\x02"], num_workers=1, chunk=7)
@given(
    contents=st.lists(st.binary(max_size=3) | st.sampled_from(BAD), max_size=40),
    num_workers=st.integers(1, 4),
    chunk=st.integers(1, 7),
)
def test_every_item_has_one_outcome_in_order_and_a_bad_one_costs_only_itself(
    contents, num_workers, chunk
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "CHUNK_ITEMS", chunk)
        outcomes = run(contents, num_workers=num_workers)
    assert [outcome.index for outcome in outcomes] == list(range(len(contents)))
    for content, outcome in zip(contents, outcomes, strict=True):
        found = outcome.sequence
        wrong = REASONS.get(content[0]) if content else EMPTY
        if wrong is None and 252 in content:
            wrong = NOT_FINITE
        if wrong:
            assert isinstance(found, BadInput)
            assert found.reason == wrong
        else:
            assert found[:, 0].tolist() == list(content)
            assert outcome.content_hash == hash_content(content)


def test_slow_items_do_not_change_the_order(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK_ITEMS", 1)
    read = Bytes.read

    def slow_first(self, source):
        time.sleep(0.02 if source[0] == 0 else 0)
        return read(self, source)

    monkeypatch.setattr(Bytes, "read", slow_first)
    outcomes = run([bytes([n % 4]) for n in range(12)], num_workers=3)
    assert [outcome.index for outcome in outcomes] == list(range(12))


def test_known_content_is_hashed_and_not_decoded():
    known = hash_content(b"\xff")  # reading it would fail
    outcomes = run([b"\x01", b"\xff", b"\x02"], is_known={known}.__contains__)
    assert [outcome.sequence is None for outcome in outcomes] == [False, True, False]
    assert outcomes[1].content_hash == known


def test_only_a_few_chunks_are_ahead_of_the_reader(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK_ITEMS", 2)
    taken = []

    def sources():
        for index in range(1000):
            taken.append(index)
            yield index, b"\x01"

    outcomes = encode_sources(Bytes(), Bytes(), sources(), num_workers=2)
    next(outcomes)
    assert len(taken) <= 10
    outcomes.close()
    assert len(taken) <= 10  # closing takes no more
    assert not [t for t in threading.enumerate() if t.name.startswith("encode")]


def test_large_items_make_small_chunks(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK_BYTES", 100)
    taken = []

    def sources():
        for index in range(50):
            taken.append(index)
            yield index, np.zeros(200, np.uint8).tobytes()

    outcomes = encode_sources(Bytes(), Bytes(), sources(), num_workers=1)
    next(outcomes)
    assert len(taken) <= 3
    outcomes.close()


def test_a_missing_file_is_one_items_problem(tmp_path):
    (tmp_path / "a").write_bytes(b"\x01")
    outcomes = run([tmp_path / "a", tmp_path / "none", tmp_path])
    assert outcomes[0].sequence.tolist() == [[1.0]]
    assert outcomes[1].sequence.reason == UNREADABLE
    assert outcomes[1].content_hash == ""
    assert isinstance(outcomes[2].sequence, BadInput)


def test_the_hash_is_of_the_content_whatever_holds_it(tmp_path):
    (tmp_path / "a").write_bytes("né".encode())
    (tmp_path / "b").write_bytes("né".encode())
    sources = [tmp_path / "a", tmp_path / "b", "né", "né".encode()]
    assert len({hash_content(source) for source in sources}) == 1
    assert len(hash_content(b"")) == 32


def test_arrays_hash_by_numbers_type_and_shape_and_not_by_layout():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert hash_content(array) == hash_content(np.asfortranarray(array))
    others = [array.reshape(3, 2), array.astype(np.float64), array + 1, array.view(np.int32)]
    assert len({hash_content(a) for a in [array, *others]}) == 5


@pytest.mark.parametrize("text", ["\udcff", "\ud83d alone"], ids=["low", "high"])
def test_a_text_that_is_no_utf8_still_has_a_hash(text):
    assert hash_content(text) != hash_content("")
    assert stamp_source(text)


def test_a_stamp_changes_with_path_size_and_time_only(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12")
    import os

    os.utime(path, ns=(1, 1))
    stamps = [stamp_source(path)]
    assert stamp_source(path) == stamps[0]
    os.utime(path, ns=(2, 2))
    stamps.append(stamp_source(path))
    path.write_bytes(b"123")
    os.utime(path, ns=(2, 2))
    stamps.append(stamp_source(path))
    path.rename(tmp_path / "b")
    stamps.append(stamp_source(tmp_path / "b"))
    assert len(set(stamps)) == 4
    assert stamp_source(path) == 0  # gone
