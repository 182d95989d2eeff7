"""What a folder or a table tells of its items: the settings of ``data``, with the reasons."""

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.file_name_patterns import (
    FileNames,
    find_groups,
    find_labels,
    read_pattern,
    suggest_groups,
    suggest_recordings,
)
from seqbelt.data.sources.file_walk import list_files
from seqbelt.data.sources.folders import without_label_tracks
from seqbelt.data.sources.item_kinds import Look, look_into_files, look_into_texts
from seqbelt.data.sources.names import shorten
from seqbelt.data.sources.part_tables import find_part_tables
from seqbelt.data.sources.table_columns import NoItemsError, look_into_table
from seqbelt.data.sources.tables import is_manifest_file
from seqbelt.errors import SettingsError

LISTING_BYTES = 4096
"""Start of a table in which names of other files are looked for."""


class Findings:
    """The settings of the ``data`` section so far, with the reasons."""

    def __init__(self, data: dict[str, Any], given: dict[str, Any], output_folder: Path) -> None:
        self.data = data
        self.output_folder = output_folder
        self.given = given
        self.reasons: dict[str, str] = {}
        self.items: str | None = None
        """Content of the manifest to write, where names of files contain labels or groups."""

    @property
    def given_data(self) -> dict[str, Any]:
        return self.given.get("data") or {}


def look_into_folder(folder: Path, pattern: str | None, findings: Findings) -> Look:
    """Find out where a folder's labels are, and look into its files.

    ``pattern`` finds labels and groups in the names of files. Raises SettingsError where two
    readings are possible.
    """
    paths = list(list_files(folder))
    if not paths:
        raise SettingsError(f"{folder}: no files")
    if findings.given_data.get("labels") == "per_step":
        findings.reasons["source"] = "recordings, with the table of its segments beside each"
        paths = without_label_tracks(paths)
        return look_into_files(folder, paths)
    loose = [path for path in paths if "/" not in path]
    tables = [path for path in loose if is_manifest_file(Path(path)) and path[-4:] != ".txt"]
    others = [path for path in paths if path not in tables and not is_manifest_file(Path(path))]
    by_class, left_out = len(loose) < len(paths), ""
    part_tables = {} if pattern or by_class else find_part_tables(folder)
    if part_tables and len(part_tables) == len(loose):
        return _look_into_part_tables(folder, part_tables, findings)
    if tables and others and not pattern:
        if len(tables) > 1:
            raise SettingsError(
                f"{folder}: {len(tables)} tables beside the files ({shorten(tables)}); choose "
                f"the one that lists the files: seqbelt init {folder / tables[0]}"
            )
        findings.data["source"] = str(folder / tables[0])
        findings.reasons["source"] = "the only table beside the files"
        try:
            return look_into_manifest(folder / tables[0], findings)
        except NoItemsError:
            if not by_class:
                raise
        except SettingsError as error:
            if not by_class:
                raise
            raise SettingsError(
                f"{error}\nIf it does not list the files, move {folder / tables[0]} away: each "
                "folder is a class then"
            ) from None
        findings.data["source"] = str(folder)
        left_out = f"; {tables[0]} beside them names no items and is left out"
    if not by_class and not pattern and (listing := _find_listing(folder, tables)) is not None:
        findings.data["source"] = str(folder / listing)
        findings.reasons["source"] = "the table that names the other files"
        return look_into_manifest(folder / listing, findings)
    if by_class:
        look = _look_into_classes(folder, pattern, findings)
        findings.reasons["source"] += left_out
        return look
    return _look_into_names(folder, paths, pattern, findings)


def _look_into_part_tables(folder: Path, tables: Mapping[Path, str], findings: Findings) -> Look:
    """Tables named like parts, of which one for training tells the columns."""
    train = next(table for table, part in tables.items() if part == "train")
    look = look_into_manifest(train, findings)
    listed = ", ".join(f"{table.name} as {part}" for table, part in tables.items())
    findings.data["source"] = str(folder)
    findings.reasons["source"] = (
        f"tables named like parts: {listed}; of {train.name}: " + (findings.reasons["source"])
    )
    return look


