"""The best version by validation is the champion, the next one the challenger."""

import pytest
from mlflow import MlflowClient

from seqbelt.errors import SeqbeltError
from seqbelt.inference.bundle_files import hash_of_bundle
from seqbelt.tracking import publish as publishing
from seqbelt.tracking.publish import HASH_TAG, _update_aliases, resolve


@pytest.fixture
def client(tmp_path):
    store = f"sqlite:///{tmp_path / 'registry.db'}"
    client = MlflowClient(store, store)  # else the registry is that of an earlier test
    client.create_registered_model("toys")
    return client


def publish(client, accuracy, data="one", loss=1.0):
    tags = {
        "validation.accuracy": str(accuracy),
        "validation.loss": str(loss),
        "data.fingerprint": data,
    }
    version = client.create_model_version("toys", "file:///nowhere", tags=tags)
    _update_aliases(client, "toys", version)


def holders(client):
    aliases = client.get_registered_model("toys").aliases
    return {alias: str(version) for alias, version in aliases.items()}


def test_the_two_best_hold_the_aliases(client):
    found = []
    for accuracy in (0.8, 0.9, 0.7, 0.85, 0.9):
        publish(client, accuracy)
        found.append(holders(client))
    assert found == [
        {"champion": "1"},
        {"champion": "2", "challenger": "1"},
        {"champion": "2", "challenger": "1"},
        {"champion": "2", "challenger": "4"},
        {"champion": "5", "challenger": "2"},
    ]


def test_of_equally_accurate_versions_the_lower_loss_is_champion(client):
    found = []
    for loss in (0.5, 0.7, 0.3, 0.4):
        publish(client, 0.9, loss=loss)
        found.append(holders(client))
    assert found == [
        {"champion": "1"},
        {"champion": "1", "challenger": "2"},
        {"champion": "3", "challenger": "1"},
        {"champion": "3", "challenger": "4"},
    ]


def test_versions_of_other_data_give_way(client):
    publish(client, 0.9)
    publish(client, 0.5, data="other")
    assert holders(client) == {"champion": "2", "challenger": "1"}
    publish(client, 0.4, data="other")
    assert holders(client) == {"champion": "2", "challenger": "3"}


@pytest.fixture
def bundle(client, tmp_path, monkeypatch):
    """A folder that every download returns."""
    folder = tmp_path / "model" / "artifacts" / "bundle"
    folder.mkdir(parents=True)
    for name in ("bundle.json", "weights.safetensors"):
        (folder / name).write_bytes(b"{}")
    monkeypatch.setattr(publishing, "connect", lambda make: client)
    monkeypatch.setattr(publishing.mlflow.artifacts, "download_artifacts", lambda uri: folder)
    return folder


def test_a_bundle_that_is_not_the_registered_one_is_refused(client, bundle):
    tags = {HASH_TAG: hash_of_bundle(bundle)}
    client.create_model_version("toys", "file:///nowhere", tags=tags)
    assert resolve("models:/toys/1") == (bundle, "models:/toys/1")
    (bundle / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(SeqbeltError, match="is not the bundle that was registered as models:/toys"):
        resolve("models:/toys/1")


def test_a_version_registered_without_a_hash_is_read(client, bundle):
    client.create_model_version("toys", "file:///nowhere")
    assert resolve("models:/toys/1") == (bundle, "models:/toys/1")
