"""``seqbelt predict``: labels for a folder, files or a manifest."""

import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqbelt.data.folders import list_files
from seqbelt.data.manifest import ROWS_AT_ONCE, Manifest
from seqbelt.data.names import clean_name, list_counts, shorten
from seqbelt.data.readings import describe_readings
from seqbelt.data.source import READING_SETTINGS, Data
from seqbelt.data.tables import is_manifest
from seqbelt.data.text_encoding import check_encoding_name, read_text_file
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.base import Features, Source
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.folder import Item, Summary, predict_items, try_suspects
from seqbelt.inference.isolation import Watch
from seqbelt.inference.output import check_output, is_own_file
from seqbelt.inference.predictor import Engine, Precision, Predictor
from seqbelt.settings import override
from seqbelt.stages.progress import bar, say

OWN_ENDINGS = ("", ".journal", ".journal-wal", ".journal-shm")
URI_PREFIXES = ("models:/", "runs:/")


def predict(
    model: str,
    inputs: Sequence[str],
    output: Path,
    on_error: str = "quarantine",
    engine: Engine = "torch",
    precision: Precision = "float32",
    coverage: float | None = None,
    byte_order_mark: bool = False,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """The stage: load the model once, answer everything, write one file.

    ``watch`` is for the process that sees to it that no input takes this one along.
    """
    check_output(output)
    paths, settings = parse_inputs(inputs)
    folder, concrete = load_folder(model)
    predictor = load_predictor(folder, engine, precision)
    gc.freeze()  # what is loaded stays: the collector need not look through it again and again
    notes: list[str] = []
    key, items = _open(predictor, paths, settings, output, [])
    if watch is not None and watch.suspects:
        try_suspects(predictor, items, watch)
    key, items = _open(predictor, paths, settings, output, notes)
    for note in notes:
        say(note)
    notes.clear()
    with bar("predicting", None) as progress:
        summary = predict_items(
            predictor,
            items,
            output,
            key=key,
            model=concrete,
            progress=progress,
            watch=watch,
            coverage=coverage,
            byte_order_mark=byte_order_mark,
        )
    for note in notes:  # what was found while the folders were listed
        say(note)
    _tell(summary, predictor.bundle.classes)
    if summary.needs_mark and not byte_order_mark:
        say(
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
        "accuracy": summary.accuracy,
        "labels": dict(summary.labels),
    }


def load_predictor(folder: Path, engine: Engine, precision: Precision) -> Predictor:
    """The bundle in a folder, ready to answer here or on a Ray cluster."""
    bundle = Bundle.load(folder)
    if engine != "ray":
        return Predictor(bundle, engine=engine, precision=precision)
    from seqbelt.inference.ray_engine import RayPredictor

    if precision != "float32":
        raise SettingsError(f"--precision {precision}: --engine ray computes in float32")
    return RayPredictor(bundle)


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


def _tell(summary: Summary, classes: Sequence[str]) -> None:
    say(
        f"{summary.output}: {summary.num_predicted:,} labels ({summary.num_reused:,} from before), "
        f"{summary.num_quarantined:,} without, {summary.predict_s:.1f} s"
    )
    for line in describe_readings(dict(summary.readings.most_common())):
        say(line)
    if summary.reasons:
        say("; ".join(f"{count} {reason}" for reason, count in summary.reasons.most_common()))
    if summary.labels:
        say("labels: " + list_counts({name: summary.labels[name] for name in classes}))
    if summary.unknown_labels:
        say(
            f"{summary.unknown_labels.total():,} inputs carry a class that the model does not "
            f"know, and count as not right: {list_counts(summary.unknown_labels)}; it knows "
            f"{shorten(classes)}"
        )
    accuracy = summary.accuracy
    if accuracy is not None:
        answered = accuracy["answered"]
        say(
            f"accuracy {accuracy['all']:.1%} of the {accuracy['num_labelled']:,} inputs whose "
            "class is known" + ("" if answered is None else f", {answered:.1%} of those answered")
        )


def _is_one_of(paths: set[Path], source: Source) -> bool:
    if not isinstance(source, Path) or all(source.name != path.name for path in paths):
        return False  # resolving a path asks the file system, so the name is looked at first
    return source.resolve() in paths


def load_folder(model: str) -> tuple[Path, str]:
    """The bundle folder of a MODEL argument, and the concrete name of who answers.

    MODEL is an MLflow URI or a bundle folder. Raises SeqbeltError if there is no such model.
    """
    if model.startswith(URI_PREFIXES):
        # A folder needs no MLflow, whose import takes seconds.
        from seqbelt.tracking.registry import resolve

        return resolve(model)
    if not Path(model, "bundle.json").is_file():
        raise SeqbeltError(
            f"'{model}' is no bundle folder (no bundle.json in it) and no MLflow URI "
            "(models:/name@champion, models:/name/3, runs:/id/model)"
        )
    return Path(model), model


def parse_inputs(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Files and folders apart from ``data.KEY=VALUE``: how a manifest among them is read.

    Raises SettingsError for a file that is not there and a setting that reads no manifest.
    """
    settings = [a for a in arguments if re.match(r"data\.\w+=", a) and not Path(a).exists()]
    for setting in settings:
        name = setting.partition("=")[0].removeprefix("data.")
        if name not in READING_SETTINGS:
            raise SettingsError(
                f"data.{name}: is no setting by which a manifest is read; those are "
                f"{', '.join(READING_SETTINGS)}"
            )
    paths = [Path(argument) for argument in arguments if argument not in settings]
    for path in paths:
        if not path.exists():
            raise SettingsError(f"INPUT {path}: no such file or folder")
    if not paths:
        raise SettingsError("INPUT: name a file or a folder")
    return paths, settings


def list_items(
    inputs: Sequence[Path],
    features: Features,
    settings: Sequence[str] = (),
    classes: Sequence[str] = (),
    notes: list[str] | None = None,
) -> tuple[str, Iterator[Item]]:
    """The first column's name and the items, found lazily.

    A folder gives every file below it, named by its path within the folder, and where there are
    several inputs by that folder too; a manifest gives its rows, read by ``settings`` as in
    ``data.quoting=false``; another file is itself an item. Journals and prediction files of earlier
    runs are no items of a folder. The class of an item is known where a manifest tells it, or where
    the file lies in a folder that has a class's name, within the folder that is read. What is
    notable is added to ``notes`` while the items are found.
    """
    notes = [] if notes is None else notes
    for_texts = [s for s in settings if features.reads_text and s.startswith("data.encoding=")]
    told_how = len(settings) > len(for_texts)
    manifests = [path for path in inputs if is_manifest(path, features, told_how)]
    if manifests and len(inputs) > 1:
        raise SettingsError(f"INPUT {manifests[0]}: a manifest must be the only input")
    source = str(manifests[0] if manifests else inputs[0])
    data = Data.parse(override({"data": {"source": source}}, settings)["data"], origin="INPUT")
    if manifests:
        manifest = data.list_items(features)
        notes += manifest.notes
        return _rows(manifest)
    if told_how:
        first = next(setting for setting in settings if setting not in for_texts)
        raise SettingsError(f"{first}: tells how a manifest is read; INPUT is none")
    check_encoding_name(data.encoding)
    encoding = data.encoding if for_texts else "utf-8"
    names = {clean_name(name): name for name in classes}
    return "path", _files(inputs, names, encoding, notes)


def _rows(manifest: Manifest) -> tuple[str, Iterator[Item]]:
    key = "id" if manifest.arrays or "text" in manifest.table.column_names else "path"
    labelled = (
        (name, label or None)
        for batch in manifest.table.select([key, "label"]).to_batches(ROWS_AT_ONCE)
        for name, label in zip(*(column.to_pylist() for column in batch), strict=True)
    )
    items = zip(labelled, manifest.sources(), strict=True)
    return key, (Item(name, source, label) for (name, label), source in items)


def _files(
    inputs: Sequence[Path], classes: Mapping[str, str], encoding: str, notes: list[str]
) -> Iterator[Item]:
    earlier: list[str] = []
    for path in inputs:
        if not path.is_dir():
            yield Item(str(path), _content(path, encoding))
            continue
        said: list[str] = []
        for name in list_files(path, said):
            if is_own_file(path / name):
                earlier.append(name)
                continue
            shown = f"{path}/{name}" if len(inputs) > 1 else name
            yield Item(shown, _content(path / name, encoding), _class_of(name, classes))
        notes += [f"{path}: {note}" for note in said]
    if earlier:
        notes.append(f"files of earlier predictions are no inputs: {shorten(earlier)}")


def _content(path: Path, encoding: str) -> Source:
    return path if encoding == "utf-8" else read_text_file(path, encoding)


def _class_of(name: str, classes: Mapping[str, str]) -> str | None:
    """The first folder in a path that has a class's name: ``test/dog/7.wav`` is a dog's."""
    if "/" not in name:
        return None
    parts = (part if part.isascii() else clean_name(part) for part in name.split("/")[:-1])
    return next((classes[part] for part in parts if part in classes), None)
