"""The journal beside a prediction file, from which an interrupted prediction resumes.

SQLite keeps it consistent through a kill, a full disk and concurrent writers. The key of a
prediction is the content of the item and the model (weights and feature settings), so a renamed
file is not predicted again, but a changed file or model is.
"""

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqbelt.data.sources.manifest import escape_invalid_utf8
from seqbelt.errors import BadInput, SeqbeltError

WAIT_S = 60.0
"""Time to wait for another writer of the same journal."""
_LAYOUT = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS answers (
    model TEXT, content_hash TEXT, num_steps INTEGER, probabilities BLOB,
    reason TEXT, message TEXT, PRIMARY KEY (model, content_hash)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stamps (
    stamp INTEGER PRIMARY KEY, content_hash TEXT);
CREATE TABLE IF NOT EXISTS summaries (
    model TEXT, content_hash TEXT, summary BLOB, PRIMARY KEY (model, content_hash)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS remarks (
    model TEXT, content_hash TEXT, remarks TEXT, PRIMARY KEY (model, content_hash)) WITHOUT ROWID;
CREATE TEMPORARY TABLE inputs (
    position INTEGER PRIMARY KEY, name TEXT, content_hash TEXT, error TEXT,
                label TEXT, kept TEXT);
"""


class JournalEntry(NamedTuple):
    """One item's stored prediction."""

    content_hash: str
    num_steps: int
    probabilities: np.ndarray | BadInput
    summary: np.ndarray | None = None
    """Quantities of the sequence, float32 ``(quantities,)``."""
    remarks: tuple[str, ...] = ()
    """How it was read, where that was not evident."""


class Input(NamedTuple):
    """One input of this run."""

    position: int
    name: str
    content_hash: str | None
    error: str | None = None
    """Why there is neither content nor prediction."""
    label: str | None = None
    """Its true class, if known."""
    kept: tuple[str, ...] = ()
    """Values of the input's columns that are kept in the output."""


class Row(NamedTuple):
    """One input, in input order, joined with its prediction."""

    name: str
    content_hash: str | None
    num_steps: int | None
    probabilities: np.ndarray | None
    error: str | None
    label: str | None = None
    kept: tuple[str, ...] = ()


class Journal:
    """Predictions of one model, and the order of this run's inputs."""

    def __init__(self, path: Path, model: str) -> None:
        self.path, self.model = path, model
        self._lock = threading.Lock()  # encoder threads look up content
        try:
            self._database = sqlite3.connect(path, timeout=WAIT_S, check_same_thread=False)
            self._create_tables()
        except sqlite3.Error as error:
            raise SeqbeltError(f"{path}: the journal cannot be opened ({error})") from None

    def _create_tables(self) -> None:
        """Create the tables, retrying while another process does so: SQLite does not wait for the
        lock of the switch to WAL."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                self._database.executescript(_LAYOUT)
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        """Close; the journal stays on disk for the next run."""
        self._database.close()

    def is_empty(self) -> bool:
        """Whether the journal has no predictions."""
        return self._fetch_one("SELECT 1 FROM answers LIMIT 1") is None

    def hash_of(self, stamp: int) -> str | None:
        """The content hash of a file that was read before and has not changed."""
        row = self._fetch_one("SELECT content_hash FROM stamps WHERE stamp = ?", _signed(stamp))
        return row[0] if row else None

    def contains(self, content_hash: str, with_summary: bool = False) -> bool:
        """Whether the journal has this model's prediction for this content, and its summary, if
        that is wanted and there is a prediction."""
        query = "SELECT 1 FROM answers WHERE model = ? AND content_hash = ?"
        if with_summary:
            query += """ AND (probabilities IS NULL OR EXISTS (SELECT 1 FROM summaries
                WHERE model = answers.model AND content_hash = answers.content_hash))"""
        return self._fetch_one(query, self.model, content_hash) is not None

    def record(
        self,
        inputs: Iterable[Input],
        entries: Iterable[JournalEntry],
        stamps: Iterable[tuple[int, str]],
    ) -> None:
        """Write predictions, and this run's inputs, in one transaction.

        A prediction that another process wrote first is kept.
        """
        entries = sorted(entries, key=lambda entry: entry.content_hash)
        try:
            with self._lock, self._database as database:
                # Sorted by their keys, so that each page of the tables is changed once.
                database.executemany(
                    "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                    [(self.model, *_columns(entry)) for entry in entries],
                )
                database.executemany(
                    "INSERT OR IGNORE INTO summaries VALUES (?, ?, ?)",
                    [
                        (self.model, entry.content_hash, entry.summary.tobytes())
                        for entry in entries
                        if entry.summary is not None
                    ],
                )
                database.executemany(
                    "INSERT OR IGNORE INTO remarks VALUES (?, ?, ?)",
                    [
                        (self.model, e.content_hash, json.dumps(e.remarks))
                        for e in entries
                        if e.remarks
                    ],
                )
                database.executemany(
                    "INSERT OR REPLACE INTO stamps VALUES (?, ?)",
                    sorted(
                        ((_signed(stamp), content_hash) for stamp, content_hash in stamps),
                        key=itemgetter(0),
                    ),
                )
                database.executemany(
                    "INSERT INTO inputs VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        (
                            position,
                            escape_invalid_utf8(name),
                            content_hash,
                            error and escape_invalid_utf8(error),
                            label,
                            json.dumps(kept) if kept else None,
                        )
                        for position, name, content_hash, error, label, kept in inputs
                    ),
                )
        except sqlite3.Error as error:
            raise SeqbeltError(
                f"{self.path}: cannot be written ({error}); predictions so far are kept; free "
                "disk space and run the same command again"
            ) from None

    def max_num_steps(self) -> int:
        """Steps of the longest predicted input of this run; 0 if there is none."""
        row = self._fetch_one(
            """SELECT MAX(num_steps) FROM inputs JOIN answers
               ON answers.model = ? AND answers.content_hash = inputs.content_hash""",
            self.model,
        )
        return (row[0] if row else None) or 0

    def summaries(self, max_rows: int) -> list[np.ndarray]:
        """The summaries of this run's inputs, float32 ``(quantities,)`` each; of every k-th where
        there are more than ``max_rows``."""
        (count,) = self._fetch_one("SELECT COUNT(*) FROM inputs") or (0,)
        query = """SELECT summary FROM inputs JOIN summaries
                   ON summaries.model = ? AND summaries.content_hash = inputs.content_hash
                   WHERE position % ? = 0 ORDER BY position"""
        every = -(-count // max_rows) or 1
        with self._lock:
            rows = self._database.execute(query, (self.model, every)).fetchall()
        return [np.frombuffer(blob, np.float32) for (blob,) in rows]

    def count_remarks(self) -> Counter[str]:
        """How often each remark was made on this run's inputs, also in earlier runs."""
        query = """SELECT remarks FROM inputs JOIN remarks
                   ON remarks.model = ? AND remarks.content_hash = inputs.content_hash
                   ORDER BY position"""
        with self._lock:
            rows = self._database.execute(query, (self.model,)).fetchall()
        return Counter(remark for (remarks,) in rows for remark in json.loads(remarks))

    def rows(self) -> Iterator[Row]:
        """This run's inputs in order, each with its prediction."""
        query = """SELECT name, inputs.content_hash, num_steps, probabilities, reason, message,
                          error, label, kept FROM inputs LEFT JOIN answers
                   ON answers.model = ? AND answers.content_hash = inputs.content_hash
                   ORDER BY position"""
        for row in self._database.execute(query, (self.model,)):
            name, content_hash, num_steps, blob, reason, message, error, label, kept = row
            probabilities = np.frombuffer(blob, np.float32) if blob else None
            if error is None and reason is not None:
                error = f"{reason}: {message}"
            values = tuple(json.loads(kept)) if kept else ()
            yield Row(name, content_hash, num_steps, probabilities, error, label, values)

    def _fetch_one(self, query: str, *values: object) -> tuple | None:
        with self._lock:
            return self._database.execute(query, values).fetchone()


def _columns(entry: JournalEntry) -> tuple[str, int | None, bytes | None, str | None, str | None]:
    outcome = entry.probabilities
    if isinstance(outcome, BadInput):
        return entry.content_hash, None, None, outcome.reason, escape_invalid_utf8(outcome.args[0])
    return entry.content_hash, entry.num_steps, outcome.astype(np.float32).tobytes(), None, None


def _signed(stamp: int) -> int:
    """SQLite's integers are signed."""
    return stamp - (1 << 64) if stamp >= 1 << 63 else stamp
