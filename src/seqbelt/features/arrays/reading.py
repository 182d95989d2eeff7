"""Numeric arrays out of files that other people wrote: read by content, bounded, never unpickled.

The format is detected from the first bytes and not from the file's name, so that an upload without
a name reads like a file, and a wrong ending cannot send content to the wrong parser. Declared sizes
are checked before memory is taken for them.
"""

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from seqbelt.features.arrays.mat_format import check_mat
from seqbelt.features.arrays.number_cells import Cell, find_sentinel, is_missing
from seqbelt.features.arrays.pickle_sizes import check_pickle
from seqbelt.features.arrays.table_cells import Lines, Table, column_label, first_word, to_columns
from seqbelt.features.arrays.table_layout import (
    MAX_COLUMNS,
    NOTHING_TOLD,
    TableOptions,
    as_text,
    is_word,
)
from seqbelt.features.arrays.text_columns import read_text_table
from seqbelt.features.arrays.time_columns import (
    counts_rows,
    describe_spacing,
    first_fall,
    is_row_name,
    is_time_name,
    looks_like_time,
    rises_evenly,
    seconds_of,
)
from seqbelt.features.arrays.workbook_numbers import WORKBOOK, read_workbook
from seqbelt.features.base import read_bytes

T = TypeVar("T")
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


SCPI_INFINITY, SCPI_NAN = 9.9e37, 9.91e37
"""What instruments that follow SCPI write for an overload and for no value."""
MAX_NAME, MAX_NAMES = 60, 20
"""Letters of a name, and names, that an error shows."""
MAX_ITEMS, MAX_DEPTH = 10_000, 64
"""Groups and data sets of a file that are looked at, and how deep they may lie."""


class Aside(NamedTuple):
    """Why a column of a table is no channel."""

    why: str
    fall: str = ""
    """Where its times fall, so that the rows are not in order; "" where they do not."""
    in_seconds: bool = False
    """Whether the values are seconds, since the cells are dates or times of day."""


