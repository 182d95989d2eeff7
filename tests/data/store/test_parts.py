import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from seqbelt.data.store import parts
from seqbelt.data.store.parts import PartWriter, open_part, part_paths, write_json


def write(folder, sequences, first: int = 0) -> None:
    writer = PartWriter(folder)
    for number, sequence in enumerate(sequences, first):
        writer.add(f"hash-{number}", number + 1, sequence)
    writer.close()


def read(folder, width: int | None = 3) -> dict[str, tuple[int, np.ndarray]]:
    found = {}
    for path in part_paths(folder):
        for batch in open_part(path):
            for row, name in enumerate(batch.content_hash.to_pylist()):
                values = batch.values[batch.offsets[row] : batch.offsets[row + 1]]
                sequence = values if width is None else values.reshape(-1, width)
                assert len(sequence) == batch.num_steps[row]
                assert name not in found
                found[name] = (int(batch.stamp[row]), sequence)
    return found


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30),
    batch_bytes=st.integers(1, 3000),
    part_bytes=st.integers(1, 5000),
)
def test_what_is_added_is_read_back_however_it_is_cut(
    tmp_path_factory, lengths, batch_bytes, part_bytes
):
    folder = tmp_path_factory.mktemp("parts")
    random = np.random.default_rng(0)
    sequences = [random.normal(size=(n, 3)).astype(np.float32) for n in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "BATCH_BYTES", batch_bytes)
        patch.setattr(parts, "PART_BYTES", part_bytes)
        write(folder, sequences)
    found = read(folder)
    assert len(found) == len(sequences)
    for number, sequence in enumerate(sequences):
        stamp, values = found[f"hash-{number}"]
        assert stamp == number + 1
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, sequence)


@given(npst.arrays(np.int32, st.integers(1, 20)))
def test_token_ids_stay_integers(tmp_path_factory, tokens):
    folder = tmp_path_factory.mktemp("parts")
    write(folder, [tokens])
    _, values = read(folder, width=None)["hash-0"]
    assert values.dtype == np.int32
    np.testing.assert_array_equal(values, tokens)


def test_a_later_writer_adds_and_never_changes_what_is_there(tmp_path):
    write(tmp_path, [np.ones((2, 3), np.float32)])
    before = {path.name: path.read_bytes() for path in part_paths(tmp_path)}
    write(tmp_path, [np.zeros((4, 3), np.float32)], first=1)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert set(read(tmp_path)) == {"hash-0", "hash-1"}


def test_an_unfinished_part_is_never_seen_and_is_swept_away(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "BATCH_BYTES", 1)
    write(tmp_path, [np.ones((2, 3), np.float32)])
    killed = PartWriter(tmp_path)
    killed.add("lost", 9, np.ones((2, 3), np.float32))
    assert set(read(tmp_path)) == {"hash-0"}
    assert list(tmp_path.glob("*.tmp"))
    write(tmp_path, [np.ones((1, 3), np.float32)], first=1)
    assert set(read(tmp_path)) == {"hash-0", "hash-1"}
    assert not list(tmp_path.glob("*.tmp"))


def test_an_old_part_is_closed_so_that_little_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART_SECONDS", -1.0)
    writer = PartWriter(tmp_path)
    writer.add("hash-0", 1, np.ones((2, 3), np.float32))
    assert set(read(tmp_path)) == {"hash-0"}


def test_closing_an_empty_writer_leaves_no_part(tmp_path):
    PartWriter(tmp_path / "new").close()
    assert part_paths(tmp_path / "new") == []


def test_the_largest_stamp_is_kept(tmp_path):
    writer = PartWriter(tmp_path)
    writer.add("h", 2**64 - 1, np.ones((1, 3), np.float32))
    writer.close()
    assert read(tmp_path)["h"][0] == 2**64 - 1


def test_json_is_replaced_as_a_whole(tmp_path):
    write_json(tmp_path / "a.json", {"name": "é", "n": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {("no", "key"): 1})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"name": "é", "n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
