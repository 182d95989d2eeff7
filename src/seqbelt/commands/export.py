"""``seqbelt export``: a model as a file for devices, compared before it is written."""

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
from seqbelt.data.cropped_sequences import crop_sequences
from seqbelt.data.labels.targets import Target
from seqbelt.data.sequences import Sequences
from seqbelt.data.store.parts import write_atomically
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.several_report import SeveralReport
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.console import echo
from seqbelt.workflow.export_check import RawNetwork, draw_sequences, draw_signals
from seqbelt.workflow.export_formats import Built, Format, find_format
from seqbelt.workflow.model_and_data import open_model
from seqbelt.workflow.models import load_folder
from seqbelt.workflow.outcome import Outcome

NUM_TIMED = 64
TIMED_S = 1.0
"""Time for which, and three times at least, both engines run in turns; the fastest runs count."""


def export(
    model: str,
    format: str,
    output: Path,
    experiment: Experiment | None = None,
    raw: bool = False,
) -> Outcome:
    """Write a model in another format if both give the same predictions; with a config on its
    test rows too.

    ``raw`` puts the features into the file, which then takes samples or rows. Raises SettingsError
    for an unknown format, an invalid output or features that cannot be exported, SeqbeltError if
    something needed is not installed or the predictions differ; then nothing is written.
    """
    chosen, int8 = find_format(format, raw)
    _check_output(output, chosen)
    if raw and experiment is not None:
        raise SettingsError(
            "--raw: is compared on generated signals, since prepared test rows are features "
            "already; remove --config"
        )
    bundle, concrete, test = _open(model, experiment)
    _check_model(bundle, model, format, raw)
    built = chosen.build(bundle, output, raw, False)
    original, drawing = bundle.network, draw_sequences(bundle, test)
    if raw:
        original, drawing = RawNetwork(bundle), draw_signals(bundle)
    cases = list(export_parity.make_cases(*drawing))
    if chosen.is_stepwise:
        cases.append(export_parity.make_cut_case(drawing[0], drawing[2]))
    certificate = export_parity.certify_export(original, built.network, cases, bundle.target)
    echo(f"{concrete}: {certificate.sentence}")
    if not certificate.passed:
        raise SeqbeltError(_failure(certificate, output, test))
    quantization = None
    if int8:
        built = chosen.build(bundle, output, raw, True)
        quantization = _describe(original, built, cases, bundle.target)
    accuracy = _accuracy(bundle, built.network, test)
    _write(output, built.files)
    if built.crop is not None:
        echo(f"the exported network reads all steps of its input; crop before: {built.crop}")
    result = {
        "output": str(output),
        "format": format,
        **({"raw": True} if raw else {}),
        "model": concrete,
        **certificate.to_dict(),
        "size_bytes": len(built.files[output.suffix]),
        "speed_ratio": _speed_ratio(original, built.network, drawing),
        "crop": built.crop,
        "quantization": quantization,
        "accuracy": accuracy,
        **built.facts,
    }
    return Outcome(result)


def _check_model(bundle: Bundle, model: str, format: str, raw: bool) -> None:
    """Raise SettingsError for a model that the format cannot express."""
    if raw or format != "onnx":
        option, instead = ("--raw", " without --raw") if raw else (f"--format {format}", "")
        bundle.refuse_several_inputs(option, f"--format onnx{instead}")
    if bundle.model.labels_steps:
        raise SettingsError(f"{model}: labels every step, which export does not support")
    if bundle.target.is_several and not format.removesuffix("-int8") == "onnx":
        raise SettingsError(
            f"--format {format}: this model gives several labels (data.labels: several), and the "
            "file's probabilities are of one class; use --format onnx"
        )
    if bundle.target.is_ordered and format.removesuffix("-int8") == "c":
        raise SettingsError(
            f"--format {format}: the files name the likeliest class, this model predicts the "
            "median one (data.order); use --format onnx"
        )