class Array(NamedTuple):
    """What a file holds: numbers of any rank, NaN where a table has an empty cell.

    A table (``is_table``) has a row per step. ``names`` are its columns' names where it has a
    header. ``not_numbers`` has, for each column with words, one such word and where it is:
    the numbers of that column mean nothing. ``asides`` are columns of times and row numbers.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    not_numbers: Mapping[int, str] = {}
    is_table: bool = False
    asides: Mapping[int, Aside] = {}
    lines: Lines | None = None
    notes: tuple[str, ...] = ()
    names_are_a_comment: bool = False

    def without(self, columns: Sequence[str]) -> "Array":
        """The same without some columns, where it has names and one of these; others that differ
        in case only are said to stay."""
        if self.names is None:
            return self
        folded = {name.casefold() for name in columns}
        stay = [name for name in self.names if name not in columns and name.casefold() in folded]
        notes = tuple(
            f"column '{name}' is a channel: features.ignore spells it otherwise" for name in stay
        )
        kept = self._replace(notes=self.notes + notes) if notes else self
        if not set(columns) & set(self.names):
            return kept
        return kept.take(n for n, name in enumerate(self.names) if name not in columns)

    def take(self, columns: Iterable[int]) -> "Array":
        """The same with these columns of a table only, in this order."""
        kept = list(columns)
        return self._replace(
            values=self.values[:, kept],
            names=None if self.names is None else tuple(self.names[place] for place in kept),
            not_numbers={
                n: self.not_numbers[c] for n, c in enumerate(kept) if c in self.not_numbers
            },
            asides={n: self.asides[c] for n, c in enumerate(kept) if c in self.asides},
        )


def _renumbered(by_column: Mapping[int, T], kept: Sequence[int]) -> dict[int, T]:
    return {n: by_column[place] for n, place in enumerate(kept) if place in by_column}


def read_array(
    source: Path | bytes | np.ndarray,
    max_bytes: float,
    key: str | None = None,
    options: TableOptions = NOTHING_TOLD,
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
    source: Path | bytes, column: str, max_bytes: float, options: TableOptions = NOTHING_TOLD
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
    if content.startswith(b"\x93NUMPY"):
        return lambda content, max_bytes, key, options: Array(_parse_npy(content, max_bytes))
    if content.startswith(b"PK\x03\x04"):
        return _read_zip
    if content.startswith(b"MATLAB 5.0"):
        return _read_mat
    if HDF5_SIGNATURE in (content[:8], content[512:520]):  # MATLAB 7.3 puts 512 bytes before it
        return _read_hdf5
    if content.startswith(b"PAR1"):
        return _read_parquet
    if content.startswith(OLE_SIGNATURE):
        raise BadInput(
            WRONG_TYPE, "an .xls workbook, or one with a password: save it as .xlsx without"
        )
    if content[:1] == b"\x80" and content[-1:] == b".":
        raise BadInput(WRONG_TYPE, "a pickle, which could run code: save it as .npy, .npz or .pt")
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
    shown = [name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…" for name in arrays]
    found = ", ".join(shown[:MAX_NAMES]) or "none"
    found += f" and {len(shown) - MAX_NAMES} more" if len(shown) > MAX_NAMES else ""
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


def _read_zip(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {info.filename: info for info in file.infolist()}
        # zipfile inflates a member to its declared size and no further, but only for these two.
        if any(info.compress_type not in (0, zipfile.ZIP_DEFLATED) for info in members.values()):
            raise BadInput(WRONG_TYPE, "a zip with another compression than NumPy's or torch's")
        total = sum(info.file_size for info in members.values())
        if WORKBOOK in members:
            _refuse_size(total, max_bytes)
            table = read_workbook(content, options, lambda size: _refuse_size(size, max_bytes))
            return _to_array(table)
        if any(name.endswith("/data.pkl") for name in members):
            _refuse_size(total, max_bytes)
            return Array(_read_torch(content, max_bytes, key))
        arrays = {n.removesuffix(".npy"): i for n, i in members.items() if n.endswith(".npy")}
        if not arrays:
            shown = ", ".join(name[:MAX_NAME] for name in [*members][:MAX_NAMES])
            raise BadInput(WRONG_TYPE, f"a zip without arrays; unpack it; it holds: {shown}")
        member = _choose(arrays, key)
        _refuse_size(member.file_size, max_bytes)
        return Array(_parse_npy(file.read(member), max_bytes))


def _read_torch(content: bytes, max_bytes: float, key: str | None) -> np.ndarray:
    import torch

    check_pickle(content)
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    tensors = loaded if isinstance(loaded, dict) else {"": loaded}
    odd = next((key for key in tensors if not isinstance(key, str | int)), None)
    if odd is not None:
        raise BadInput(WRONG_TYPE, f"a dictionary whose keys are {type(odd).__name__}, not names")
    tensor = _choose({str(name): value for name, value in tensors.items()}, key)
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise BadInput(WRONG_TYPE, f"holds {type(tensor).__name__}, not one dense tensor")
    _refuse_size(tensor.numel() * tensor.element_size(), max_bytes)
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()  # NumPy has no bfloat16
    return tensor.detach().numpy()


def _read_mat(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    from scipy.io import loadmat, whosmat

    check_mat(content, lambda num_bytes: _refuse_size(num_bytes, max_bytes))
    numeric = ("double", "single", "int", "uint", "logical")
    names = {n: n for n, _, kind in whosmat(io.BytesIO(content)) if kind.startswith(numeric)}
    name = _choose(names, key)
    return Array(loadmat(io.BytesIO(content), variable_names=[name])[name])


def _read_hdf5(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    import h5py  # pyright: ignore[reportMissingImports]  # an extra

    with h5py.File(io.BytesIO(content), "r") as file:
        dataset = _choose(_hdf5_data_sets(file), key)
        if dataset.external or dataset.is_virtual:
            raise BadInput(WRONG_TYPE, "the data set points to other files")
        # A chunk is inflated whole, however little of it belongs to the data set.
        size = max(dataset.size, math.prod(dataset.chunks or ()))
        _refuse_size(size * dataset.dtype.itemsize, max_bytes)
        values = dataset[()]
    # MATLAB is column-major: it writes its axes in reverse.
    return Array(values.T if content.startswith(b"MATLAB") else values)


def _hdf5_data_sets(file: Any) -> dict[str, Any]:
    """The data sets of a file by their names. Links to other files are not followed; a group that
    is reached twice is looked at once."""
    import h5py  # pyright: ignore[reportMissingImports]

    found: dict[str, Any] = {}
    pending, seen, num_items = [("", file)], {file["/"].id}, 0
    while pending:
        prefix, group = pending.pop()
        for name in group:
            num_items += 1
            if num_items > MAX_ITEMS or prefix.count("/") > MAX_DEPTH:
                raise BadInput(
                    WRONG_TYPE,
                    f"more than {MAX_ITEMS} groups and data sets, or more than {MAX_DEPTH} deep",
                )
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset):
                found[prefix + name] = item
            elif isinstance(item, h5py.Group) and item.id not in seen:
                seen.add(item.id)
                pending.append((f"{prefix}{name}/", item))
    return found


def _read_parquet(
    content: bytes, max_bytes: float, key: str | None, options: TableOptions
) -> Array:
    return _to_array(_parquet_table(content, max_bytes, options, None), "row")


def _open_parquet(content: bytes, max_bytes: float) -> Any:
    """A Parquet file whose columns are not too large once they are inflated; words that repeat are
    kept once."""
    import pyarrow as pa
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    schema, about = file.schema_arrow, file.metadata
    if len(schema) > MAX_COLUMNS:
        raise BadInput(TOO_LONG, f"{len(schema)} columns; at most {MAX_COLUMNS} are read")
    stated = sum(
        about.row_group(group).column(place).total_uncompressed_size
        for group in range(about.num_row_groups)
        for place in range(about.num_columns)
    )
    _refuse_size(stated, max_bytes)
    words = [
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    return pyarrow.parquet.ParquetFile(io.BytesIO(content), read_dictionary=words)


def _refuse_long_words(table: Any, max_bytes: float) -> None:
    """Raise where the words of a table, each as often as it stands there, are too large."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in table.columns:
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type) and not pa.types.is_primitive(
                chunk.type.value_type
            ):
                lengths = pc.binary_length(chunk.dictionary)  # pyright: ignore[reportAttributeAccessIssue]
                stored = pc.sum(pc.take(lengths, chunk.indices))  # pyright: ignore[reportAttributeAccessIssue]
                total += stored.as_py() or 0
            elif pa.types.is_string(chunk.type) or pa.types.is_binary(chunk.type):
                total += chunk.nbytes
    _refuse_size(total, max_bytes)


