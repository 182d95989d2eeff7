"""Predict folders, files or a manifest with one model, into one table; resumable."""

import gc
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbelt.data.sources.names import list_counts, shorten
from seqbelt.data.sources.remote import output_path, upload
from seqbelt.data.store.readings import describe_readings
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.base import Source
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.engine import EngineName, ProductPrecision
from seqbelt.inference.folder import FAR_LONGER, Summary, predict_items, try_candidates
from seqbelt.inference.isolation import ChildContext
from seqbelt.inference.output import check_output
from seqbelt.inference.predictor import Predictor
from seqbelt.inference.recording_windows import default_window_s
from seqbelt.inference.segment_merging import Timeline
from seqbelt.inference.segment_output import LabelFiles
from seqbelt.inference.timeline import (
    TimelinePredictor,
    check_timeline,
    high_frequency_hz,
    pools_spans,
)
from seqbelt.plots.report_settings import ReportSettings
from seqbelt.words import count_of, percent
from seqbelt.workflow.console import bar, echo
from seqbelt.workflow.inputs import Inputs, PathStyle, list_items, parse_inputs
from seqbelt.workflow.models import load_folder, load_predictor

if TYPE_CHECKING:
    from seqbelt.workflow.prediction_facts import RowCollector

OUTPUT_SUFFIXES = ("", ".journal", ".journal-wal", ".journal-shm")


def predict(
    model: str,
    inputs: Sequence[str],
    output: str | Path,
    on_error: str = "quarantine",
    engine: EngineName = "auto",
    precision: ProductPrecision = "float32",
    coverage: float | None = None,
    byte_order_mark: bool = False,
    timeline: Mapping[str, float | None] | None = None,
    audacity: Path | None = None,
    raven: Path | None = None,
    keep_columns: bool = False,
    paths_as: PathStyle = "input",
    project: Path | None = None,
    report: Path | None = None,
    context: ChildContext | None = None,
) -> dict[str, Any]:
    """Load a model, predict all inputs, write one file; returns the result for JSON.

    ``output`` may be an address (``s3://…``): the file is written on this machine, where its
    journal stays, and then uploaded.

    ``context`` is set in a supervised child process (inference/isolation.py).
    """
    path = output_path(str(output))
    is_local = path == Path(output)
    if paths_as == "output" and not is_local:
        raise SettingsError("--paths output: needs an --output on this machine")
    paths, settings = parse_inputs(inputs, has_report=True)
    check_output(path, paths)
    report_settings = _report_settings(report, settings, timeline is not None)
    folder, concrete = load_folder(model, project)
    predictor = _load(folder, timeline, engine, precision, coverage, audacity, raven)
    gc.freeze()  # keep the garbage collector from scanning the loaded model again and again
    if keep_columns and (timeline is not None or not predictor.labels_inputs):
        raise SettingsError(
            "--keep-columns: applies to one row per input, and this output has one per segment"
        )
    group_by = report_settings.group_by
    relative_to = {"input": None, "output": path.absolute().parent, "absolute": Path("/")}
    list_inputs = partial(
        _list_inputs,
        predictor,
        paths,
        [setting for setting in settings if not setting.startswith("report.")],
        path,
        report,
        keep_columns=keep_columns or group_by is not None,
        relative_to=relative_to[paths_as],
    )
    if context is not None and context.candidates and timeline is None:
        try_candidates(predictor, list_inputs([]).items, context)
    notes: list[str] = []
    key, items, kept = list_inputs(notes)
    _echo_all(notes)
    collector, max_summaries = None, 0
    if report is not None:
        predictor.summarizes = engine != "ray"
        collector, max_summaries = _make_collector(predictor, group_by, kept)
    with bar("predicting", None) as progress:
        summary = predict_items(
            predictor,
            items,
            path,
            key=key,
            model=concrete,
            progress=progress,
            context=context,
            coverage=coverage,
            byte_order_mark=byte_order_mark,
            kept=kept if keep_columns else (),
            observe=collector,
            max_summaries=max_summaries,
        )
    _echo_all(notes)  # added while the folders were listed
    print_summary(summary, predictor.bundle.classes)
    _advise(summary, predictor, output, byte_order_mark)
    if not is_local:
        upload(path, str(output))
        echo(f"{output}: written, {path.stat().st_size:,} bytes")
    result = _to_dict(summary, output, concrete)
    if report is not None and collector is not None:
        from seqbelt.workflow.prediction_facts import write_report

        result |= write_report(
            report,
            collector,
            summary,
            list_inputs([]).items,
            name=", ".join(path.absolute().name for path in paths),
            model=concrete,
            settings=report_settings,
        )
    if summary.num_quarantined and on_error == "fail":
        raise SeqbeltError(f"{summary.num_quarantined} inputs have no label; see {output}")
    return result


