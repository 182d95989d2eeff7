"""``seqbelt export``: a model as one file for another engine, compared before it is written."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seqbelt.checks import export_parity
from seqbelt.checks.export_parity import ExportCertificate
from seqbelt.data.batches import evaluation_plan, pad
from seqbelt.data.cropping import crop_sequences
from seqbelt.data.sequences import Sequences
from seqbelt.data.store.parts import write_whole
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.evaluation.report import Report
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.console import echo
from seqbelt.workflow.export_check import EXTRA, draw_sequences, make_cases, missing_packages
from seqbelt.workflow.models import load_folder, open_model
from seqbelt.workflow.outcome import Outcome

FORMATS = ("onnx", "onnx-int8")
NUM_TIMED = 64
TIMED_S = 1.0
"""For so long, and three times at least, both engines take turns; the fastest turns count."""


def export(model: str, format: str, output: Path, experiment: Experiment | None = None) -> Outcome:
    """Write a model as ONNX, if it answers there as here; with a config, on its test rows too.

    Raises SettingsError for an unknown format or an impossible output, SeqbeltError where the
    extra is not installed or the answers differ; nothing is written then.
    """
    _check(format, output)
    bundle, concrete, test = _open(model, experiment)
    if bundle.network.labels_steps:
        raise SettingsError(f"{model}: labels every step, which the ONNX graph does not offer yet")
    # After the settings, because the extra may be missing.
    from seqbelt.inference.onnx_export import OnnxNetwork, crop_rule, export_bytes, quantize

    content = export_bytes(bundle)
    exported = OnnxNetwork(content)
    cases = make_cases(bundle, test)
    certificate = export_parity.certify_export(bundle.network, exported, cases)
    echo(f"{concrete}: {certificate.sentence}")
    if not certificate.passed:
        raise SeqbeltError(_failure(certificate, output, test))
    quantization = None
    if format == "onnx-int8":
        content, operators = quantize(content)
        exported = OnnxNetwork(content)
        quantization = _describe(bundle, exported, operators, cases)
    accuracy = _accuracy(bundle, exported, test)
    _write(output, content)
    rule = crop_rule(bundle)
    if rule is not None:
        echo(f"the file reads all steps that it is given: {rule}; do so before")
    result = {
        "output": str(output),
        "format": format,
        "model": concrete,
        **certificate.to_dict(),
        "size_bytes": len(content),
        "speed_ratio": _speed_ratio(bundle.network, exported, draw_sequences(bundle, test)),
        "crop": rule,
        "quantization": quantization,
        "accuracy": accuracy,
    }
    return Outcome(result)


def _check(format: str, output: Path) -> None:
    if format not in FORMATS:
        raise SettingsError(f"--format {format}: expected one of {', '.join(FORMATS)}")
    if output.suffix != ".onnx":
        raise SettingsError(f"--output {output}: expected a name that ends in .onnx")
    if output.is_dir():
        raise SettingsError(f"--output {output}: is a folder; name a file")
    if missing_packages():
        raise SeqbeltError(
            f"--format {format} needs the packages {' and '.join(EXTRA)}, and "
            f"{' and '.join(missing_packages())} cannot be imported: pip install 'seqbelt[onnx]'"
        )


def _open(model: str, experiment: Experiment | None) -> tuple[Bundle, str, Sequences | None]:
    if experiment is None:
        folder, concrete = load_folder(model)
        return Bundle.load(folder), concrete, None
    bundle, concrete, store = open_model(model, experiment)
    test = store.split("test")
    if not len(test):
        raise SettingsError("--config: its data has no test part; set data.test_fraction above 0")
    return bundle, concrete, crop_sequences(test, bundle.model.max_steps, bundle.model.crop)


def _failure(certificate: ExportCertificate, output: Path, test: Sequences | None) -> str:
    remedy = "" if test else "; --config CONFIG compares on real sequences instead of generated"
    return (
        f"{output} was not written: with {certificate.worst_case}, its logits differ by "
        f"{certificate.shown_difference} (allowed {certificate.tolerance:.1e}), and "
        f"{certificate.num_flips} of {certificate.num_sequences} labels{remedy}"
    )


def _describe(
    bundle: Bundle, exported: nn.Module, operators: list[str], cases: list[export_parity.Case]
) -> dict[str, Any]:
    """What int8 costs on the same batches, in logits and labels."""
    found = export_parity.certify_export(bundle.network, exported, cases)
    batch_difference = export_parity.batch_composition_difference(exported, cases)
    echo(
        f"int8: the weights of {', '.join(operators) or 'nothing'}; logits differ by "
        f"{found.shown_difference} at most, {found.num_flips} of {found.num_sequences} labels "
        f"flip; what else is in a batch moves a logit by up to {batch_difference:.1e}"
    )
    return {
        "operators": operators,
        "max_difference": found.max_difference,
        "num_flips": found.num_flips,
        "company_difference": batch_difference,
    }


def _accuracy(
    bundle: Bundle, exported: nn.Module, test: Sequences | None
) -> dict[str, float | int] | None:
    """Of the model and of its file, on all test rows."""
    if test is None:
        return None
    cpu = torch.device("cpu")
    own = Report(test, predict_logits(bundle.network, test, cpu))
    other = Report(test, predict_logits(exported, test, cpu))
    echo(f"test accuracy {own.scores.accuracy:.4f}, in the file {other.scores.accuracy:.4f}")
    return {
        "model": own.scores.accuracy,
        "file": other.scores.accuracy,
        "num_flips": int((own.answers != other.answers).sum()),
        "num_sequences": len(test),
    }


def _write(output: Path, content: bytes) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, content)
    except OSError as error:
        raise SeqbeltError(f"--output {output}: cannot be written ({error})") from None


def _speed_ratio(
    network: nn.Module, exported: nn.Module, drawing: tuple[export_parity.Draw, int, int]
) -> float:
    """Sequences a second of the file, divided by the predictor's: in its batches, taking turns."""
    draw, median, longest = drawing
    lengths = np.linspace(1, min(2 * median, longest), NUM_TIMED).astype(int)
    rows = [draw(int(steps), number) for number, steps in enumerate(lengths)]
    batches = [pad([rows[i] for i in indices]) for indices in evaluation_plan(lengths)]
    seconds: list[list[float]] = []
    while len(seconds) < 3 or np.sum(seconds) < TIMED_S:
        seconds.append([_time(one, batches) for one in (network, exported)])
    own, other = np.min(seconds, axis=0)
    return round(float(own / other), 3)


@torch.inference_mode()
def _time(network: Callable[..., torch.Tensor], batches: list[Any]) -> float:
    start = time.perf_counter()
    for inputs, lengths in batches:
        network(inputs, lengths)
    return time.perf_counter() - start
