"""Compare cells on arrays: ``seqbelt.compare``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils.validation import column_or_1d

from seqbelt.comparison.baselines.baseline import BaselineResult, no_recurrence_baseline
from seqbelt.comparison.baselines.fitted import Fold, fitted_baselines, measure
from seqbelt.comparison.baselines.signal_baselines import predict_shuffled, shuffled_order_baseline
from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.conclusion_page import Conclusion, RunResult
from seqbelt.comparison.metrics import RunPredictions
from seqbelt.comparison.variants import OVERRIDES, label
from seqbelt.data.array_reading import read_sequences
from seqbelt.data.in_memory import in_memory
from seqbelt.errors import SettingsError
from seqbelt.estimator import SequenceClassifier
from seqbelt.plots.comparison_figures import comparison_figure
from seqbelt.plots.report_page import figure, markdown, page
from seqbelt.plots.run_figures import learning_curves
from seqbelt.texts import text
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.history import History
from seqbelt.words import percent
from seqbelt.workflow.comparison_log import log_conclusion

SETTINGS = ("cells", "seeds", "margin", "confidence", "metric", "controls")
LEAST_PROBABILITY = 1e-12
"""Below it the loss of an example is bounded."""


@dataclass(frozen=True, repr=False)
class ArrayConclusion(Conclusion):
    """What a comparison of arrays says; a notebook shows it as a table."""

    histories: Mapping[str, History] = field(default_factory=dict)

    def report(self, path: str | Path) -> None:
        """Write the verdict, the tables and the figures as one HTML file."""
        blocks = [
            markdown(self.markdown()),
            *(figure(text(f"figure_{name}"), drawn) for name, drawn in self.figures().items()),
        ]
        content = page("Comparison", self.headline, "en", blocks)
        Path(path).write_text(content, encoding="utf-8")

    def figures(self) -> dict[str, Any]:
        """matplotlib figures: the scores with their intervals, and the learning curves."""
        controls = [control.to_dict() for control in self.controls]
        return {
            "comparison": comparison_figure(self.cells(), self.confidence, controls),
            "learning_curves": learning_curves(self.histories),
        }

    def __repr__(self) -> str:
        return f"<ArrayConclusion: {self.sentence}>"

    def _repr_markdown_(self) -> str:
        return self.markdown()


class _Split(NamedTuple):
    """Row numbers of one fold among all sequences."""

    train: np.ndarray
    test: np.ndarray


class _Data(NamedTuple):
    """All sequences float32 ``(steps, features)``, class indices ``(sequences,)``, class names, the
    splits, and the group of each test row in the order of the splits."""

    arrays: list[np.ndarray]
    labels: np.ndarray
    classes: list[str]
    splits: list[_Split]
    groups: np.ndarray | None

    @property
    def test_labels(self) -> np.ndarray:
        return np.concatenate([self.labels[split.test] for split in self.splits])

    def take(self, rows: np.ndarray) -> list[np.ndarray]:
        return [self.arrays[row] for row in rows]

    def over_splits(self, predict: Callable[[_Split], np.ndarray]) -> np.ndarray:
        """What ``predict`` returns for the test rows of every split."""
        return np.concatenate([predict(split) for split in self.splits])


def compare(
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    folds: int | Any = None,
    groups: Any = None,
    classifier: SequenceClassifier | None = None,
    experiment: str | None = None,
    verbose: bool = False,
    **comparison: Any,
) -> ArrayConclusion:
    """Train every cell with every seed on arrays and judge the difference on test rows.

    ``X`` and ``X_test`` are sequences as ``SequenceClassifier`` takes them, ``y`` and ``y_test``
    their labels. Instead of ``X_test``, ``folds`` divides ``X``: a number of stratified folds,
    ``"group"`` to leave out each group in turn, scikit-learn's splitter, or pairs of row numbers
    (training, test); every test row counts once.
    ``groups`` names the speaker or subject of each test sequence (with ``folds``, of each
    sequence): a number of folds keeps groups whole, and the verdict is about new groups.
    ``classifier`` has the settings that all cells share; its ``cell`` and ``seed`` are replaced.
    ``cells``, ``seeds``, ``margin``, ``confidence``, ``metric`` and ``controls`` (baselines without
    recurrence) are those of a config's ``comparison`` section. With an ``experiment`` the models
    and the verdict are logged to MLflow under that name. ``verbose`` prints a line for each model.

    In the result, ``sentence`` is the verdict in words, ``verdict`` has its numbers, ``cells()``
    the test scores of each cell, ``markdown()`` the tables, ``report(path)`` writes a page.
    Raises SettingsError for an unknown setting, ValueError for arrays that do not fit,
    KeyboardInterrupt after Ctrl-C.

    The test: crossed random effects of seeds and examples, Holm's correction for several cells
    (``seqbelt.comparison.statistics``).
    """
    if unknown := sorted(comparison.keys() - set(SETTINGS)):
        of_model = [name for name in unknown if name in SequenceClassifier().get_params()]
        remedy = f"; classifier=SequenceClassifier({of_model[0]}=...) has it" if of_model else ""
        raise SettingsError(
            f"compare: no such setting: {', '.join(unknown)}; known: {', '.join(SETTINGS)}{remedy}"
        )
    rule = Comparison.parse(comparison, origin="compare")
    data = _read(X, y, X_test, y_test, folds, groups)
    template = classifier or SequenceClassifier()
    runs: dict[str, list[RunResult]] = {}
    histories: dict[str, History] = {}
    models: dict[str, list[list[SequenceClassifier]]] = {}
    for cell in rule.cells:
        for seed in rule.seeds:
            fitted = [_fit(template, data, split, cell, seed) for split in data.splits]
            result = _score(data, fitted, seed)
            runs.setdefault(cell, []).append(result)
            models.setdefault(cell, []).append(fitted)
            for number, model in enumerate(fitted):
                fold = f"-f{number}" if len(fitted) > 1 else ""
                histories[f"{cell}-s{seed}{fold}"] = model.history_
            if verbose:
                print(
                    f"{label(cell)}, seed {seed}: test {percent(result.test['accuracy'])}, "
                    f"{result.train_s:.1f} s"
                )
    controls = list(_controls(rule, template, data, models)) if rule.controls else []
    concluded = rule.conclude(runs, data.classes, data.groups, controls)
    conclusion = ArrayConclusion(**{**vars(concluded), "histories": histories})
    if experiment is not None:
        _log(experiment, conclusion)
    return conclusion


def _read(X: Any, y: Any, X_test: Any, y_test: Any, folds: Any, groups: Any) -> _Data:
    if (X_test is None) == (folds is None):
        raise ValueError("pass either X_test with y_test, or folds")
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test belong together; one of them is missing")
    arrays, named = read_sequences(X), column_or_1d(y)
    _check_count(arrays, named, "sequences", "labels")
    group_names = None if groups is None else column_or_1d(groups)
    if folds is None:
        tests, truth = read_sequences(X_test), column_or_1d(y_test)
        _check_count(tests, truth, "test sequences", "test labels")
        if group_names is not None:
            _check_count(tests, group_names, "test sequences", "groups")
        rows = np.arange(len(arrays) + len(tests))
        splits = [_Split(rows[: len(arrays)], rows[len(arrays) :])]
        classes, labels = np.unique(np.concatenate([named, truth]), return_inverse=True)
        return _Data(
            [*arrays, *tests], labels, [str(name) for name in classes], splits, group_names
        )
    if group_names is not None:
        _check_count(arrays, group_names, "sequences", "groups")
    classes, labels = np.unique(named, return_inverse=True)
    splits = [_Split(np.asarray(a), np.asarray(b)) for a, b in _split(folds, labels, group_names)]
    tested = np.concatenate([split.test for split in splits])
    if len(np.unique(tested)) < len(tested):
        raise ValueError("folds: a row is in the test part of two folds; each may be in one")
    return _Data(
        arrays,
        labels,
        [str(name) for name in classes],
        splits,
        None if group_names is None else group_names[tested],
    )


def _check_count(rows: Sequence, others: Sequence, of_rows: str, of_others: str) -> None:
    if len(rows) != len(others):
        raise ValueError(f"{len(rows)} {of_rows}, but {len(others)} {of_others}")


def _split(folds: Any, labels: np.ndarray, groups: np.ndarray | None) -> Iterator[Any]:
    if isinstance(folds, int):
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        folds = kind(folds, shuffle=True, random_state=0)
    if isinstance(folds, str):
        if folds != "group" or groups is None:
            raise ValueError(
                f"folds={folds!r}: expected a number, 'group' with groups, scikit-learn's splitter "
                "or pairs of row numbers"
            )
        folds = LeaveOneGroupOut()
    if hasattr(folds, "split"):
        return folds.split(np.zeros((len(labels), 1)), labels, groups)
    return iter(folds)


def _fit(
    template: SequenceClassifier, data: _Data, split: _Split, cell: str, seed: int
) -> SequenceClassifier:
    model = cast(SequenceClassifier, clone(template))
    model.set_params(**OVERRIDES[cell], seed=seed, random_state=None)
    model.fit(data.take(split.train), data.labels[split.train])
    if model.history_.interrupted:
        raise KeyboardInterrupt
    return model


def _score(data: _Data, fitted: Sequence[SequenceClassifier], seed: int) -> RunResult:
    """The predictions of the models of all splits together."""
    labels = data.test_labels
    probabilities = np.zeros((len(labels), len(data.classes)))
    start = 0
    for split, model in zip(data.splits, fitted, strict=True):
        rows = slice(start, start := start + len(split.test))
        probabilities[rows, model.classes_] = model.predict_proba(data.take(split.test))
    predicted = probabilities.argmax(1)
    right = probabilities[np.arange(len(labels)), labels]
    return RunResult(
        run_ids=(),
        seed=seed,
        predictions=RunPredictions(labels, predicted, -np.log(right.clip(LEAST_PROBABILITY))),
        test={
            "accuracy": float((predicted == labels).mean()),
            "macro_f1": float(f1_score(labels, predicted, average="macro")),
        },
        num_parameters=fitted[0].network_.num_parameters,
        epochs=float(np.mean([len(model.history_.epochs) for model in fitted])),
        train_s=sum(model.history_.train_s for model in fitted),
    )


def _controls(
    rule: Comparison,
    template: SequenceClassifier,
    data: _Data,
    models: Mapping[str, Sequence[Sequence[SequenceClassifier]]],
) -> Iterator[BaselineResult]:
    """The baselines of a comparison of files, on the same rows."""
    first = next(iter(models.values()))[0][0]

    def without_recurrence(split: _Split) -> np.ndarray:
        model = _fit(template, data, split, "none", rule.seeds[0])
        return model.predict(data.take(split.test))

    has_stem = first.network_.main.stem is not None
    yield measure(
        no_recurrence_baseline(uses_order=has_stem),
        data.test_labels,
        lambda: data.over_splits(without_recurrence)[None],
    )
    everything = in_memory(data.arrays, data.labels, tuple(data.classes))
    folds = [
        Fold(
            everything.take(split.train),
            everything.take(split.train[:0]),
            everything.take(split.test),
            lambda: first.network_.networks[0],
        )
        for split in data.splits
    ]
    for baseline in fitted_baselines(everything.store, first.model_, first.training_):
        yield baseline.run(folds)
    for cell, of_seeds in models.items():

        def shuffled(of_seeds: Sequence[Sequence[SequenceClassifier]] = of_seeds) -> np.ndarray:
            return np.stack([
                np.concatenate([
                    model.classes_[predict_shuffled(model.network_, fold.test, seed)]
                    for model, fold in zip(fitted, folds, strict=True)
                ])
                for fitted, seed in zip(of_seeds, rule.seeds, strict=True)
            ])  # fmt: skip

        yield measure(shuffled_order_baseline(cell), data.test_labels, shuffled)


def _log(experiment: str, conclusion: ArrayConclusion) -> None:
    """A run for each cell and seed, and one for the verdict."""
    for cell, results in conclusion.runs.items():
        for result in results:
            run = TrackedRun.start(experiment, f"{cell}-s{result.seed}", {})
            run.log_cell(cell)
            run.log_metrics({f"test/{name}": score for name, score in result.test.items()})
            run.log_metrics({"train/train_s": result.train_s, "train/epochs": result.epochs})
            run.finish()
    summary = TrackedRun.start(experiment, conclusion.headline, {"compare.summary": "true"})
    log_conclusion(summary, conclusion, conclusion.markdown(), conclusion.figures())
    summary.finish()
