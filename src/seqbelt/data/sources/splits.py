"""Which rows train, which validate, which test."""

import warnings
from dataclasses import replace
from typing import Literal

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from seqbelt.data.sources.group_choice import choose_groups
from seqbelt.data.sources.manifest import Manifest
from seqbelt.errors import SettingsError

AUTO_FRACTION, LARGEST_AUTO_FRACTION = 0.1, 0.2
"""``validation_fraction: auto``: what is asked, and the most that whole groups may make of it."""
MIN_VALIDATION_ROWS = 30
"""With fewer the share of right answers is uncertain by more than ten points either way."""


def assign_splits(
    manifest: Manifest,
    *,
    validation_fraction: Literal["auto"] | float,
    test_fraction: float,
    test_groups: tuple[str, ...],
    whole_groups: bool | None,
    seed: int,
) -> Manifest:
    """Give every row a split, keeping those that the source itself names.

    ``test_groups`` overrules the source: exactly the rows of those groups are the test part.
    Fractions are taken stratified by label, to the nearest 1/k of the rows; when ``whole_groups``
    says so, as whole groups, as near to the fraction as those allow (``choose_groups``). When it is
    null, groups stay whole unless the source's own split already has a group on both sides:
    validation should ask what the test will ask. The manifest keeps what was ``asked``.
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
    asked = {}
    if not np.any(split == "test") and test_fraction:
        _take(split, "test", test_fraction, label, keep, seed)
        asked["test"] = test_fraction
    if not np.any(split == "validation") and validation_fraction:
        if validation_fraction == "auto":
            validation_fraction = _take_if_useful(split, label, keep, seed + 1)
        else:
            _take(split, "validation", validation_fraction, label, keep, seed + 1)
        asked["validation"] = validation_fraction
    return replace(manifest.with_column("split", split.tolist()), asked=asked)


def _take_if_useful(
    split: np.ndarray, label: np.ndarray, group: np.ndarray | None, seed: int
) -> float:
    """Take a tenth of the training rows for validation, in place, or none; returns the fraction.

    A part of a few rows says next to nothing, and training misses them.
    """
    num_rows = int((split == "train").sum())
    if num_rows * AUTO_FRACTION < MIN_VALIDATION_ROWS:
        return 0.0
    if group is not None and len(set(group[split == "train"])) < 2:
        return 0.0
    taken = split.copy()
    _take(taken, "validation", AUTO_FRACTION, label, group, seed)
    if (taken == "validation").sum() > LARGEST_AUTO_FRACTION * num_rows:
        return 0.0
    split[:] = taken
    return AUTO_FRACTION


def rows_of_folds(
    manifest: Manifest, folds: int | Literal["group"], whole_groups: bool | None, seed: int
) -> list[np.ndarray]:
    """The test rows of each fold: every row is in exactly one.

    ``"group"`` leaves one group out at a time, in the order of their names. Raises SettingsError
    where there are fewer groups or rows than folds.
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
    splitter = (StratifiedGroupKFold if by_group else StratifiedKFold)(
        folds, shuffle=True, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return [rows for _, rows in splitter.split(label, label, group if by_group else None)]


def _take(
    split: np.ndarray,
    name: str,
    fraction: float,
    label: np.ndarray,
    group: np.ndarray | None,
    seed: int,
) -> None:
    """Rename a stratified share of the training rows to ``name``, in place."""
    rows = np.flatnonzero(split == "train")
    if group is not None:
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
    splitter = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class rarer than the folds is simply not in each of them
        warnings.simplefilter("ignore", UserWarning)
        _, taken = next(splitter.split(rows, label[rows]))
    split[rows[taken]] = name


def _too_little(name: str, fraction: float, num_rows: int) -> SettingsError:
    return SettingsError(
        f"data: too few rows or groups to take a {name} part of {fraction:g} from "
        f"{num_rows} training rows; name the splits yourself or set data.{name}_fraction to 0"
    )


def crosses_groups(split: np.ndarray, group: np.ndarray) -> bool:
    """Whether some group is on both sides of the split that the source names."""
    train = set(group[split == "train"]) - {""}
    return bool(train & set(group[split == "test"]))
