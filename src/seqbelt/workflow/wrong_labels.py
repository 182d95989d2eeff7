"""Held-out predictions of a comparison, kept a row, and the labels that they contradict."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from seqbelt.comparison.variants import label as cell_label
from seqbelt.data.audit import Finding
from seqbelt.data.audit.findings import MAX_EXAMPLES
from seqbelt.data.labels.targets import DEFAULT_THRESHOLD, TargetName
from seqbelt.data.store.parts import write_atomically
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError
from seqbelt.evaluation.confident_learning import (
    DOUBTFUL,
    LIKELY_WRONG,
    UNDISPUTED,
    LabelRanking,
    rank_labels,
)
from seqbelt.experiment import Experiment
from seqbelt.texts import Text, join, text
from seqbelt.words import percent

if TYPE_CHECKING:  # an audit needs no training, whose imports take seconds
    from seqbelt.workflow.training_run import Trained

HELD_OUT, TABLE = "held_out.parquet", "wrong_labels.csv"
"""Files in the experiment's output folder."""
MAX_LISTED = 20
"""Labels in the JSON; the table has all."""
_ABOUT = b"seqbelt"


class DoubtedLabel(TypedDict):
    """A row of the table, with its columns in order."""

    rank: int
    id: str
    split: str
    """Empty with folds, where every row is of every part."""
    label: str
    suggested_label: str
    grade: str
    p_label: float
    p_suggested: float
    num_models: int
    """Models that were not trained on it, whose predictions are averaged."""
    content_hash: str


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows by models that were not trained on them.

    ``table`` has ``id``, ``content_hash``, ``num_models`` and ``p_<class>``, the mean probability
    of the models.
    """

    table: pa.Table
    classes: tuple[str, ...]
    cell: str
    """The cell whose models predicted."""
    num_seeds: int
    has_folds: bool
    """Whether each row was in the test part of a fold."""
    labels: TargetName = "per_sequence"
    """What the models predicted."""

    @classmethod
    def of(cls, trained: Sequence["Trained"]) -> "HeldOut":
        """The predictions of the best cell of a comparison, that with the lowest held-out loss.

        With folds those for the test rows of each fold; without, for test and validation rows.
        """
        has_folds = len({model.experiment.data.fold for model in trained}) > 1
        cell = _best_cell(trained)
        models = [model for model in trained if model.cell == cell]
        sums, counts = dict[tuple[str, str], np.ndarray](), dict[tuple[str, str], int]()
        for model in models:
            for report in [model.test] if has_folds else [model.test, model.validation]:
                if report is None:
                    continue
                names = zip(report.sequences.column("id"), report.sequences.column("content_hash"))
                for key, row in zip(names, report.probabilities, strict=True):
                    sums[key] = sums.get(key, 0) + row
                    counts[key] = counts.get(key, 0) + 1
        num_models = np.array([*counts.values()])
        means = np.stack([*sums.values()]) / num_models[:, None]
        classes = models[0].store.classes
        columns = {
            "id": [name for name, _ in sums],
            "content_hash": [content_hash for _, content_hash in sums],
            "num_models": num_models,
            **{f"p_{name}": means[:, k].astype(np.float32) for k, name in enumerate(classes)},
        }
        num_seeds = len({model.seed for model in models})
        target = models[0].store.target
        return cls(pa.table(columns), classes, cell, num_seeds, has_folds, target.name)

    def save(self, path: Path) -> None:
        """Write the predictions to a parquet file, atomically."""
        about = {
            "classes": self.classes,
            "cell": self.cell,
            "num_seeds": self.num_seeds,
            "has_folds": self.has_folds,
            "labels": self.labels,
        }
        content = io.BytesIO()
        table = self.table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
        pyarrow.parquet.write_table(table, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "HeldOut":
        """Read what ``save`` wrote. Raises SeqbeltError if it is something else."""
        try:
            table = pyarrow.parquet.read_table(path)
            about = json.loads((table.schema.metadata or {})[_ABOUT])
            about["classes"] = tuple(about["classes"])
            return cls(table, **about)
        except (OSError, ValueError, KeyError, TypeError) as error:  # Arrow's are ValueErrors
            raise SeqbeltError(
                f"{path}: no held-out predictions ({error}); delete it and run 'seqbelt compare'"
            ) from None

    def of_rows(self, store: SequenceStore) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities ``(rows, classes of the store)`` and numbers of models ``(rows,)`` of a
        store's rows; NaN and 0 where there is no prediction of the same content."""
        row_of = {
            key: row
            for row, key in enumerate(
                zip(self.table["id"].to_pylist(), self.table["content_hash"].to_pylist())
            )
        }
        ids, hashes = (store.index[name].to_pylist() for name in ("id", "content_hash"))
        rows = np.array([row_of.get(key, -1) for key in zip(ids, hashes)], np.int64)
        is_scored = rows >= 0
        probabilities = np.full((len(rows), len(store.classes)), np.nan)
        # A label that the models did not know contradicts nothing; a class may be another one.
        probabilities[is_scored] = DEFAULT_THRESHOLD if store.target.is_several else 0.0
        for column, name in enumerate(store.classes):
            if name in self.classes:
                values = self.table[f"p_{name}"].to_numpy()
                probabilities[is_scored, column] = values[rows[is_scored]]
        num_models = np.zeros(len(rows), np.int64)
        num_models[is_scored] = self.table["num_models"].to_numpy()[rows[is_scored]]
        return probabilities, num_models


