"""Checkpoints are whole or refused."""

import pytest
import torch

from seqbelt.errors import SeqbeltError
from seqbelt.training.checkpoint import load_checkpoint, previous_checkpoint, save_checkpoint


def test_round_trip(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor([1, 2]), "random": torch.get_rng_state()}
    save_checkpoint(tmp_path / "c.safetensors", tensors, {"epoch": 3, "names": ["x"]})
    found, about = load_checkpoint(tmp_path / "c.safetensors")
    assert about == {"epoch": 3, "names": ["x"]}
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:50], lambda b: b""])
def test_a_cut_file_is_refused(tmp_path, damage):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": torch.randn(50)}, {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SeqbeltError, match="damaged"):
        load_checkpoint(path)


def test_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": torch.randn(50)}, {})
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(SeqbeltError, match="hash mismatch"):
        load_checkpoint(path)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(SeqbeltError, match="no checkpoint to resume from"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_damaged_file_gives_way_to_the_one_before(tmp_path, caplog):
    path = tmp_path / "c.safetensors"
    for epoch in (1, 2, 3):
        save_checkpoint(path, {"a": torch.full((50,), float(epoch))}, {"epoch": epoch})
    assert sorted(p.name for p in tmp_path.iterdir()) == [previous_checkpoint(path).name, path.name]
    path.write_bytes(path.read_bytes()[:-7])
    assert load_checkpoint(path)[1] == {"epoch": 2}
    assert "resuming from the previous checkpoint" in caplog.text
    path.unlink()  # killed between two renames
    assert load_checkpoint(path)[1] == {"epoch": 2}
