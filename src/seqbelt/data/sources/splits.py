"""Which rows train, which validate, which test."""

import warnings
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from seqbelt.data.sources.equal_content import first_of_each
from seqbelt.data.sources.group_choice import choose_groups
from seqbelt.data.sources.manifest import Manifest
from seqbelt.errors import SettingsError
from seqbelt.words import percent

AUTO_FRACTION, LARGEST_AUTO_FRACTION = 0.1, 0.15
"""``validation_fraction: auto``: what is asked, and the most that whole groups may make of it."""
MIN_VALIDATION_ROWS = 30
"""With fewer the share of right answers is uncertain by more than ten points either way."""
LARGEST_JOINED_FRACTION = 0.5
"""Groups with rows of the same content stay on one side together, unless they would make up more
than this fraction of the rows."""


def assign_splits(
    manifest: Manifest,
    *,
    validation_fraction: Literal["auto"] | float,
    test_fraction: float,
    test_groups: tuple[str, ...],
    whole_groups: bool | None,
    seed: int,
    content: np.ndarray | None = None,
) -> Manifest:
    """Give every row a split, keeping those that the source itself names.

    ``test_groups`` overrules the source: exactly the rows of those groups are the test part.
    Fractions are taken stratified by label, to the nearest 1/k of the rows; when ``whole_groups``
    says so, as whole groups, as near to the fraction as those allow (``choose_groups``). When it is
    null, groups stay whole unless the source's own split already has a group on both sides:
    validation should ask what the test will ask. The manifest keeps what was ``asked``.

    Rows with the same ``content``, int ``(rows,)``, stay on one side of a part that is taken here:
    on the side of the first of them. Groups that share content stay on one side together.
    """
    split, label, group = (manifest.column(name) for name in ("split", "label", "group"))
    if test_groups:
        unknown = sorted(set(test_groups) - set(group))
        if unknown:
            known = ", ".join(sorted(set(group))[:20]) or "none"
            raise SettingsError(f"data.test_groups: no such group {unknown}; groups here: {known}")
        split = np.where(np.isin(group, list(test_groups)), "test", "").astype(object)
    split[split == ""] = "train"
    if whole_groups is None:
        whole_groups = not crosses_groups(split, group)
    own_group = np.array([f"\0{row}" for row in range(len(group))], dtype=object)
    keep = np.where(group == "", own_group, group) if whole_groups and any(group) else None
    asked, why_none = {}, ""
    if not np.any(split == "test") and test_fraction:
        _take(split, "test", test_fraction, label, keep, seed, content)
        asked["test"] = test_fraction
    if not np.any(split == "validation") and validation_fraction:
        if validation_fraction == "auto":
            why_none = _take_if_useful(split, label, keep, seed + 1, content)
            validation_fraction = 0.0 if why_none else AUTO_FRACTION
        else:
            _take(split, "validation", validation_fraction, label, keep, seed + 1, content)
        asked["validation"] = validation_fraction
    manifest = manifest.with_column("split", split.tolist())
    return replace(manifest, asked=asked, no_validation=why_none)


def _take_if_useful(
    split: np.ndarray,
    label: np.ndarray,
    group: np.ndarray | None,
    seed: int,
    content: np.ndarray | None,
) -> str:
    """Take a tenth of the training rows for validation, in place, or none; returns why none.

    A part of a few rows says next to nothing, and training misses them.
    """
    num_rows = int((split == "train").sum())
    if num_rows * AUTO_FRACTION < MIN_VALIDATION_ROWS:
        return f"a tenth of {num_rows:,} rows is fewer than {MIN_VALIDATION_ROWS}"
    num_groups = 0 if group is None else len(set(group[split == "train"]))
    if num_groups == 1:
        return "all rows are of one group"
    taken = split.copy()
    _take(taken, "validation", AUTO_FRACTION, label, group, seed, content)
    if (taken == "validation").sum() > LARGEST_AUTO_FRACTION * num_rows:
        what = "rows with equal content are"
        if group is not None:
            num_taken = len(set(group[taken == "validation"]))
            what = f"{num_taken} of {num_groups} groups are"
            if num_taken == 1:
                what = f"one of {num_groups} groups is"
        return f"{what} more than {percent(LARGEST_AUTO_FRACTION, 0)}"
    split[:] = taken
    return ""


