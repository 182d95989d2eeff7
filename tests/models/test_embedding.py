"""Embeddings that start from word vectors."""

import numpy as np
import pytest
import torch

from seqbelt.errors import SettingsError
from seqbelt.features.text.word_vectors import WordVectors
from seqbelt.models.classifier import build_network
from seqbelt.models.embedding import Embedding
from seqbelt.models.model import Model

VECTORS = np.array([[0, 0], [3, -1], [0, 0], [-1, 3]], np.float32)
IS_FOUND = np.array([False, True, False, True])


def test_random_rows_start_small():
    torch.manual_seed(0)
    assert Embedding(4000, 8).weight.std().item() == pytest.approx(0.1, rel=0.02)


def test_found_rows_are_the_vectors_and_the_others_have_their_spread():
    torch.manual_seed(0)
    embedding = Embedding(4000, 2)
    vectors, is_found = np.tile(VECTORS, (1000, 1)), np.tile(IS_FOUND, 1000)
    embedding.start_from(vectors, is_found)
    found = torch.from_numpy(is_found)
    assert torch.equal(embedding.weight[found], torch.from_numpy(vectors[is_found]))
    assert embedding.weight[~found].std().item() == pytest.approx(2, rel=0.05)
    assert len(embedding.weight[~found].unique(dim=0)) == 2000


def test_no_vector_at_all_leaves_the_random_rows():
    embedding = Embedding(4, 2)
    before = embedding.weight.clone()
    embedding.start_from(VECTORS, np.zeros(4, bool))
    assert torch.equal(embedding.weight, before)


def test_another_width_is_refused_with_the_remedy():
    with pytest.raises(SettingsError, match=r"128, but .* 2 dimensions; set .*embedding_size to 2"):
        Embedding(4, 128).start_from(VECTORS, IS_FOUND)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_rows_are_not_trained(tmp_path, frozen):
    vectors = WordVectors(path=tmp_path / "never read.vec", frozen=frozen)
    network = build_network(
        Model(hidden_size=4, embedding_size=2, vectors=vectors), 4, 2, is_tokens=True
    )
    plain = build_network(Model(hidden_size=4, embedding_size=2), 4, 2, is_tokens=True)
    assert plain.num_parameters - network.num_parameters == (8 if frozen else 0)
    network.embed.start_from(VECTORS, IS_FOUND)
    before = network.embed.weight.clone()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.tensor([[1, 2, 3]]), torch.tensor([3])).sum().backward()
    optimizer.step()
    assert torch.equal(network.embed.weight, before) is frozen
    assert all(p.grad is not None for p in trained)


def test_dropped_tokens_are_zero_wherever_they_stand():
    torch.manual_seed(0)
    embedding = Embedding(1000, 4, dropout=0.25)
    ids = torch.arange(1000).repeat(2, 1)
    steps = embedding(ids)
    is_zero = (steps == 0).all(2)
    assert torch.equal(is_zero[0], is_zero[1])
    assert is_zero[0].float().mean().item() == pytest.approx(0.25, abs=0.05)
    kept = ~is_zero[0]
    # What is kept is scaled, so that the mean over many steps is the embedding itself.
    torch.testing.assert_close(steps[0, kept], embedding.weight[kept] / 0.75)
    assert not torch.equal(embedding(ids), steps)
    assert torch.equal(embedding.eval()(ids)[0], embedding.weight)


def test_the_dropout_of_the_settings_reaches_the_embedding():
    network = build_network(Model(hidden_size=4, embedding_dropout=0.5), 50, 2, is_tokens=True)
    ids, lengths = torch.arange(50)[None], torch.tensor([50])
    assert not torch.equal(network(ids, lengths), network(ids, lengths))
    network.eval()
    assert torch.equal(network(ids, lengths), network(ids, lengths))


class TestComposed:
    parts = np.array([[0, 0], [1, 1], [0, 2], [1, 2]])

    def embedding(self, **settings) -> Embedding:
        torch.manual_seed(0)
        embedding = Embedding(4, 3, **settings)
        embedding.compose(self.parts)
        return embedding

    def test_a_token_is_the_mean_of_its_two_rows(self):
        embedding = self.embedding()
        rows = embedding.weight
        vectors = embedding(torch.tensor([[1, 3]]))[0]
        torch.testing.assert_close(vectors, torch.stack([rows[1], (rows[1] + rows[2]) / 2]))
        torch.testing.assert_close(embedding.table()[[1, 3]], vectors)

    def test_in_training_whole_rows_are_dropped(self):
        embedding = self.embedding(dropout=0.5)
        vectors = torch.stack([embedding(torch.tensor([[3]]))[0, 0] for _ in range(400)])
        rows = embedding.weight.detach()
        possible = torch.stack([0 * rows[1], rows[1], rows[2], rows[1] + rows[2]])
        nearest = torch.cdist(vectors, possible).min(1)
        assert nearest.values.max() < 1e-6
        assert nearest.indices.bincount(minlength=4).min() > 60

    def test_a_saved_embedding_is_composed_again_and_an_older_one_is_not(self):
        saved = self.embedding().state_dict()
        loaded = Embedding(4, 3)
        loaded.load_state_dict(saved)
        assert loaded.parts is not None
        torch.testing.assert_close(loaded.table(), self.embedding().table())
        del saved["parts"]
        loaded.load_state_dict(saved)
        assert loaded.parts is None

    @pytest.mark.parametrize("parts", [[[0, 4]], [[0, 0]] * 3, [[0, -1]] * 4])
    def test_rows_that_are_not_there_are_refused(self, parts):
        saved = self.embedding().state_dict() | {"parts": torch.tensor(parts)}
        with pytest.raises(RuntimeError, match="parts: expected"):
            Embedding(4, 3).load_state_dict(saved)
