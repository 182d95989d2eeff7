"""From the URI of a model to its bundle folder."""

from pathlib import Path

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import RequestException

from seqbelt.errors import SeqbeltError
from seqbelt.inference.bundle import hash_of_bundle
from seqbelt.tracking.store import connect, explained, is_away, short, tracking_uri

HASH_TAG = "bundle.sha256"
"""Of a version: the hash of the bundle that was registered."""
MAX_NAMED = 20


def resolve(model: str) -> tuple[Path, str]:
    """From an MLflow URI to its bundle folder and the concrete version that answers.

    The URI is ``models:/name@alias``, ``models:/name/3`` or ``runs:/id/model``. Only reads: no
    registry is made. Raises SeqbeltError if there is no such model, if its files are not those that
    were registered, or where the tracking server cannot be reached.
    """
    client = connect(make=False)
    try:
        concrete, version = _concrete(client, model)
    except (MlflowException, RequestException, OSError) as error:
        if is_away(error):
            raise explained(error, model) from None
        raise SeqbeltError(f"{model}: no such model ({short(error)}); {_known(client)}") from None
    try:
        folder = Path(mlflow.artifacts.download_artifacts(concrete))
    except (MlflowException, RequestException, OSError) as error:
        if is_away(error) and tracking_uri().startswith(("http://", "https://")):
            raise explained(error, model) from None
        raise SeqbeltError(
            f"{model}: no such model, or its files cannot be read ({short(error)}); "
            f"{_known(client)}"
        ) from None
    found = next((path.parent for path in sorted(folder.rglob("bundle.json"))), None)
    if found is None:
        raise SeqbeltError(f"{model}: was not logged by seqbelt (no bundle in it)")
    if version is not None:
        registered = client.get_model_version(*version).tags.get(HASH_TAG)
        if registered is not None and registered != hash_of_bundle(found):
            raise SeqbeltError(
                f"{found}: is not the bundle that was registered as {concrete} (its hash is not "
                f"the version's tag {HASH_TAG}); restore it, or train again"
            )
    return found, concrete


def _concrete(client: MlflowClient, model: str) -> tuple[str, tuple[str, str] | None]:
    """Name the version behind an alias, so that a prediction says who gave it; name and number."""
    name, at, alias = model.removeprefix("models:/").rpartition("@")
    if model.startswith("models:/") and at:
        version = client.get_model_version_by_alias(name, alias).version
        return f"models:/{name}/{version}", (name, str(version))
    if model.startswith("runs:/") and model.count("/") == 1:
        return f"{model}/model", None
    name, slash, number = model.removeprefix("models:/").rpartition("/")
    if model.startswith("models:/") and slash and number.isdigit():
        client.get_model_version(name, number)
        return model, (name, number)
    return model, None


def _known(client: MlflowClient) -> str:
    """Where was looked, and what is registered there."""
    try:
        found = client.search_registered_models(max_results=MAX_NAMED)
    except (MlflowException, RequestException, OSError):
        return f"looked in {tracking_uri()}"
    names = [f"models:/{one.name}{'@champion' * ('champion' in one.aliases)}" for one in found]
    models = ", ".join(names) if names else "none"
    return f"looked in {tracking_uri()}, models there: {models}"
