"""Predict many inputs into one file: resumable, with bounded memory."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from seqbelt.errors import REJECTED, TIMED_OUT, BadInput, SeqbeltError
from seqbelt.features.base import JoinedSource, Source
from seqbelt.features.encoding import Encoded, encode_sources, hash_content, stamp_source
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.isolation import ChildContext
from seqbelt.inference.journal import Input, Journal, JournalEntry, Row
from seqbelt.inference.output import check_output, kept_names
from seqbelt.inference.predictor import Prediction, Predictor

COMMIT_S = 1.0
COMMIT_ITEMS = 16_384
"""Interval and number of predictions between commits to the journal."""
WAIT_S = 1.0
"""Time to wait for another run that writes the same output."""


Observe = Callable[[Row, Sequence[str] | None], object]
"""Called with a row of the output and its predicted labels, None if there is no prediction."""


class Item(NamedTuple):
    """One input: the name in its row, and the source of its content."""

    name: str
    source: Source
    label: str | None = None
    """Its true class, if known; does not affect the prediction."""
    kept: tuple[str, ...] = ()
    """Values of its columns that are kept in the output."""


FAR_LONGER = 4
"""Times the longest training sequence from which on a length is reported."""


@dataclass
class Summary:
    """The counts of a run. ``reasons`` counts the inputs without a predicted label."""

    output: Path
    num_predicted: int = 0
    num_quarantined: int = 0
    num_reused: int = 0
    predict_s: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    """Remarks on how inputs were read, with counts."""
    num_labelled: int = 0
    """Inputs with a known class."""
    num_labelled_predicted: int = 0
    num_correct: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """Number of inputs predicted as each class."""
    unknown_labels: Counter[str] = field(default_factory=Counter)
    """True classes that the model does not have, with counts."""
    num_partly_read: int = 0
    """Inputs that were not read completely (model.crop_steps)."""
    min_share_read: float = 1.0
    """Smallest fraction read of an input."""
    num_far_longer: int = 0
    """Inputs of more than ``FAR_LONGER`` times the steps of the longest training sequence."""
    summaries: list[np.ndarray] = field(default_factory=list)
    """Quantities of inputs, float32 ``(quantities,)`` each, if asked for."""
    needs_mark: bool = False
    """Whether the output is a csv that a spreadsheet reads correctly only with a byte order
    mark."""

    @property
    def accuracy(self) -> dict[str, float | int | None] | None:
        """Accuracy over all labelled inputs, counting those without a prediction as errors, and
        over the predicted ones; None without labelled inputs."""
        if not self.num_labelled:
            return None
        num_predicted = self.num_labelled_predicted
        return {
            "all": self.num_correct / self.num_labelled,
            "answered": self.num_correct / num_predicted if num_predicted else None,
            "num_labelled": self.num_labelled,
        }

    def count_fraction_read(self, fraction: float) -> None:
        """Count an input of which a fraction was read."""
        self.num_partly_read += fraction < 1
        self.min_share_read = min(self.min_share_read, fraction)

    def count(self, row: Row, prediction: Sequence[str] | None, classes: Collection[str]) -> None:
        """Count one row of the output; ``prediction`` are its labels, None if there is none."""
        if row.error is None:
            self.num_predicted += 1
        else:
            self.num_quarantined += 1
            self.reasons[row.error.partition(":")[0]] += 1
        if row.label:
            self.num_labelled += 1
            self.num_labelled_predicted += prediction is not None
            self.num_correct += prediction is not None and [*prediction] == [row.label]
            if row.label not in classes:
                self.unknown_labels[row.label] += 1
        self.labels.update(prediction or ())
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
    kept: Sequence[str] = (),
    observe: Observe | None = None,
    max_summaries: int = 0,
) -> Summary:
    """Predict every item and write the file ``output``, one row per item in input order.

    Predictions are stored in the journal ``OUTPUT.journal``, so that an interrupted run resumes and
    a second run predicts only new inputs. An item that cannot be predicted becomes a row with
    ``error``; the offenders of ``context`` are not read. With a ``coverage`` (0 to 1) the least
    confident predictions, compared with the validation rows, are rejected: they keep their
    probabilities, have no label, and the column ``rejected_label`` has their class. ``kept`` are
    the names of the input columns whose values the items carry. ``byte_order_mark`` starts a .csv
    with the mark by which spreadsheets recognise UTF-8. Raises SettingsError for an invalid output
    name, or if the model has no validation confidences, and SeqbeltError while another run writes
    the same output. ``observe`` is called with each row of the
    output and its class, None if it has none; up to ``max_summaries`` summaries of inputs
    (``Predictor.summarizes``) are put into the result.
    """
    check_output(output)
    threshold = None if coverage is None else predictor.bundle.threshold(coverage)
    began = time.perf_counter()
    journal = Journal(output.with_name(output.name + ".journal"), predictor.fingerprint)
    try:
        with _locked(output):
            bundle = predictor.bundle
            run = _Run(predictor, journal, Summary(output), context or ChildContext())
            for count in run.predict(items):
                progress(count)
            rows = run.counted(_rejecting(journal.rows(), bundle, threshold), observe)
            predictor.write(
                output, rows, key, model, byte_order_mark, journal.max_num_steps(),
                kept_names(kept, key, bundle.classes, bundle.target.is_several),
                rejects=threshold is not None,
            )  # fmt: skip
            run.summary.readings = journal.count_remarks()
            if max_summaries:
                run.summary.summaries = journal.summaries(max_summaries)
    finally:
        journal.close()
    names = "".join(predictor.bundle.classes)
    run.summary.needs_mark |= not names.isascii()
    run.summary.needs_mark &= output.suffix.lower() == ".csv"
    run.summary.predict_s = time.perf_counter() - began
    return run.summary


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Keep other runs from the same output: the last one would replace the rows of the others. The
    system releases the lock of a killed process. Its file stays: who waits for it has it open, and
    would lock in vain what another run makes anew."""
    lock = FileLock(output.with_name(f".{output.name}.lock"), timeout=WAIT_S)
    try:
        lock.acquire()
    except Timeout:
        raise SeqbeltError(
            f"--output {output}: another run is writing it; wait for its end, or name another file"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _rejecting(rows: Iterable[Row], bundle: Bundle, threshold: float | None) -> Iterator[Row]:
    for row in rows:
        if threshold is not None and row.probabilities is not None and row.error is None:
            confidence = float(bundle.confidence(row.probabilities))
            if confidence < threshold:
                why = f"confidence {confidence:.3f} is below {threshold:.3f}"
                row = row._replace(error=str(BadInput(REJECTED, why)))
        yield row


def try_candidates(predictor: Predictor, items: Iterable[Item], context: ChildContext) -> None:
    """Encode each candidate alone, recorded on the board, so that a crash is attributed to it."""
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
        # Skip the look-ups in an empty journal.
        self._is_first = journal.is_empty()
        self._waiting: dict[int, tuple[Item, int]] = {}
        self._inputs: list[Input] = []
        self._entries: list[JournalEntry] = []
        self._stamps: list[tuple[int, str]] = []
        self._committed = time.monotonic()

    def predict(self, items: Iterable[Item]) -> Iterator[int]:
        """Predict the items into the journal; yields the number of items finished since the last
        time."""
        try:
            sources, board = self._not_in_journal(items), self.context.board
            is_known = None if self._is_first else self._is_in_journal
            for result in self.predictor.predict(sources, is_known, board):
                self._record(result)
                waited_s = time.monotonic() - self._committed
                if waited_s >= COMMIT_S or len(self._inputs) >= COMMIT_ITEMS:
                    yield self._commit()
        finally:  # also on Ctrl-C: predictions are kept
            remaining = self._commit()
        yield remaining

    def _is_in_journal(self, content_hash: str) -> bool:
        return not self._is_first and self.journal.contains(
            content_hash, with_summary=self.predictor.summarizes
        )

    def _not_in_journal(self, items: Iterable[Item]) -> Iterator[tuple[int, Source]]:
        for position, item in enumerate(items):
            stamp = stamp_source(item.source)
            content_hash = None if self._is_first else self._stored_hash(item.source, stamp)
            if content_hash and self._is_in_journal(content_hash):
                self.summary.num_reused += 1
                self._finish(position, item, stamp, content_hash)
            elif stamp in self.context.offenders:
                self._record_offender(position, item, stamp)
            else:
                self._waiting[position] = (item, stamp)
                yield position, item.source

    def _stored_hash(self, source: Source, stamp: int) -> str | None:
        """The content's hash, for a file from the journal without reading it."""
        if not isinstance(source, Path | JoinedSource):
            return hash_content(source)
        return self.journal.hash_of(stamp) if stamp else None

    def _record_offender(self, position: int, item: Item, stamp: int) -> None:
        """Record why an item is not read. A crash depends on the content and is journalled; a
        time-out is not, so the next run tries again."""
        why, content_hash = self.context.offenders[stamp], ""
        if why.reason != TIMED_OUT:
            with suppress(BadInput):  # the file was just removed
                content_hash = hash_content(item.source)
                self._entries.append(JournalEntry(content_hash, 0, why))
        self._finish(position, item, stamp, content_hash, None if content_hash else str(why))

    def _record(self, result: Prediction | Encoded) -> None:
        item, stamp = self._waiting.pop(result.index)
        error = None
        if isinstance(result, Prediction):
            outcome = result.probabilities
            if result.content_hash:
                self._entries.append(
                    JournalEntry(
                        result.content_hash,
                        result.num_steps,
                        outcome,
                        result.summary,
                        result.remarks,
                    )
                )
            elif isinstance(outcome, BadInput):  # never read, so it has no content hash
                error = str(outcome)
        else:
            self.summary.num_reused += 1
        self._finish(result.index, item, stamp, result.content_hash, error)

    def _finish(
        self, position: int, item: Item, stamp: int, content_hash: str, error: str | None = None
    ) -> None:
        self._inputs.append(
            Input(position, item.name, content_hash or None, error, item.label, item.kept)
        )
        if content_hash and stamp and isinstance(item.source, Path | JoinedSource):
            self._stamps.append((stamp, content_hash))

    def _commit(self) -> int:
        count = len(self._inputs)
        self.journal.record(self._inputs, self._entries, self._stamps)
        self._inputs, self._entries, self._stamps = [], [], []
        self._committed = time.monotonic()
        return count

    def counted(self, rows: Iterable[Row], observe: Observe | None = None) -> Iterator[Row]:
        """Pass rows through, counting labels, reasons and correct predictions.

        The segments of a model that labels steps, and several labels, are not counted as correct
        or wrong.
        """
        bundle = self.predictor.bundle
        known_classes = frozenset(bundle.classes)
        labels_inputs = self.predictor.labels_inputs
        # Bundles of older versions do not have it.
        longest = FAR_LONGER * bundle.about.get("max_num_steps", np.inf)
        for row in rows:
            prediction = None
            if not labels_inputs or bundle.target.is_several:
                row = row._replace(label=None)
            if labels_inputs and row.probabilities is not None and row.error is None:
                prediction = bundle.predicted_names(row.probabilities)
            if row.error is None and row.num_steps:
                self.summary.num_far_longer += row.num_steps > longest
                self.summary.count_fraction_read(self.predictor.share_read(row.num_steps))
            self.summary.count(row, prediction, known_classes)
            if observe is not None:
                observe(row, prediction)
            yield row