def _parquet_table(
    content: bytes, max_bytes: float, options: TableOptions, only: str | None
) -> Table:
    """The columns of a Parquet file, or one of them; those of pandas' index are left out."""
    import pyarrow as pa

    file = _open_parquet(content, max_bytes)
    schema = file.schema_arrow
    described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    # An index of times stays: whether it rises is looked at as with any column.
    index = [
        name
        for name in described.get("index_columns", ())
        if isinstance(name, str) and not pa.types.is_temporal(schema.field(name).type)
    ]
    names = [name for name in schema.names if name not in index and only in (None, name)]
    _refuse_size(file.metadata.num_rows * max(1, len(names)) * 8, max_bytes)
    notes = [f"column '{name}' is pandas' index: not a channel" for name in index]
    nested = {field.name for field in schema if pa.types.is_nested(field.type)}
    table = file.read([name for name in names if name not in nested])
    _refuse_long_words(table, max_bytes)
    columns: list[np.ndarray | list[Cell]] = []
    cells: dict[int, list[Cell]] = {}
    for place, name in enumerate(names):
        if name in nested:  # whatever it holds, it is no number
            columns.append([str(schema.field(name).type)[:MAX_NAME]] * file.metadata.num_rows)
            continue
        column = table[name]
        kind = column.type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.uint8())
        if pa.types.is_decimal(kind):
            column = column.cast(pa.float64())
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            columns.append(np.asarray(column.to_pandas(), dtype=np.float64))
        else:
            words: list[Cell] = [
                "" if value is None else str(value) for value in column.to_pylist()
            ]
            columns.append(words)
            if (
                pa.types.is_string(kind)
                or pa.types.is_large_string(kind)
                or (pa.types.is_dictionary(kind))
            ):
                cells[place] = words
    rows = range(1, file.metadata.num_rows + 1)
    found = to_columns(list(cells.values()), rows, None, options, "", notes)
    for place, column in zip(cells, found, strict=True):
        columns[place] = column
    return Table(tuple(map(str, names)), columns, rows, tuple(notes))


def _read_text(content: bytes, max_bytes: float, key: str | None, options: TableOptions) -> Array:
    return _to_array(read_text_table(content, options))


