"""``seqbelt evaluate``: a saved model on the test part of a config's data."""

from typing import Any

from seqbelt.data.cropping import crop_part
from seqbelt.data.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.evaluation.step_report import report_on
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.stages.predict import load_folder
from seqbelt.stages.prepare import prepare_data
from seqbelt.stages.progress import say


def evaluate(model: str, experiment: Experiment) -> dict[str, Any]:
    """Encode the test part as the model was trained, and score it."""
    bundle, concrete, store = open_model(model, experiment)
    test = store.split("test")
    if not len(test):
        raise SettingsError("the config's data has no test part; set data.test_fraction above 0")
    test = crop_part(test, bundle.model.max_steps, bundle.model.crop, for_training=False)
    report = report_on(bundle.network, {"test": test})["test"]
    say(report.per_class().to_string(index=False))
    return {"model": concrete, "num_sequences": len(test), "test": report.plain()}


def open_model(model: str, experiment: Experiment) -> tuple[Bundle, str, SequenceStore]:
    """The bundle, the concrete name of who answers, and the config's data prepared for it.

    Raises SettingsError where the config's features, classes or vocabulary are not the model's.
    """
    folder, concrete = load_folder(model)
    bundle = Bundle.load(folder)
    if bundle.features != experiment.features:
        raise SettingsError(
            f"{model} was trained with other features than this config names:\n"
            f"  model:  {bundle.features.plain()}\n  config: {experiment.features.plain()}"
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