def rows_of_folds(
    manifest: Manifest,
    folds: int | Literal["group"],
    whole_groups: bool | None,
    seed: int,
    content: np.ndarray | None = None,
) -> list[np.ndarray]:
    """The test rows of each fold: every row is in exactly one.

    ``"group"`` leaves one group out at a time, in the order of their names. Of the others, rows
    with the same ``content`` are in one fold, and so are groups that share content. Raises
    SettingsError where there are fewer groups or rows than folds.
    """
    label, group = manifest.column("label"), manifest.column("group")
    names = sorted(set(group))
    if folds == "group":
        if len(names) < 2:
            raise SettingsError(
                f"data.folds: 'group' needs rows of two groups at least, found {names}; give the "
                "manifest a group column, or name a number of folds"
            )
        return [np.flatnonzero(group == name) for name in names]
    by_group = len(names) > 1 and whole_groups is not False
    if folds > (len(names) if by_group else len(label)):
        raise SettingsError(f"data.folds: {folds} folds of {len(names)} groups, {len(label)} rows")
    if by_group and content is not None:
        group = _join_groups(group, content, at_least=folds)
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to import

    splitter = (StratifiedGroupKFold if by_group else StratifiedKFold)(
        folds, shuffle=True, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tested = [rows for _, rows in splitter.split(label, label, group if by_group else None)]
    if by_group or content is None:
        return tested
    fold = np.zeros(len(label), np.int64)
    for number, rows in enumerate(tested):
        fold[rows] = number
    fold = fold[first_of_each(content)]
    together = [np.flatnonzero(fold == number) for number in range(folds)]
    return together if all(map(len, together)) else tested


def _take(
    split: np.ndarray,
    name: str,
    fraction: float,
    label: np.ndarray,
    group: np.ndarray | None,
    seed: int,
    content: np.ndarray | None,
) -> None:
    """Rename a stratified share of the training rows to ``name``, in place."""
    rows = eligible = np.flatnonzero(split == "train")
    if group is not None:
        if content is not None:
            group = group.copy()
            group[rows] = _join_groups(group[rows], content[rows], at_least=2)
        if len(set(group[rows])) < 2:
            raise _too_little(name, fraction, len(rows))
        wanted = fraction * len(rows)
        split[rows[choose_groups(label[rows], group[rows], wanted, seed)]] = name
        return
    num_folds = max(2, round(1 / fraction))
    names, counts = np.unique(label[rows], return_counts=True)
    num_folds = min(num_folds, int(counts.max()))
    # A class's only row stays, or there would be nothing to learn the class from.
    rows = rows[~np.isin(label[rows], names[counts == 1])]
    if num_folds < 2:
        raise _too_little(name, fraction, len(rows))
    from sklearn.model_selection import StratifiedKFold  # slow to import

    splitter = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class rarer than the folds is simply not in each of them
        warnings.simplefilter("ignore", UserWarning)
        _, taken = next(splitter.split(rows, label[rows]))
    split[rows[taken]] = name
    if content is not None:
        split[eligible] = _join_rows(split[eligible], label[eligible], content[eligible])


def _join_rows(split: np.ndarray, label: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The split with all rows of a content in the part of the first of them, or in training where
    a class would have no other row there."""
    first = first_of_each(content)
    together = split[first]
    _, label = np.unique(label, return_inverse=True)  # of texts isin compares each pair
    missing = ~np.isin(label, label[together == "train"]) & np.isin(label, label[split == "train"])
    together[np.isin(first, first[missing])] = "train"
    return together


def _join_groups(group: np.ndarray, content: np.ndarray, at_least: int) -> np.ndarray:
    """The groups' names, one name for groups that share content.

    The groups as they are, if fewer than ``at_least`` would be left, or one of them would be larger
    than ``LARGEST_JOINED_FRACTION`` and than any is now.
    """
    names, of_row = np.unique(group, return_inverse=True)
    links = np.ones(len(group), np.int8)
    graph = csr_matrix((links, (of_row, of_row[first_of_each(content)])), (len(names), len(names)))
    count, component = connected_components(graph, directed=False)
    if count == len(names):
        return group
    sizes = np.bincount(component[of_row])
    largest = max(LARGEST_JOINED_FRACTION * len(group), np.bincount(of_row).max())
    if count < at_least or sizes.max() > largest:
        return group
    return names[first_of_each(component)][of_row]


def _too_little(name: str, fraction: float, num_rows: int) -> SettingsError:
    return SettingsError(
        f"data: too few rows or groups to take a {name} part of {fraction:g} from "
        f"{num_rows} training rows; name the splits yourself or set data.{name}_fraction to 0"
    )


def crosses_groups(split: np.ndarray, group: np.ndarray) -> bool:
    """Whether some group is on both sides of the split that the source names."""
    train = set(group[split == "train"]) - {""}
    return bool(train & set(group[split == "test"]))
