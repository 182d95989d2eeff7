"""The Python interface for arrays: a scikit-learn estimator.

Its parameters are the settings of the sections ``model`` and ``training`` under their own names, so
``GridSearchCV(SequenceClassifier(), {"cell": ["lstm", "rnn"]})`` compares cells.
"""

import difflib
import hashlib
import inspect
import numbers
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from seqbelt.data.array_reading import TRANSPOSE_ARRAY, as_collection, as_steps, is_list_of_arrays
from seqbelt.data.cropped_sequences import crop_sequences
from seqbelt.data.in_memory import in_memory
from seqbelt.data.sequences import Sequences
from seqbelt.errors import SettingsError
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.settings import Settings
from seqbelt.training.history import Epoch
from seqbelt.training.hyperparameters import Training
from seqbelt.training.scoring import predict_logits
from seqbelt.training.several_networks import train_networks
from seqbelt.words import percent

TEXT_ONLY = {"embedding_size", "embedding_dropout", "vectors"}
SECTIONS = (Model, Training)
MAX_REPEATS = 100
"""Mean of whole row weights up to which rows are repeated and not drawn."""
MAX_FEW_STEPS = 24
"""Arrays of so few steps and of more features may have their axes the other way round."""


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

    ``X`` is a list of arrays or tensors ``(steps, features)`` of any lengths, an array
    ``(sequences, steps, features)``, or, for one feature, a list of arrays ``(steps,)`` or a matrix
    ``(sequences, steps)``. sktime's frames (cells of series; indexed by sequence and time) are read
    as well. A model that was fitted on a matrix predicts matrices with as many columns, as
    scikit-learn asks; one that was fitted on sequences predicts sequences of any length. aeon's
    order ``(sequences, channels, steps)`` must be transposed: ``fit`` warns about few steps with
    many features, and ``predict`` raises if the width does not fit.

    Every setting of ``model`` and ``training`` in a config is a parameter with the same meaning;
    ``stem`` and ``augmentation`` are dicts as in a config. Besides these: ``validation_fraction``
    of the rows, stratified, is scored in every epoch; ``random_state`` (an int or a RandomState)
    replaces ``seed``; ``class_weight``, ``"balanced"`` or a dict, replaces ``class_weights``;
    ``verbose`` prints a line for each epoch. The order of the rows does not affect ``fit``, and
    torch's random state is left as it was.

    After ``fit``: ``classes_``, ``n_features_in_``, ``network_`` (a torch module), ``history_``.
    """

    def __init__(
        self,
        *,
        validation_fraction: float = 0.0,
        random_state: Any = None,
        class_weight: Any = None,
        verbose: bool | int = False,
        **settings: Any,
    ) -> None:
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.class_weight = class_weight
        self.verbose = verbose
        known = _parameters()
        if unknown := settings.keys() - known.keys():
            close = difflib.get_close_matches(min(unknown), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"valid settings: {sorted(known)}"
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}; {hint}")
        for name, parameter in known.items():
            setattr(self, name, settings.get(name, parameter.default))

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on sequences and their labels.

        ``sample_weight`` ``(sequences,)``: a row of weight 2 counts as two rows and one of weight 0
        as none; with fractions, a pass reads each row as often as its weight relative to the mean
        says. Raises ValueError for
        sequences, labels or weights that cannot be used, SettingsError for a parameter out of
        range.
        """
        arrays = self._read(X, reset=True)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if len(y) != len(arrays):
            raise ValueError(f"{len(arrays)} sequences, but {len(y)} labels")
        self.training_ = training = self._training()
        weights = self._row_weights(y, sample_weight)
        if weights is not None and training.sampling == "balanced":
            raise SettingsError(
                "sampling: balanced and row weights both say how often a row is read; pass only "
                "one of them"
            )
        used = np.arange(len(y)) if weights is None else np.flatnonzero(weights)
        self.classes_, labels = np.unique(y[used], return_inverse=True)
        if len(self.classes_) < 2:
            names = ", ".join(map(str, self.classes_)) or "none"
            raise ValueError(
                f"SequenceClassifier needs samples of 2 classes, found one class: {names}"
            )
        self.model_ = self._section(Model)
        if self.model_.labels_steps:
            raise SettingsError(
                "pooling: none classifies every step; SequenceClassifier needs a label per sequence"
            )
        order = _canonical_order([arrays[row] for row in used], labels)
        used, labels = used[order], labels[order]
        rows = self._crop([arrays[row] for row in used], labels.astype(np.int64))
        train, validation = self._split(rows, training.seed)
        if weights is not None:
            train, weights = _repeated(train, weights[used[train]])
        width = arrays[0].shape[1]

        def build():
            lengths = rows.lengths[train]
            return build_network(self.model_, width, len(self.classes_), False, lengths)

        with torch.random.fork_rng():
            network, self.history_ = train_networks(
                training,
                build,
                rows.take(train),
                None if validation is None else rows.take(validation),
                row_weights=weights,
                on_epoch=_print_epoch if self.verbose else _ignore,
            )
        if self.history_.interrupted:
            warnings.warn("stopped by Ctrl-C: the best weights so far are kept", stacklevel=2)
        self.network_ = network.eval()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities ``(sequences, classes)``, in the order of ``classes_``."""
        check_is_fitted(self, "network_")
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
        check_is_fitted(self, "network_")
        width = len(self.network_.main.normalize.mean)
        Bundle(
            name=Path(folder).name,
            features=(features := Vectors(kind="vectors")),
            learned=features.learn_shape((width,)),
            model=self.network_.settings,
            classes=tuple(str(name) for name in self.classes_),
            num_features=width,
            weights=weights_of(self.network_),
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
        if not isinstance(bundle.features, Vectors) or bundle.model.labels_steps:
            raise SettingsError(
                f"{folder}: not a model of arrays with one label per sequence; use seqbelt.load"
            )
        saved = bundle.model.to_dict()
        model = cls(**{name: saved[name] for name in _parameters() if name in saved})
        model.classes_ = np.array(bundle.classes)
        model.n_features_in_, model.is_matrix_ = bundle.num_features, False
        model.model_, model.network_ = bundle.model, bundle.network.eval()
        return model

    def _section(self, section: type[Settings]) -> Any:
        names = section.model_fields.keys() & _parameters().keys()
        values = {name: _plain(getattr(self, name)) for name in names}
        return section.parse(values, origin="SequenceClassifier")

    def _training(self) -> Training:
        """The training settings, with scikit-learn's names where they are given."""
        training: Training = self._section(Training)
        changes = dict[str, Any]()
        if self.random_state is not None:
            seed = self.random_state
            if not isinstance(seed, numbers.Integral):
                seed = check_random_state(seed).randint(2**31 - 1)
            changes["seed"] = int(seed)
        if self.class_weight == "balanced":
            changes["class_weights"] = "balanced"
        return training.replace(**changes) if changes else training

    def _row_weights(self, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        """Weight of each row from ``sample_weight`` and a ``class_weight`` of given values; None
        where all rows weigh the same."""
        of_classes = None if self.class_weight == "balanced" else self.class_weight
        if isinstance(of_classes, str):
            raise ValueError(f"class_weight {of_classes!r}: valid are None, 'balanced' and a dict")
        if sample_weight is None and of_classes is None:
            return None
        weights = np.ones(len(y))
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
        return weights * compute_sample_weight(of_classes, y)

    def _crop(self, arrays: Sequence[np.ndarray], labels: np.ndarray) -> Sequences:
        return crop_sequences(in_memory(arrays, labels), self.model_.cropping)

    def _split(self, rows: Sequences, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Indices of the training and the validation rows."""
        if not self.validation_fraction:
            return np.arange(len(rows)), None
        train, validation = train_test_split(
            np.arange(len(rows)),
            test_size=self.validation_fraction,
            stratify=rows.labels,
            random_state=seed,
        )
        return np.sort(train), np.sort(validation)

    def _read(self, X: Any, *, reset: bool) -> list[np.ndarray]:
        """The sequences as float32 ``(steps, features)``, validated like scikit-learn's inputs.

        What ``fit`` has read, sequences or the rows of a matrix, decides how later inputs are read.
        """
        X = as_collection(X)
        is_matrix = not is_list_of_arrays(X)
        if reset:
            self.is_matrix_ = is_matrix
        if self.is_matrix_:
            if not is_matrix:
                X = self._as_matrix(X)
            rows = np.asarray(validate_data(self, X, reset=reset, dtype=np.float32))
            return list(rows[:, :, None])
        if is_matrix:
            X = self._as_sequences(X)
        arrays = as_steps(X)
        steps, width = arrays[0].shape
        if reset:
            self.n_features_in_ = width
            has_one_shape = len({array.shape for array in arrays}) == 1
            if has_one_shape and 1 < steps <= MAX_FEW_STEPS < width:
                warnings.warn(
                    f"X of shape {(len(arrays), steps, width)} is read as {steps} steps of {width} "
                    "features; if it is in aeon's order (sequences, channels, steps), "
                    f"{TRANSPOSE_ARRAY}",
                    stacklevel=3,
                )
        elif width != self.n_features_in_:
            is_turned = all(len(array) == self.n_features_in_ for array in arrays)
            raise ValueError(
                f"X has {width} features, but SequenceClassifier is expecting "
                f"{self.n_features_in_} features as input"
                + (
                    f"; each sequence has that number of steps: {TRANSPOSE_ARRAY}"
                    if is_turned
                    else ""
                )
            )
        return arrays

    def _as_matrix(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Sequences for a model that was fitted on the rows of a matrix."""
        if {array.shape for array in arrays} == {(self.n_features_in_,)}:
            return np.stack(arrays)
        raise ValueError(
            f"fitted on a matrix with {self.n_features_in_} steps in each row; for sequences of "
            "any length, fit on a list of arrays"
        )

    def _as_sequences(self, X: Any) -> list[np.ndarray]:
        """The rows of a matrix for a model that was fitted on sequences."""
        matrix = np.asarray(X)
        if matrix.ndim == 2 and self.n_features_in_ == 1:
            return list(matrix)
        raise ValueError(
            f"fitted on sequences (steps, {self.n_features_in_}); X of shape {matrix.shape} is not "
            "a collection of them; pass [X] for a single sequence"
        )


def _canonical_order(arrays: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Row indices in an order of the content alone, so that the order of the rows in the call does
    not matter; rows of equal content keep their order."""
    digests = [hashlib.blake2b(array.tobytes(), digest_size=16).digest() for array in arrays]
    return np.array(sorted(range(len(arrays)), key=lambda row: (digests[row], labels[row])), int)


def _repeated(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows repeated as whole weights say; else the rows and the weights to draw them by."""
    is_whole = bool((weights == np.round(weights)).all())
    if is_whole and weights.sum() <= MAX_REPEATS * len(rows):
        return np.repeat(rows, weights.astype(int)), None
    return rows, weights


def _print_epoch(epoch: Epoch) -> None:
    scores = epoch.validation
    validation = f", validation accuracy {percent(scores.accuracy)}" if scores else ""
    print(f"epoch {epoch.number}: loss {epoch.train_loss:.4f}{validation}, {epoch.train_s:.1f} s")


def _ignore(epoch: Epoch) -> None:
    pass


def _plain(value: Any) -> Any:
    """Convert NumPy scalars, which a grid search passes, to Python's, and sections to dicts."""
    if isinstance(value, Settings):
        return value.to_dict()
    return value.item() if isinstance(value, np.generic | torch.Tensor) else value


SequenceClassifier.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        *list(inspect.signature(SequenceClassifier.__init__).parameters.values())[:-1],
        *_parameters().values(),
    ]
)
