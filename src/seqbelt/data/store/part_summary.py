"""A summary of the parts of a data set."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.store import SequenceStore
from seqbelt.words import count_of

SPLITS = ("train", "validation", "test")
MAX_NAMES = 5
"""Largest number of classes named in a line."""


def summarize_parts(store: SequenceStore, manifest: Manifest) -> list[str]:
    """Lines about the parts: rows and groups, fractions taken by group, missing classes.

    ``manifest`` is the one that the store was prepared from, with its splits.
    """
    rows = {name: store.split(name) for name in SPLITS}
    groups = {name: set(part.column("group")) - {""} for name, part in rows.items()}
    counts = []
    for name, part in rows.items():
        suffix = ""
        if any(groups.values()) and len(part):
            suffix = f" in {count_of(len(groups[name]), 'group')}"
        counts.append(f"{len(part):,} {name}{suffix}")
    present = {
        name: set(np.flatnonzero(store.target.class_counts(part, len(store.classes))).tolist())
        if len(part)
        else set()
        for name, part in rows.items()
    }
    lines = [", ".join(counts), *_taken_by_group(store, manifest)]
    for name in SPLITS:
        missing = [
            class_name for n, class_name in enumerate(store.classes) if n not in present[name]
        ]
        if missing and len(rows[name]):
            lines.append(f"the {name} part has no row of {_named(missing)}{_REMEDIES[name]}")
    return lines


_REMEDIES = {
    "train": ": it cannot be learned; give the rows another split, or set data.split_seed, or "
    "data.whole_groups: false",
    "validation": ": its scores do not cover it; a larger data.validation_fraction, or "
    "data.whole_groups: false, takes more of them",
    "test": ": its scores do not cover it",
}


def describe_equal_content(store: SequenceStore) -> list[str]:
    """Lines about rows of several parts with the same content; none for stores made before these
    were looked for."""
    counts = store.about.get("equal_content") or {"before": 0, "after": 0}
    lines = []
    if moved := counts["before"] - counts["after"]:
        lines.append(
            f"equal content: {moved:,} rows that a split by chance would have put apart from a "
            "row with the same content are in that row's part"
        )
    if counts["after"]:
        lines.append(
            f"equal content: {counts['after']:,} validation or test rows have the content of a "
            "row of an earlier part, since the source names the parts or whole groups make them "
            "up; 'seqbelt data audit' names the rows"
        )
    return lines


def _taken_by_group(store: SequenceStore, manifest: Manifest) -> list[str]:
    """Requested and actual fractions of the parts taken by group."""
    split, group = (np.array(store.index[name].to_pylist()) for name in ("split", "group"))
    lines = []
    for name, fraction in manifest.asked.items():
        if not fraction:
            lines.append(
                f"{name}: none taken, since {manifest.no_validation}; set "
                "data.validation_fraction to force a fraction"
            )
            continue
        # The test part is taken of all rows, then the validation part of those that are left.
        among = np.isin(split, ["train", "validation"]) if name == "validation" else split != ""
        selected = among & (split == name)
        taken, total = (len(set(group[which]) - {""}) for which in (selected, among))
        if total:
            taken_fraction = selected.sum() / among.sum()
            lines.append(
                f"{name}: asked {100 * fraction:.3g} %, took {100 * taken_fraction:.3g} % "
                f"({taken} of {total} groups)"
            )
    return lines


def _named(classes: Sequence[str]) -> str:
    names = ", ".join(f"'{name}'" for name in classes[:MAX_NAMES])
    more = len(classes) - MAX_NAMES
    plural = "class" if len(classes) == 1 else "classes"
    return f"{plural} {names}{f' and {more} more' if more > 0 else ''}"


def data_record(store: SequenceStore, source: str) -> dict[str, Any]:
    """What a store's data is, as JSON-serialisable values: the data card of a bundle.

    ``content`` is a hash of the items' contents alone, whatever their order, labels and parts.
    """
    hashes = sorted(store.index.column("content_hash").to_pylist())
    about = store.about
    return {
        "source": source,
        "fingerprint": store.fingerprint,
        "content": hashlib.blake2b("\n".join(hashes).encode(), digest_size=16).hexdigest(),
        "num_sequences": {name: len(store.split(name)) for name in SPLITS},
        "num_steps": about["num_steps"],
        "class_counts": store.class_counts,
        "num_groups": len(about.get("group_counts", {})),
        "quarantined": about["quarantined"],
        "labels": about.get("labels", "per_sequence"),
        "schema": describe_schema(store),
    }


def describe_schema(store: SequenceStore) -> list[dict[str, str]]:
    """Name and type of what an item has: its sequences, its columns, its label."""
    if store.layout is None:
        inputs = [("sequence", store.is_tokens, store.num_features)]
        columns: Sequence[str] = ()
    else:
        inputs = [(size.name, size.is_tokens, size.num_features) for size in store.layout.inputs]
        columns = [column.name for column in store.layout.columns]
    fields = [
        {
            "name": name,
            "type": f"token ids (steps), vocabulary of {size}"
            if is_tokens
            else f"float32 (steps, {size})",
        }
        for name, is_tokens, size in inputs
    ]
    fields += [{"name": name, "type": "column"} for name in columns]
    return [*fields, {"name": "label", "type": f"{len(store.classes)} classes"}]
