"""The reference of a model, made from the rows that it was trained and validated on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqbelt.data.joined_views import cells_of, count_steps, layout_of, view_input
from seqbelt.data.sequences import Sequences
from seqbelt.features.base import Features, Learned
from seqbelt.features.joined_inputs import COLUMNS_FILE, SeveralInputs, learned_of
from seqbelt.features.manifest_columns import Column, columns_from_bytes
from seqbelt.features.text.encoder import TextEncoder
from seqbelt.inference.reference import Reference, short_hash
from seqbelt.inference.row_quantities import (
    cell_names,
    signal_names,
    summarize_cells,
    summarize_signal,
)

MAX_ROWS = 1000
"""Training rows that are summarised, drawn at random."""
MAX_HASHES = 1_000_000
"""Rows up to which the contents of all are known by their hashes (8 bytes each)."""
ROWS_AT_ONCE = 10_000


def reference_of(
    features: Features,
    learned: Learned,
    train: Sequences,
    validation: Sequences,
    confidences: np.ndarray,
) -> Reference:
    """The reference of rows that ``features`` encoded with what they ``learned``."""
    if not isinstance(features, SeveralInputs):
        return make_reference(train, validation, confidences, _unknown_id(features, learned))
    unknown_ids = [
        _unknown_id(section, learned_of(name, learned)) for name, section in features.inputs.items()
    ]
    columns = columns_from_bytes(learned[COLUMNS_FILE])
    return make_joined_reference(train, validation, confidences, unknown_ids, columns)


def _unknown_id(features: Features, learned: Learned) -> int:
    """The id of the unknown token; -1 where there is none."""
    encoder = features.encoder(learned) if features.is_tokens else None
    return encoder.unknown_id if isinstance(encoder, TextEncoder) else -1


def make_reference(
    train: Sequences, validation: Sequences, confidences: np.ndarray, unknown_id: int = -1
) -> Reference:
    """The reference of these training rows and of the validation rows with these confidences."""
    if train.store.is_tokens:
        return _text_reference(train, validation, confidences, unknown_id)
    rows = _draw(train)
    names = signal_names(train.store.num_features)
    summaries = [summarize_signal(rows[row]) for row in range(len(rows))]
    return Reference(
        names=names,
        summaries=np.array(summaries, np.float32).reshape(len(rows), len(names)),
        confidences=np.asarray(confidences, np.float32),
        hashes=_hashes(train, validation),
        information=np.zeros(0, np.float32),
    )


def _draw(train: Sequences) -> Sequences:
    """Up to ``MAX_ROWS`` of the rows, drawn at random."""
    if len(train) <= MAX_ROWS:
        return train
    chosen = np.random.default_rng(0).choice(len(train), MAX_ROWS, replace=False)
    return train.take(np.sort(chosen))


def _hashes(train: Sequences, validation: Sequences) -> np.ndarray:
    """Of the contents of all rows, uint64, sorted; empty if they are too many."""
    if len(train) + len(validation) > MAX_HASHES:
        return np.zeros(0, np.uint64)
    known = [*train.column("content_hash"), *validation.column("content_hash")]
    return np.unique(np.array([short_hash(content_hash) for content_hash in known], np.uint64))


def _text_reference(
    train: Sequences,
    validation: Sequences,
    confidences: np.ndarray,
    unknown_id: int,
) -> Reference:
    size = train.store.num_features
    order = np.random.default_rng(0).permutation(len(train))
    rows = train.take(order[:MAX_ROWS])
    # Measured by the tokens of other rows, as a row to predict is, and by the same counts: were
    # each row left out of its own, the texts that all rows repeat would seem rarer than they are.
    num_apart = min(len(rows), len(train) // 2)
    counted = train.take(np.sort(order[num_apart:]))
    counts = np.zeros(size)
    for start in range(0, len(counted), ROWS_AT_ONCE):
        part = counted.take(np.arange(start, min(start + ROWS_AT_ONCE, len(counted))))
        counts += np.bincount(part.flat(), minlength=size)
    reference = Reference(
        names=("information", "unknown", "num_steps"),
        summaries=np.zeros((0, 3), np.float32),
        confidences=np.asarray(confidences, np.float32),
        hashes=_hashes(train, validation),
        information=-np.log((counts + 1) / (counts.sum() + size)).astype(np.float32),
        unknown_id=unknown_id,
    )
    summaries = [reference.summarize(rows[row]) for row in range(len(rows))]
    summaries = np.array(summaries, np.float32).reshape(len(rows), 3)
    summaries[num_apart:, 0] = np.nan
    return replace(reference, summaries=summaries)


def make_joined_reference(
    train: Sequences,
    validation: Sequences,
    confidences: np.ndarray,
    unknown_ids: Sequence[int],
    columns: Sequence[Column],
) -> Reference:
    """As ``make_reference`` for items of several inputs: ``unknown_ids`` has that of each input,
    ``columns`` are those beside them."""
    layout = layout_of(train)
    no_rows = train.take(np.arange(0))
    inputs = [
        make_reference(
            view_input(train, index, present_only=True), no_rows, np.zeros(0), unknown_id
        )
        for index, unknown_id in enumerate(unknown_ids)
    ]
    rows = _draw(train)
    missing = count_steps(rows) == 0
    parts = [
        *(reference.summaries for reference in inputs),
        missing,
        summarize_cells(columns, cells_of(rows)),
    ]
    summaries = np.full((max(map(len, parts)), sum(part.shape[1] for part in parts)), np.nan)
    start = 0
    for part in parts:  # rows of the inputs are drawn apart, and some have fewer
        summaries[: len(part), start : start + part.shape[1]] = part
        start += part.shape[1]
    names = [
        *(
            f"{size.name}: {name}"
            for size, reference in zip(layout.inputs, inputs)
            for name in reference.names
        ),
        *(f"{size.name}: missing" for size in layout.inputs),
        *(f"{column.name}: {name}" for column in columns for name in cell_names(column)),
    ]
    return Reference(
        names=tuple(names),
        summaries=summaries.astype(np.float32),
        confidences=np.asarray(confidences, np.float32),
        hashes=_hashes(train, validation),
        information=np.zeros(0, np.float32),
        layout=layout,
        columns=tuple(columns),
        inputs=tuple(
            replace(reference, summaries=reference.summaries[:0], hashes=reference.hashes[:0])
            for reference in inputs
        ),
    )
