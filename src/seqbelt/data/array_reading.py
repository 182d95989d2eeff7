"""Collections of arrays from Python: lists, arrays, tensors, and the frames of aeon and sktime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

TRANSPOSE_ARRAY = "pass X.transpose(0, 2, 1)"
TRANSPOSE_LIST = "pass [x.T for x in X]"
LARGEST = float(np.finfo(np.float32).max)


def as_collection(X: Any) -> Any:
    """``X`` with one item for each sequence, or a matrix with one sequence per row.

    Tensors become arrays. A list or a column of sequences, a frame whose cells are series (one
    column for each feature) and a frame indexed by sequence and time become lists of arrays. A list
    of lists of numbers of one length, like any other matrix, is returned as it is.
    """
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().numpy()
    if isinstance(X, pd.DataFrame):
        return _of_frame(X)
    if isinstance(X, pd.Series):
        return [_as_array(cell) for cell in X] if _holds_series(X) else X
    if isinstance(X, np.ndarray):
        is_column = X.dtype == object and X.ndim == 1 and len(X) > 0
        return [_as_array(item) for item in X] if X.ndim > 2 or is_column else X
    if not isinstance(X, list | tuple):
        return X
    if not len(X):
        raise ValueError("X has no sequences: found array with 0 sample(s)")
    if _is_matrix(X):
        return X
    return [_as_array(item) for item in X]


def _is_matrix(X: Sequence[Any]) -> bool:
    """Whether a list holds numbers, or lists of numbers that are of one length."""
    lists = [item for item in X if isinstance(item, list | tuple)]
    if any(np.ndim(item) > 0 for item in X if not isinstance(item, list | tuple)):
        return False
    return len({len(item) for item in lists}) < 2 and all(
        np.ndim(value) == 0 for item in lists for value in item
    )


def _holds_series(column: pd.Series) -> bool:
    return column.dtype == object and len(column) > 0 and np.ndim(column.iloc[0]) > 0


def _of_frame(X: pd.DataFrame) -> Any:
    if X.index.nlevels == 2:  # sktime's pd-multiindex: (sequence, time)
        groups = X.groupby(level=0, sort=False)
        return [frame.to_numpy() for _, frame in groups]
    if not any(_holds_series(column) for _, column in X.items()):
        return X
    rows = list[np.ndarray]()
    for number, cells in enumerate(X.itertuples(index=False)):
        features = [_as_array(cell) for cell in cells]
        lengths = {len(feature) for feature in features}
        if len(lengths) > 1 or any(feature.ndim != 1 for feature in features):
            raise ValueError(
                f"row {number} of the frame: its columns have {sorted(lengths)} steps; the "
                "features of a sequence need the same steps"
            )
        rows.append(np.stack(features, axis=1))
    return rows


def read_sequences(X: Any) -> list[np.ndarray]:
    """The sequences of a collection, or the rows of a matrix, as float32 ``(steps, features)``."""
    collection = as_collection(X)
    if not is_list_of_arrays(collection):
        collection = list(np.asarray(collection))
    return as_steps(collection)


def is_list_of_arrays(X: Any) -> bool:
    """Whether ``as_collection`` found sequences, and not a matrix."""
    return isinstance(X, list) and all(isinstance(item, np.ndarray) for item in X)


def _as_array(item: Any) -> np.ndarray:
    if isinstance(item, torch.Tensor):
        return item.detach().cpu().numpy()
    return np.asarray(item)


def as_steps(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each sequence as float32 ``(steps, features)``; ``(steps,)`` is one feature.

    Raises ValueError, with the number of the sequence, for what has no steps, other widths than the
    first, or values that are no finite float32.
    """
    arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
    shapes = {array.shape for array in arrays}
    widths = {shape[1:] for shape in shapes}
    if len(widths) > 1 or len(next(iter(widths))) != 1:
        heights = {shape[:1] for shape in shapes}
        is_turned = all(len(shape) == 2 for shape in shapes) and len(heights) == 1
        raise ValueError(
            f"every sequence must be (steps, features), all of one width; found {widths}"
            + (
                f"; if they are in aeon's order (channels, steps), {TRANSPOSE_LIST}"
                if is_turned
                else ""
            )
        )
    return [_as_float32(number, array) for number, array in enumerate(arrays)]


def _as_float32(number: int, array: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(array):
        raise ValueError(f"sequence {number}: Complex data not supported; pass real values")
    try:
        values = array.astype(np.float64 if array.dtype == object else array.dtype, copy=False)
        with np.errstate(over="ignore"):  # reported below
            steps = values.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sequence {number} is not made of numbers: {error}") from error
    if not len(steps):
        raise ValueError(f"sequence {number} has no steps")
    if not np.isfinite(steps).all():
        if np.isfinite(values).all():
            raise ValueError(
                f"sequence {number} has values beyond {LARGEST:.3g}, the largest of float32; "
                "scale them"
            )
        raise ValueError(f"sequence {number} has NaN or infinite values")
    return steps
