"""Files whose bytes are in a column of a Parquet file, as Hugging Face's datasets keep them."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from seqbelt.errors import SettingsError
from seqbelt.features.base import NoContent


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether values of this type are files: a struct with ``bytes``. A column of bytes alone may
    be a text."""
    if not pa.types.is_struct(kind) or (index := kind.get_field_index("bytes")) < 0:
        return False
    field = kind.field(index).type
    return pa.types.is_binary(field) or pa.types.is_large_binary(field)


def class_names(schema: pa.Schema) -> Mapping[str, Sequence[str]]:
    """The names of each column's class numbers, which ``datasets`` writes beside the schema."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        features = about["info"]["features"]
        return {
            name: feature["names"]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError):
        return {}


def find_contents(path: Path, preferred: str) -> "tuple[str, ParquetContents] | None":
    """The column with the files' bytes and its content: ``preferred`` or the only such column.

    None where there is none; raises SettingsError where there are several.
    """
    schema = pyarrow.parquet.read_schema(path)
    names = [field.name for field in schema if holds_bytes(field.type)]
    if preferred in names:
        names = [preferred]
    if len(names) > 1:
        raise SettingsError(
            f"{path}: the columns {', '.join(names)} all hold files; name one in data.path_column"
        )
    return (names[0], ParquetContents(path, names[0])) if names else None


class ParquetContents(Sequence[bytes]):
    """The bytes of a column, read by row groups when they are asked for; one is in memory."""

    def __init__(self, path: Path, column: str) -> None:
        self.path, self.column = path, column
        about = pyarrow.parquet.read_metadata(path)
        sizes = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        self.starts = np.cumsum([0, *sizes])
        self._group = -1

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: Any) -> Any:
        group = int(np.searchsorted(self.starts, index, side="right")) - 1
        if group != self._group:
            try:
                table = self._file.read_row_group(group, columns=[self.column])
            except (pa.ArrowException, OSError) as error:
                return NoContent(f"row group {group} of {self.path.name} cannot be read: {error}")
            self._group, self._values = group, table[self.column]
        value = self._values[int(index - self.starts[group])].as_py()
        return (value or {}).get("bytes") or NoContent(
            f"row {index + 1} of {self.path.name} holds no bytes"
        )

    def names(self) -> list[str]:
        """What each row's file was called, or the row's number."""
        kind = pyarrow.parquet.read_schema(self.path).field(self.column).type
        names: Sequence[str | None] = [None] * len(self)
        if kind.get_field_index("path") >= 0:
            column = f"{self.column}.path"
            table = self._file.read(columns=[column])
            names = [value and value.get("path") for value in table[self.column].to_pylist()]
        unique = len(set(names)) == len(names)
        return [name if name and unique else str(row) for row, name in enumerate(names)]

    def __getstate__(self) -> dict[str, Any]:
        kept = {"path", "column", "starts"}  # an open file does not go to other processes
        return {name: value for name, value in vars(self).items() if name in kept} | {"_group": -1}

    @cached_property
    def _file(self) -> pyarrow.parquet.ParquetFile:
        return pyarrow.parquet.ParquetFile(self.path)
