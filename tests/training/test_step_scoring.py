"""A class for every step, whatever the length: chunks do not show, windows have no seams."""

import numpy as np
import pytest
import torch
from toys import PLAIN

from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.pooling import Pooling
from seqbelt.models.stem import Stem
from seqbelt.training import step_scoring
from seqbelt.training.losses import MeanCrossEntropy
from seqbelt.training.step_scoring import label_steps


def network_of(seed: int = 0, **settings):
    torch.manual_seed(seed)
    model = Model(**PLAIN | {"hidden_size": 6, "pooling": "none"} | settings)
    return build_network(model, 3, 4, False).eval()


def limit(network, max_steps: int | None) -> None:
    """Let a network read so many steps at a time."""
    network.settings = network.settings.replace(max_steps=max_steps)


def noise(*lengths: int) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(n, 3)).astype(np.float32) for n in lengths], np.array(lengths)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("stem", ["none", Stem(channels=(4, 6, 6))], ids=["plain", "stem"])
def test_one_direction_carries_its_state_over(cell, stem, monkeypatch):
    network = network_of(cell=cell, num_layers=2, stem=stem)
    sequences, lengths = noise(3, 100, 33, 64)
    with torch.no_grad():
        whole = [network(torch.from_numpy(s)[None], torch.tensor([len(s)]))[0] for s in sequences]
    monkeypatch.setattr(step_scoring, "CHUNK_STEPS", 16)
    for found, expected in zip(label_steps(network, sequences, lengths), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "none"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_with_a_stem_every_step_has_an_answer_that_depends_on_its_neighbours(cell, bidirectional):
    network = network_of(cell=cell, stem="auto", bidirectional=bidirectional)
    sequences, lengths = noise(1, 700, 40)
    assert network.stem is not None and network.reduction == 1
    found = label_steps(network, sequences, lengths)
    assert [len(one) for one in found] == lengths.tolist()
    other = sequences[2].copy()
    other[20] += 1
    (changed,) = label_steps(network, [other], lengths[2:])
    moved = np.flatnonzero(np.abs(changed - found[2]).max(1) > 1e-6)
    assert 20 in moved and 21 in moved
    assert (19 in moved) is bidirectional


def test_two_directions_read_the_whole_without_a_limit():
    network, (sequences, lengths) = network_of(bidirectional=True), noise(9, 300)
    alone = label_steps(network, sequences[1:], lengths[1:])
    np.testing.assert_allclose(label_steps(network, sequences, lengths)[1], alone[0], atol=1e-6)


def test_windows_are_blended_without_a_seam():
    network = network_of(bidirectional=True, max_steps=40)
    (steps,), lengths = noise(333)
    (found,) = label_steps(network, [steps], lengths)
    limit(network, None)
    (whole,) = label_steps(network, [steps], lengths)
    cut = np.concatenate([label_steps(network, [steps[k : k + 40]], np.array([min(40, 333 - k)]))[0]
                          for k in range(0, 333, 40)])  # fmt: skip
    blended, seamed = (np.abs(_shares(one) - _shares(whole)).max() for one in (found, cut))
    assert found.shape == whole.shape
    assert blended < 0.02 < 3 * blended < seamed


def _shares(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_a_window_that_fits_is_the_whole():
    network = network_of(bidirectional=True, max_steps=40)
    sequences, lengths = noise(40)
    limit(network, None)
    expected = label_steps(network, sequences, lengths)
    limit(network, 40)
    np.testing.assert_array_equal(label_steps(network, sequences, lengths)[0], expected[0])


class TestLoss:
    logits = torch.tensor([[[2.0, 0, 0], [0, 1, 0]], [[0, 0, 3], [5, 5, 5]]])
    labels = torch.tensor([[0, UNLABELLED], [1, UNLABELLED]])

    def test_the_mean_over_labelled_steps(self):
        own = torch.stack([self.logits[0, 0], self.logits[1, 0]])
        expected = torch.nn.functional.cross_entropy(own, torch.tensor([0, 1]))
        assert MeanCrossEntropy(None, 0.0)(self.logits, self.labels) == pytest.approx(
            expected.item()
        )

    def test_unlabelled_steps_teach_nothing(self):
        logits = self.logits.clone().requires_grad_()
        MeanCrossEntropy(None, 0.1)(logits, self.labels).backward()
        assert logits.grad is not None
        assert not logits.grad[:, 1].any() and logits.grad[:, 0].any()

    def test_a_batch_without_labels_is_no_loss_and_no_nan(self):
        labels = torch.full((2, 2), UNLABELLED)
        assert MeanCrossEntropy(None, 0.0)(self.logits, labels).item() == 0

    def test_padding_teaches_nothing_whatever_stands_there(self):
        network = network_of(layout="padded").train()
        inputs = torch.randn(2, 5, 3)
        labels = torch.tensor([[0, 1, 2, 3, 0], [1, 2] + 3 * [UNLABELLED]])
        gradients = []
        for garbage in (0.0, 1e30):
            inputs[1, 2:] = garbage
            network.zero_grad()
            loss = MeanCrossEntropy(None, 0.0)(network(inputs, torch.tensor([5, 2])), labels)
            loss.backward()
            gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other)

    def test_what_is_undefined_in_the_padding_stays_out_of_the_gradient(self):
        outputs = torch.randn(2, 3, 4)
        outputs[1, 1:] = torch.nan
        head, lengths = torch.nn.Linear(4, 2), torch.tensor([3, 1])
        pooled = Pooling("none", 4)(outputs, outputs[:, 0], lengths)
        labels = torch.tensor([[0, 1, 0], [1, UNLABELLED, UNLABELLED]])
        MeanCrossEntropy(None, 0.0)(head(pooled), labels).backward()
        assert head.weight.grad is not None and head.weight.grad.isfinite().all()
