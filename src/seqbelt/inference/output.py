"""Prediction files: parquet, csv, xlsx or jsonl by the suffix, one row per input."""

import codecs
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from seqbelt.errors import REJECTED, SeqbeltError, SettingsError
from seqbelt.inference.decision import ONE_CLASS, Decision
from seqbelt.inference.journal import Row
from seqbelt.words import count_of

logger = logging.getLogger(__name__)
ROWS_AT_ONCE = 16_384
FLAT_SUFFIXES = (".csv", ".xlsx")
"""Of tables whose cells hold no lists."""
JOURNAL_SUFFIXES = (".journal", ".journal-wal", ".journal-shm")
HEADER_BYTES = 16_384
MAX_CELL_CHARACTERS = 32_767
"""Characters of a cell of a workbook; longer texts are cut there."""
MAX_SHEET_ROWS = 1_048_576
"""Rows of a sheet of a workbook, its header among them."""
_SQLITE = b"SQLite format 3\0"
_WORKBOOK_NOTE = "predictions by seqbelt"
"""Property by which a workbook with predictions is recognised without reading its sheet."""
_PREDICTION_COLUMNS = frozenset(("confidence", "error", "content_hash", "model"))
"""Columns by which a prediction file is recognised."""

Value = TypeVar("Value")


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise SettingsError if no prediction file can be written to this path, or if it would replace
    one of the ``inputs`` or a file that holds no predictions."""
    if path.suffix.lower() not in _WRITERS:
        raise SettingsError(
            f"--output {path}: expected a name that ends in .parquet, .csv, .xlsx or .jsonl"
        )
    if path.is_dir():
        raise SettingsError(f"--output {path}: is a folder; give a file")
    if path.exists():
        if any(path.samefile(each) for each in inputs if each.exists()):
            raise SettingsError(f"--output {path}: is the input too; give another name")
        if path.stat().st_size and not is_prediction_file(path):
            raise SettingsError(
                f"--output {path}: exists and is no file of predictions; give another name, or "
                "remove it"
            )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--output {path}: its folder cannot be created ({error})") from None


def is_prediction_file(path: Path) -> bool:
    """Whether a file is the journal or the output of an earlier prediction."""
    if path.name.endswith(JOURNAL_SUFFIXES):
        journal = path.with_name(path.name.removesuffix("-wal").removesuffix("-shm"))
        return _starts_with(journal, _SQLITE)
    if path.suffix.lower() not in _WRITERS:
        return False
    journal = path.with_name(path.name + JOURNAL_SUFFIXES[0])
    return _starts_with(journal, _SQLITE) or _columns_of(path) >= _PREDICTION_COLUMNS


def _starts_with(path: Path, content: bytes) -> bool:
    return _read_start(path)[: len(content)] == content


def _read_start(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)
    except OSError:
        return b""


def _columns_of(path: Path) -> set[str]:
    """Column names of a table that may be a prediction file; empty if it cannot be read."""
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet

        try:
            return set(pyarrow.parquet.read_schema(path).names)
        except (pa.ArrowException, OSError):
            return set()
    if path.suffix.lower() == ".xlsx":
        return set(_PREDICTION_COLUMNS) if _is_own_workbook(path) else set()
    line = _read_start(path).split(b"\n")[0].decode("utf-8-sig", "replace").strip()
    if path.suffix.lower() == ".csv":
        return {name.strip('"') for name in line.split(",")}
    return {name for name in _PREDICTION_COLUMNS if f'"{name}": ' in line}


def _is_own_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return _WORKBOOK_NOTE.encode() in archive.read("docProps/core.xml")
    except (zipfile.BadZipFile, OSError, KeyError):
        return False


def kept_names(
    names: Sequence[str], key: str, classes: Sequence[str], is_several: bool = False
) -> list[str]:
    """The names of kept input columns in a prediction file: a name that predictions have as well
    is prefixed with ``input_``."""
    columns = {key, "label", "confidence", "num_steps", "share_read", "rejected_label", "error"}
    if is_several:
        columns |= {"labels", "rejected_labels"}
    taken = columns | {"content_hash", "model", *(f"p_{name}" for name in classes)}
    free = list[str]()
    for name in names:
        while name in taken:
            name = f"input_{name}"
        taken.add(name)
        free.append(name)
    return free


def write_predictions(
    path: Path,
    rows: Iterable[Row],
    key: str,
    classes: tuple[str, ...],
    model: str,
    byte_order_mark: bool = False,
    share_read: Callable[[int], float] | None = None,
    kept: Sequence[str] = (),
    rejects: bool = False,
    decision: Decision = ONE_CLASS,
) -> None:
    """Write one row per input; ``key`` is the first column's name: ``path`` or ``id``.

    ``decision`` gives the predicted class, or labels, of the probabilities.

    ``share_read``, the fraction read of a number of steps, adds a column of that name. ``kept`` are
    the names of the input columns that the rows carry (``kept_names``). ``rejects`` adds
    ``rejected_label``: the class that a rejected input would have had.
    """
    label_name, label_type = "label", pa.string()
    if decision.target.is_several:
        label_name = "labels"
        is_flat = path.suffix.lower() in FLAT_SUFFIXES
        label_type = pa.string() if is_flat else pa.list_(pa.string())
    schema = pa.schema(
        [
            (key, pa.string()),
            *((name, pa.string()) for name in kept),
            (label_name, label_type),
            *([(f"rejected_{label_name}", label_type)] if rejects else []),
            ("confidence", pa.float32()),
            *((f"p_{name}", pa.float32()) for name in classes),
            ("num_steps", pa.int64()),
            *([("share_read", pa.float32())] if share_read else []),
            ("error", pa.string()),
            ("content_hash", pa.string()),
            ("model", pa.string()),
        ]
    )
    tables = (
        _table(chunk, classes, model, schema, share_read, len(kept), rejects, decision)
        for chunk in _chunks(rows)
    )
    write_table(path, schema, tables, byte_order_mark)


def write_table(
    path: Path, schema: pa.Schema, tables: Iterable[pa.Table], byte_order_mark: bool = False
) -> None:
    """Write a table atomically, through a temporary file beside ``path``.

    ``byte_order_mark`` starts a .csv with the mark by which spreadsheets recognise UTF-8.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        ending = path.suffix.lower()
        if ending == ".csv":
            _write_csv(temporary, schema, tables, byte_order_mark)
        else:
            _WRITERS[ending](temporary, schema, tables)
        temporary.replace(path)
    except OSError as error:  # Arrow's are OSErrors too
        raise SeqbeltError(
            f"{path}: cannot be written ({error}); the predictions are kept in the journal; run "
            "the same command again"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _table(
    rows: list[Row],
    classes: tuple[str, ...],
    model: str,
    schema: pa.Schema,
    share_read: Callable[[int], float] | None = None,
    num_kept: int = 0,
    rejects: bool = False,
    decision: Decision = ONE_CLASS,
) -> pa.Table:
    """The rows as a table; values without a prediction are null.

    A rejected prediction has no label but keeps its confidence, and with ``rejects`` its class.
    """
    is_unlabelled = np.array([row.probabilities is None or row.error is not None for row in rows])
    is_rejected = np.array(
        [row.error is not None and row.error.startswith(REJECTED) for row in rows], dtype=bool
    )
    is_missing = is_unlabelled & ~is_rejected
    probabilities = np.zeros((len(rows), len(classes)), np.float32)
    for index, row in enumerate(rows):
        if not is_missing[index]:
            probabilities[index] = row.probabilities
    label_type = schema.field(1 + num_kept).type
    labels = decision.label_values(probabilities, classes, label_type == pa.string())
    columns = [
        [row.name for row in rows],
        *([row.kept[column] if row.kept else None for row in rows] for column in range(num_kept)),
        pa.array(_masked(labels, is_unlabelled), label_type),
        *([pa.array(_masked(labels, ~is_rejected), label_type)] if rejects else []),
        pa.array(decision.confidence(probabilities), pa.float32(), mask=is_missing),
        *(pa.array(probabilities[:, index], mask=is_missing) for index in range(len(classes))),
        [None if missing else row.num_steps for row, missing in zip(rows, is_missing)],
        *([[_fraction_read(row, share_read) for row in rows]] if share_read else []),
        [row.error for row in rows],
        [row.content_hash for row in rows],
        [model] * len(rows),
    ]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _masked(values: Sequence[Value], mask: np.ndarray) -> list[Value | None]:
    return [None if is_missing else value for value, is_missing in zip(values, mask, strict=True)]


def _fraction_read(row: Row, share_read: Callable[[int], float]) -> float | None:
    return share_read(row.num_steps) if row.num_steps and row.probabilities is not None else None


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield chunk


def _write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_csv(
    path: Path, schema: pa.Schema, tables: Iterable[pa.Table], byte_order_mark: bool = False
) -> None:
    import pyarrow.csv

    with path.open("wb") as file:
        if byte_order_mark:
            file.write(codecs.BOM_UTF8)
        with pyarrow.csv.CSVWriter(file, schema) as writer:
            for table in tables:
                writer.write_table(table)


def _write_xlsx(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """One sheet whose header stays in sight and has filters; texts are written as they are, never
    as formulas or links."""
    import xlsxwriter

    as_text = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(path, {"constant_memory": True, **as_text}) as workbook:
        workbook.set_properties({"comments": _WORKBOOK_NOTE})
        sheet = workbook.add_worksheet("predictions")
        bold = workbook.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(schema.names):
            width = 40 if pa.types.is_string(schema.field(column).type) and not column else 14
            sheet.set_column(column, column, width)
            sheet.write_string(0, column, name, bold)
        count, num_cut = 0, 0
        for table in tables:
            if count + table.num_rows >= MAX_SHEET_ROWS:
                raise SeqbeltError(
                    f"a sheet of a workbook has {MAX_SHEET_ROWS:,} rows at most; write .csv or "
                    ".parquet (the predictions are kept in the journal)"
                )
            columns = [column.to_pylist() for column in table.columns]
            for values in zip(*columns, strict=True):
                count += 1
                for column, value in enumerate(values):
                    if isinstance(value, str):
                        text = _cell_text(value)
                        num_cut += len(text) < len(value)
                        sheet.write_string(count, column, text)
                    elif value is not None:
                        sheet.write_number(count, column, value)
        sheet.autofilter(0, 0, count, len(schema) - 1)
    if num_cut:
        logger.warning(
            "%s in the workbook cut to the %s characters that one holds; write .csv or .parquet "
            "to keep them whole",
            count_of(num_cut, "cell"),
            f"{MAX_CELL_CHARACTERS:,}",
        )


def _cell_text(value: str) -> str:
    """As much of a text as a cell holds; a character outside the basic plane counts twice."""
    if 2 * len(value) <= MAX_CELL_CHARACTERS:
        return value
    units = value.encode("utf-16-le", "surrogatepass")[: 2 * MAX_CELL_CHARACTERS]
    return units.decode("utf-16-le", "ignore")


def _write_jsonl(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for record in table.to_pylist():
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


_WRITERS = {
    ".parquet": _write_parquet, ".csv": _write_csv, ".xlsx": _write_xlsx, ".jsonl": _write_jsonl,
}  # fmt: skip
