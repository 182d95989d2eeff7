"""Numeric arrays out of files that other people wrote: read by content, bounded, never unpickled.

The format is told from the first bytes and not from the file's name, so that an upload without a
name reads like a file, and a wrong ending cannot send content to the wrong parser. Declared sizes
are checked before memory is taken for them.
"""

import io
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from seqbelt.errors import (
    EMPTY,
    TOO_LONG,
    TRUNCATED,
    UNKNOWN_LABEL,
    UNREADABLE,
    WRONG_TYPE,
    BadInput,
)
from seqbelt.features.base import read_bytes
from seqbelt.features.mat_format import check_mat
from seqbelt.features.text_columns import parse_text

T = TypeVar("T")
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Array(NamedTuple):
    """What a file holds: numbers of any rank, NaN where a table has an empty cell.

    A table (``is_table``) has a row per step. ``names`` are its columns' names where it has a
    header. ``not_numbers`` gives, for each column that holds words, one such word: the numbers of
    that column mean nothing.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    not_numbers: Mapping[int, str] = {}
    is_table: bool = False

    def without(self, columns: Sequence[str]) -> "Array":
        """The same without some columns, where it has names and one of these."""
        if self.names is None or not set(columns) & set(self.names):
            return self
        kept = [place for place, name in enumerate(self.names) if name not in columns]
        words = {
            kept.index(place): word for place, word in self.not_numbers.items() if place in kept
        }
        return Array(self.values[:, kept], tuple(self.names[place] for place in kept), words, True)


def read_array(
    source: Path | bytes | np.ndarray,
    max_bytes: float,
    key: str | None = None,
    header: bool | None = None,
) -> Array:
    """Read .npy, .npz, .mat, .h5, .pt, .parquet, or text columns (.csv, .tsv, spaces).

    ``key`` names one array where a file holds several; ``header`` says whether the first line of
    text columns names them (None: it does if no cell of it is a number). Raises BadInput if the
    content is unreadable, declares more than ``max_bytes``, or is anything but real numbers.
    """
    if isinstance(source, np.ndarray):
        return Array(_check_numbers(source, max_bytes))
    if isinstance(source, Path) and source.is_file() and source.stat().st_size > max_bytes:
        _refuse_size(source.stat().st_size, max_bytes)
    content = read_bytes(source)
    try:
        array = _reader(content)(content, max_bytes, key, header)
    except BadInput:
        raise
    except ImportError as error:
        raise BadInput(UNREADABLE, f"reading this format needs {error.name}: install it") from None
    except MemoryError:
        raise BadInput(TOO_LONG, "does not fit into memory") from None
    # The parsers raise whatever broken content leads them to; nothing of theirs is executed.
    except Exception as error:
        raise BadInput(UNREADABLE, f"{type(error).__name__}: {error}") from None
    return array._replace(values=_check_numbers(array.values, max_bytes))


def _reader(content: bytes) -> Callable[[bytes, float, str | None, bool | None], Array]:
    if content.startswith(b"\x93NUMPY"):
        return lambda content, max_bytes, key, header: Array(_parse_npy(content, max_bytes))
    if content.startswith(b"PK\x03\x04"):
        return _read_zip
    if content.startswith(b"MATLAB 5.0"):
        return _read_mat
    if HDF5_SIGNATURE in (content[:8], content[512:520]):  # MATLAB 7.3 puts 512 bytes before it
        return _read_hdf5
    if content.startswith(b"PAR1"):
        return _read_parquet
    if content[:1] == b"\x80" and content[-1:] == b".":
        raise BadInput(WRONG_TYPE, "a pickle, which could run code: save it as .npy, .npz or .pt")
    if b"\0" in content[:4096]:
        raise BadInput(WRONG_TYPE, "not .npy, .npz, .mat, .h5, .pt, .parquet or text columns")
    return _read_text


def _check_numbers(values: np.ndarray, max_bytes: float) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise BadInput(WRONG_TYPE, f"values of type {values.dtype}, not real numbers")
    _refuse_size(values.size * values.itemsize, max_bytes)  # a stride of 0 makes much of little
    if not values.size:
        raise BadInput(EMPTY, f"an array of shape {values.shape} without values")
    return values


def _refuse_size(num_bytes: float, max_bytes: float) -> None:
    if num_bytes > max_bytes:
        allowed = f"features.max_size_mb allows {max_bytes / 1e6:g}"
        raise BadInput(TOO_LONG, f"{num_bytes / 1e6:.4g} MB; {allowed}")


def _choose(arrays: Mapping[str, T], key: str | None) -> T:
    """The array named ``key``, or the only one."""
    if key is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    found = ", ".join(arrays) or "none"
    if key is None:
        raise BadInput(WRONG_TYPE, f"name one of its arrays in features.key; found: {found}")
    if key not in arrays:
        raise BadInput(WRONG_TYPE, f"no array named '{key}' (features.key); found: {found}")
    return arrays[key]


def _parse_npy(content: bytes, max_bytes: float) -> np.ndarray:
    file = io.BytesIO(content)
    major, _ = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise BadInput(WRONG_TYPE, "an array of Python objects, which only a pickle could restore")
    num_bytes = math.prod(shape) * dtype.itemsize
    _refuse_size(num_bytes, max_bytes)
    if len(content) - file.tell() < num_bytes:
        raise BadInput(TRUNCATED, f"{len(content) - file.tell()} of {num_bytes} bytes are there")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _read_zip(content: bytes, max_bytes: float, key: str | None, header: bool | None) -> Array:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {info.filename: info for info in file.infolist()}
        # zipfile inflates a member to its declared size and no further, but only for these two.
        if any(info.compress_type not in (0, zipfile.ZIP_DEFLATED) for info in members.values()):
            raise BadInput(WRONG_TYPE, "a zip with another compression than NumPy's or torch's")
        if any(name.endswith("/data.pkl") for name in members):
            _refuse_size(sum(info.file_size for info in members.values()), max_bytes)
            return Array(_read_torch(content, max_bytes, key))
        arrays = {n.removesuffix(".npy"): i for n, i in members.items() if n.endswith(".npy")}
        member = _choose(arrays, key)
        _refuse_size(member.file_size, max_bytes)
        return Array(_parse_npy(file.read(member), max_bytes))


def _read_torch(content: bytes, max_bytes: float, key: str | None) -> np.ndarray:
    import torch

    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    tensors = loaded if isinstance(loaded, dict) else {"": loaded}
    tensor = _choose({str(name): value for name, value in tensors.items()}, key)
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise BadInput(WRONG_TYPE, f"holds {type(tensor).__name__}, not one dense tensor")
    _refuse_size(tensor.numel() * tensor.element_size(), max_bytes)
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()  # NumPy has no bfloat16
    return tensor.detach().numpy()


def _read_mat(content: bytes, max_bytes: float, key: str | None, header: bool | None) -> Array:
    from scipy.io import loadmat, whosmat

    check_mat(content, lambda num_bytes: _refuse_size(num_bytes, max_bytes))
    numeric = ("double", "single", "int", "uint", "logical")
    names = {n: n for n, _, kind in whosmat(io.BytesIO(content)) if kind.startswith(numeric)}
    name = _choose(names, key)
    return Array(loadmat(io.BytesIO(content), variable_names=[name])[name])


def _read_hdf5(content: bytes, max_bytes: float, key: str | None, header: bool | None) -> Array:
    import h5py  # pyright: ignore[reportMissingImports]  # an extra

    with h5py.File(io.BytesIO(content), "r") as file:
        found: dict[str, Any] = {}
        # Walks what this file holds itself: links to other files are not followed.
        file.visititems(lambda name, item: found.update({name: item}))
        found = {name: item for name, item in found.items() if isinstance(item, h5py.Dataset)}
        dataset = _choose(found, key)
        if dataset.external or dataset.is_virtual:
            raise BadInput(WRONG_TYPE, "the data set points to other files")
        _refuse_size(dataset.size * dataset.dtype.itemsize, max_bytes)
        values = dataset[()]
    # MATLAB is column-major: it writes its axes in reverse.
    return Array(values.T if content.startswith(b"MATLAB") else values)


def _read_parquet(content: bytes, max_bytes: float, key: str | None, header: bool | None) -> Array:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    _refuse_size(file.metadata.num_rows * len(file.schema_arrow) * 8, max_bytes)
    return _table(file.read().to_pandas())


def _read_text(content: bytes, max_bytes: float, key: str | None, header: bool | None) -> Array:
    # low_memory: one type for a column, whatever its length
    return _table(parse_text(content, header, na_values=["?"], low_memory=False, index_col=False))


def read_words(source: Path | bytes, column: str, max_bytes: float) -> np.ndarray:
    """One named column of a table (.parquet, text columns) as words ``(rows,)``, "" where empty.

    Raises BadInput if the content is no table, or has no such column.
    """
    content = read_bytes(source)
    read = _reader(content)
    try:
        if read is _read_parquet:
            import pyarrow.parquet

            file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
            _refuse_size(file.metadata.num_rows * 8, max_bytes)
            found = file.read([column] if column in file.schema_arrow.names else []).to_pydict()
        elif read is _read_text:
            # Only what is empty, or says so with "?", has no label: "None" and "NA" are words.
            options = {"dtype": str, "keep_default_na": False, "na_values": ["", "?"]}
            frame = parse_text(content, True, usecols=lambda name: name == column, **options)
            found = {name: frame[name].fillna("").tolist() for name in frame}
        else:
            found = {}
    except BadInput:
        raise
    except Exception as error:  # the parsers raise whatever broken content leads them to
        raise BadInput(UNREADABLE, f"{type(error).__name__}: {error}") from None
    if column not in found:
        raise BadInput(UNKNOWN_LABEL, f"no column '{column}' with a label for each step")
    words = ["" if word is None else str(word).strip() for word in found[column]]
    return np.array(words, dtype=object)


def _table(frame: Any) -> Array:
    """A pandas frame as float64 ``(rows, columns)``."""
    import pandas

    columns, words = [], {}
    for index in range(frame.shape[1]):
        column = frame.iloc[:, index]
        numbers: Any = pandas.to_numeric(column, errors="coerce")
        odd = column[numbers.isna() & column.notna()]
        if len(odd) or not pandas.api.types.is_numeric_dtype(numbers):
            words[index] = str(odd.iloc[0] if len(odd) else column.iloc[0])
            numbers = pandas.Series(np.nan, index=column.index)
        columns.append(numbers.to_numpy(dtype=np.float64, na_value=np.nan))
    named = not all(isinstance(name, int) for name in frame.columns)
    names = tuple(map(str, frame.columns)) if named else None
    return Array(np.stack(columns, axis=1) if columns else np.empty((0, 0)), names, words, True)
