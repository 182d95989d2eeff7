"""What a model's training rows looked like, kept in its bundle, to compare inputs with later.

Each row is summarised by a few numbers, which prediction computes from the sequences that it has
anyway: no file is read twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from safetensors.numpy import load, save

from seqbelt.data.sequences import Sequences
from seqbelt.errors import SeqbeltError

FILE = "reference.safetensors"
MAX_ROWS = 1000
"""Training rows that are summarised, drawn at random."""
MAX_HASHES = 1_000_000
"""Rows up to which the contents of all are known by their hashes (8 bytes each)."""
MAX_BLOCKS = 16
"""Features are summarised in at most so many blocks of neighbours."""
ROWS_AT_ONCE = 10_000
_HASH_DIGITS = 16


@dataclass(frozen=True)
class Reference:
    """Summaries and confidences of training and validation rows."""

    names: tuple[str, ...]
    """Of the quantities: ``mean FROM-TO`` and ``std FROM-TO`` of a block of features over the
    steps of a sequence, or ``information`` (mean of -log p of its tokens, in nats) and ``unknown``
    (fraction of unknown tokens); ``num_steps``."""
    summaries: np.ndarray
    """Of training rows, float32 ``(rows, quantities)``."""
    confidences: np.ndarray
    """Of validation rows, float32 ``(rows,)``; empty where there are none."""
    hashes: np.ndarray
    """Of the contents of training and validation rows, uint64, sorted; empty if too many."""
    information: np.ndarray
    """-log p of each token among the training rows, float32 ``(vocabulary,)``; empty otherwise."""
    unknown_id: int = -1
    """The id of the unknown token; -1 without tokens."""

    def summarize(self, sequence: np.ndarray) -> np.ndarray:
        """The quantities of one sequence ``(steps, features)`` or ``(steps,)``: float32
        ``(quantities,)``."""
        if len(self.information):
            unknown = np.count_nonzero(sequence == self.unknown_id) / len(sequence)
            mean = self.information[sequence].mean()
            return np.array([mean, unknown, len(sequence)], np.float32)
        return summarize_signal(sequence)

    def are_known(self, hashes: np.ndarray) -> np.ndarray:
        """Whether contents (uint64, ``short_hash``) were trained or validated on."""
        return np.isin(hashes, self.hashes)

    def to_bytes(self) -> bytes:
        """The content of the bundle's file."""
        arrays = {
            name: np.ascontiguousarray(getattr(self, name))
            for name in ("summaries", "confidences", "hashes", "information")
        }
        about = {"names": json.dumps(self.names), "unknown_id": str(self.unknown_id)}
        return save(arrays, about)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Reference":
        """The reference that ``to_bytes`` gave. Raises SeqbeltError for anything else."""
        try:
            about = _metadata(content)
            names = tuple(json.loads(about["names"]))
            reference = cls(names=names, unknown_id=int(about["unknown_id"]), **load(content))
            if reference.summaries.shape[1:] != (len(names),):
                raise ValueError(f"{len(names)} names for summaries {reference.summaries.shape}")
            return reference
        except Exception as error:  # from safetensors or JSON
            raise SeqbeltError(f"{FILE}: cannot be read ({error})") from None


def _metadata(content: bytes) -> Mapping[str, str]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"]


def make_reference(
    train: Sequences, validation: Sequences, confidences: np.ndarray, unknown_id: int = -1
) -> Reference:
    """The reference of these training rows and of the validation rows with these confidences."""
    chosen = np.arange(len(train))
    if len(train) > MAX_ROWS:
        chosen = np.sort(np.random.default_rng(0).choice(len(train), MAX_ROWS, replace=False))
    rows = train.take(chosen)
    hashes = np.zeros(0, np.uint64)
    if len(train) + len(validation) <= MAX_HASHES:
        known = [*train.column("content_hash"), *validation.column("content_hash")]
        hashes = np.unique(
            np.array([short_hash(content_hash) for content_hash in known], np.uint64)
        )
    if train.store.is_tokens:
        return _text_reference(train, rows, confidences, hashes, unknown_id)
    return Reference(
        names=signal_names(train.store.num_features),
        summaries=np.stack([summarize_signal(rows[row]) for row in range(len(rows))]),
        confidences=np.asarray(confidences, np.float32),
        hashes=hashes,
        information=np.zeros(0, np.float32),
    )


def _text_reference(
    train: Sequences,
    rows: Sequences,
    confidences: np.ndarray,
    hashes: np.ndarray,
    unknown_id: int,
) -> Reference:
    size = train.store.num_features
    counts = np.zeros(size)
    for start in range(0, len(train), ROWS_AT_ONCE):
        part = train.take(np.arange(start, min(start + ROWS_AT_ONCE, len(train))))
        counts += np.bincount(part.flat(), minlength=size)
    total = counts.sum()
    information = -np.log((counts + 1) / (total + size))
    summaries = []
    for row in range(len(rows)):
        tokens = rows[row]
        # Without the row's own tokens: a row to predict was not counted either.
        own = np.bincount(tokens, minlength=size)[tokens]
        rest = (counts[tokens] - own + 1) / (total - len(tokens) + size)
        unknown = np.count_nonzero(tokens == unknown_id) / len(tokens)
        summaries.append([-np.log(rest).mean(), unknown, len(tokens)])
    return Reference(
        names=("information", "unknown", "num_steps"),
        summaries=np.array(summaries, np.float32),
        confidences=np.asarray(confidences, np.float32),
        hashes=hashes,
        information=information.astype(np.float32),
        unknown_id=unknown_id,
    )


def short_hash(content_hash: str) -> int:
    """The first 64 bits of a content hash."""
    return int(content_hash[:_HASH_DIGITS], 16)


@cache
def _blocks(num_features: int) -> np.ndarray:
    """The first feature of each block, and the number of features ``(blocks + 1,)``."""
    count = min(num_features, MAX_BLOCKS)
    return np.linspace(0, num_features, count + 1).round().astype(int)


@cache
def _averaging(num_features: int) -> np.ndarray:
    """The matrix that averages features over their block, ``(features, blocks)``."""
    edges = _blocks(num_features)
    matrix = np.zeros((num_features, len(edges) - 1))
    for block, (start, end) in enumerate(pairwise(edges)):
        matrix[start:end, block] = 1 / (end - start)
    return matrix


def signal_names(num_features: int) -> tuple[str, ...]:
    """The names of the quantities of sequences with so many features."""
    edges = _blocks(num_features)
    ranges = [
        str(start + 1) if end == start + 1 else f"{start + 1}-{end}"
        for start, end in pairwise(edges)
    ]
    return (*(f"mean {span}" for span in ranges), *(f"std {span}" for span in ranges), "num_steps")


def summarize_signal(sequence: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over the steps, averaged over blocks of features, and the
    number of steps: float32 ``(2 * blocks + 1,)``."""
    steps = sequence.astype(np.float64)
    num_steps, num_features = steps.shape
    means = steps.sum(axis=0) / num_steps
    squares = np.einsum("sf,sf->f", steps, steps) / num_steps
    deviations = np.sqrt(np.maximum(squares - means * means, 0))
    averaging = _averaging(num_features)
    num_blocks = averaging.shape[1]
    summary = np.empty(2 * num_blocks + 1, np.float32)
    summary[:num_blocks] = means @ averaging
    summary[num_blocks:-1] = deviations @ averaging
    summary[-1] = num_steps
    return summary
