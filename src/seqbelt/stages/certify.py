"""``seqbelt certify``: evidence that a saved model's answers are what they seem."""

from collections.abc import Mapping
from typing import Any

from seqbelt.data.cropping import crop_sequences
from seqbelt.errors import SettingsError
from seqbelt.evaluation.certificates import certify_padding
from seqbelt.evaluation.determinism import certify_determinism
from seqbelt.experiment import Experiment
from seqbelt.stages.evaluate import open_model
from seqbelt.stages.progress import say


def certify(model: str, experiment: Experiment) -> dict[str, Any]:
    """Certify a model on the config's data, and store the certificates with it in MLflow.

    Padding is tried on test rows (validation or training rows where there are none), determinism
    on a short training as the config has it.
    """
    bundle, concrete, store = open_model(model, experiment)
    parts = {
        name: crop_sequences(store.split(name), bundle.model.max_steps, bundle.model.crop)
        for name in ("test", "validation", "train")
    }
    if not len(parts["train"]):
        raise SettingsError("the config's data has no training rows; determinism needs some")
    padding = certify_padding(bundle.network, next(part for part in parts.values() if len(part)))
    determinism = certify_determinism(
        bundle.network,
        experiment.training,
        lambda: bundle.model.build(
            bundle.num_features, len(bundle.classes), store.is_tokens, parts["train"].lengths
        ),
        parts["train"],
    )
    certificates: dict[str, dict[str, Any] | None] = {
        "padding": padding.plain(),
        "determinism": determinism.plain(),
        "streaming": None,
        "export": None,
    }
    for certificate in (padding, determinism):
        say(f"{concrete}: {certificate.sentence}")
    _store(bundle.about.get("run_id"), certificates)
    return certificates


def _store(run_id: str | None, certificates: Mapping[str, Mapping[str, Any] | None]) -> None:
    from seqbelt.tracking.publish import log_certificates

    if run_id is None or not log_certificates(run_id, certificates):
        say(f"run {run_id} is not in this tracking store: the certificates are only printed")
