"""Register a bundle as an MLflow model, and set the aliases champion and challenger."""

import contextlib
import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import mlflow.artifacts
import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from requests import RequestException

from seqbelt.errors import SeqbeltError, first_line
from seqbelt.features.base import Source
from seqbelt.inference.bundle_files import hash_of_bundle
from seqbelt.inference.serving import in_this_process
from seqbelt.tracking import pyfunc_model
from seqbelt.tracking.address import own_database, tracking_uri
from seqbelt.tracking.connection import connect, copy_of, is_unavailable, to_user_error
from seqbelt.tracking.environment import model_requirements
from seqbelt.tracking.registry_file import HASH_TAG, find_bundle, resolve_from_file
from seqbelt.tracking.run import TrackedRun

ALIASES = ("champion", "challenger")
"""Aliases of the best and the second best version."""
Certificates = Mapping[str, Mapping[str, Any] | None]
"""Certificates by kind as in the JSON of ``seqbelt certify``, each with ``passed``."""


def log_model(
    run: TrackedRun,
    bundle: Path,
    name: str,
    tags: dict[str, str],
    certificates: Certificates,
    example: Source,
    description: str,
) -> str:
    """Log a bundle as an MLflow model and register it; returns ``models:/name/version``.

    ``description`` is the version's page in Markdown, to which the command that uses the version is
    added.

    The model is code and safetensors, no pickle, with the package itself inside, so that any
    MLflow server can load it from the model's own requirements.
    """
    features = json.loads((bundle / "bundle.json").read_text("utf-8"))["features"]
    inputs = [
        section["kind"]
        for section in features.values()
        if isinstance(section, dict) and "kind" in section
    ]
    signature = pyfunc_model.signature(bundle)
    # MLflow tries the example, which is this program's own, on the model.
    with mlflow.start_run(run_id=run.run_id), _quiet(), in_this_process():
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=pyfunc_model.__file__,
            artifacts={"bundle": str(bundle)},
            code_paths=[str(Path(__file__).parents[1])],
            pip_requirements=model_requirements(features["kind"], *inputs),
            signature=signature,
            input_example=pyfunc_model.example(
                example, [*map(str, signature.inputs.input_names())]
            ),
            metadata={"seqbelt": "1"},
            model_config={"output": pyfunc_model.OUTPUTS[0]},
        )
    with contextlib.suppress(MlflowException):  # it exists already
        run.client.create_registered_model(name)
    tags = {**tags, HASH_TAG: hash_of_bundle(bundle)}
    version = run.client.create_model_version(
        name,
        info.model_uri,
        run_id=run.run_id,
        tags=tags,
        model_id=info.model_id,
    )
    uri = f"models:/{name}/{version.version}"
    use = f"Use: `seqbelt predict {uri} INPUT --output predictions.csv`"
    run.client.update_model_version(name, version.version, f"{description}\n\n{use}")
    log_certificates(run.run_id, certificates)
    if (certificates.get("padding") or {"passed": True})["passed"]:
        _update_aliases(run.client, name, version)
    return uri


def log_certificates(run_id: str, certificates: Certificates) -> bool:
    """Log certificates to a run, and their outcome as tags of the run's model versions.

    Returns whether the run is in this tracking store.
    """
    try:
        client = connect(make=False)
    except SeqbeltError:
        return False
    try:
        client.log_text(run_id, json.dumps(certificates, indent=2), "certificates.json")
    except MlflowException:
        return False
    for version in client.search_model_versions(f"run_id = '{run_id}'"):
        for kind, certificate in certificates.items():
            if certificate is not None:
                outcome = "passed" if certificate["passed"] else "failed"
                client.set_model_version_tag(
                    version.name, version.version, f"certificate.{kind}", outcome
                )
    return True


