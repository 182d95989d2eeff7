"""Tables of Parquet files, whose columns may be far larger than the file."""

import io
import json
from typing import Any

import numpy as np

from seqbelt.errors import TOO_LONG, BadInput
from seqbelt.features.arrays.number_cells import Cell
from seqbelt.features.arrays.stored_arrays import MAX_NAME, refuse_size
from seqbelt.features.arrays.table_cells import Table, to_columns
from seqbelt.features.arrays.table_layout import MAX_COLUMNS, TableOptions


def open_parquet(content: bytes, max_bytes: float) -> Any:
    """A Parquet file whose columns are not too large once they are inflated; words that repeat are
    kept once."""
    import pyarrow as pa
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    schema, about = file.schema_arrow, file.metadata
    if len(schema) > MAX_COLUMNS:
        raise BadInput(TOO_LONG, f"{len(schema)} columns; at most {MAX_COLUMNS} are read")
    stated = sum(
        about.row_group(group).column(index).total_uncompressed_size
        for group in range(about.num_row_groups)
        for index in range(about.num_columns)
    )
    refuse_size(stated, max_bytes)
    words = [
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    return pyarrow.parquet.ParquetFile(io.BytesIO(content), read_dictionary=words)


def refuse_long_words(table: Any, max_bytes: float) -> None:
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
    refuse_size(total, max_bytes)


def parquet_table(
    content: bytes, max_bytes: float, options: TableOptions, only: str | None
) -> Table:
    """The columns of a Parquet file, or one of them; those of pandas' index are left out."""
    import pyarrow as pa

    file = open_parquet(content, max_bytes)
    schema = file.schema_arrow
    described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    # An index of times stays: whether it rises is looked at as with any column.
    index = [
        name
        for name in described.get("index_columns", ())
        if isinstance(name, str) and not pa.types.is_temporal(schema.field(name).type)
    ]
    names = [name for name in schema.names if name not in index and only in (None, name)]
    refuse_size(file.metadata.num_rows * max(1, len(names)) * 8, max_bytes)
    notes = [f"column '{name}' is pandas' index: not a channel" for name in index]
    nested = {field.name for field in schema if pa.types.is_nested(field.type)}
    table = file.read([name for name in names if name not in nested])
    refuse_long_words(table, max_bytes)
    columns: list[np.ndarray | list[Cell]] = []
    cells: dict[int, list[Cell]] = {}
    for number, name in enumerate(names):
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
                cells[number] = words
    rows = range(1, file.metadata.num_rows + 1)
    labels = [names[number] for number in cells]
    found, signs = to_columns(list(cells.values()), rows, labels, options, "", notes)
    for number, column in zip(cells, found, strict=True):
        columns[number] = column
    return Table(tuple(map(str, names)), columns, rows, tuple(notes), signs=signs)
