"""Duplicates between parts, exact and near, and contents with several labels."""

from collections.abc import Callable

import numpy as np

from seqbelt.data.audit.findings import MAX_EXAMPLES, Finding, Severity
from seqbelt.data.audit.rows import PARTS, Rows
from seqbelt.texts import Text, join, text
from seqbelt.words import percent

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
        index = np.searchsorted(content, rows.content[held]).clip(max=len(content) - 1)
        same = content[index] == rows.content[held]
        return held[same], before[first[index[same]]]

    return find


def check_duplicates(rows: Rows) -> Finding:
    """Exact duplicates between parts."""
    return _check_pairs(rows, "duplicates", text("leak_same"), exact_duplicates(rows))


def check_near_duplicates(
    rows: Rows, find: FindDuplicates, kind: str, severity: Severity
) -> Finding:
    """Near-duplicates between parts, without exact ones."""
    exact = exact_duplicates(rows)

    def find_others(held: np.ndarray, before: np.ndarray) -> DuplicatePairs:
        return find(np.setdiff1d(held, exact(held, before)[0]), before)

    relation = text("leak_nearly", kind=kind)
    return _check_pairs(rows, "near-duplicates", relation, find_others, severity)


def _check_pairs(
    rows: Rows, check: str, relation: str, find: FindDuplicates, severity: Severity = "leak"
) -> Finding:
    count, sentences, examples = 0, [], []
    for name, held, before in rows.sides():
        duplicated, duplicates = find(held, before)
        before_it = [part for part in PARTS[: PARTS.index(name)] if len(rows.part(part))]
        korean = "·".join(text(part).korean for part in before_it)
        if not len(duplicated):
            continue
        count += len(duplicated)
        fraction = len(duplicated) / len(held)
        sentences.append(
            text(
                "leak_pairs",
                count=len(duplicated),
                total=len(held),
                part=Text(name, text(name).korean),
                share=percent(fraction, 2),
                relation=relation,
                earlier=Text(" or ".join(before_it), korean),
            )
        )
        examples += [f"{rows.name(a)} = {rows.name(b)}" for a, b in zip(duplicated, duplicates)]
    if not count:
        return Finding(check, "ok", 0, "none between the parts")
    return Finding(check, severity, count, join(sentences, "; "), tuple(examples[:MAX_EXAMPLES]))


def check_labels(rows: Rows) -> Finding:
    """Equal contents with different labels, on which no model can be always correct."""
    num_classes = len(rows.store.classes)
    pairs, counts = np.unique(rows.content * num_classes + rows.label, return_counts=True)
    content = pairs // num_classes
    first = np.flatnonzero(np.append(True, content[1:] != content[:-1]))
    several = np.diff(np.append(first, len(content))) > 1
    if not several.any():
        return Finding("labels", "ok", 0, "no content has two labels")
    wrong = np.add.reduceat(counts, first) - np.maximum.reduceat(counts, first)
    conflicting = content[first][several]
    num_wrong, total = int(wrong[several].sum()), len(rows.label)
    return Finding(
        "labels", "warning", len(conflicting),
        f"contents with several labels: {len(conflicting):,}; always predicting the most "
        f"frequent one is wrong in {num_wrong:,} of {total:,} rows "
        f"({percent(num_wrong / total, 2)})",
        tuple(_rows_of(rows, content) for content in conflicting[:MAX_EXAMPLES]),
    )  # fmt: skip


def _rows_of(rows: Rows, content: int) -> str:
    indices = np.flatnonzero(rows.content == content).tolist()
    classes = [rows.store.classes[label] for label in rows.label[indices]]
    texts = [f"{rows.name(row)} is '{name}'" for row, name in zip(indices, classes)]
    shown = sorted(range(len(indices)), key=lambda i: classes.index(classes[i]) != i)[:3]
    return ", ".join(texts[i] for i in shown)


def check_groups(rows: Rows) -> Finding:
    """Groups (speakers, subjects) in both training and test: all may be intended, some are a
    leak."""
    code, names = rows.group
    groups = [name for name in names if name]
    if not groups:
        return Finding("groups", "ok", 0, "the rows have no groups")
    in_test = {names[number] for number in np.unique(code[rows.part("test")])} - {""}
    before = {names[number] for number in np.unique(code[rows.split < PARTS.index("test")])} - {""}
    both = sorted(in_test & before)
    if not both:
        return Finding("groups", "ok", 0, f"no test group is in training; {len(groups)} groups")
    examples = tuple(both[:MAX_EXAMPLES])
    if len(both) == len(in_test):
        sentence = (
            f"all {len(both)} test groups are in training too: the test does not measure new groups"
        )
        return Finding("groups", "warning", len(both), sentence, examples)
    sentence = text("leak_groups", count=len(both), total=len(in_test))
    return Finding("groups", "leak", len(both), sentence, examples)
