"""``seqbelt evaluate``: a saved model on the test part of a config's data."""

from typing import Any

import torch

from seqbelt.errors import SettingsError
from seqbelt.evaluation.report import Report
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.stages.predict import load_folder
from seqbelt.stages.prepare import prepare_data
from seqbelt.stages.progress import say
from seqbelt.training.scoring import predict_logits


def evaluate(model: str, experiment: Experiment) -> dict[str, Any]:
    """Encode the test part as the model was trained, and score it."""
    folder, concrete = load_folder(model)
    bundle = Bundle.load(folder)
    if bundle.features != experiment.features:
        raise SettingsError(
            f"{model} was trained with other features than this config names:\n"
            f"  model:  {bundle.features.plain()}\n  config: {experiment.features.plain()}"
        )
    store = prepare_data(experiment).store
    test = store.split("test")
    if not len(test):
        raise SettingsError("the config's data has no test part; set data.test_fraction above 0")
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
    report = Report(test, predict_logits(bundle.network, test, torch.device("cpu")))
    say(report.per_class().to_string(index=False))
    return {"model": concrete, "num_sequences": len(test), "test": report.scores.plain()}