def _best_cell(trained: Sequence["Trained"]) -> str:
    """The cell with the lowest mean loss of calibrated probabilities over all test rows."""
    losses: dict[str, list[np.ndarray]] = {}
    for model in trained:
        assert model.test is not None  # a comparison has a test part
        of_labels = model.test.target.probability_of(model.test.probabilities, model.test.labels)
        losses.setdefault(model.cell, []).append(-np.log(np.maximum(of_labels, 1e-12)))
    return min(losses, key=lambda cell: np.concatenate(losses[cell]).mean())


@dataclass(frozen=True)
class WrongLabels:
    """The labels of a store against the held-out predictions of a comparison."""

    store: SequenceStore
    held_out: HeldOut
    probabilities: np.ndarray
    """``(rows, classes)``; NaN without a held-out prediction."""
    num_models: np.ndarray
    """Models that predicted each row, ``(rows,)``; 0 without a held-out prediction."""
    path: Path
    """The table."""

    @cached_property
    def scored(self) -> np.ndarray:
        """Numbers of the store's rows that have a prediction."""
        return np.flatnonzero(self.num_models)

    @cached_property
    def ranking(self) -> LabelRanking:
        """The ranking of the ``scored`` rows."""
        target = self.store.target
        labels = target.labels(self.store.select(self.scored))
        return rank_labels(target, labels, self.probabilities[self.scored])

    @property
    def num_not_scored(self) -> int:
        """Rows that were only trained on."""
        return len(self.num_models) - len(self.scored)

    def num_of(self, grade: str) -> int:
        """Rows of a grade of ``confident_learning``."""
        return int(np.count_nonzero(self.ranking.grades == grade))

    @property
    def source(self) -> Text:
        """The models that predicted, as text."""
        count = self.held_out.num_seeds
        key = "wrong_labels_source" if count > 1 else "wrong_labels_source_one"
        return text(key, cell=cell_label(self.held_out.cell), count=count)

    @property
    def sentence(self) -> Text:
        """Counts of the grades, and of rows without a score with the remedy."""
        what = "several" if self.store.target.is_several else "one"
        sentence = text(
            "wrong_labels",
            wrong=self.num_of(LIKELY_WRONG),
            total=len(self.scored),
            what=text(f"wrong_labels_{what}"),
            doubtful=self.num_of(DOUBTFUL),
            source=self.source,
        )
        if not self.num_not_scored:
            return sentence
        rows = "count_row" if self.num_not_scored == 1 else "count_rows"
        remedy = "remedy_compare_again" if self.held_out.has_folds else "remedy_folds"
        not_scored = text(
            "wrong_labels_not_scored",
            rows=text(rows, count=self.num_not_scored),
            remedy=text(remedy),
        )
        return join([sentence, not_scored], "; ")

    def finding(self) -> Finding:
        """The finding of an audit."""
        count = self.num_of(LIKELY_WRONG)
        examples = [
            f"{row['id']}: '{row['label']}', predicted '{row['suggested_label']}' "
            f"({percent(row['p_suggested'])})"
            for row in self.listed(MAX_EXAMPLES)
            if row["grade"] == LIKELY_WRONG
        ]
        severity = "warning" if count else "ok"
        sentence = f"{self.sentence}; see {self.path}"
        if count or self.num_of(DOUBTFUL):
            sentence += ", correct them with 'seqbelt review'"
        return Finding("wrong-labels", severity, count, sentence, tuple(examples))

    def listed(self, count: int | None = None) -> list[DoubtedLabel]:
        """The rows of the table, the most doubtful label first; ``count`` of them only."""
        ranking, target = self.ranking, self.store.target

        def written(label: np.ndarray) -> str:
            return target.write(target.names(label, self.store.classes))

        order = ranking.order[:count]
        rows = self.scored[order]
        names = {name: self.store.column(name, rows) for name in ("id", "split", "content_hash")}
        return [
            {
                "rank": rank + 1,
                "id": names["id"][rank],
                "split": "" if self.held_out.has_folds else names["split"][rank],
                "label": written(ranking.labels[row]),
                "suggested_label": written(ranking.suggested[row]),
                "grade": str(ranking.grades[row]),
                "p_label": round(float(ranking.self_confidences[row]), 4),
                "p_suggested": round(float(ranking.suggested_confidences[row]), 4),
                "num_models": int(self.num_models[self.scored[row]]),
                "content_hash": names["content_hash"][rank],
            }
            for rank, row in enumerate(order.tolist())
        ]

    def to_csv(self) -> bytes:
        """The table of all scored rows, as a spreadsheet opens it."""
        content = io.StringIO(newline="")
        writer = csv.DictWriter(content, [*DoubtedLabel.__annotations__], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.listed())
        return content.getvalue().encode("utf-8-sig", "backslashreplace")

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the counts, and the first rows of the table."""
        return {
            "num_scored": len(self.scored),
            "num_not_scored": self.num_not_scored,
            "num_likely_wrong": self.num_of(LIKELY_WRONG),
            "num_doubtful": self.num_of(DOUBTFUL),
            "cell": self.held_out.cell,
            "num_seeds": self.held_out.num_seeds,
            "table": str(self.path),
            "sentence": self.sentence,
            "first": [row for row in self.listed(MAX_LISTED) if row["grade"] != UNDISPUTED],
        }

    def save(self) -> None:
        """Write the table."""
        write_atomically(self.path, self.to_csv())


def keep_held_out(experiment: Experiment, trained: Sequence["Trained"]) -> WrongLabels | None:
    """Keep the held-out predictions of a finished comparison, and rank the labels by them.

    None with labels for steps, which are not ranked.
    """
    store = trained[0].store
    if store.target.labels_steps:
        return None
    held_out = HeldOut.of(trained)
    held_out.save(held_out_path(experiment))
    return _rank(experiment, store, held_out)


def find_wrong_labels(experiment: Experiment, store: SequenceStore) -> WrongLabels | None:
    """Rank a store's labels by the held-out predictions of the experiment's last comparison.

    None if there has been none, if none of its rows are in the store, if it was of another kind of
    labels, or with labels for steps. Writes the table ``wrong_labels.csv``.
    """
    path = held_out_path(experiment)
    if not path.exists() or store.target.labels_steps:
        return None
    held_out = HeldOut.load(path)
    return _rank(experiment, store, held_out) if held_out.labels == store.target.name else None


def held_out_path(experiment: Experiment) -> Path:
    """The file with the held-out predictions of the experiment's last comparison."""
    return experiment.output / experiment.name / HELD_OUT


def _rank(experiment: Experiment, store: SequenceStore, held_out: HeldOut) -> WrongLabels | None:
    path = experiment.output / experiment.name / TABLE
    wrong_labels = WrongLabels(store, held_out, *held_out.of_rows(store), path)
    if not len(wrong_labels.scored):
        return None
    wrong_labels.save()
    return wrong_labels