def _load(
    folder: Path,
    timeline: Mapping[str, float | None] | None,
    engine: EngineName,
    precision: ProductPrecision,
    coverage: float | None,
    audacity: Path | None,
    raven: Path | None,
) -> Predictor:
    """The predictor of whole inputs, or of a timeline."""
    if timeline is not None:
        return _open_timeline(folder, timeline, engine, precision, coverage, audacity, raven)
    predictor = load_predictor(folder, engine, precision)
    predictor.label_files = _label_files(predictor.bundle, audacity, raven)
    return predictor


def _make_collector(
    predictor: Predictor, group_by: str | None, kept: Sequence[str]
) -> tuple["RowCollector", int]:
    """What collects the rows for the report, and how many of them are summarised."""
    # Imported here: its libraries take seconds to import, and few predictions have a report.
    from seqbelt.workflow.prediction_facts import MAX_TESTED, RowCollector

    if group_by is not None and group_by not in kept:
        raise SettingsError(
            f"report.group_by: the inputs have no column '{group_by}'; they have "
            f"{', '.join(kept) or 'none'}"
        )
    group = None if group_by is None else kept.index(group_by)
    return RowCollector(predictor, group), MAX_TESTED if predictor.summarizes else 0


def _echo_all(notes: list[str]) -> None:
    """Print the notes, and forget them."""
    for note in notes:
        echo(note)
    notes.clear()


def _report_settings(
    report: Path | None, settings: Sequence[str], is_timeline: bool
) -> ReportSettings:
    """The settings of the report among the arguments. Raises SettingsError where there is no report
    for them, or none can be written."""
    given = [setting for setting in settings if setting.startswith("report.")]
    if report is None:
        if given:
            raise SettingsError(f"{given[0]}: needs --report FILE.html")
        return ReportSettings()
    if report.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--report {report}: expected a name that ends in .html")
    if is_timeline:
        raise SettingsError("--report: does not apply to --timeline")
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--report {report}: its folder cannot be created ({error})") from None
    return ReportSettings.of(given)


def _label_files(bundle: Bundle, audacity: Path | None, raven: Path | None) -> LabelFiles:
    """The label files of a prediction without a timeline. Raises SettingsError for a model that
    has no segments then."""
    if (audacity or raven) and not bundle.target.labels_steps:
        option = "--audacity" if audacity else "--raven"
        raise SettingsError(f"{option}: needs --timeline, since this model labels whole inputs")
    return LabelFiles(audacity, raven, high_frequency_hz(bundle))


def _open_timeline(
    folder: Path,
    timeline: Mapping[str, float | None],
    engine: EngineName,
    precision: ProductPrecision,
    coverage: float | None,
    audacity: Path | None,
    raven: Path | None,
) -> TimelinePredictor:
    """The predictor of a timeline. ``timeline`` has the fields of ``Timeline``; None is the
    default."""
    if engine == "ray":
        raise SettingsError("--timeline: does not support --engine ray; remove --engine")
    if coverage is not None:
        raise SettingsError("--coverage: does not apply to --timeline; use --threshold")
    bundle = Bundle.load(folder)
    bundle.refuse_several_inputs("--timeline")
    given = {name: value for name, value in timeline.items() if value is not None}
    window_s = given.pop("window_s", None)
    is_default = window_s is None
    window_s = window_s or default_window_s(bundle)
    if window_s is None:
        # Check first what no window could fix: the kind of model and its time axis.
        check_timeline(bundle, Timeline(1.0, 1.0))
        raise SettingsError(
            "--timeline: the length of this model's training sequences is unknown; set "
            "--window-s to about their length"
        )
    hop_s = given.pop("hop_s", window_s / 2)
    span_s = given.pop("span_s", window_s / 2 if pools_spans(bundle) else window_s)
    given.setdefault("min_duration_s", window_s / 4)
    settings = Timeline(window_s, hop_s, span_s if span_s < window_s else None, **given)
    predictor = TimelinePredictor(
        bundle, settings, engine, precision, audacity=audacity, raven=raven
    )
    if is_default:
        echo(f"windows of {window_s:g} s, as long as the training sequences; see --window-s")
    return predictor