def _check_output(output: Path, format: Format) -> None:
    ending = format.endings[0]
    if output.suffix != ending:
        raise SettingsError(f"--output {output}: expected a name that ends in {ending}")
    if output.is_dir():
        raise SettingsError(f"--output {output}: is a folder; give a file")


def _open(model: str, experiment: Experiment | None) -> tuple[Bundle, str, Sequences | None]:
    if experiment is None:
        folder, concrete = load_folder(model)
        return Bundle.load(folder), concrete, None
    bundle, concrete, store = open_model(model, experiment)
    test = store.split("test")
    if not len(test):
        raise SettingsError("--config: its data has no test part; set data.test_fraction above 0")
    return bundle, concrete, crop_sequences(test, bundle.model.cropping)


def _failure(certificate: ExportCertificate, output: Path, test: Sequences | None) -> str:
    remedy = "" if test else "; --config CONFIG compares on real instead of generated sequences"
    return (
        f"{output} was not written: with {certificate.worst_case}, its logits differ by "
        f"{certificate.shown_difference} (allowed {certificate.tolerance:.1e}), and "
        f"{certificate.num_flips} of {certificate.num_sequences} labels{remedy}"
    )


def _describe(
    network: nn.Module, built: Built, cases: list[export_parity.Case], target: Target
) -> dict[str, Any]:
    """The effect of int8 on the same batches, in logits and labels."""
    certificate = export_parity.certify_export(network, built.network, cases, target)
    batch_difference = export_parity.batch_composition_difference(built.network, cases)
    echo(
        f"int8: the weights of {', '.join(built.quantized) or 'nothing'}; logits differ by "
        f"{certificate.shown_difference} at most, {certificate.num_flips} of "
        f"{certificate.num_sequences} labels change; batch composition changes a logit by "
        f"up to {batch_difference:.1e}"
    )
    return {
        "operators": built.quantized,
        "max_difference": certificate.max_difference,
        "num_flips": certificate.num_flips,
        "company_difference": batch_difference,
    }


def _accuracy(
    bundle: Bundle, exported: nn.Module, test: Sequences | None
) -> dict[str, float | int] | None:
    """Accuracy of the model and of the exported file, on all test rows."""
    if test is None:
        return None
    cpu = torch.device("cpu")
    kind = SeveralReport if bundle.target.is_several else Report
    calibration = bundle.temperature, bundle.decision.thresholds
    original = kind(test, predict_logits(bundle.network, test, cpu), *calibration)
    copy = kind(test, predict_logits(exported, test, cpu), *calibration)
    echo(f"test accuracy {original.scores.accuracy:.4f}, in the file {copy.scores.accuracy:.4f}")
    return {
        "model": original.scores.accuracy,
        "file": copy.scores.accuracy,
        "num_flips": int(
            (~bundle.target.are_correct(original.predictions, copy.predictions)).sum()
        ),
        "num_sequences": len(test),
    }


def _write(output: Path, files: dict[str, bytes]) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for ending, content in files.items():
            write_atomically(output.with_suffix(ending), content)
    except OSError as error:
        raise SeqbeltError(f"--output {output}: cannot be written ({error})") from None


def _speed_ratio(
    network: nn.Module, exported: nn.Module, drawing: tuple[export_parity.Draw, int, int]
) -> float:
    """Sequences per second of the exported network, divided by the model's, in the same batches."""
    draw, median, longest = drawing
    lengths = np.linspace(1, min(2 * median, longest), NUM_TIMED).astype(int)
    rows = [draw(int(steps), number) for number, steps in enumerate(lengths)]
    batches = [pad([rows[i] for i in indices]) for indices in evaluation_plan(lengths)]
    seconds: list[list[float]] = []
    while len(seconds) < 3 or np.sum(seconds) < TIMED_S:
        seconds.append([_time(engine, batches) for engine in (network, exported)])
    original, other = np.min(seconds, axis=0)
    return round(float(original / other), 3)


@torch.inference_mode()
def _time(network: Callable[..., torch.Tensor], batches: list[Any]) -> float:
    start = time.perf_counter()
    for inputs, lengths in batches:
        network(inputs, lengths)
    return time.perf_counter() - start