def _look_into_names(
    folder: Path, paths: Sequence[str], pattern: str | None, findings: Findings
) -> Look:
    """Files of one folder, whose names have the labels."""
    look = look_into_files(folder, paths)
    read = read_pattern(paths, pattern) if pattern else find_labels(str(folder), paths)
    if not read.labels:
        raise SettingsError("--pattern: there are no class folders, so it needs (?P<label>...)")
    findings.reasons["source"] = f"a list of the files, with labels as {read.reason}"
    if read.groups:
        findings.reasons["source"] += (
            f"; {len(set(read.groups)):,} groups, each kept on one side of a split"
        )
    rows = [(folder / path, label, "") for path, label in zip(paths, read.labels, strict=True)]
    _write_items(findings, rows, read.groups)
    return look


def _look_into_classes(folder: Path, pattern: str | None, findings: Findings) -> Look:
    """Files in a folder for each class, perhaps with groups in their names."""
    manifest = Data.parse({**findings.data, **findings.given_data}, "data").list_items()
    paths = manifest.paths()
    look = look_into_files(folder, paths)
    labels = manifest.column("label").tolist()
    splits = manifest.column("split").tolist()
    parts = sorted({split for split in splits if split})
    findings.reasons["source"] = "one sub-folder per class" + (
        f", below folders for {', '.join(parts)}" if parts else ""
    )
    read = read_pattern(paths, pattern) if pattern else _groups_below(paths)
    if read is not None and (read.labels or read.groups):
        findings.reasons["source"] += f"; written as a list of the files, for groups {read.reason}"
        files = [folder / path for path in paths]
        rows = list(zip(files, read.labels or labels, splits, strict=True))
        _write_items(findings, rows, read.groups)
    if read is None and not parts:
        found = suggest_recordings(paths) or suggest_groups(paths, labels)
    else:
        found = None
    if found is not None:
        what, pattern = found
        findings.reasons["source"] += (
            f"; perhaps {what}; --pattern '{pattern}' keeps each on one side of a split"
        )
        warning = (
            f"the paths may have {what}. If so, the test would be on the same ones as the "
            f"training, and too easy: add --force --pattern '{pattern}' to this command"
        )
        look = look._replace(warnings=(*look.warnings, warning))
    return look


def _find_listing(folder: Path, tables: Sequence[str]) -> str | None:
    """The one table among ``tables`` of numbers that names others of them, if there is one."""
    names = set(tables)
    found = []
    for table in tables:
        with (folder / table).open("rb") as file:
            start = file.read(LISTING_BYTES).decode("utf-8", errors="replace")
        words = {word.strip(" \"'") for word in re.split(r"[,;\t|\r\n]", start)}
        if len(words & names - {table}) > 1:
            found.append(table)
    if len(found) > 1:
        raise SettingsError(
            f"{folder}: {len(found)} tables name other files ({shorten(found)}); choose the one "
            f"that has the labels: seqbelt init {folder / found[0]}"
        )
    return found[0] if found else None


def _groups_below(paths: Sequence[str]) -> FileNames | None:
    """Groups in the names below the class folders, whose own names are labels."""
    return find_groups([path.split("/", 1)[1] for path in paths])


def _write_items(
    findings: Findings, rows: Sequence[tuple[Path, str, str]], groups: Sequence[str]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split", *(["group"] if groups else [])])
    for row, (path, label, split) in enumerate(rows):
        relative = os.path.relpath(path, findings.output_folder)
        writer.writerow([relative, label, split, *groups[row : row + 1]])
    findings.items = text.getvalue()


def look_into_manifest(path: Path, findings: Findings) -> Look:
    """Find out how a table is written and what its columns are, and look into its items."""
    data = Data.parse({**findings.data, **findings.given_data}, "data")
    given = {key: getattr(data, key) for key in findings.given_data}
    table = look_into_table(path, given)
    findings.data |= table.settings
    findings.reasons |= table.reasons
    findings.reasons.setdefault("source", f"a table with {len(table.values)} columns")
    others = [name for name in table.values if name not in table.columns.values()]
    if others and "features" not in findings.given and "label_columns" not in findings.given_data:
        findings.reasons["source"] += (
            f"; not read: {shorten(others)} (features.columns reads numbers and categories)"
        )
    if "path" not in table.columns:
        texts = [text for text in table.values[table.columns["text"]] if text]
        return look_into_texts(texts, len(texts))
    manifest = Data.parse({**findings.data, **findings.given_data}, "data").list_items()
    paths = manifest.paths()
    return look_into_files(manifest.root, [name for name in paths if name])
