"""The manifest: which items there are, apart from their content."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seqbelt.data.sources.text_encoding import read_text_file
from seqbelt.errors import SettingsError
from seqbelt.features.base import Features, JoinedSource, Source

ROWS_AT_ONCE = 1024
SIDECAR = ".segments.csv"
"""Ends the name of the table that labels the segments of the recording beside it."""
RAVEN_SIDECARS = (".Table.1.selections.txt", ".selections.txt")
"""End the names of Raven's selection tables."""
SIDECARS = (SIDECAR, *RAVEN_SIDECARS, ".txt")
"""Endings of tables of segments, the first that is there counts; the last is Audacity's."""


class Selection(Sequence[np.ndarray | bytes]):
    """Some of the contents of a source, not read yet."""

    def __init__(self, contents: Sequence[np.ndarray | bytes], rows: np.ndarray) -> None:
        self.contents, self.rows = contents, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.contents[int(self.rows[index])]


class Chain(Sequence[np.ndarray | bytes]):
    """The contents of several sources one after another, not read yet."""

    def __init__(self, sources: Sequence[Sequence[np.ndarray | bytes]]) -> None:
        self.sources = sources
        self.ends = np.cumsum([len(contents) for contents in sources])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: Any) -> Any:
        number = int(np.searchsorted(self.ends, index, side="right"))
        return self.sources[number][index - int(self.ends[number]) + len(self.sources[number])]


class JoinedColumns(NamedTuple):
    """The columns of a manifest's table that an item of several inputs is read from."""

    inputs: tuple[tuple[str, bool], ...]
    """The column of each input, and whether it has texts and not paths."""
    cells: tuple[str, ...]

    @property
    def path_columns(self) -> list[str]:
        """The columns with paths."""
        return [column for column, is_text in self.inputs if not is_text]


