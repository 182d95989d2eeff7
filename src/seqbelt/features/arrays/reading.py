"""Numeric arrays out of files that other people wrote: read by content, bounded, never unpickled.

The format is detected from the first bytes and not from the file's name, so that an upload without
a name reads like a file, and a wrong ending cannot send content to the wrong parser. Declared sizes
are checked before memory is taken for them.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from seqbelt.errors import EMPTY, TOO_LONG, UNKNOWN_LABEL, UNREADABLE, WRONG_TYPE, BadInput
from seqbelt.features.arrays.array import Array, to_array
from seqbelt.features.arrays.number_cells import as_text
from seqbelt.features.arrays.parquet_tables import open_parquet, parquet_table, refuse_long_words
from seqbelt.features.arrays.stored_arrays import (
    MAX_NAME,
    MAX_NAMES,
    NPY_SIGNATURE,
    choose,
    parse_npy,
    read_hdf5,
    read_mat,
    read_torch,
    refuse_size,
)
from seqbelt.features.arrays.table_layout import DEFAULT_OPTIONS, TableOptions
from seqbelt.features.arrays.text_columns import read_text_table
from seqbelt.features.arrays.workbook_numbers import WORKBOOK, read_workbook
from seqbelt.features.base import read_bytes

T = TypeVar("T")
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OTHER_FORMATS = {
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",): (
        "an .xls workbook, or one with a password: save it as .xlsx without"
    ),
    (b"ARROW1", b"FEA1"): "an Arrow or Feather file: save it as .parquet",
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9",): "in torch's format before 1.6: save it again with torch",
}
"""What is wrong with contents that begin so."""


def read_array(
    source: Path | bytes | np.ndarray,
    max_bytes: float,
    key: str | None = None,
    options: TableOptions = DEFAULT_OPTIONS,
) -> Array:
    """Read .npy, .npz, .mat, .h5, .pt, .parquet, .xlsx, or text columns (.csv, .tsv, spaces).

    ``key`` names one array where a file holds several; ``options`` say how a table is written.
    Raises BadInput if the content is unreadable, declares more than ``max_bytes``, or is anything
    but real numbers.
    """
    if isinstance(source, np.ndarray):
        return Array(_check_numbers(source, max_bytes))
    content = _read_bounded(source, max_bytes)
    array = _guarded(lambda: _reader(content)(content, max_bytes, key, options))
    return array._replace(values=_check_numbers(array.values, max_bytes))


def read_words(
    source: Path | bytes, column: str, max_bytes: float, options: TableOptions = DEFAULT_OPTIONS
) -> np.ndarray:
    """One named column of a table (.parquet, .xlsx, text columns) as words ``(rows,)``, "" where
    empty.

    Raises BadInput if the content is no table, or has no such column.
    """
    content = _read_bounded(source, max_bytes)
    words = _guarded(lambda: _read_column(content, column, max_bytes, options))
    if words is None:
        raise BadInput(UNKNOWN_LABEL, f"no column '{column}' with a label for each step")
    return np.array(words, dtype=object)


def _read_bounded(source: Path | bytes, max_bytes: float) -> bytes:
    return read_bytes(source, max_bytes, "features.max_size_mb")


def _guarded(read: Callable[[], T]) -> T:
    """What ``read`` returns; whatever a parser raises over broken content becomes BadInput."""
    try:
        return read()
    except BadInput:
        raise
    except ImportError as error:
        raise BadInput(UNREADABLE, f"reading this format needs {error.name}: install it") from None
    except MemoryError:
        raise BadInput(TOO_LONG, "does not fit into memory") from None
    # The parsers raise whatever broken content leads them to; nothing of theirs is executed.
    except Exception as error:
        raise BadInput(UNREADABLE, f"{type(error).__name__}: {error}") from None


def _reader(content: bytes) -> Callable[[bytes, float, str | None, TableOptions], Array]:
    if content.startswith(NPY_SIGNATURE):
        return lambda content, max_bytes, key, options: Array(parse_npy(content, max_bytes))
    if content.startswith(b"PK\x03\x04"):
        return _read_zip
    if content.startswith(b"MATLAB 5.0"):
        return read_mat
    if HDF5_SIGNATURE in (content[:8], content[512:520]):  # MATLAB 7.3 puts 512 bytes before it
        return read_hdf5
    if content.startswith(b"PAR1"):
        return _read_parquet
    for signatures, problem in _OTHER_FORMATS.items():
        if content.startswith(signatures):
            raise BadInput(WRONG_TYPE, problem)
    if content[:1] == b"\x80" and content[-1:] == b".":
        raise BadInput(WRONG_TYPE, "a pickle, which could run code: save it as .npy, .npz or .pt")
    return _read_text


def _check_numbers(values: np.ndarray, max_bytes: float) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise BadInput(WRONG_TYPE, f"values of type {values.dtype}, not real numbers")
    refuse_size(values.size * values.itemsize, max_bytes)  # a stride of 0 makes much of little
    if not values.size:
        raise BadInput(EMPTY, f"an array of shape {values.shape} without values")
    return values


def _read_zip(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {info.filename: info for info in file.infolist()}
        # zipfile inflates a member to its declared size and no further, but only for these two.
        if any(info.compress_type not in (0, zipfile.ZIP_DEFLATED) for info in members.values()):
            raise BadInput(WRONG_TYPE, "a zip with another compression than NumPy's or torch's")
        total = sum(info.file_size for info in members.values())
        if WORKBOOK in members:
            refuse_size(total, max_bytes)
            table = read_workbook(content, options, lambda size: refuse_size(size, max_bytes))
            return to_array(table)
        if any(name.endswith("/data.pkl") for name in members):
            refuse_size(total, max_bytes)
            return Array(read_torch(content, max_bytes, key))
        arrays = {n.removesuffix(".npy"): i for n, i in members.items() if n.endswith(".npy")}
        if not arrays:
            shown = ", ".join(name[:MAX_NAME] for name in [*members][:MAX_NAMES])
            raise BadInput(WRONG_TYPE, f"a zip without arrays; unpack it; it holds: {shown}")
        member = choose(arrays, key)
        refuse_size(member.file_size, max_bytes)
        return Array(parse_npy(file.read(member), max_bytes))


def _read_parquet(
    content: bytes, max_bytes: float, key: str | None, options: TableOptions
) -> Array:
    return to_array(parquet_table(content, max_bytes, options, None), "row")


def _read_text(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    return to_array(read_text_table(content, options))


def _read_column(
    content: bytes, column: str, max_bytes: float, options: TableOptions
) -> list[str] | None:
    """The cells of one column as words; None where there is none."""
    read = _reader(content)
    if read is _read_parquet:
        import pyarrow

        file = open_parquet(content, max_bytes)
        refuse_size(file.metadata.num_rows * 8, max_bytes)
        if column not in file.schema_arrow.names:
            return None
        kind = file.schema_arrow.field(column).type
        if pyarrow.types.is_nested(kind):
            raise BadInput(WRONG_TYPE, f"column '{column}' holds {kind}, not labels")
        table = file.read([column])
        refuse_long_words(table, max_bytes)
        values = table[column].to_pylist()
        return ["" if value is None else str(value).strip() for value in values]
    if read is _read_text:
        table = read_text_table(content, options, words=column)
    elif read is _read_zip and WORKBOOK in zipfile.ZipFile(io.BytesIO(content)).namelist():
        table = read_workbook(
            content, options, lambda size: refuse_size(size, max_bytes), words=column
        )
    else:
        return None
    if table.names is None or column not in table.names:
        return None
    cells = table.columns[table.names.index(column)]
    # Only an empty cell, or "?", has no label: "None" and "NA" are words.
    return ["" if cell == "?" else as_text(cell).strip() for cell in cells]