def _list_inputs(
    predictor: Predictor,
    paths: Sequence[Path],
    settings: Sequence[str],
    output: Path,
    report: Path | None,
    notes: list[str],
    **options: Any,
) -> Inputs:
    """The items, without the output and the report, which may be among them."""
    bundle = predictor.bundle
    options["reading"] = bundle.about.get("reading")
    options["labels_steps"] = bundle.target.labels_steps
    listed = list_items(paths, bundle.features, settings, bundle.classes, notes, **options)
    output_files = {output.with_name(output.name + end).resolve() for end in OUTPUT_SUFFIXES}
    output_files |= {report.resolve()} if report is not None else set()
    items = (item for item in listed.items if not _is_one_of(output_files, item.source))
    return listed._replace(items=items)


def _to_dict(summary: Summary, output: str | Path, model: str) -> dict[str, Any]:
    """The result as JSON-ready values."""
    readings = {"readings": dict(summary.readings)} if summary.readings else {}
    partly_read = {}
    if summary.num_partly_read:
        partly_read = {
            "num_partly_read": summary.num_partly_read,
            "min_share_read": summary.min_share_read,
        }
    return {
        "output": str(output),
        "num_predicted": summary.num_predicted,
        "num_quarantined": summary.num_quarantined,
        "num_reused": summary.num_reused,
        "predict_s": round(summary.predict_s, 3),
        "model": model,
        "reasons": dict(summary.reasons),
        **readings,
        **partly_read,
        "accuracy": summary.accuracy,
        "labels": dict(summary.labels),
    }


def _advise(
    summary: Summary, predictor: Predictor, output: str | Path, byte_order_mark: bool
) -> None:
    """Print what the user may want to change."""
    if summary.num_partly_read:
        echo(
            f"{summary.num_partly_read:,} inputs are longer than the model reads "
            f"({predictor.bundle.model.cropping}); "
            f"the smallest fraction read is {percent(summary.min_share_read)}; see the column "
            "share_read, or train with crop: windows to read all steps"
        )
    if summary.num_far_longer and predictor.labels_inputs:
        about = predictor.bundle.about
        echo(
            f"longer than {FAR_LONGER} times the longest training sequence "
            f"({about['max_num_steps']:,} steps): {count_of(summary.num_far_longer, 'input')}"
            + ("; --timeline labels the parts of long recordings" if about.get("step_s") else "")
        )
    if summary.needs_mark and not byte_order_mark:
        echo(
            f"{output}: UTF-8 without a byte order mark, which Excel reads as another "
            "encoding; add --byte-order-mark for Excel"
        )


def print_summary(summary: Summary, classes: Sequence[str]) -> None:
    echo(
        f"{summary.output}: {summary.num_predicted:,} predicted "
        f"({summary.num_reused:,} from the journal), "
        f"{summary.num_quarantined:,} quarantined, {summary.predict_s:.1f} s"
    )
    for line in describe_readings(dict(summary.readings.most_common())):
        echo(line)
    if summary.reasons:
        echo("; ".join(f"{count} {reason}" for reason, count in summary.reasons.most_common()))
    if summary.labels:
        echo("labels: " + list_counts({name: summary.labels[name] for name in classes}))
    if summary.unknown_labels:
        echo(
            f"{summary.unknown_labels.total():,} inputs have a class unknown to the model and "
            f"count as errors: {list_counts(summary.unknown_labels)}; the model's classes: "
            f"{shorten(classes)}"
        )
    accuracy = summary.accuracy
    if accuracy is not None:
        overall, predicted = accuracy["all"], accuracy["answered"]
        assert overall is not None
        echo(
            f"accuracy {percent(overall)} on {accuracy['num_labelled']:,} labelled inputs"
            + ("" if predicted is None else f", {percent(predicted)} on those predicted")
        )


def _is_one_of(paths: set[Path], source: Source) -> bool:
    if not isinstance(source, Path) or all(source.name != path.name for path in paths):
        return False  # compare names first: resolving a path is slow
    return source.resolve() in paths