@dataclass(frozen=True)
class Manifest:
    """One row an item: columns ``id``, ``path`` or ``text`` (or both), ``label``, ``split``,
    ``group``, ``segments`` where the source names tables of them, and those of several inputs.

    Missing values are empty strings. ``contents`` are the items' where the source is one file with
    all of them: ready sequences, or bytes that are read when they are asked for. Otherwise items
    are files or texts.
    """

    table: pa.Table
    root: Path = Path()
    contents: Sequence[np.ndarray | bytes] = field(default=())
    overrides: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Values that replace the table's when content is read, by column and row: paths and texts
    that are not valid UTF-8 (the table holds them escaped), and files found under another name."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """Why a row cannot be used as it is written, by row."""
    notes: tuple[str, ...] = ()
    """How the source was read, where that is not obvious; printed for the user."""
    columns_found: tuple[str, ...] = ()
    """Names of the columns of the table that it was read from, if it was one."""
    encoding: str = "utf-8"
    """Of the files, where they are texts."""
    asked: Mapping[str, float] = field(default_factory=dict)
    """Parts that were taken here, and the fraction of the rows that was asked for each."""
    no_validation: str = ""
    """Why no validation part was taken, where ``auto`` decided so."""
    joined: "JoinedColumns | None" = None
    """Which columns the parts of an item are in, where it has several."""

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
        if self.joined is not None:
            yield from self._joined_sources(self.joined, rows)
            return
        if self.contents:
            yield from (self.contents[row] for row in rows)
            return
        name = "text" if "text" in self.table.column_names else "path"
        column, overrides = self.table[name], self.overrides.get(name, {})
        decodes = self.encoding != "utf-8"
        for start in range(0, len(rows), ROWS_AT_ONCE):  # one by one is slow, all takes memory
            some = rows[start : start + ROWS_AT_ONCE]
            for row, content in zip(some, column.take(pa.array(some)).to_pylist(), strict=True):
                content = overrides.get(row, content)
                if name == "text":
                    yield content
                else:
                    path = self.root / content
                    yield read_text_file(path, self.encoding) if decodes else path

    def _joined_sources(self, joined: "JoinedColumns", rows: Sequence[int]) -> Iterator[Source]:
        """The parts of each item; None where one is missing."""
        inputs = [self._parts(name, is_text, rows) for name, is_text in joined.inputs]
        cells = [self.column(name)[rows].tolist() for name in joined.cells]
        columns = zip(*cells, strict=True) if cells else repeat((), len(rows))
        for parts, of in zip(zip(*inputs, strict=True), columns, strict=True):
            yield JoinedSource(parts, of)

    def _parts(self, name: str, is_text: bool, rows: Sequence[int]) -> Iterator[Any]:
        """One input of some items: texts, files, or bytes in a Parquet file."""
        if self.contents and name == "path":
            yield from (self.contents[row] for row in rows)
            return
        values, overrides = self.column(name), self.overrides.get(name, {})
        for row in rows:
            content = overrides.get(row, values[row])
            if not content.strip():
                yield None
            else:
                yield content if is_text else self.root / content

    def paths(self, name: str = "path") -> list[str]:
        """Where the files of a column are, as far as they were found; relative to ``root``."""
        overrides = self.overrides.get(name, {})
        return [overrides.get(row, path) for row, path in enumerate(self.column(name))]

    def segments(self) -> list[Path | None]:
        """Each item's table of segments: the one that its row names, or else the one beside it."""
        if "path" not in self.table.column_names:
            return [None] * len(self)
        named = "segments" in self.table.column_names
        given = self.paths("segments") if named else [""] * len(self)
        return [
            self.root / name if name else _segments_beside(self.root / path)
            for name, path in zip(given, self.paths(), strict=True)
        ]

    def reading(self, features: Features) -> "Manifest":
        """The same manifest as features read it: texts are read from ``text``, or, without one,
        from the files that ``path`` names; all else from ``path``.

        Raises SettingsError where there is nothing that they read.
        """
        names = self.table.column_names
        if self.joined is not None:
            return self
        if "text" not in names or (self.contents and not features.reads_text):
            return self
        if self.contents:
            return replace(self, contents=(), table=self.table.drop_columns(["path"]))
        if features.reads_text:
            return (
                replace(self, table=self.table.drop_columns(["path"])) if "path" in names else self
            )
        if "path" not in names:
            raise SettingsError(
                "data.source: the manifest has texts (data.text_column) and no paths, but these "
                "features read files; name the column with the files in data.path_column"
            )
        return replace(self, table=self.table.drop_columns(["text"]))

    def take(self, rows: np.ndarray) -> "Manifest":
        """The manifest of these rows, int ``(rows,)``, in this order."""
        new = {int(row): index for index, row in enumerate(rows)}

        def moved(values: Mapping[int, str]) -> dict[int, str]:
            return {new[row]: value for row, value in values.items() if row in new}

        return replace(
            self,
            table=self.table.take(pa.array(rows, pa.int64())),
            contents=Selection(self.contents, rows) if self.contents else (),
            overrides={name: moved(values) for name, values in self.overrides.items()},
            problems=moved(self.problems),
        )

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
    contents: Sequence[np.ndarray | bytes] = (),
    problems: Mapping[int, str] | None = None,
    notes: Sequence[str] = (),
    columns_found: Sequence[str] = (),
    more: Mapping[str, Sequence[str]] | None = None,
) -> Manifest:
    """Build a manifest from columns, and ``more`` of other names; ``id`` defaults to the path, or
    to the row's number."""
    count = len(label)
    blank = [""] * count
    columns = {
        "id": id or path or [str(row) for row in range(count)],
        **({} if path is None and text is not None else {"path": path or blank}),
        **({} if text is None else {"text": text}),
        "label": label,
        "split": split or blank,
        "group": group or blank,
        **({} if segments is None else {"segments": segments}),
        **(more or {}),
    }
    spelled: dict[str, pa.Array] = {}
    overrides: dict[str, dict[int, str]] = {}
    for name, values in columns.items():
        try:
            spelled[name] = pa.array(values, pa.string())
        except UnicodeEncodeError:  # rare, and slow to mend
            valid = [*map(escape_invalid_utf8, values)]
            spelled[name] = pa.array(valid, pa.string())
            if name in ("path", "text") or name in (more or {}):
                overrides[name] = {row: v for row, v in enumerate(values) if v != valid[row]}
    return Manifest(
        pa.table(spelled),
        root,
        contents,
        overrides,
        problems or {},
        tuple(notes),
        tuple(columns_found),
    )


def concatenate(manifests: Mapping[Path, Manifest], root: Path) -> Manifest:
    """The rows of several tables one after another, their paths relative to ``root``.

    Raises SettingsError where two have other columns.
    """
    parts, first = [*manifests.values()], next(iter(manifests))
    for table, part in manifests.items():
        if part.table.column_names != parts[0].table.column_names:
            raise SettingsError(
                f"{table}: has other columns than {first}; write the same columns in each, or one "
                "table as data.source"
            )
    problems: dict[int, str] = {}
    overrides: dict[str, dict[int, str]] = {}
    start = 0
    for part in parts:
        problems |= {start + row: why for row, why in part.problems.items()}
        for name, values in part.overrides.items():
            moved = {start + row: value for row, value in values.items()}
            overrides[name] = {**overrides.get(name, {}), **moved}
        start += len(part)
    contents = [part.contents for part in parts]
    return replace(
        parts[0],
        table=pa.concat_tables([part.table for part in parts]).combine_chunks(),
        root=root,
        contents=Chain(contents) if all(contents) else (),
        overrides=overrides,
        problems=problems,
        notes=tuple(note for part in parts for note in part.notes),
    )


def _segments_beside(recording: Path) -> Path | None:
    """The table of segments beside a recording, if there is one."""
    tables = (recording.with_name(recording.stem + ending) for ending in SIDECARS)
    return next((path for path in tables if path != recording and path.is_file()), None)


def escape_invalid_utf8(text: str) -> str:
    """Text that can be encoded as UTF-8: surrogates become escapes such as ``\\udcff``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
