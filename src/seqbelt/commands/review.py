"""``seqbelt review``: a local page to look at items and correct their labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.label_sets import read_flags
from seqbelt.data.labels.targets import Target
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.sources.names import clean_name, shorten
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.evaluation.confident_learning import UNDISPUTED
from seqbelt.experiment import Experiment
from seqbelt.features.base import Source
from seqbelt.features.encoding import hash_if_readable
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.decision import Decision
from seqbelt.plots.report_settings import ReportSettings
from seqbelt.review.decisions import Decisions
from seqbelt.review.items import ReviewItems
from seqbelt.review.server import serve
from seqbelt.texts import Language, text
from seqbelt.words import count_of
from seqbelt.workflow.console import echo
from seqbelt.workflow.inputs import list_items, parse_inputs
from seqbelt.workflow.models import load_folder
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.workflow.wrong_labels import find_wrong_labels

SUFFIX = ".corrections.csv"
KEPT_LABEL = "input_label"
"""Column with the labels of the input, which ``predict --keep-columns`` keeps."""
MAX_TRIED = 20
"""Rows whose files are looked for, to find the folder that was predicted."""


def review_data(
    experiment: Experiment, config: Path, corrections: Path | None = None, port: int = 0
) -> Outcome:
    """Review the labels of a config's data, in the order of doubt of its last comparison.

    Decisions go to ``corrections``: by default ``data.corrections``, or NAME.corrections.csv beside
    the config.
    """
    if experiment.data.labels_steps:
        raise SettingsError(
            "review: data.labels: per_step is not reviewed item by item; use a config with "
            "data.labels: per_sequence or several"
        )
    path = corrections or experiment.data.corrections or _beside(config)
    if experiment.data.corrections is not None and not experiment.data.corrections.exists():
        if path != experiment.data.corrections:
            raise SettingsError(f"data.corrections: no such file '{experiment.data.corrections}'")
        # The table that this review starts.
        experiment = experiment.with_data(experiment.data.replace(corrections=None))
    items = items_of_data(experiment)
    outcome = _review(items, path, port, experiment.report.language)
    if experiment.data.corrections is None and outcome.result["num_changed"]:
        echo(
            f"to apply the corrections, set data.corrections: {path} in {config} and prepare again"
        )
    return outcome


def review_predictions(
    table: Path,
    inputs: Sequence[str] = (),
    corrections: Path | None = None,
    port: int = 0,
    model: str | None = None,
) -> Outcome:
    """Review a table of predictions, the least sure first.

    ``inputs`` are those that were predicted, with settings of a manifest as for ``predict``, and
    ``report.language``; without them paths are looked for from the working folder and beside the
    table. ``model`` is the model that predicted, where the table's name of it leads nowhere.
    """
    given = [argument for argument in inputs if argument.startswith("report.language=")]
    items = items_of_predictions(table, [name for name in inputs if name not in given], model)
    language = ReportSettings.of(given).language
    return _review(items, corrections or _beside(table), port, language)


def _beside(path: Path) -> Path:
    return path.with_name(path.stem + SUFFIX)


def _review(items: ReviewItems, path: Path, port: int, language: Language) -> Outcome:
    decisions = Decisions(items, path)

    def on_start(address: str) -> None:
        echo(f"{count_of(len(items), 'item')}; open {address}")
        echo(f"decisions are saved in {path}; Ctrl-C ends the review")

    serve(items, decisions, port, on_start, language)
    rate = decisions.error_rate()
    result = {
        "corrections": str(path),
        "num_items": len(items),
        "num_reviewed": len(decisions.labels),
        "num_changed": decisions.num_changed,
        "error_rate": rate and rate._asdict(),
    }
    return Outcome(result)


def items_of_data(experiment: Experiment) -> ReviewItems:
    """The items of a config's data, with the held-out predictions of its last comparison."""
    store = prepare_data(experiment).store
    manifest = experiment.data.list_items(experiment.features)
    rows, stored = _review_rows(manifest, store)
    wrong = find_wrong_labels(experiment, store)
    probabilities = np.full((len(rows), len(store.classes)), np.nan)
    is_contradicted, doubt = np.zeros(len(rows), bool), np.zeros(len(rows))
    if wrong is None:
        remark = text("review_not_compared")
    else:
        of_store = np.full(store.index.num_rows, -1)
        of_store[stored[stored >= 0]] = np.flatnonzero(stored >= 0)
        items, ranking = of_store[wrong.scored], wrong.ranking
        is_shown = items >= 0
        probabilities[items[is_shown]] = ranking.probabilities[is_shown]
        is_contradicted[items[is_shown]] = ranking.grades[is_shown] != UNDISPUTED
        doubt[items[is_shown]] = 1 - ranking.self_confidences[is_shown]
        remark = wrong.sentence
    hashes = store.index["content_hash"].to_pylist()
    labels = experiment.data.item_labels(manifest)
    has_paths = "path" in manifest.table.column_names and not manifest.contents
    return ReviewItems(
        names=manifest.table["id"].take(pa.array(rows)).to_pylist(),
        labels=[labels[row] for row in rows],
        content_hashes=[hashes[row] if row >= 0 else "" for row in stored],
        classes=store.classes,
        probabilities=probabilities,
        is_contradicted=is_contradicted,
        doubt=doubt,
        features=experiment.features,
        source=lambda item: manifest.source(int(rows[item])),
        title=text("review_title", name=experiment.name),
        remarks=[remark],
        decision=Decision(store.target),
        paths=manifest.table["path"].take(pa.array(rows)).to_pylist() if has_paths else (),
    )


