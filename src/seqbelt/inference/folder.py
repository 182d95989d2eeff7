"""Prediction over many inputs into one file: resumable, each input once, memory flat."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from seqbelt.errors import REJECTED, TIMED_OUT, BadInput
from seqbelt.features.base import Source
from seqbelt.features.encoding import Encoded, encode_sources, hash_content, stamp_source
from seqbelt.inference.isolation import ChildContext
from seqbelt.inference.journal import Answer, Input, Journal, Row
from seqbelt.inference.output import check_output
from seqbelt.inference.predictor import Prediction, Predictor

COMMIT_S = 1.0
COMMIT_ITEMS = 16_384
"""Answers go into the journal once a second, or when there are so many: what a kill can cost."""


class Item(NamedTuple):
    """One input: the name that its row carries, and where its content comes from."""

    name: str
    source: Source
    label: str | None = None
    """Its class, where that is known; it changes no answer."""


@dataclass
class Summary:
    """What a run did. ``reasons`` counts the inputs without a label."""

    output: Path
    num_predicted: int = 0
    num_quarantined: int = 0
    num_reused: int = 0
    predict_s: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    """How inputs were read where that was not evident, and how many; of this run's answers."""
    num_labelled: int = 0
    """Inputs whose class is known."""
    num_labelled_answered: int = 0
    num_right: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """How many inputs were given each class."""
    unknown_labels: Counter[str] = field(default_factory=Counter)
    """Classes that inputs are known to have and the model does not know, with their inputs."""
    num_partly_read: int = 0
    """Inputs of which a part was read (model.max_steps)."""
    min_share_read: float = 1.0
    """Of the input of which the smallest share was read."""
    needs_mark: bool = False
    """Whether the output is a csv with characters that a spreadsheet reads by a mark only."""

    @property
    def accuracy(self) -> dict[str, float | int | None] | None:
        """Over all inputs whose class is known, where one without an answer is not right, and over
        those that were answered; None where no class is known."""
        if not self.num_labelled:
            return None
        answered = self.num_labelled_answered
        return {
            "all": self.num_right / self.num_labelled,
            "answered": self.num_right / answered if answered else None,
            "num_labelled": self.num_labelled,
        }

    def count_share(self, share: float) -> None:
        """Take into account how much of an input was read."""
        self.num_partly_read += share < 1
        self.min_share_read = min(self.min_share_read, share)

    def count(self, row: Row, answer: str | None, classes: Collection[str]) -> None:
        """Take one row of the output into account; ``answer`` is None where there is none."""
        if row.error is None:
            self.num_predicted += 1
        else:
            self.num_quarantined += 1
            self.reasons[row.error.partition(":")[0]] += 1
        if row.label:
            self.num_labelled += 1
            self.num_labelled_answered += answer is not None
            self.num_right += answer == row.label
            if row.label not in classes:
                self.unknown_labels[row.label] += 1
        if answer is not None:
            self.labels[answer] += 1
        self.needs_mark |= not row.name.isascii()


def predict_items(
    predictor: Predictor,
    items: Iterable[Item],
    output: Path,
    *,
    key: str = "path",
    model: str = "",
    progress: Callable[[int], object] = lambda done: None,
    context: ChildContext | None = None,
    coverage: float | None = None,
    byte_order_mark: bool = False,
) -> Summary:
    """Predict every item and write the file ``output``, one row per item in input order.

    Answers are journalled in ``OUTPUT.journal`` as they come, so that an interrupted run goes on
    where it stopped and a second run answers only what is new. An item that cannot be answered
    becomes a row with ``error``; the offenders of ``context`` are not read. With a
    ``coverage`` (0 to 1) an answer less confident than that share of the validation rows' is
    rejected: it keeps its probabilities and has no label. ``byte_order_mark`` begins a .csv with
    the mark by which spreadsheets know UTF-8. Raises SettingsError for an unusable
    output name, or where the model knows no such confidence.
    """
    check_output(output)
    threshold = None if coverage is None else predictor.bundle.threshold(coverage)
    began = time.perf_counter()
    journal = Journal(output.with_name(output.name + ".journal"), predictor.fingerprint)
    try:
        run = _Run(predictor, journal, Summary(output), context or ChildContext())
        for count in run.answer(items):
            progress(count)
        rows = run.counted(_rejecting(journal.rows(), threshold))
        predictor.write(output, rows, key, model, byte_order_mark, journal.max_num_steps())
    finally:
        journal.close()
    names = "".join(predictor.bundle.classes)
    run.summary.needs_mark |= not names.isascii()
    run.summary.needs_mark &= output.suffix.lower() == ".csv"
    run.summary.predict_s = time.perf_counter() - began
    return run.summary


def _rejecting(rows: Iterable[Row], threshold: float | None) -> Iterator[Row]:
    for row in rows:
        if threshold is not None and row.probabilities is not None and row.error is None:
            confidence = float(row.probabilities.max())
            if confidence < threshold:
                why = f"confidence {confidence:.3f} is below {threshold:.3f}"
                row = row._replace(error=str(BadInput(REJECTED, why)))
        yield row


