import numpy as np
import pytest
from toys import toy_store

from seqbelt.data.batches import step_statistics
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.plots.run_figures import augmentation_figure
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.augmenter import Augmenter


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store")).split("train")


def draw(train, seed=0, **settings):
    network = build_network(Model(hidden_size=2), 3, 2, is_tokens=False)
    network.normalize.learn(*step_statistics(train))
    figure = augmentation_figure(
        train, Augmenter.for_network(Augmentation(**settings), network, seed)
    )
    return network, np.array(figure.axes).reshape(2, 3)


def test_the_first_row_of_each_class_stands_beside_two_augmented_ones(train):
    network, grid = draw(train, noise_std=0.5)
    for label, axes in enumerate(grid):
        assert [one.get_title() for one in axes] == [("no", "yes")[label]] * 3
        curves = [
            np.stack([line.get_ydata() for line in one.lines], axis=1) - one.get_yticks()
            for one in axes
        ]
        row = train[int((train.labels == label).argmax())]
        expected = (row - network.normalize.mean.numpy()) / network.normalize.std.numpy()
        np.testing.assert_allclose(curves[0], expected, rtol=1e-4, atol=1e-5)
        first, second = (curve - curves[0] for curve in curves[1:])
        assert 0.2 < first.std() < 1 and not np.allclose(first, second)


def test_a_mixed_label_is_written_with_its_shares(train):
    grids = [draw(train, seed, mixup_alpha=1.0)[1] for seed in range(3)]
    titles = [axes.get_title() for grid in grids for axes in grid[:, 1:].flat]
    for title in titles:
        attributions = [float(part.split()[1]) for part in title.split(", ")]
        assert (
            sum(attributions) == pytest.approx(1, abs=0.011)
            and attributions == sorted(attributions)[::-1]
        )
    assert any("no" in title and "yes" in title for title in titles)
