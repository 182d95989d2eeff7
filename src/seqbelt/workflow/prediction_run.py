"""Predict folders, files or a manifest with one model into one table; resumable."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqbelt.data.sources.names import list_counts, shorten
from seqbelt.data.store.readings import describe_readings
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.base import Source
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.folder import Item, Summary, predict_items, try_candidates
from seqbelt.inference.isolation import ChildContext
from seqbelt.inference.output import check_output
from seqbelt.inference.predictor import Engine, Precision, Predictor
from seqbelt.inference.timeline import (
    Timeline,
    TimelinePredictor,
    check_timeline,
    default_window_s,
)
from seqbelt.workflow.console import bar, echo
from seqbelt.workflow.inputs import list_items, parse_inputs
from seqbelt.workflow.models import load_folder, load_predictor

OWN_ENDINGS = ("", ".journal", ".journal-wal", ".journal-shm")


def predict(
    model: str,
    inputs: Sequence[str],
    output: Path,
    on_error: str = "quarantine",
    engine: Engine = "torch",
    precision: Precision = "float32",
    coverage: float | None = None,
    byte_order_mark: bool = False,
    timeline: Mapping[str, float | None] | None = None,
    audacity: Path | None = None,
    context: ChildContext | None = None,
) -> dict[str, Any]:
    """Load the model once, answer everything, write one file.

    ``context`` is set in a supervised child process (inference/isolation.py).
    """
    check_output(output)
    paths, settings = parse_inputs(inputs)
    folder, concrete = load_folder(model)
    if timeline is None:
        predictor = load_predictor(folder, engine, precision)
    else:
        predictor = _open_timeline(folder, timeline, engine, precision, coverage, audacity)
    gc.freeze()  # what is loaded stays: the collector need not look through it again and again
    notes: list[str] = []
    key, items = _open(predictor, paths, settings, output, [])
    if context is not None and context.candidates and timeline is None:
        try_candidates(predictor, items, context)
    key, items = _open(predictor, paths, settings, output, notes)
    for note in notes:
        echo(note)
    notes.clear()
    with bar("predicting", None) as progress:
        summary = predict_items(
            predictor,
            items,
            output,
            key=key,
            model=concrete,
            progress=progress,
            context=context,
            coverage=coverage,
            byte_order_mark=byte_order_mark,
        )
    for note in notes:  # what was found while the folders were listed
        echo(note)
    print_summary(summary, predictor.bundle.classes)
    if summary.num_partly_read:
        settings_read = predictor.bundle.model
        echo(
            f"{summary.num_partly_read:,} inputs are longer than the model reads "
            f"(model.max_steps: {settings_read.max_steps}, crop: {settings_read.crop}): of one "
            f"only {summary.min_share_read:.1%} was read; see the column share_read. "
            "train with crop: windows to read all"
        )
    if summary.needs_mark and not byte_order_mark:
        echo(
            f"{output}: UTF-8 without a mark; for Excel, which would show other letters, write it "
            "with --byte-order-mark"
        )
    if summary.num_quarantined and on_error == "fail":
        raise SeqbeltError(f"{summary.num_quarantined} inputs have no label; see {output}")
    return {
        "output": str(output),
        "num_predicted": summary.num_predicted,
        "num_quarantined": summary.num_quarantined,
        "num_reused": summary.num_reused,
        "predict_s": round(summary.predict_s, 3),
        "model": concrete,
        "reasons": dict(summary.reasons),
        **({"readings": dict(summary.readings)} if summary.readings else {}),
        **(
            {"num_partly_read": summary.num_partly_read, "min_share_read": summary.min_share_read}
            if summary.num_partly_read
            else {}
        ),
        "accuracy": summary.accuracy,
        "labels": dict(summary.labels),
    }


def _open_timeline(
    folder: Path,
    timeline: Mapping[str, float | None],
    engine: Engine,
    precision: Precision,
    coverage: float | None,
    audacity: Path | None,
) -> TimelinePredictor:
    """``timeline`` holds the fields of ``Timeline``; None takes the default."""
    if engine == "ray":
        raise SettingsError("--timeline: --engine ray has none; leave --engine out")
    if coverage is not None:
        raise SettingsError("--coverage: --timeline has --threshold instead")
    bundle = Bundle.load(folder)
    given = {name: value for name, value in timeline.items() if value is not None}
    window_s = given.pop("window_s", None)
    is_default = window_s is None
    window_s = window_s or default_window_s(bundle)
    if window_s is None:
        # The kind and the time of the steps are checked first: another window would not help.
        check_timeline(bundle, Timeline(1.0, 1.0))
        raise SettingsError(
            "--timeline: this model does not tell how long its training sequences were; give "
            "--window-s, about their length"
        )
    hop_s = given.pop("hop_s", window_s / 2)
    found = Timeline(window_s=window_s, hop_s=hop_s, **given)
    predictor = TimelinePredictor(bundle, found, engine, precision, label_folder=audacity)
    if is_default:
        echo(f"windows of {window_s:g} s, as the training sequences; --window-s sets another")
    return predictor


def _open(
    predictor: Predictor,
    paths: Sequence[Path],
    settings: Sequence[str],
    output: Path,
    notes: list[str],
) -> tuple[str, Iterator[Item]]:
    """The first column's name and the items, without the output, which may lie among them."""
    bundle = predictor.bundle
    key, items = list_items(paths, bundle.features, settings, bundle.classes, notes)
    own = {output.with_name(output.name + end).resolve() for end in OWN_ENDINGS}
    return key, (item for item in items if not _is_one_of(own, item.source))


def print_summary(summary: Summary, classes: Sequence[str]) -> None:
    echo(
        f"{summary.output}: {summary.num_predicted:,} labels ({summary.num_reused:,} from before), "
        f"{summary.num_quarantined:,} without, {summary.predict_s:.1f} s"
    )
    for line in describe_readings(dict(summary.readings.most_common())):
        echo(line)
    if summary.reasons:
        echo("; ".join(f"{count} {reason}" for reason, count in summary.reasons.most_common()))
    if summary.labels:
        echo("labels: " + list_counts({name: summary.labels[name] for name in classes}))
    if summary.unknown_labels:
        echo(
            f"{summary.unknown_labels.total():,} inputs carry a class that the model does not "
            f"know, and count as not right: {list_counts(summary.unknown_labels)}; it knows "
            f"{shorten(classes)}"
        )
    accuracy = summary.accuracy
    if accuracy is not None:
        answered = accuracy["answered"]
        echo(
            f"accuracy {accuracy['all']:.1%} of the {accuracy['num_labelled']:,} inputs whose "
            "class is known" + ("" if answered is None else f", {answered:.1%} of those answered")
        )


def _is_one_of(paths: set[Path], source: Source) -> bool:
    if not isinstance(source, Path) or all(source.name != path.name for path in paths):
        return False  # resolving a path asks the file system, so the name is looked at first
    return source.resolve() in paths
