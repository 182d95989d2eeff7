"""Tables of corrected labels: one line a decision, appended only; an item's last line counts.

``id, content_hash, old_label, new_label``. ``old_label`` is the label in the source, empty where it
has none. ``new_label`` equal to it confirms the label; an empty one withdraws an earlier decision.
Several labels of an item are a JSON list, ``[]`` where it is known to have none of them.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.data.sources.label_map import LabelMap
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.sources.names import clean_name
from seqbelt.errors import SettingsError
from seqbelt.features.encoding import hash_if_readable

COLUMNS = ("id", "content_hash", "old_label", "new_label")
MAX_SHOWN = 5
"""Corrections that are not applied and are named in the notes."""


class Correction(NamedTuple):
    """One decision on the label of one item."""

    id: str
    content_hash: str
    old_label: str
    new_label: str
    line: int = 0
    """Line of the table, from 1 for the names of the columns."""

    @property
    def is_change(self) -> bool:
        """Whether the label differs from the source's."""
        return self.new_label not in ("", self.old_label)


def read_corrections(path: Path) -> dict[tuple[str, str], Correction]:
    """The last decision on each item, by id and content hash; withdrawn ones are left out.

    Raises SettingsError if the file is missing or is no table of corrections.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(
            f"data.corrections: no such file '{path}'; 'seqbelt review' writes one"
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    names = tuple(next(reader, ()))
    if names[: len(COLUMNS)] != COLUMNS:
        raise SettingsError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, found {', '.join(names) or 'none'}"
        )
    corrections = dict[tuple[str, str], Correction]()
    for values in reader:
        if not any(values):
            continue
        if len(values) < len(COLUMNS):
            raise SettingsError(
                f"{path}, line {reader.line_num}: {len(values)} values, expected {len(COLUMNS)}; "
                "complete or remove the line"
            )
        correction = Correction(*values[: len(COLUMNS)], line=reader.line_num)
        corrections.pop(
            (correction.id, correction.content_hash), None
        )  # the order is that of the last decisions
        if correction.new_label:
            corrections[correction.id, correction.content_hash] = correction
    return corrections


class CorrectionsWriter:
    """Appends decisions to a table; each is on disk when ``append`` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, corrections: Iterable[Correction]) -> None:
        """Append decisions; a new file starts with the names of the columns."""
        content = io.StringIO(newline="")
        rows = csv.writer(content, lineterminator="\n")
        with self.path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                content.write("\ufeff")  # the mark by which spreadsheets recognise UTF-8
                rows.writerow(COLUMNS)
            else:
                file.seek(size - 1)
                if file.read(1) != b"\n":  # an editor's last line
                    content.write("\n")
            for correction in corrections:
                rows.writerow(correction[: len(COLUMNS)])
            file.write(content.getvalue().encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())


def correct_labels(
    manifest: Manifest,
    path: Path,
    as_written: bool = False,
    label_map: LabelMap | None = None,
    target: Target = TARGETS["per_sequence"],
) -> Manifest:
    """The manifest with the labels of a table of corrections, and notes on what was applied.

    A correction whose content hash or old label is not the item's is not applied and is named in
    the notes. ``as_written`` keeps new labels in their Unicode form. ``label_map`` is the one that
    the manifest's labels were read by: it renames those of the table too. ``target`` reads the
    labels of both. Raises SettingsError if the table cannot be read.
    """
    changes = [correction for correction in read_corrections(path).values() if correction.is_change]
    labels = manifest.column("label")
    rows_by_id = dict[str, list[int]]()
    wanted = {correction.id for correction in changes}
    for row, name in enumerate(manifest.column("id")):
        if name in wanted:
            rows_by_id.setdefault(name, []).append(row)
    named = [row for rows in rows_by_id.values() for row in rows]
    hashes = {
        row: hash_if_readable(source) or ""
        for row, source in zip(named, manifest.sources(named), strict=True)
    }
    corrected, applied, refused = labels.copy(), 0, list[str]()
    for correction in changes:
        rows = rows_by_id.get(correction.id, [])
        same = [row for row in rows if hashes[row] == correction.content_hash]
        try:
            new, old = (
                _read_label(label, target, as_written, label_map or {})
                for label in (correction.new_label, correction.old_label)
            )
        except ValueError as error:
            refused.append(f"line {correction.line}: '{correction.id}': {error}")
            continue
        correction = correction._replace(old_label=old)
        if problem := _problem(correction, rows, same, labels, new):
            refused.append(f"line {correction.line}: '{correction.id}': {problem}")
            continue
        matching = [row for row in same if labels[row] == correction.old_label]
        corrected[matching] = new
        applied += len(matching)
    notes = [f"{path}: {applied:,} of {len(labels):,} labels corrected"]
    if refused:
        shown = "; ".join(refused[:MAX_SHOWN])
        more = f"; and {len(refused) - MAX_SHOWN:,} more" if len(refused) > MAX_SHOWN else ""
        notes.append(
            f"{path}: {len(refused):,} correction{'s' * (len(refused) > 1)} not applied: "
            f"{shown}{more}"
        )
    manifest = manifest.with_column("label", corrected.tolist())
    return replace(manifest, notes=(*manifest.notes, *notes))


def _read_label(text: str, target: Target, as_written: bool, label_map: LabelMap) -> str:
    """A label of the table as the manifest's are read. Raises ValueError where it is none, or
    nothing is left of it."""
    if not text:
        return text
    names = target.read(text)
    names = names if as_written else tuple(map(clean_name, names))
    new_names = set(label_map.values())
    renamed = [name if name in new_names else label_map.get(name, name) for name in names]
    left = [name for name in renamed if name is not None]
    if names and not left:
        raise ValueError(f"data.label_map leaves out '{', '.join(names)}'")
    return target.write(left)


def _problem(
    correction: Correction, rows: Sequence[int], same: Sequence[int], labels: np.ndarray, new: str
) -> str:
    """Why a correction cannot be applied; empty if it can, or if the source has it already."""
    if not rows:
        return "no such item in the source"
    if not same:
        return "its content has changed since it was reviewed; review it again"
    if any(labels[row] in (correction.old_label, new) for row in same):
        return ""
    return (
        f"its label is '{labels[same[0]]}', not '{correction.old_label}' as when it was reviewed; "
        "review it again"
    )
