"""The decisions of a review: saved one by one, undone one by one."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqbelt.data.sources.corrections import Correction, CorrectionsWriter, read_corrections
from seqbelt.errors import BadInput, SettingsError
from seqbelt.evaluation.proportions import wilson
from seqbelt.features.encoding import hash_content
from seqbelt.review.items import RANDOM, SECTIONS, ReviewItems
from seqbelt.texts import list_first, text

MAX_CHANGED = 3
"""Items named in a remark on changed ones."""


class ErrorRate(NamedTuple):
    """Wrong labels among the first items of the random section, all of which were reviewed."""

    num_reviewed: int
    num_wrong: int
    low: float
    high: float
    """95 % interval of the fraction (Wilson's)."""


class Decisions:
    """The labels that were decided, backed by a table of corrections.

    Items are matched by name and content hash, so that decisions on changed files do not count.
    """

    def __init__(self, items: ReviewItems, path: Path) -> None:
        self.items, self.path = items, path
        self.labels: dict[int, str] = {}
        self.is_decided = np.zeros(len(items), bool)
        self._undo: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._writer = CorrectionsWriter(path)
        self.remarks: list[str] = []
        if path.exists():
            self._resume()

    def _resume(self) -> None:
        saved = read_corrections(self.path)
        by_name: dict[str, list[int]] = {}
        for item, name in enumerate(self.items.names):
            by_name.setdefault(name, []).append(item)
        stale = list[str]()
        for correction in saved.values():
            same = [
                item
                for item in by_name.get(correction.id, ())
                if self.items.content_hashes[item] in ("", correction.content_hash)
                and correction.old_label == self.items.labels[item]
            ]
            if not same:
                stale.append(correction.id)
            for item in same:
                self._set(item, correction.new_label)
                self._undo.append((item, ""))
        if stale:
            names = list_first(stale, MAX_CHANGED)
            self.remarks.append(text("review_stale", path=self.path, count=len(stale), names=names))

    def _set(self, item: int, label: str) -> None:
        if label:
            self.labels[item] = label
        else:
            self.labels.pop(item, None)
        self.is_decided[item] = bool(label)

    def decide(self, item: int, label: str) -> None:
        """Save the label of an item; on disk when this returns.

        ``label`` is written as the items' are. Raises SettingsError for one that is no class,
        BadInput if the content cannot be read or has changed since it was predicted.
        """
        label = self._check(label)
        with self._lock:
            before = self.labels.get(item, "")
            self._append(item, label)
            self._undo.append((item, before))

    def _check(self, label: str) -> str:
        """The label in its one form. Raises SettingsError for one that is no class."""
        target = self.items.decision.target
        try:
            names = target.read(label)
        except ValueError as error:
            raise SettingsError(f"label: {error}") from None
        if not label or not {*names} <= {*self.items.classes}:
            raise SettingsError(
                f"'{label}' is not a class; classes: {', '.join(self.items.classes)}"
            )
        return target.write(names)

    def undo(self) -> int | None:
        """Take the last decision back and return its item; None if there is none."""
        with self._lock:
            if not self._undo:
                return None
            item, before = self._undo[-1]
            self._append(item, before)
            self._undo.pop()
            return item

    def _append(self, item: int, label: str) -> None:
        content_hash = hash_content(self.items.source(item))
        if self.items.content_hashes[item] not in ("", content_hash):
            raise BadInput("changed", text("review_changed"))
        name, old = self.items.names[item], self.items.labels[item]
        self._writer.append([Correction(name, content_hash, old, label)])
        self._set(item, label)

    @property
    def num_changed(self) -> int:
        """Items whose decided label differs from the source's, or that had none."""
        return sum(label != self.items.labels[item] for item, label in self.labels.items())

    def is_error(self, item: int) -> bool:
        """Whether a decided label differs from the source's or, without one, the predicted one."""
        expected = self.items.labels[item] or self.items.predicted_label(item)
        return self.labels[item] != expected

    def error_rate(self) -> ErrorRate | None:
        """The error rate of the random section by its first reviewed items; None without any."""
        order = self.items.order
        order = order[self.items.sections[order] == SECTIONS.index(RANDOM)]
        undecided = np.flatnonzero(~self.is_decided[order])
        reviewed: Sequence[int] = order[: undecided[0] if len(undecided) else len(order)].tolist()
        if not reviewed:
            return None
        wrong = sum(map(self.is_error, reviewed))
        return ErrorRate(len(reviewed), wrong, *wilson(wrong, len(reviewed)))
