"""Prediction files: parquet, csv or jsonl by the file's ending, one row per input."""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqbelt.errors import REJECTED, SeqbeltError, SettingsError
from seqbelt.inference.journal import Row

ROWS_AT_ONCE = 16_384


def check_output(path: Path) -> None:
    """Raise SettingsError where no prediction file can be written under this name."""
    if path.suffix not in _WRITERS:
        raise SettingsError(
            f"--output {path}: expected a name that ends in .parquet, .csv or .jsonl"
        )
    if path.is_dir():
        raise SettingsError(f"--output {path}: is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--output {path}: its folder cannot be made ({error})") from None


def write_predictions(
    path: Path, rows: Iterable[Row], key: str, classes: tuple[str, ...], model: str
) -> None:
    """Write one row an input; ``key`` names the first column: ``path`` or ``id``."""
    schema = pa.schema(
        [
            (key, pa.string()),
            ("label", pa.string()),
            ("confidence", pa.float32()),
            *((f"p_{name}", pa.float32()) for name in classes),
            ("num_steps", pa.int64()),
            ("error", pa.string()),
            ("content_hash", pa.string()),
            ("model", pa.string()),
        ]
    )
    write_table(path, schema, (_table(chunk, classes, model, schema) for chunk in _chunks(rows)))


def write_table(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write to a temporary file beside ``path`` and rename it: no half file is ever seen."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _WRITERS[path.suffix](temporary, schema, tables)
        temporary.replace(path)
    except OSError as error:  # Arrow's are OSErrors too
        raise SeqbeltError(
            f"{path}: cannot be written ({error}); the answers are kept, run the same command "
            "again when it can"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _table(rows: list[Row], classes: tuple[str, ...], model: str, schema: pa.Schema) -> pa.Table:
    """The rows as columns; what an unlabelled row has no answer for is null.

    A rejected answer has no label, but shows how sure it was.
    """
    is_unlabelled = np.array([row.probabilities is None or row.error is not None for row in rows])
    is_rejected = [row.error is not None and row.error.startswith(REJECTED) for row in rows]
    is_missing = is_unlabelled & ~np.array(is_rejected, dtype=bool)
    shares = np.zeros((len(rows), len(classes)), np.float32)
    for place, row in enumerate(rows):
        if not is_missing[place]:
            shares[place] = row.probabilities
    best = shares.argmax(1)
    labels = np.array(classes, dtype=object)[best]
    columns = [
        [row.name for row in rows],
        pa.array(labels, pa.string(), mask=is_unlabelled),
        pa.array(shares[np.arange(len(rows)), best], mask=is_missing),
        *(pa.array(shares[:, place], mask=is_missing) for place in range(len(classes))),
        [None if missing else row.num_steps for row, missing in zip(rows, is_missing)],
        [row.error for row in rows],
        [row.content_hash for row in rows],
        [model] * len(rows),
    ]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield chunk


def _write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_csv(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    import pyarrow.csv

    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_jsonl(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for record in table.to_pylist():
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


_WRITERS = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
