"""``seqbelt evaluate``: a saved model on the test part of a config's data."""

from typing import Any

from seqbelt.data.cropping import crop_part, lost_steps
from seqbelt.errors import SettingsError
from seqbelt.evaluation.step_report import report_on
from seqbelt.experiment import Experiment
from seqbelt.workflow.console import say
from seqbelt.workflow.models import open_model


def evaluate(model: str, experiment: Experiment) -> dict[str, Any]:
    """Encode the test part as the model was trained, and score it."""
    bundle, concrete, store = open_model(model, experiment)
    test = store.split("test")
    if not len(test):
        raise SettingsError("the config's data has no test part; set data.test_fraction above 0")
    test = crop_part(test, bundle.model.max_steps, bundle.model.crop, for_training=False)
    share = 1 - lost_steps(test) if bundle.model.crop != "windows" else 1.0
    if share < 1:
        say(
            f"{share:.1%} of the test part's steps are read (model.max_steps: "
            f"{bundle.model.max_steps}, crop: {bundle.model.crop})"
        )
    report = report_on(bundle.network, {"test": test})["test"]
    say(report.per_class().to_string(index=False))
    return {
        "model": concrete,
        "num_sequences": len(test),
        **({"share_read": round(share, 6)} if share < 1 else {}),
        "test": report.to_dict(),
    }
