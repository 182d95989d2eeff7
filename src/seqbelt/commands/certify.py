"""``seqbelt certify``: invariance, determinism and export checks of a saved model."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqbelt.checks.determinism import certify_determinism
from seqbelt.checks.padding_invariance import certify_padding
from seqbelt.checks.streaming_invariance import (
    StreamedFile,
    StreamingCertificate,
    certify_streaming,
)
from seqbelt.data.cropped_sequences import crop_part
from seqbelt.data.sequences import Sequences
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.base import Source
from seqbelt.features.streaming.steps import stream_steps, why_whole
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.live_stream import why_not_streaming
from seqbelt.models.classifier import build_network
from seqbelt.workflow.console import echo
from seqbelt.workflow.export_check import certify_bundle
from seqbelt.workflow.model_and_data import open_model
from seqbelt.workflow.outcome import DONE, FAILED, Outcome

NUM_FILES = 4
NUM_INPUTS = 12_000
"""Samples or rows of a file, at most, that the streaming certificate reads."""


def certify(model: str, experiment: Experiment) -> Outcome:
    """Certify a model on the config's data, and store the certificates with it in MLflow.

    Padding, streaming and export are checked on test rows (validation or training rows if there are
    none), streaming on some of their files too, determinism on a short training with the config's
    settings. Streaming is null for a model that needs the complete sequence, export without the
    extra ``onnx``.
    """
    bundle, concrete, store = open_model(model, experiment)
    parts = {
        name: crop_part(store.split(name), bundle.model.cropping, for_training=name == "train")
        for name in ("test", "validation", "train")
    }
    if not len(parts["train"]):
        raise SettingsError(
            "the config's data has no training rows, which the determinism check needs"
        )
    padding = certify_padding(bundle.network, next(part for part in parts.values() if len(part)))
    streaming = _certify_streaming(bundle, experiment, parts)
    exported = certify_bundle(bundle, next(part for part in parts.values() if len(part)))
    determinism = certify_determinism(
        bundle.network,
        experiment.training,
        lambda: build_network(
            bundle.model,
            bundle.num_features,
            len(bundle.classes),
            store.is_tokens,
            parts["train"].lengths,
            bundle.layout,
        ),
        parts["train"],
    )
    certificates: dict[str, dict[str, Any] | None] = {
        "padding": padding.to_dict(),
        "determinism": determinism.to_dict(),
        "streaming": streaming.to_dict() if streaming else None,
        "export": exported.to_dict() if exported else None,
    }
    for certificate in (padding, determinism, streaming, exported):
        if certificate is not None:
            echo(f"{concrete}: {certificate.sentence}")
    _store(bundle.about.get("run_id"), certificates)
    has_failed = any(
        result is not None and not result["passed"] for result in certificates.values()
    )
    return Outcome(certificates, FAILED if has_failed else DONE)


def _certify_streaming(
    bundle: Bundle, experiment: Experiment, parts: Mapping[str, Sequences]
) -> StreamingCertificate | None:
    """The streaming certificate; None where ``seqbelt stream`` refuses the model."""
    if bundle.layout is not None or why_not_streaming(bundle.model) is not None:
        return None
    part = next(part for part in parts.values() if len(part))
    if why_whole(bundle.features) is not None:
        return certify_streaming(bundle.network, part)
    manifest = experiment.data.list_items(experiment.features)
    rows = {item: row for row, item in enumerate(manifest.column("id"))}
    indices = np.linspace(0, len(part) - 1, min(NUM_FILES, len(part))).round().astype(int)
    names = part.take(indices).column("id")
    sources = manifest.sources([rows[name] for name in names])
    signals = [signal for source in sources if (signal := _read_signal(bundle, source))]
    return certify_streaming(bundle.network, part, signals)


def _read_signal(bundle: Bundle, source: Source) -> StreamedFile | None:
    """The first ``NUM_INPUTS`` samples of a file; None if it would have to be resampled."""
    features, encoder = bundle.features, bundle.encoder
    raw = features.read(source)
    if isinstance(features, AudioFeatures):
        if raw.sample_rate != features.sample_rate:
            return None
        raw = raw._replace(samples=raw.samples[:NUM_INPUTS])
        inputs = raw.samples
    else:
        raw = raw._replace(values=raw.values[:NUM_INPUTS])
        inputs = raw.values
    (steps,) = encoder.encode([raw])
    return StreamedFile(inputs, steps, lambda: stream_steps(features, encoder))


def _store(run_id: str | None, certificates: Mapping[str, Mapping[str, Any] | None]) -> None:
    from seqbelt.tracking.publish import log_certificates

    if run_id is None or not log_certificates(run_id, certificates):
        echo(f"run {run_id} is not in this tracking store; the certificates are not saved")
