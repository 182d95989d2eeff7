"""``data.label_map``: classes that are merged, renamed or left out."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from seqbelt.data.labels.label_sets import pack_labels, unpack_labels
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.sources.names import clean_name, shorten
from seqbelt.errors import SettingsError

LabelMap = Mapping[str, str | None]
"""The new name of each label that changes; None leaves its rows out."""


def normalize_label_map(label_map: LabelMap, as_written: bool) -> dict[str, str | None]:
    """The map with its names as labels are read: cleaned, unless they are kept ``as_written``.

    Raises SettingsError where two entries are for one label and differ.
    """
    renames: dict[str, str | None] = {}
    for old, new in label_map.items():
        if not as_written:
            old, new = clean_name(old), new and clean_name(new)
        if old in renames and renames[old] != new:
            raise SettingsError(
                f"data.label_map: two entries for '{old}', which differ only in what cannot be "
                "seen; remove one"
            )
        renames[old] = new
    return renames


def map_labels(manifest: Manifest, label_map: LabelMap, source: str) -> Manifest:
    """The manifest with its labels replaced, and without the rows whose label maps to None.

    A new name is not looked up again. Notes state what was done with its counts. Raises
    SettingsError for an entry that is no label, and where no row is left.
    """
    labels = manifest.column("label")
    counts = Counter(labels.tolist())
    check_label_map(label_map, [name for name in counts if name], source)
    mapped = [label_map.get(label, label) for label in labels]
    kept = np.flatnonzero([label is not None for label in mapped])
    if not len(kept):
        raise SettingsError(f"data.label_map: {source}: leaves out all {len(labels):,} rows")
    manifest = manifest.with_column("label", [label or "" for label in mapped])
    if len(kept) < len(manifest):
        manifest = manifest.take(kept)
    notes = describe_label_map(label_map, counts, source, "rows")
    return replace(manifest, notes=(*manifest.notes, *notes))


def map_label_sets(manifest: Manifest, label_map: LabelMap, source: str) -> Manifest:
    """As ``map_labels`` where rows have several labels: None leaves out the label, not the row."""
    sets = [unpack_labels(text) for text in manifest.column("label")]
    counts = Counter(name for names in sets for name in names)
    check_label_map(label_map, [*counts], source)
    mapped = [[label_map.get(name, name) for name in names] for names in sets]
    manifest = manifest.with_column("label", [pack_labels(filter(None, names)) for names in mapped])
    notes = describe_label_map(label_map, counts, source, "labels")
    return replace(manifest, notes=(*manifest.notes, *notes))


def check_label_map(label_map: LabelMap, names: Sequence[str], source: str) -> None:
    """Raise SettingsError for the entries that are not among the ``names`` of labels."""
    unknown = [old for old in label_map if old not in names]
    if not unknown:
        return
    faults = []
    for old in unknown:
        near = difflib.get_close_matches(old, names, n=3)
        hint = f"nearest: {shorten(near)}" if near else f"labels: {shorten(sorted(names))}"
        faults.append(f"no label '{old}' ({hint})")
    raise SettingsError(
        f"data.label_map: {source}: {'; '.join(faults)}; correct or remove "
        f"{'the entry' if len(faults) == 1 else 'the entries'}"
    )


def describe_label_map(
    label_map: LabelMap, counts: Mapping[str, int], source: str, unit: str
) -> list[str]:
    """Sentences on the merged and the left out labels; ``counts`` are in ``unit``."""
    merged: dict[str, list[str]] = {}
    for old, new in label_map.items():
        if new is not None:
            merged.setdefault(new, []).append(f"'{old}' ({counts[old]:,})")
    notes = []
    if merged:
        parts = [f"{', '.join(old)} as '{new}'" for new, old in merged.items()]
        notes.append(f"{source}: data.label_map reads {'; '.join(parts)} ({unit})")
    left_out = [old for old, new in label_map.items() if new is None]
    if left_out:
        total = sum(counts[old] for old in left_out)
        parts = [f"'{old}' ({counts[old]:,})" for old in left_out]
        notes.append(f"{source}: data.label_map leaves out {total:,} {unit}: {', '.join(parts)}")
    return notes
