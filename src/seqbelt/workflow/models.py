"""Load models from a MODEL argument: a bundle folder or an MLflow URI."""

from pathlib import Path

from seqbelt.data.labels.targets import Target
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Engine, Predictor, ProductPrecision
from seqbelt.workflow.prepared_data import prepare_data

URI_PREFIXES = ("models:/", "runs:/")


def open_model(model: str, experiment: Experiment) -> tuple[Bundle, str, SequenceStore]:
    """The bundle, its resolved name (``models:/NAME/3``), and the config's prepared data.

    Raises SettingsError if features, classes or vocabulary of config and model differ.
    """
    folder, concrete = load_folder(model)
    bundle = Bundle.load(folder)
    older = {
        name: getattr(bundle.features, name)
        for name in bundle.features.before
        if type(bundle.features) is type(experiment.features)
        and name not in experiment.features.model_fields_set
    }
    if older:  # what the config leaves to its default is as the model was trained
        experiment = experiment.replace(features=experiment.features.replace(**older))
    if bundle.features != experiment.features:
        raise SettingsError(
            f"{model}: the model's features differ from the config's:\n"
            f"  model:  {bundle.features.to_dict()}\n  config: {experiment.features.to_dict()}"
        )
    store = prepare_data(experiment).store
    if store.classes != bundle.classes:
        raise SettingsError(
            f"the classes differ: the model has {list(bundle.classes)}, "
            f"the data {list(store.classes)}"
        )
    if store.target is not bundle.target:
        raise SettingsError(
            f"{model}: the model's labels differ from the config's: the model has "
            f"{_describe(bundle.target)}, the data {_describe(store.target)}"
        )
    if store.learned != bundle.learned:
        raise SettingsError(
            "the vocabulary learned from the config's training rows differs from the model's; use "
            "the config and data that the model was trained on, or 'seqbelt predict'"
        )
    return bundle, concrete, store


def _describe(target: Target) -> str:
    """A target by its settings."""
    return "ordered classes (data.order)" if target.is_ordered else f"data.labels: {target.name}"


def load(model: str | Path, device: str = "auto") -> Predictor:
    """Load a saved model for prediction: ``seqbelt.load("models:/pets@champion")``.

    ``model`` is a bundle folder or an MLflow URI (``models:/NAME@champion``, ``models:/NAME/3``,
    ``runs:/ID/model``); ``device`` is ``auto``, ``cpu`` or ``cuda``. The predictor's ``predict``
    takes numbered sources (paths, texts, bytes or arrays), ``probabilities`` takes encoded
    sequences ``(steps, features)``; ``bundle.classes`` names the columns. Raises SeqbeltError
    if there is no such model or its files are damaged.
    """
    folder, _ = load_folder(str(model))
    return Predictor(Bundle.load(folder), device)


def load_predictor(folder: Path, engine: Engine, precision: ProductPrecision) -> Predictor:
    """A predictor for the bundle in a folder, on this machine or on a Ray cluster."""
    bundle = Bundle.load(folder)
    if engine != "ray":
        return Predictor(bundle, engine=engine, precision=precision)
    from seqbelt.inference.ray_engine import RayPredictor

    if precision != "float32":
        raise SettingsError(f"--precision {precision}: --engine ray computes in float32")
    return RayPredictor(bundle)


def load_folder(model: str, project: Path | None = None) -> tuple[Path, str]:
    """The bundle folder of a MODEL argument, and its resolved name (``models:/NAME/3``).

    ``project`` is the folder whose ``mlruns/`` has the registry. Raises SeqbeltError if there is
    no such registry or model.
    """
    if project is not None:
        from seqbelt.tracking.address import use_project

        use_project(project)
    if model.startswith(URI_PREFIXES):
        from seqbelt.tracking.registry_file import resolve_from_file

        if (bundle_and_version := resolve_from_file(model)) is not None:
            return bundle_and_version
        # Imported here: MLflow takes seconds to import.
        from seqbelt.tracking.publish import resolve

        return resolve(model)
    if not Path(model, "bundle.json").is_file():
        raise SeqbeltError(
            f"'{model}' is neither a bundle folder (no bundle.json in it) nor an MLflow URI "
            "(models:/name@champion, models:/name/3, runs:/id/model)"
        )
    return Path(model), model
