"""Writing a store: its index, its quarantine ledger, its description."""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seqbelt.data.labels.labelling import Labelling
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.parts import open_part, part_paths, write_json
from seqbelt.data.store.store import FORMAT
from seqbelt.errors import BadInput, SeqbeltError

MAX_GROUPS = 10_000
"""More groups are not counted in the description."""


class RowOutcome(NamedTuple):
    """One manifest row's result."""

    row: int
    content_hash: str
    problem: BadInput | None


def write_store(
    folder: Path,
    manifest: Manifest,
    labelling: Labelling,
    parts: Path,
    outcomes: list[RowOutcome],
    about: Mapping[str, object],
) -> None:
    """Write what makes the sequences in ``parts`` a store of these manifest rows.

    ``about`` is added to the description. Raises SeqbeltError if no row has a sequence.
    """
    encoded = sorted(outcome for outcome in outcomes if outcome.problem is None)
    bad = [outcome for outcome in outcomes if outcome.problem is not None]
    places = _places(parts, [outcome.content_hash for outcome in encoded])
    read_labels = labelling.read(
        manifest, [outcome.row for outcome in encoded], places["num_steps"].tolist()
    )
    is_good = np.array([not isinstance(label, BadInput) for label in read_labels], dtype=bool)
    bad += [outcome._replace(problem=label) for outcome, label in zip(encoded, read_labels)
            if isinstance(label, BadInput)]  # fmt: skip
    bad.sort(key=lambda outcome: outcome.row)
    good = [outcome for outcome, is_kept in zip(encoded, is_good) if is_kept]
    labels = [label for label, is_kept in zip(read_labels, is_good) if is_kept]
    write_ledger(folder / "quarantine.csv", manifest, bad)
    if not good:
        first = manifest.table["id"][bad[0].row].as_py()
        raise SeqbeltError(
            f"none of {len(outcomes)} items could be encoded; first reason: {first}: "
            f"{bad[0].problem}. All reasons: {folder / 'quarantine.csv'}"
        )
    rows = [outcome.row for outcome in good]
    table = manifest.table.take(pa.array(rows))
    classes = _sort_classes(
        {name for label in labels for name in labelling.names(label)}, labelling
    )
    columns = labelling.columns(labels, {name: number for number, name in enumerate(classes)})
    columns |= {name: pa.array(values[is_good], pa.int64()) for name, values in places.items()}
    index = pa.table(
        {
            "id": table["id"],
            "label": columns.pop("label"),
            "split": table["split"],
            "group": table["group"],
            "content_hash": pa.array([outcome.content_hash for outcome in good]),
            **columns,
        }
    )
    # Without its description no store is opened: a kill here cannot pair it with this index.
    (folder / "store.json").unlink(missing_ok=True)
    _write_index(folder / "index.arrow", index)
    write_json(
        folder / "store.json",
        {
            "format": FORMAT,
            "fingerprint": _fingerprint(index, parts.name, bool(labelling.order)),
            "parts": parts.name,
            "classes": classes,
            "num_sequences": len(good),
            "class_counts": _count_classes(labelling, labels, classes),
            "group_counts": _count_groups(table["group"]),
            "num_quarantined": len(bad),
            "num_steps": int(places["num_steps"][is_good].sum()),
            "labels": labelling.name,
            **({"ordered": True} if labelling.order else {}),
            "quarantined": _count(outcome.problem.reason for outcome in bad if outcome.problem),
            "splits": _count(table["split"].to_pylist()),
            **about,
        },
    )


def _count_classes(
    labelling: Labelling, labels: Sequence[Any], classes: Sequence[str]
) -> dict[str, int]:
    """How many sequences each class occurs in."""
    counts = Counter(name for label in labels for name in labelling.names(label))
    return {name: counts[name] for name in classes}


def _count_groups(groups: pa.ChunkedArray) -> dict[str, int]:
    """How many sequences each group has; empty where nearly every sequence has its own."""
    counts = Counter(name for name in groups.to_pylist() if name)
    return dict(counts) if len(counts) <= MAX_GROUPS else {}


def _places(parts: Path, hashes: list[str]) -> dict[str, np.ndarray]:
    """For each content hash: its batch's number, its row there, its steps."""
    by_hash: dict[str, tuple[int, int, int]] = {}
    number = 0
    for path in part_paths(parts):
        for batch in open_part(path):
            for row, content_hash in enumerate(batch.content_hash.to_pylist()):
                by_hash[content_hash] = (number, row, int(batch.num_steps[row]))
            number += 1
    positions = np.array([by_hash[content_hash] for content_hash in hashes], np.int64).reshape(
        -1, 3
    )
    return dict(zip(("batch_number", "row_in_batch", "num_steps"), positions.T))


def _fingerprint(index: pa.Table, parts_name: str, is_ordered: bool) -> str:
    digest = hashlib.blake2b(parts_name.encode(), digest_size=16)
    for name in ("id", "label", "split", "group", "content_hash"):
        digest.update(json.dumps(index[name].to_pylist()).encode())
    if "step_labels" in index.column_names:
        digest.update(index["step_labels"].combine_chunks().values.to_numpy().tobytes())
    if "label_set" in index.column_names:
        digest.update(json.dumps(index["label_set"].to_pylist()).encode())
    if is_ordered:
        digest.update(b"ordered")
    return digest.hexdigest()


def _write_index(path: Path, index: pa.Table) -> None:
    temporary = path.with_suffix(".tmp")
    with pa.ipc.new_file(str(temporary), index.schema) as file:
        file.write_table(index.combine_chunks())
    temporary.replace(path)


def write_ledger(path: Path, manifest: Manifest, bad: list[RowOutcome]) -> None:
    """The quarantine ledger: a CSV that a spreadsheet opens."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8-sig", newline="", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "reason", "message"])
        for outcome in bad:
            problem = outcome.problem
            assert problem is not None
            name, label = (manifest.table[c][outcome.row].as_py() for c in ("id", "label"))
            message = problem.args[0]
            if "path" in manifest.table.column_names and _leads_out(
                manifest.root, manifest.table["path"][outcome.row].as_py()
            ):  # the ledger is also sent to the tracking server
                message = "a link that leads out of the folder; what it leads to is not quoted"
            writer.writerow([name, label, problem.reason, message])
    temporary.replace(path)


def _leads_out(root: Path, path: str) -> bool:
    """Whether links lead from a path below ``root`` to a file that is not."""
    try:
        below = Path(os.path.normpath(path))
        inside = not below.is_absolute() and below.parts[:1] != ("..",)
        return inside and not (root / below).resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):  # a path that cannot be followed
        return False


def _count(values: Iterable[str]) -> dict[str, int]:
    names, counts = np.unique(np.array(list(values), dtype=object), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist()))


def _sort_classes(names: Collection[str], labelling: Labelling) -> list[str]:
    """The classes in their own order, or as people sort names."""
    if not labelling.order:
        return sorted(names, key=_natural)
    return [name for name in labelling.order if name in names]


def _natural(name: str) -> tuple[bool, int, str]:
    """Order classes as people do: 2 before 10, numbers before words."""
    is_number = name.isascii() and name.isdigit()
    return (not is_number, int(name) if is_number else 0, name)
