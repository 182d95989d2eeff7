"""The Python interface for arrays: a scikit-learn estimator, and a comparison of cells.

Its parameters are the settings of the sections ``model`` and ``training`` under their own names, so
``GridSearchCV(SequenceClassifier(), {"cell": ["lstm", "rnn"]})`` compares cells.
"""

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from seqbelt.comparison.comparison import Comparison, Conclusion, RunResult
from seqbelt.comparison.metrics import Answers
from seqbelt.comparison.variants import OVERRIDES
from seqbelt.data.cropping import crop_sequences
from seqbelt.data.in_memory import in_memory
from seqbelt.data.sequences import Sequences
from seqbelt.errors import SettingsError
from seqbelt.features.arrays.channels import MAX_FEW_STEPS
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.inference.bundle import Bundle
from seqbelt.models.classifier import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import train_network
from seqbelt.training.scoring import predict_logits

TEXT_ONLY = {"embedding_size", "embedding_dropout", "vectors"}
SECTIONS = (Model, Training)
TRANSPOSE = "pass X.transpose(0, 2, 1)"


def _parameters() -> dict[str, inspect.Parameter]:
    """The settings with a scalar value, with the defaults of their fields."""
    parameters = {}
    for section in SECTIONS:
        for name, field in section.model_fields.items():
            is_plain = isinstance(field.default, str | int | float | bool | None)
            if is_plain and name not in TEXT_ONLY:
                parameters[name] = inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=field.default
                )
    return parameters


class SequenceClassifier(ClassifierMixin, BaseEstimator):
    """Classify sequences of numbers with an LSTM, a GRU or an RNN.

    ``X`` is a list of arrays ``(steps, features)`` of any lengths, an array ``(sequences, steps,
    features)``, or, for one feature, an array ``(sequences, steps)``. An array in aeon's order
    ``(sequences, channels, steps)`` must be transposed: ``fit`` warns about few steps with many
    features, and ``predict`` raises if the width does not fit. Every setting of ``model`` and
    ``training`` in a config is a parameter with the same meaning; ``validation_fraction`` of the
    rows, stratified, chooses the best epoch (0 keeps the last).

    After ``fit``: ``classes_``, ``n_features_in_``, ``network_`` (a torch module), ``history_``.
    """

    def __init__(self, *, validation_fraction: float = 0.0, **settings: Any) -> None:
        self.validation_fraction = validation_fraction
        known = _parameters()
        if unknown := settings.keys() - known.keys():
            raise TypeError(
                f"no such setting: {', '.join(sorted(unknown))}; valid settings: {sorted(known)}"
            )
        for name, parameter in known.items():
            setattr(self, name, settings.get(name, parameter.default))

    def fit(self, X: Any, y: Any) -> Self:
        """Train on sequences and their labels.

        Raises ValueError for sequences or labels that cannot be used, SettingsError for a
        parameter out of range.
        """
        arrays = self._read(X, reset=True)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if len(y) != len(arrays):
            raise ValueError(f"{len(arrays)} sequences, but {len(y)} labels")
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("SequenceClassifier needs samples of 2 classes, found one class")
        self.model_ = self._section(Model)
        if self.model_.pooling == "none":
            raise SettingsError(
                "pooling: none classifies every step; SequenceClassifier needs a label per sequence"
            )
        train, validation = self._split(self._crop(arrays, labels.astype(np.int64)))
        width = arrays[0].shape[1]

        def build():
            return self.model_.build(width, len(self.classes_), False, train.lengths)

        network, self.history_ = train_network(self._section(Training), build, train, validation)
        if self.history_.interrupted:
            warnings.warn("stopped by Ctrl-C: the best weights so far are kept", stacklevel=2)
        self.network_ = network.eval()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities ``(sequences, classes)``, in the order of ``classes_``."""
        check_is_fitted(self)
        arrays = self._read(X, reset=False)
        sequences = self._crop(arrays, np.zeros(len(arrays), np.int64))
        device = next(self.network_.parameters()).device
        return softmax(predict_logits(self.network_, sequences, device), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each sequence."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def save(self, folder: str | Path) -> None:
        """Write a model folder for ``seqbelt predict``, which reads .npy files ``(steps,
        features)``."""
        check_is_fitted(self)
        width = len(self.network_.normalize.mean)
        Bundle(
            name=Path(folder).name,
            features=(features := Vectors(kind="vectors")),
            learned=features.learn_shape((width,)),
            model=self.network_.settings,
            classes=tuple(str(name) for name in self.classes_),
            num_features=width,
            network=self.network_,
            about={"step_s": None},
        ).save(Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a folder written by ``save``, for ``predict`` and ``predict_proba``.

        ``classes_`` are strings. Training parameters have their defaults, and there is no
        ``history_``; a later ``fit`` trains from scratch with the saved model settings. Raises
        SeqbeltError for a damaged folder, SettingsError for a model of files or texts; use
        ``seqbelt.load`` for those.
        """
        bundle = Bundle.load(Path(folder))
        if not isinstance(bundle.features, Vectors) or bundle.network.labels_steps:
            raise SettingsError(
                f"{folder}: not a model of arrays with one label per sequence; use seqbelt.load"
            )
        saved = bundle.model.to_dict()
        model = cls(**{name: saved[name] for name in _parameters() if name in saved})
        model.classes_ = np.array(bundle.classes)
        model.n_features_in_ = bundle.num_features
        model.model_, model.network_ = bundle.model, bundle.network.eval()
        return model

    def _section(self, section: type[Model] | type[Training]) -> Any:
        names = section.model_fields.keys() & _parameters().keys()
        values = {name: _plain(getattr(self, name)) for name in names}
        return section.parse(values, origin="SequenceClassifier")

    def _crop(self, arrays: Sequence[np.ndarray], labels: np.ndarray) -> Sequences:
        return crop_sequences(in_memory(arrays, labels), self.model_.max_steps, self.model_.crop)

    def _split(self, rows: Sequences) -> tuple[Sequences, Sequences | None]:
        if not self.validation_fraction:
            return rows, None
        train, validation = train_test_split(
            np.arange(len(rows)), test_size=self.validation_fraction, stratify=rows.labels,
            random_state=self.seed,  # type: ignore[attr-defined]  # set from the settings' fields
        )  # fmt: skip
        return rows.take(np.sort(train)), rows.take(np.sort(validation))

    def _read(self, X: Any, *, reset: bool) -> list[np.ndarray]:
        """The sequences as float32 ``(steps, features)``, validated like scikit-learn's inputs."""
        if not _contains_arrays(X):
            rows = np.asarray(validate_data(self, X, reset=reset, dtype=np.float32))
            return list(rows[:, :, None])
        arrays = [np.asarray(array, dtype=np.float32) for array in X]
        arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
        widths = {array.shape[1:] for array in arrays}
        if len(widths) > 1 or arrays[0].ndim != 2:
            raise ValueError(
                f"every sequence must be (steps, features), all of one width; found {widths}"
            )
        for number, array in enumerate(arrays):
            if not len(array) or not np.isfinite(array).all():
                raise ValueError(f"sequence {number} has no steps, or NaN or infinite values")
        steps, width = arrays[0].shape
        if reset:
            self.n_features_in_ = width
            if isinstance(X, np.ndarray) and X.ndim == 3 and 1 < steps <= MAX_FEW_STEPS < width:
                warnings.warn(
                    f"X of shape {X.shape} is read as {steps} steps of {width} features; if it is "
                    f"in aeon's order (sequences, channels, steps), {TRANSPOSE}",
                    stacklevel=3,
                )
        elif width != self.n_features_in_:
            is_turned = all(len(array) == self.n_features_in_ for array in arrays)
            raise ValueError(
                f"X has {width} features, but SequenceClassifier is expecting "
                f"{self.n_features_in_} features as input"
                + (f"; each sequence has that number of steps: {TRANSPOSE}" if is_turned else "")
            )
        return arrays


