"""What the parts of a data set hold and what they lack, in words."""

from collections.abc import Sequence

import numpy as np

from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.store import SequenceStore

SPLITS = ("train", "validation", "test")
MAX_NAMES = 5
"""Classes that a line names; of more it gives the number."""


def summarize_parts(store: SequenceStore, manifest: Manifest) -> list[str]:
    """Lines about the parts: rows and groups, what was taken by group, classes that are missing.

    ``manifest`` is the one that the store was prepared from, with its splits.
    """
    rows = {name: store.split(name) for name in SPLITS}
    groups = {name: set(of.column("group")) - {""} for name, of in rows.items()}
    counts = []
    for name, of in rows.items():
        whose = ""
        if any(groups.values()) and len(of):
            whose = f" in {len(groups[name])} group{'' if len(groups[name]) == 1 else 's'}"
        counts.append(f"{len(of):,} {name}{whose}")
    held = {
        name: set(np.unique(store.target.labels(of)).tolist()) if len(of) else set()
        for name, of in rows.items()
    }
    lines = [", ".join(counts), *_taken_by_group(manifest)]
    for name in SPLITS:
        missing = [one for n, one in enumerate(store.classes) if n not in held[name]]
        if missing and len(rows[name]):
            lines.append(f"the {name} part has no row of {_named(missing)}{_REMEDIES[name]}")
    return lines


_REMEDIES = {
    "train": ": it cannot be learned; give the rows another split, or set data.split_seed, or "
    "data.whole_groups: false",
    "validation": ": its scores say nothing of that; a larger data.validation_fraction, or "
    "data.whole_groups: false, takes more of them",
    "test": ": its scores say nothing of that",
}


def _taken_by_group(manifest: Manifest) -> list[str]:
    """What was asked of the parts taken here and what was taken, where there are groups."""
    split, group = manifest.column("split"), manifest.column("group")
    lines = []
    for name, fraction in manifest.asked.items():
        if not fraction:
            lines.append(
                f"{name}: none taken, a tenth of the rows or groups would not do; "
                "data.validation_fraction names a share"
            )
            continue
        # The test part is taken of all rows, then the validation part of those that are left.
        among = np.isin(split, ["train", "validation"]) if name == "validation" else split != ""
        own = among & (split == name)
        taken, total = (len(set(group[which]) - {""}) for which in (own, among))
        if total:
            share = own.sum() / among.sum()
            lines.append(
                f"{name}: asked {100 * fraction:.3g} %, took {100 * share:.3g} % "
                f"({taken} of {total} groups)"
            )
    return lines


def _named(classes: Sequence[str]) -> str:
    names = ", ".join(f"'{name}'" for name in classes[:MAX_NAMES])
    more = len(classes) - MAX_NAMES
    plural = "class" if len(classes) == 1 else "classes"
    return f"{plural} {names}{f' and {more} more' if more > 0 else ''}"