def try_candidates(predictor: Predictor, items: Iterable[Item], context: ChildContext) -> None:
    """Encode each candidate alone, marked on the board, so that a crash is attributed to it."""
    for position, item in enumerate(items):
        if position > max(context.candidates, default=-1):
            break
        stamp = stamp_source(item.source)
        if position not in context.candidates or stamp in context.offenders:
            continue
        context.board.tried = stamp
        features, encoder = predictor.bundle.features, predictor.encoder
        list(encode_sources(features, encoder, [(position, item.source)], board=context.board))
    context.board.tried = 0


class _Run:
    """One pass over the items."""

    def __init__(
        self, predictor: Predictor, journal: Journal, summary: Summary, context: ChildContext
    ) -> None:
        self.predictor, self.journal, self.summary = predictor, journal, summary
        self.context = context
        # A new journal need not be asked, file by file, what it does not know.
        self._is_first = journal.is_empty()
        self._waiting: dict[int, tuple[Item, int]] = {}
        self._inputs: list[Input] = []
        self._answers: list[Answer] = []
        self._stamps: list[tuple[int, str]] = []
        self._committed = time.monotonic()

    def answer(self, items: Iterable[Item]) -> Iterator[int]:
        """Journal an answer for each item; yields how many were finished since the last time."""
        try:
            unanswered, board = self._unanswered(items), self.context.board
            knows = None if self._is_first else self._knows
            for answer in self.predictor.predict(unanswered, knows, board):
                self._take(answer)
                waited_s = time.monotonic() - self._committed
                if waited_s >= COMMIT_S or len(self._inputs) >= COMMIT_ITEMS:
                    yield self._commit()
        finally:  # also on Ctrl-C: what was answered is kept
            remaining = self._commit()
        yield remaining

    def _knows(self, content_hash: str) -> bool:
        return not self._is_first and self.journal.knows(content_hash)

    def _unanswered(self, items: Iterable[Item]) -> Iterator[tuple[int, Source]]:
        for position, item in enumerate(items):
            stamp = stamp_source(item.source)
            content_hash = None if self._is_first else self._seen_content(item.source, stamp)
            if content_hash and self._knows(content_hash):
                self.summary.num_reused += 1
                self._finish(position, item, stamp, content_hash)
            elif stamp in self.context.offenders:
                self._refuse(position, item, stamp)
            else:
                self._waiting[position] = (item, stamp)
                yield position, item.source

    def _seen_content(self, source: Source, stamp: int) -> str | None:
        """The content's hash without reading a file: from the last time that it was read."""
        if not isinstance(source, Path):
            return hash_content(source)
        return self.journal.hash_of(stamp) if stamp else None

    def _refuse(self, position: int, item: Item, stamp: int) -> None:
        """Keep why an item is not touched. A crash is the content's fault and is journalled; how
        long it takes is not, so the next run tries again."""
        why, content_hash = self.context.offenders[stamp], ""
        if why.reason != TIMED_OUT:
            with suppress(BadInput):  # it was just taken away
                content_hash = hash_content(item.source)
                self._answers.append(Answer(content_hash, 0, why))
        self._finish(position, item, stamp, content_hash, None if content_hash else str(why))

    def _take(self, answer: Prediction | Encoded) -> None:
        item, stamp = self._waiting.pop(answer.index)
        error = None
        if isinstance(answer, Prediction):
            found = answer.probabilities
            self.summary.readings.update(answer.remarks)
            if answer.content_hash:
                self._answers.append(Answer(answer.content_hash, answer.num_steps, found))
            elif isinstance(found, BadInput):  # never read, so there is no content to journal
                error = str(found)
        else:
            self.summary.num_reused += 1
        self._finish(answer.index, item, stamp, answer.content_hash, error)

    def _finish(
        self, position: int, item: Item, stamp: int, content_hash: str, error: str | None = None
    ) -> None:
        self._inputs.append(Input(position, item.name, content_hash or None, error, item.label))
        if content_hash and stamp and isinstance(item.source, Path):
            self._stamps.append((stamp, content_hash))

    def _commit(self) -> int:
        count = len(self._inputs)
        self.journal.record(self._inputs, self._answers, self._stamps)
        self._inputs, self._answers, self._stamps = [], [], []
        self._committed = time.monotonic()
        return count

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass rows through, counting labels, reasons and right answers.

        A model that labels steps has no one answer for an input, so none of its is right or wrong.
        """
        classes = self.predictor.bundle.classes
        known = frozenset(classes)
        labels_inputs = self.predictor.labels_inputs
        for row in rows:
            answer = None
            if not labels_inputs:
                row = row._replace(label=None)
            elif row.probabilities is not None and row.error is None:
                answer = classes[int(row.probabilities.argmax())]
            if row.error is None and row.num_steps:
                self.summary.count_share(self.predictor.share_read(row.num_steps))
            self.summary.count(row, answer, known)
            yield row
