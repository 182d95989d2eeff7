"""From the URI of a model to its bundle folder."""

from pathlib import Path

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from seqbelt.errors import SeqbeltError
from seqbelt.tracking.store import connect

URI_SCHEMES = ("models:/", "runs:/")


def resolve(model: str) -> tuple[Path, str]:
    """From a MODEL argument to its bundle folder and the concrete version that answers.

    MODEL is ``models:/name@alias``, ``models:/name/3``, ``runs:/id/model`` or a bundle folder.
    Raises SeqbeltError if there is no such model.
    """
    if not model.startswith(URI_SCHEMES):
        if not Path(model, "bundle.json").is_file():
            raise SeqbeltError(
                f"'{model}' is no bundle folder (no bundle.json in it) and no MLflow URI "
                "(models:/name@champion, models:/name/3, runs:/id/model)"
            )
        return Path(model), model
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
