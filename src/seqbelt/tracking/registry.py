"""From the URI of a model to its bundle folder."""

from pathlib import Path

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from seqbelt.errors import SeqbeltError
from seqbelt.tracking.store import connect


def resolve(model: str) -> tuple[Path, str]:
    """From an MLflow URI to its bundle folder and the concrete version that answers.

    The URI is ``models:/name@alias``, ``models:/name/3`` or ``runs:/id/model``. Raises
    SeqbeltError if there is no such model.
    """
    client = connect()
    try:
        concrete = _concrete(client, model)
        folder = Path(mlflow.artifacts.download_artifacts(concrete))
    except (MlflowException, OSError) as error:
        raise SeqbeltError(f"{model}: no such model in the registry ({error})") from None
    found = next((path.parent for path in sorted(folder.rglob("bundle.json"))), None)
    if found is None:
        raise SeqbeltError(f"{model}: was not logged by seqbelt (no bundle in it)")
    return found, concrete


def _concrete(client: MlflowClient, model: str) -> str:
    """Name the version behind an alias, so that a prediction says who gave it."""
    name, at, alias = model.removeprefix("models:/").partition("@")
    if model.startswith("models:/") and at:
        return f"models:/{name}/{client.get_model_version_by_alias(name, alias).version}"
    if model.startswith("runs:/") and model.count("/") == 1:
        return f"{model}/model"
    return model