def _update_aliases(client: MlflowClient, name: str, version: ModelVersion) -> None:
    """Give the alias ``champion`` to the best version by validation, ``challenger`` to the next.

    Scores on other data are not comparable, so versions of other data rank last. Ties go to the
    newer version.
    """
    candidates = [version]
    for alias in ALIASES:
        with contextlib.suppress(MlflowException):  # not set yet
            candidates.append(client.get_model_version_by_alias(name, alias))
    candidates.sort(key=lambda candidate: _rank(candidate, version), reverse=True)
    for alias, candidate in zip(ALIASES, candidates, strict=False):
        client.set_registered_model_alias(name, alias, candidate.version)


def _rank(candidate: ModelVersion, newest: ModelVersion) -> tuple[bool, float, float]:
    """Same data first, then validation accuracy, then loss."""
    tags = candidate.tags
    same_data = tags.get("data.fingerprint") == newest.tags.get("data.fingerprint")
    accuracy = float(tags.get("validation.accuracy", 0))
    return same_data, accuracy, -float(tags.get("validation.loss", "inf"))


@contextlib.contextmanager
def _quiet():
    """Silence MLflow's requests for type hints, which the signature replaces."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


MAX_NAMED = 20


def resolve(model: str) -> tuple[Path, str]:
    """The bundle folder and the concrete version of an MLflow URI.

    The URI is ``models:/name@alias``, ``models:/name/3`` or ``runs:/id/model``. Read-only: no
    registry is created. Raises SeqbeltError if there is no such model, if its files are not the
    registered ones, or if the tracking server cannot be reached.
    """
    client = connect(make=False)
    # MLflow writes beside a model that it finds by name, which a read-only store does not allow.
    if (copy := copy_of(own_database())) and (found := resolve_from_file(model, copy)):
        return found
    try:
        concrete, version = _concrete(client, model)
    except (MlflowException, RequestException, OSError) as error:
        if is_unavailable(error):
            raise to_user_error(error, model) from None
        raise SeqbeltError(
            f"{model}: no such model ({first_line(error)}); {_list_models(client)}"
        ) from None
    try:
        folder = Path(mlflow.artifacts.download_artifacts(concrete))
    except (MlflowException, RequestException, OSError) as error:
        if is_unavailable(error) and tracking_uri().startswith(("http://", "https://")):
            raise to_user_error(error, model) from None
        raise SeqbeltError(
            f"{model}: no such model, or its files cannot be read ({first_line(error)}); "
            f"{_list_models(client)}"
        ) from None
    bundle = find_bundle(folder)
    if bundle is None:
        raise SeqbeltError(f"{model}: was not logged by seqbelt (contains no bundle)")
    if version is not None:
        registered = client.get_model_version(*version).tags.get(HASH_TAG)
        if registered is not None and registered != hash_of_bundle(bundle):
            raise SeqbeltError(
                f"{bundle}: is not the bundle that was registered as {concrete} (its hash is not "
                f"the version's tag {HASH_TAG}); restore it, or train again"
            )
    return bundle, concrete


def _concrete(client: MlflowClient, model: str) -> tuple[str, tuple[str, str] | None]:
    """Resolve an alias to a version, as the URI and as name and number."""
    name, separator, alias = model.removeprefix("models:/").rpartition("@")
    if model.startswith("models:/") and separator:
        version = client.get_model_version_by_alias(name, alias).version
        return f"models:/{name}/{version}", (name, str(version))
    if model.startswith("runs:/") and model.count("/") == 1:
        return f"{model}/model", None
    name, slash, number = model.removeprefix("models:/").rpartition("/")
    if model.startswith("models:/") and slash and number.isdigit():
        client.get_model_version(name, number)
        return model, (name, number)
    return model, None


def _list_models(client: MlflowClient) -> str:
    """The tracking store and its registered models, for error messages."""
    try:
        registered = client.search_registered_models(max_results=MAX_NAMED)
    except (MlflowException, RequestException, OSError):
        return f"tracking store: {tracking_uri()}"
    names = [
        f"models:/{model.name}{'@champion' * ('champion' in model.aliases)}" for model in registered
    ]
    models = ", ".join(names) if names else "none"
    return f"tracking store: {tracking_uri()}, registered models: {models}"
