"""Duplicates between parts, exact and near, and contents with several labels."""

from collections.abc import Callable

import numpy as np

from seqbelt.data.audit.findings import MAX_EXAMPLES, Finding, Severity
from seqbelt.data.audit.rows import PARTS, Rows

DuplicatePairs = tuple[np.ndarray, np.ndarray]
"""Rows that have a duplicate in an earlier part, and one duplicate of each: two int arrays of row
numbers of equal length."""
FindDuplicates = Callable[[np.ndarray, np.ndarray], DuplicatePairs]
"""Called with the rows of a held-out part and the rows of the parts before it."""


def exact_duplicates(rows: Rows) -> FindDuplicates:
    """A function that finds rows with equal content hashes."""

    def find(held: np.ndarray, before: np.ndarray) -> DuplicatePairs:
        content, first = np.unique(rows.content[before], return_index=True)
        if not len(content):
            return held[:0], held[:0]
        place = np.searchsorted(content, rows.content[held]).clip(max=len(content) - 1)
        same = content[place] == rows.content[held]
        return held[same], before[first[place[same]]]

    return find


def check_duplicates(rows: Rows) -> Finding:
    """Content of the training rows in the test part, and the like."""
    return _check_pairs(rows, "duplicates", "have the very content of", exact_duplicates(rows))


def check_near_duplicates(
    rows: Rows, find: FindDuplicates, what: str, severity: Severity
) -> Finding:
    """Rows nearly like one on the other side; those of the very same content are not counted."""
    exact = exact_duplicates(rows)

    def find_others(held: np.ndarray, before: np.ndarray) -> DuplicatePairs:
        return find(np.setdiff1d(held, exact(held, before)[0]), before)

    relation = f"have nearly the {what} of"
    return _check_pairs(rows, "near-duplicates", relation, find_others, severity)


def _check_pairs(
    rows: Rows, check: str, relation: str, find: FindDuplicates, severity: Severity = "leak"
) -> Finding:
    count, said, examples = 0, [], []
    for name, held, before in rows.sides():
        found, duplicates = find(held, before)
        earlier = " or ".join(part for part in PARTS[: PARTS.index(name)] if len(rows.part(part)))
        if not len(found):
            continue
        count += len(found)
        share = len(found) / len(held)
        said.append(
            f"{len(found):,} of {len(held):,} {name} rows ({share:.2%}) {relation} a {earlier} row"
        )
        examples += [f"{rows.name(a)} = {rows.name(b)}" for a, b in zip(found, duplicates)]
    if not count:
        return Finding(check, "ok", 0, "none between the parts")
    return Finding(check, severity, count, "; ".join(said), tuple(examples[:MAX_EXAMPLES]))


def check_labels(rows: Rows) -> Finding:
    """The same content under several labels: there no model can be right every time."""
    num_classes = len(rows.store.classes)
    pairs, counts = np.unique(rows.content * num_classes + rows.label, return_counts=True)
    content = pairs // num_classes
    first = np.flatnonzero(np.append(True, content[1:] != content[:-1]))
    several = np.diff(np.append(first, len(content))) > 1
    if not several.any():
        return Finding("labels", "ok", 0, "no content has two labels")
    wrong = np.add.reduceat(counts, first) - np.maximum.reduceat(counts, first)
    found = content[first][several]
    lost, total = int(wrong[several].sum()), len(rows.label)
    return Finding(
        "labels", "warning", len(found),
        f"{len(found):,} contents stand under several labels: whoever always takes the more "
        f"frequent one is wrong in {lost:,} of {total:,} rows ({lost / total:.2%})",
        tuple(_rows_of(rows, content) for content in found[:MAX_EXAMPLES]),
    )  # fmt: skip


def _rows_of(rows: Rows, content: int) -> str:
    places = np.flatnonzero(rows.content == content).tolist()
    classes = [rows.store.classes[label] for label in rows.label[places]]
    told = [f"{rows.name(row)} is '{name}'" for row, name in zip(places, classes)]
    shown = sorted(range(len(places)), key=lambda i: classes.index(classes[i]) != i)[:3]
    return ", ".join(told[i] for i in shown)


def check_groups(rows: Rows) -> Finding:
    """Groups (speakers, subjects) on both sides. All of them is a design, some are a slip."""
    code, names = rows.group
    known = [name for name in names if name]
    if not known:
        return Finding("groups", "ok", 0, "the rows name no groups")
    in_test = {names[one] for one in np.unique(code[rows.part("test")])} - {""}
    before = {names[one] for one in np.unique(code[rows.split < PARTS.index("test")])} - {""}
    both = sorted(in_test & before)
    if not both:
        return Finding("groups", "ok", 0, f"no test group is in training; {len(known)} groups")
    examples = tuple(both[:MAX_EXAMPLES])
    if len(both) == len(in_test):
        said = f"all {len(both)} test groups are in training too: the test says nothing of new ones"
        return Finding("groups", "warning", len(both), said, examples)
    said = f"{len(both)} of {len(in_test)} test groups are in training too"
    return Finding("groups", "leak", len(both), said, examples)