def _review_rows(manifest: Manifest, store: SequenceStore) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the manifest to review, and each one's row in the store: those of the store, and
    those without a label (-1). Quarantined rows are left out: they cannot be shown."""
    ids, labels = manifest.column("id"), manifest.column("label")
    stored_ids = store.index["id"].to_pylist()
    rows, stored, following = list[int](), list[int](), 0
    for row, name in enumerate(ids.tolist()):
        # A store has its rows in the order of the manifest.
        if following < len(stored_ids) and stored_ids[following] == name:
            rows.append(row)
            stored.append(following)
            following += 1
        elif not labels[row] and row not in manifest.problems:
            rows.append(row)
            stored.append(-1)
    return np.array(rows, np.int64), np.array(stored, np.int64)


def items_of_predictions(
    table: Path, inputs: Sequence[str] = (), model: str | None = None
) -> ReviewItems:
    """The items of a table of predictions; rows without a prediction are left out."""
    rows = _read_table(table)
    key = "path" if "path" in rows.column_names else "id"
    kept, columns = _split_columns(table, rows.column_names)
    probabilities = np.stack(
        [rows[name].to_numpy(zero_copy_only=False).astype(float) for name in columns], axis=1
    )
    is_predicted = np.isfinite(probabilities).all(axis=1)
    rows, probabilities = rows.filter(pa.array(is_predicted)), probabilities[is_predicted]
    if not len(probabilities):
        raise SeqbeltError(f"{table}: no row has a prediction")
    names = rows[key].cast(pa.string()).to_pylist()
    hashes = rows["content_hash"].cast(pa.string()).fill_null("").to_pylist()
    classes = tuple(name.removeprefix("p_") for name in columns)
    bundle = _bundle_of(table, rows["model"][0].as_py(), model)
    if model is not None and {*bundle.classes} != {*classes}:
        raise SettingsError(
            f"--model {model}: has the classes {shorten(bundle.classes)}, and {table} was "
            f"predicted by a model of {shorten(classes)}"
        )
    features = bundle.features
    if features.reads_text and "text" in rows.column_names and not inputs:
        sources: Sequence[Source] = rows["text"].to_pylist()
    else:
        sources = _find_sources(table, key, names, hashes, bundle, inputs)
    left_out = int(np.count_nonzero(~is_predicted))
    decision = bundle.decision
    remarks = [text("review_left_out", count=left_out)] if left_out else []
    labels = [""] * len(names)
    if KEPT_LABEL in kept:
        labels = [_read_cell(cell, decision) for cell in rows[KEPT_LABEL].fill_null("").to_pylist()]
    elif decision.target.is_several and {*classes} <= {*kept}:
        labels = _read_flags(rows.select(classes), decision)
        remarks.append(text("review_label_columns", names=", ".join(classes)))
    decided = decision.target.decide(probabilities, decision.thresholds)
    predicted = [decision.target.write(decision.target.names(row, classes)) for row in decided]
    return ReviewItems(
        names=names,
        labels=labels,
        content_hashes=hashes,
        classes=classes,
        probabilities=probabilities,
        is_contradicted=np.array(
            [label not in ("", best) for label, best in zip(labels, predicted)]
        ),
        doubt=_doubts(labels, classes, probabilities, decided, decision.target),
        features=features,
        source=sources.__getitem__,
        title=text("review_title", name=table.name),
        remarks=remarks,
        decision=decision,
        paths=names if key == "path" else (),
    )


def _split_columns(table: Path, names: Sequence[str]) -> tuple[Sequence[str], list[str]]:
    """The columns kept from the input, which stand before the predictions, and those of the
    probabilities. Raises SettingsError for a table without one prediction for each input."""
    index = names.index("confidence") if "confidence" in names else len(names)
    columns = [name for name in names[index + 1 :] if name.startswith("p_")]
    if "start_s" in names and not columns:
        raise SettingsError(
            f"PREDICTIONS {table}: has a row for each segment, and review shows whole inputs; look "
            "at segments in Audacity ('seqbelt predict --audacity FOLDER')"
        )
    has_name = "path" in names or "id" in names
    if not has_name or not columns or not {"content_hash", "model"} <= {*names}:
        raise SettingsError(
            f"PREDICTIONS {table}: expected a table that 'seqbelt predict' wrote (path or id, "
            f"p_<class>, content_hash, model); found {', '.join(names)}"
        )
    return names[:index], columns


def _read_cell(cell: str, decision: Decision) -> str:
    """The label in a cell of the input's table, as the decision's target writes it; empty without
    one. Several labels are a list, or parted by the decision's separator."""
    target = decision.target
    if not target.is_several or not cell:
        return cell
    try:
        names: Sequence[str] = target.read(cell)
    except ValueError:
        names = cell.split(decision.separator)
    return target.write(map(clean_name, names))


