"""``seqbelt evaluate``: scores of a saved model on the test part of a config's data."""

import pandas as pd

from seqbelt.data.cropped_sequences import crop_part, lost_steps
from seqbelt.errors import SettingsError
from seqbelt.evaluation.report import format_scores
from seqbelt.evaluation.step_report import report_on
from seqbelt.experiment import Experiment
from seqbelt.words import count_of, percent
from seqbelt.workflow.console import echo
from seqbelt.workflow.model_and_data import open_model
from seqbelt.workflow.outcome import Outcome


def evaluate(model: str, experiment: Experiment) -> Outcome:
    """Encode the test part with the model's features, and score it."""
    bundle, concrete, store = open_model(model, experiment)
    test = store.split("test")
    if not len(test):
        raise SettingsError("the config's data has no test part; set data.test_fraction above 0")
    cropping = bundle.model.cropping
    test = crop_part(test, cropping, for_training=False)
    fraction = 1.0 if cropping.uses_windows else 1 - lost_steps(test)
    if fraction < 1:
        echo(f"{percent(fraction)} of the test part's steps are read ({cropping})")
    min_steps = bundle.about.get("shortest_segment", 1)
    report = report_on(
        bundle.network, {"test": test}, min_steps, bundle.temperature, bundle.decision.thresholds
    )["test"]
    echo(_table(report.per_class()))
    echo(f"{concrete}: test accuracy {format_scores(report.scores)}, {count_of(len(test), 'row')}")
    result = {
        "model": concrete,
        "num_sequences": len(test),
        **({"share_read": round(fraction, 6)} if fraction < 1 else {}),
        "test": report.to_dict(),
    }
    return Outcome(result)


def _table(per_class: pd.DataFrame) -> str:
    """Scores of each class, within 80 columns."""
    short = {"recall_low": "low", "recall_high": "high", "average_precision": "AP"}
    with pd.option_context("display.unicode.east_asian_width", True):
        return per_class.rename(columns=short).to_string(index=False, float_format="{:.3f}".format)
