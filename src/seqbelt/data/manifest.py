"""The manifest: which items there are, apart from their content."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqbelt.features.base import Source

SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "test": "test",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
"""Names that a source may use, and ours."""
ROWS_AT_ONCE = 1024
SIDECAR = ".segments.csv"
"""Ends the name of the table that labels the stretches of the recording beside it."""


@dataclass(frozen=True)
class Manifest:
    """One row an item: columns ``id``, ``path`` or ``text``, ``label``, ``split``, ``group``, and
    ``segments`` where the source names tables of them.

    Missing values are empty strings. ``arrays`` holds the items' content where the source was one
    file of ready sequences; otherwise content is read when it is needed.
    """

    table: pa.Table
    root: Path = Path()
    arrays: Sequence[np.ndarray] = field(default=())
    odd: Mapping[int, str] = field(default_factory=dict)
    """Paths and texts that are not valid UTF-8, by row; the table spells their bytes out."""
    asked: Mapping[str, float] = field(default_factory=dict)
    """Parts that were taken here, and the fraction of the rows that was asked for each."""

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> np.ndarray:
        """A column as an array of Python strings."""
        return np.asarray(self.table[name].to_pylist(), dtype=object)

    def source(self, row: int) -> Source:
        """Where the content of one item comes from."""
        return next(self.sources([row]))

    def sources(self, rows: Sequence[int] | None = None) -> Iterator[Source]:
        """Where the content of each item comes from, in order; of some rows only if named."""
        rows = range(len(self)) if rows is None else rows
        if self.arrays:
            yield from (self.arrays[row] for row in rows)
            return
        is_text = "text" in self.table.column_names
        column = self.table["text" if is_text else "path"]
        for start in range(0, len(rows), ROWS_AT_ONCE):  # one by one is slow, all takes memory
            some = rows[start : start + ROWS_AT_ONCE]
            for row, content in zip(some, column.take(pa.array(some)).to_pylist(), strict=True):
                content = self.odd.get(row, content)
                yield content if is_text else self.root / content

    def segments(self) -> list[Path | None]:
        """Each item's table of segments: the one that its row names, or else the one beside it."""
        if "path" not in self.table.column_names:
            return [None] * len(self)
        named = "segments" in self.table.column_names
        given = self.column("segments") if named else [""] * len(self)
        beside = (self.root / Path(path).with_suffix(SIDECAR) for path in self.column("path"))
        return [
            self.root / name if name else path if path.is_file() else None
            for name, path in zip(given, beside, strict=True)
        ]

    def with_column(self, name: str, values: Sequence[str]) -> "Manifest":
        """The same manifest with one column replaced."""
        column = pa.array(values, pa.string())
        index = self.table.column_names.index(name)
        return replace(self, table=self.table.set_column(index, name, column))


def make_manifest(
    *,
    label: Sequence[str],
    path: Sequence[str] | None = None,
    text: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    group: Sequence[str] | None = None,
    id: Sequence[str] | None = None,
    segments: Sequence[str] | None = None,
    root: Path = Path(),
    arrays: Sequence[np.ndarray] = (),
) -> Manifest:
    """Build a manifest from columns; ``id`` defaults to the path, or to the row's number."""
    count = len(label)
    blank = [""] * count
    columns = {
        "id": id or path or [str(row) for row in range(count)],
        **({"path": path or blank} if text is None else {"text": text}),
        "label": label,
        "split": split or blank,
        "group": group or blank,
        **({} if segments is None else {"segments": segments}),
    }
    spelled: dict[str, pa.Array] = {}
    odd: dict[int, str] = {}
    for name, values in columns.items():
        try:
            spelled[name] = pa.array(values, pa.string())
        except UnicodeEncodeError:  # rare, and slow to mend
            valid = [*map(spell_out, values)]
            spelled[name] = pa.array(valid, pa.string())
            if name in ("path", "text"):
                odd = {row: value for row, value in enumerate(values) if value != valid[row]}
    return Manifest(pa.table(spelled), root, arrays, odd)


def spell_out(text: str) -> str:
    """Text that every file can hold: what is not valid UTF-8 is written as in ``\\udcff``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