def compare(
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    *,
    classifier: SequenceClassifier | None = None,
    groups: Any = None,
    **comparison: Any,
) -> Conclusion:
    """Train every cell with every seed on arrays and judge the difference in test accuracy.

    ``X`` and ``X_test`` are sequences as ``SequenceClassifier`` takes them, ``y`` and ``y_test``
    their labels. ``classifier`` has the settings that all cells share; its ``cell`` and ``seed``
    are replaced. ``groups`` ``(test sequences,)`` names the speaker or subject of each test
    sequence: the verdict is then about new groups. ``cells``, ``seeds``, ``margin``,
    ``confidence`` and ``metric`` are those of a config's ``comparison`` section (no log_loss).

    In the result, ``sentence`` is the verdict in words, ``verdict`` has its numbers, ``cells()``
    the test scores of each cell, ``markdown()`` a table. Nothing is logged or
    registered, and no baselines are fitted; ``seqbelt compare`` does both. Raises SettingsError
    for an unknown setting, ValueError for arrays that do not fit, KeyboardInterrupt after Ctrl-C.

    The test: crossed random effects of seeds and examples, Holm's correction for several cells
    (``seqbelt.comparison.statistics``).
    """
    known = ("cells", "seeds", "margin", "confidence", "metric")
    if unknown := sorted(comparison.keys() - set(known)):
        raise SettingsError(f"compare: no such setting: {', '.join(unknown)}; known: {known}")
    rule = Comparison.parse({**comparison, "controls": False}, origin="compare")
    truth = column_or_1d(y_test)
    classes = np.unique(np.concatenate([column_or_1d(y), truth]))
    runs: dict[str, list[RunResult]] = {}
    for cell in rule.cells:
        for seed in rule.seeds:
            model = cast(SequenceClassifier, clone(classifier or SequenceClassifier()))
            model.set_params(**OVERRIDES[cell], seed=seed).fit(X, y)
            if model.history_.interrupted:
                raise KeyboardInterrupt
            predicted = model.predict(X_test)
            if predicted.shape != truth.shape:
                raise ValueError(f"{len(predicted)} test sequences, but {len(truth)} test labels")
            scores = {
                "accuracy": float((predicted == truth).mean()),
                "macro_f1": float(f1_score(truth, predicted, average="macro")),
            }
            result = RunResult(
                run_ids=(),
                seed=seed,
                answers=Answers(*(np.searchsorted(classes, one) for one in (truth, predicted))),
                test=scores,
                num_parameters=model.network_.num_parameters,
                epochs=len(model.history_.epochs),
                train_s=model.history_.train_s,
            )
            runs.setdefault(cell, []).append(result)
    names = [str(one) for one in classes]
    return rule.conclude(runs, names, None if groups is None else column_or_1d(groups))


def _contains_arrays(X: Any) -> bool:
    """Whether each item is a sequence; else X is a matrix with one sequence per row."""
    if isinstance(X, np.ndarray):
        return X.ndim > 2 or (X.dtype == object and X.ndim == 1 and len(X) > 0)
    if not isinstance(X, list | tuple) or not len(X):
        return False
    return np.ndim(X[0]) > 1 or len({np.shape(item)[:1] for item in X}) > 1


def _plain(value: Any) -> Any:
    """Convert NumPy scalars, which a grid search passes, to Python's."""
    return value.item() if isinstance(value, np.generic | torch.Tensor) else value


SequenceClassifier.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        inspect.Parameter("validation_fraction", inspect.Parameter.KEYWORD_ONLY, default=0.0),
        *_parameters().values(),
    ]
)