def _read_column(
    content: bytes, column: str, max_bytes: float, options: TableOptions
) -> list[str] | None:
    """The cells of one column as words; None where there is none."""
    read = _reader(content)
    if read is _read_parquet:
        import pyarrow

        file = _open_parquet(content, max_bytes)
        _refuse_size(file.metadata.num_rows * 8, max_bytes)
        if column not in file.schema_arrow.names:
            return None
        kind = file.schema_arrow.field(column).type
        if pyarrow.types.is_nested(kind):
            raise BadInput(WRONG_TYPE, f"column '{column}' holds {kind}, not labels")
        table = file.read([column])
        _refuse_long_words(table, max_bytes)
        values = table[column].to_pylist()
        return ["" if value is None else str(value).strip() for value in values]
    if read is _read_text:
        table = read_text_table(content, options, words=column)
    elif read is _read_zip and WORKBOOK in zipfile.ZipFile(io.BytesIO(content)).namelist():
        table = read_workbook(
            content, options, lambda size: _refuse_size(size, max_bytes), words=column
        )
    else:
        return None
    if table.names is None or column not in table.names:
        return None
    cells = table.columns[table.names.index(column)]
    # Only an empty cell, or "?", has no label: "None" and "NA" are words.
    return ["" if cell == "?" else as_text(cell).strip() for cell in cells]


def _to_array(table: Table, line_word: str = "line") -> Array:
    """A table as float64 ``(rows, columns)``; what its columns of times and row numbers are."""
    names, lines, notes = table.names, table.lines, table.notes
    columns: list[np.ndarray] = []
    words: dict[int, str] = {}
    asides: dict[int, Aside] = {}
    for place, column in enumerate(table.columns):
        name = names[place] if names else ""
        label = f"column {column_label(names, place)}"
        seconds = seconds_of(column) if isinstance(column, list) else None
        if isinstance(column, list) and seconds is None:
            row = _odd_row(column)
            if (first := next((c for c in column if not is_missing(c)), "")) and not is_word(first):
                # Where such a column is needed the file is refused, otherwise nobody would know.
                notes += (f"{label} holds '{str(column[row])[:40]}' beside numbers or times",)
            words[place] = f"'{str(column[row])[:40]}' in {line_word} {lines[row]}"
            columns.append(np.full(len(column), np.nan))
            continue
        values = column if isinstance(column, np.ndarray) else seconds
        assert values is not None
        if seconds is None:
            values = _without_overloads(values)
        columns.append(values)
        if (
            seconds is not None
            or (names and is_time_name(name))
            or (names and is_time_name(name, weak=True) and (np.diff(values) > 0).all())
        ):
            aside = _aside_of_times(values, column, lines, line_word, label, seconds is not None)
            asides[place] = aside
        elif names and len(asides) == place and counts_rows(values, name):
            which = "the first column" if place == 0 else label
            asides[place] = Aside(f"{which} numbers the rows: not a channel")
        elif place == 0 and len(table.columns) > 1 and rises_evenly(values):
            notes += (f"{label} rises evenly, as times do, and is a channel (features.channels)",)
        elif names and (is_time_name(name, weak=True) or is_row_name(name)):
            notes += (f"{label} is called like a time or a number of the rows, and is none",)
        if place not in asides and (number := find_sentinel(values)) is not None:
            notes += (f"{label} holds {number:g}, read as a value; it often means a missing value",)
    values = np.stack(columns, axis=1) if columns else np.empty((0, 0))
    return Array(values, names, words, True, asides, lines, notes, table.names_are_a_comment)


def _odd_row(column: Sequence[Cell]) -> int:
    """The first row because of which a column is none of numbers nor of times."""
    row = first_word(column)
    if not looks_like_time(column[row]):
        return row
    dates = (n for n, c in enumerate(column) if not is_missing(c) and seconds_of([c]) is None)
    return next(dates, row)


def _without_overloads(values: np.ndarray) -> np.ndarray:
    """Values of which those that SCPI instruments write for infinity and NaN are such."""
    if not np.nanmax(np.abs(values), initial=0) >= SCPI_INFINITY:
        return values
    values = np.where(np.abs(values) == SCPI_INFINITY, np.copysign(np.inf, values), values)
    return np.where(values == SCPI_NAN, np.nan, values)


def _aside_of_times(
    values: np.ndarray,
    cells: np.ndarray | list[Cell],
    lines: Lines,
    line_word: str,
    label: str,
    in_seconds: bool,
) -> Aside:
    row = first_fall(values)
    if row is None:
        spacing = describe_spacing(values, ("{:.2g} s" if in_seconds else "{:.2g}").format)
        why = f"{label} is rising time: not a channel" + (f"; {spacing}" if spacing else "")
        return Aside(why, in_seconds=in_seconds)
    return Aside(
        "", f"{line_word} {lines[row]}, {label}: '{as_text(cells[row])}' is earlier than before"
    )
