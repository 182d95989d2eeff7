"""A saved model together with the data of a config."""

from seqbelt.data.labels.targets import Target
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.workflow.models import load_folder
from seqbelt.workflow.prepared_data import prepare_data


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
