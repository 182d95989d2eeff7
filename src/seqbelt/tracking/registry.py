"""The model registry: versions, the champion, and from a URI to a bundle folder."""

from pathlib import Path

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from seqbelt.errors import SeqbeltError
from seqbelt.tracking.environment import model_requirements
from seqbelt.tracking.run import TrackedRun
from seqbelt.tracking.store import connect

CHAMPION = "champion"
URI_SCHEMES = ("models:/", "runs:/")


def log_model(run: TrackedRun, bundle: Path, name: str, tags: dict[str, str]) -> str:
    """Log a bundle as an MLflow model and register it; returns ``models:/name/version``.

    The model is code and safetensors, no pickle, with the package itself inside, so that any
    MLflow server can load it from the model's own requirements.
    """
    import mlflow.pyfunc  # seconds to import, and only needed here

    from seqbelt.tracking import pyfunc_model

    with mlflow.start_run(run_id=run.run_id):
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=pyfunc_model.__file__,
            artifacts={"bundle": str(bundle)},
            code_paths=[str(Path(__file__).parents[1])],
            pip_requirements=model_requirements(),
            signature=pyfunc_model.signature(bundle),
            metadata={"seqbelt": "1"},
        )
    try:
        run.client.create_registered_model(name)
    except MlflowException:
        pass  # it is there already
    version = run.client.create_model_version(
        name, info.model_uri, run_id=run.run_id, tags=tags, model_id=info.model_id
    )
    _crown(run.client, name, version)
    return f"models:/{name}/{version.version}"


def _crown(client: MlflowClient, name: str, version: ModelVersion) -> None:
    """Give the alias ``champion`` to the version if it is the best by validation.

    Scores on other data say nothing, so a champion of other data gives way.
    """
    try:
        champion = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        champion = None
    if champion is None or _rank(version, version) >= _rank(champion, version):
        client.set_registered_model_alias(name, CHAMPION, version.version)


def _rank(candidate: ModelVersion, newest: ModelVersion) -> tuple[bool, float, float]:
    """Same data first, then validation accuracy, then loss."""
    tags = candidate.tags
    same_data = tags.get("data.fingerprint") == newest.tags.get("data.fingerprint")
    accuracy = float(tags.get("validation.accuracy", 0))
    return same_data, accuracy, -float(tags.get("validation.loss", "inf"))


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
