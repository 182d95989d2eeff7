"""Random convolutions know short patterns, wherever they are, and no padding."""

import numpy as np
import pytest
from toys import Ready

from seqbelt.comparison.baselines.random_convolutions import _convolve, _draw, random_convolutions
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Up then down or down then up, somewhere in the second feature of 3 to 60 steps."""
    random, arrays, labels = np.random.default_rng(0), [], []
    for row in range(120):
        steps = 0.3 * random.normal(size=(random.integers(3, 61), 2)).astype(np.float32)
        place = random.integers(len(steps) - 1)
        label = row // 4 % 2
        steps[place : place + 2, 1] += np.array([3, -3]) * (2 * label - 1)
        arrays.append(steps + np.array([100, -7]))
        labels.append(("down", "up")[label])
    split = [("train", "train", "train", "test")[row % 4] for row in range(120)]
    arrays = [array.astype(np.float32) for array in arrays]
    manifest = make_manifest(label=labels, split=split, contents=arrays)
    return prepare(manifest, Ready(width=2), tmp_path_factory.mktemp("store"), {}).store


def test_a_short_pattern_is_found_wherever_it_is(store):
    test = store.split("test")
    assert (random_convolutions(store.split("train"), test) == test.labels).mean() > 0.9


def test_what_is_found_does_not_depend_on_company(store):
    kernels, test = _draw(store.split("train")), store.split("test")
    together = _convolve(kernels, test)
    for index in (int(test.lengths.argmin()), int(test.lengths.argmax())):
        alone = _convolve(kernels, test.take(np.array([index])))[0]
        half = len(alone) // 2  # of shares and largest answers by turns
        assert half and np.isclose(alone, together[index], atol=1e-4).mean() > 0.999


def test_the_same_answers_every_time(store):
    train, test = store.split("train"), store.split("test")
    first = random_convolutions(train, test)
    np.testing.assert_array_equal(random_convolutions(train, test), first)