def _read_flags(columns: pa.Table, decision: Decision) -> list[str]:
    """The labels of the input's columns of 0 and 1, one for each label; a row where one of them
    holds anything else has no label."""
    cells = {
        name: columns[name].cast(pa.string()).fill_null("").to_pylist()
        for name in columns.column_names
    }

    def read(row: int) -> str:
        try:
            return decision.target.write(read_flags(cells, row))
        except ValueError:
            return ""

    return [read(row) for row in range(columns.num_rows)]


def _bundle_of(table: Path, named: str, model: str | None) -> Bundle:
    """The bundle that made the predictions. Raises SeqbeltError where it is not found."""
    try:
        folder, _ = load_folder(model or named)
    except SeqbeltError as error:
        if model is not None:
            raise
        raise SettingsError(
            f"PREDICTIONS {table}: its model '{named}' is not found from here ({error}); run the "
            "command in the folder of the project, or name the model that predicted: --model MODEL"
        ) from None
    return Bundle.load(folder)


def _doubts(
    labels: Sequence[str],
    classes: tuple[str, ...],
    probabilities: np.ndarray,
    decided: np.ndarray,
    target: Target,
) -> np.ndarray:
    """1 less the probability of the label, or, without a label of known classes, of what was
    ``decided``."""
    codes = decided.copy()
    for row, label in enumerate(labels):
        if label and {*target.read(label)} <= {*classes}:
            codes[row] = target.encode(target.read(label), classes)
    return 1 - target.probability_of(probabilities, codes)


def _read_table(path: Path) -> pa.Table:
    """A table of predictions. Raises SettingsError if it cannot be read."""
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    # Names of digits are names.
    names = ("path", "id", "text", "label", "content_hash", "model", KEPT_LABEL)
    texts = {name: pa.string() for name in names}
    options = pyarrow.csv.ConvertOptions(column_types=texts)
    readers = {
        ".parquet": pyarrow.parquet.read_table,
        ".csv": lambda path: pyarrow.csv.read_csv(path, convert_options=options),
        ".jsonl": pyarrow.json.read_json,
        ".xlsx": lambda path: _read_workbook(path, names),
    }
    if path.suffix.lower() not in readers:
        raise SettingsError(
            f"PREDICTIONS {path}: expected a YAML file with settings, or a table of predictions "
            f"({', '.join(readers)})"
        )
    try:
        return readers[path.suffix.lower()](path)
    except (OSError, ValueError) as error:  # Arrow's are ValueErrors
        raise SettingsError(f"PREDICTIONS {path}: cannot be read ({error})") from None


def _read_workbook(path: Path, texts: Sequence[str]) -> pa.Table:
    import pandas

    frame = pandas.read_excel(
        path, engine="calamine", dtype=dict.fromkeys(texts, str), keep_default_na=False,
        na_values={},
    )  # fmt: skip
    return pa.Table.from_pandas(frame, preserve_index=False)


def _find_sources(
    table: Path,
    key: str,
    names: Sequence[str],
    hashes: Sequence[str],
    bundle: Bundle,
    inputs: Sequence[str],
) -> Sequence[Source]:
    """The content of each predicted item. Raises SettingsError where it is not found."""
    if inputs:
        paths, settings = parse_inputs(inputs)
        reading = bundle.about.get("reading")
        items = list_items(paths, bundle.features, settings, reading=reading).items
        sources: dict[str, list[Source]] = {}
        for item in items:
            sources.setdefault(item.name, []).append(item.source)
        if missing := [name for name in names if name not in sources]:
            raise SettingsError(
                f"INPUT {inputs[0]}: {len(missing):,} of {len(names):,} predicted items are not in "
                f"it, among them '{missing[0]}'; give the inputs that were predicted"
            )
        return [
            _with_hash(sources[name], content_hash)
            for name, content_hash in zip(names, hashes, strict=True)
        ]
    if key == "path" and not isinstance(bundle.features, SeveralInputs):
        for root in dict.fromkeys([Path(), table.parent]):
            if all((root / name).is_file() for name in names[:MAX_TRIED]):
                return [root / name for name in names]
    raise SettingsError(
        f"PREDICTIONS {table}: '{names[0]}' is not found from here; add the folder or table that "
        f"was predicted: seqbelt review {table} INPUT"
    )


def _with_hash(sources: Sequence[Source], content_hash: str) -> Source:
    """Of the items of one name, the one with this content: rows of one file may differ in their
    other inputs."""
    if len(sources) == 1:
        return sources[0]
    same = (source for source in sources if hash_if_readable(source) == content_hash)
    return next(same, sources[0])
