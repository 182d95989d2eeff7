"""Skeleton normalisation, tested by the changes that it must not see."""

import numpy as np
import pytest

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.arrays.skeleton import Skeleton
from seqbelt.features.arrays.vectors import Vectors

BODY = np.random.default_rng(0).normal(size=(9, 5, 3))


def normalize(body, **settings) -> np.ndarray:
    return Skeleton.parse({"root_joint": 1, **settings}).normalize(body)


def test_the_root_is_the_origin_of_every_step():
    normal = normalize(BODY)
    np.testing.assert_array_equal(normal[:, 1], 0)
    drift = np.arange(9)[:, None, None] * np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(normalize(BODY + drift), normal, atol=1e-12)
    np.testing.assert_allclose(normal[:, 3] - normal[:, 2], BODY[:, 3] - BODY[:, 2])


def test_centring_on_the_start_keeps_how_the_body_travels():
    normal = normalize(BODY, center="start")
    np.testing.assert_allclose(normal[:, 1], BODY[:, 1] - BODY[0, 1])
    np.testing.assert_allclose(normalize(BODY + 7, center="start"), normal)
    np.testing.assert_array_equal(normalize(BODY, center="none"), BODY)


def test_size_does_not_matter():
    normal = normalize(BODY, size_joints=[0, 4])
    np.testing.assert_allclose(normalize(BODY * 2.5, size_joints=[0, 4]), normal)
    lengths = np.linalg.norm(normal[:, 0] - normal[:, 4], axis=-1)
    assert np.median(lengths) == pytest.approx(1)
    together = np.zeros((3, 5, 3))
    np.testing.assert_array_equal(normalize(together, size_joints=[0, 4]), 0)


def test_velocities_follow_each_joints_coordinates():
    normal = normalize(BODY, velocities=True)
    assert normal.shape == (9, 5, 6)
    np.testing.assert_array_equal(normal[0, :, 3:], 0)
    np.testing.assert_allclose(normal[1:, :, 3:], np.diff(normalize(BODY), axis=0))


def test_a_skeleton_in_the_layout_of_a_file():
    settings = {"root_joint": 1, "velocities": True}
    values = {"kind": "vectors", "layout": "joints coordinates steps", "skeleton": settings}
    features = Vectors.parse(values)
    raw = features.read(BODY.transpose(1, 2, 0))
    encoder = features.encoder(features.learn([raw]))
    (encoded,) = encoder.encode([raw])
    assert encoder.num_features == 30
    expected = normalize(BODY, velocities=True).reshape(9, 30)
    np.testing.assert_allclose(encoded, expected, atol=1e-5)
    # Naming the axes in another order describes another file, not another result.
    features = Vectors.parse({**values, "layout": "steps coordinates joints"})
    np.testing.assert_allclose(
        encoder.encode([features.read(BODY.transpose(0, 2, 1))])[0], expected, atol=1e-5
    )


def test_settings_that_do_not_fit():
    with pytest.raises(SettingsError, match="joints and coordinates"):
        Vectors.parse({"kind": "vectors", "skeleton": {"root_joint": 0}})
    features = Vectors.parse(
        {"kind": "vectors", "layout": "steps joints coordinates", "skeleton": {"root_joint": 5}}
    )
    with pytest.raises(BadInput, match="names joint 5; the highest here is 4"):
        features.read(BODY)
