"""Prediction over many inputs into one file: resumable, each input once, memory flat."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from seqbelt.errors import BadInput
from seqbelt.features.base import Source
from seqbelt.features.encoding import Encoded, stamp_source
from seqbelt.inference.journal import Answer, Journal
from seqbelt.inference.output import check_output
from seqbelt.inference.predictor import Prediction, Predictor

COMMIT_ITEMS = 1024
"""Answers in one transaction: what a kill can cost."""


class Item(NamedTuple):
    """One input: the name that its row carries, and where its content comes from."""

    name: str
    source: Source


@dataclass
class Summary:
    """What a run did. ``reasons`` counts the inputs without a label."""

    output: Path
    num_predicted: int = 0
    num_quarantined: int = 0
    num_reused: int = 0
    predict_s: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


def predict_items(
    predictor: Predictor,
    items: Iterable[Item],
    output: Path,
    *,
    key: str = "path",
    model: str = "",
    progress: Callable[[int], object] = lambda done: None,
) -> Summary:
    """Predict every item and write the file ``output``, one row per item in input order.

    Answers are journalled in ``OUTPUT.journal`` as they come, so that an interrupted run goes on
    where it stopped and a second run answers only what is new. An item that cannot be answered
    becomes a row with ``error``. Raises SettingsError for an unusable output name.
    """
    check_output(output)
    began = time.perf_counter()
    journal = Journal(output.with_name(output.name + ".journal"), predictor.bundle.fingerprint)
    try:
        run = _Run(predictor, journal, Summary(output))
        for count in run.answer(items):
            progress(count)
        rows = run.counted(journal.rows())
        predictor.write(output, rows, key, model)
    finally:
        journal.close()
    run.summary.predict_s = time.perf_counter() - began
    return run.summary


class _Run:
    """One pass over the items."""

    def __init__(self, predictor: Predictor, journal: Journal, summary: Summary) -> None:
        self.predictor, self.journal, self.summary = predictor, journal, summary
        # A new journal need not be asked, file by file, what it does not know.
        self._is_first = journal.is_empty()
        self._waiting: dict[int, tuple[str, int]] = {}
        self._inputs: list[tuple[int, str, str | None, str | None]] = []
        self._answers: list[Answer] = []
        self._stamps: list[tuple[int, str]] = []

    def answer(self, items: Iterable[Item]) -> Iterator[int]:
        """Journal an answer for each item; yields how many were finished since the last time."""
        try:
            for answer in self.predictor.predict(self._unanswered(items), self._knows):
                self._take(answer)
                if len(self._inputs) >= COMMIT_ITEMS:
                    yield self._commit()
        finally:  # also on Ctrl-C: what was answered is kept
            remaining = self._commit()
        yield remaining

    def _knows(self, content_hash: str) -> bool:
        return not self._is_first and self.journal.knows(content_hash)

    def _unanswered(self, items: Iterable[Item]) -> Iterator[tuple[int, Source]]:
        for position, (name, source) in enumerate(items):
            stamp = stamp_source(source)
            content_hash = None if self._is_first or not stamp else self.journal.hash_of(stamp)
            if content_hash and self._knows(content_hash):
                self.summary.num_reused += 1
                self._inputs.append((position, name, content_hash, None))
            else:
                self._waiting[position] = (name, stamp)
                yield position, source

    def _take(self, answer: Prediction | Encoded) -> None:
        name, stamp = self._waiting.pop(answer.index)
        error = None
        if isinstance(answer, Prediction):
            found = answer.probabilities
            if answer.content_hash:
                self._answers.append(Answer(answer.content_hash, answer.num_steps, found))
            elif isinstance(found, BadInput):  # never read, so there is no content to journal
                error = str(found)
        else:
            self.summary.num_reused += 1
        content_hash = answer.content_hash or None
        self._inputs.append((answer.index, name, content_hash, error))
        if content_hash and stamp:
            self._stamps.append((stamp, content_hash))

    def _commit(self) -> int:
        count = len(self._inputs)
        self.journal.record(self._inputs, self._answers, self._stamps)
        self._inputs, self._answers, self._stamps = [], [], []
        return count

    def counted(self, rows: Iterable) -> Iterator:
        """Pass rows through, counting labels and reasons."""
        for row in rows:
            if row.error is None:
                self.summary.num_predicted += 1
            else:
                self.summary.num_quarantined += 1
                self.summary.reasons[row.error.partition(":")[0]] += 1
            yield row
