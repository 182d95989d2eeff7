"""``seqbelt evaluate``: a saved model on the test part of a config's data."""

from pathlib import Path

from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Engine, Precision, Predictor
from seqbelt.workflow.prepared_data import prepare_data


def open_model(model: str, experiment: Experiment) -> tuple[Bundle, str, SequenceStore]:
    """The bundle, the concrete name of who answers, and the config's data prepared for it.

    Raises SettingsError where the config's features, classes or vocabulary are not the model's.
    """
    folder, concrete = load_folder(model)
    bundle = Bundle.load(folder)
    if bundle.features != experiment.features:
        raise SettingsError(
            f"{model} was trained with other features than this config names:\n"
            f"  model:  {bundle.features.to_dict()}\n  config: {experiment.features.to_dict()}"
        )
    store = prepare_data(experiment).store
    if store.classes != bundle.classes:
        raise SettingsError(
            f"the classes differ: the model knows {list(bundle.classes)}, "
            f"the data holds {list(store.classes)}"
        )
    if store.learned != bundle.learned:
        raise SettingsError(
            "the config's training rows give another vocabulary than the model's; evaluate with "
            "the config and data that it was trained with, or use 'seqbelt predict'"
        )
    return bundle, concrete, store


URI_PREFIXES = ("models:/", "runs:/")


def load_predictor(folder: Path, engine: Engine, precision: Precision) -> Predictor:
    """The bundle in a folder, ready to answer here or on a Ray cluster."""
    bundle = Bundle.load(folder)
    if engine != "ray":
        return Predictor(bundle, engine=engine, precision=precision)
    from seqbelt.inference.ray_engine import RayPredictor

    if precision != "float32":
        raise SettingsError(f"--precision {precision}: --engine ray computes in float32")
    return RayPredictor(bundle)


def load_folder(model: str) -> tuple[Path, str]:
    """The bundle folder of a MODEL argument, and the concrete name of who answers.

    MODEL is an MLflow URI or a bundle folder. Raises SeqbeltError if there is no such model.
    """
    if model.startswith(URI_PREFIXES):
        # A folder needs no MLflow, whose import takes seconds.
        from seqbelt.tracking.publish import resolve

        return resolve(model)
    if not Path(model, "bundle.json").is_file():
        raise SeqbeltError(
            f"'{model}' is no bundle folder (no bundle.json in it) and no MLflow URI "
            "(models:/name@champion, models:/name/3, runs:/id/model)"
        )
    return Path(model), model
