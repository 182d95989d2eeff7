"""What ``max_length`` and the vocabulary cost a data set of texts, part by part."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.parts import open_part, part_paths
from seqbelt.data.store.writing import RowOutcome
from seqbelt.errors import BadInput
from seqbelt.features.base import Features
from seqbelt.features.text.encoder import TextCounts, TextEncoder

CHUNK_TEXTS = 128


def count_tokens(
    features: Features,
    encoder: TextEncoder,
    manifest: Manifest,
    outcomes: Iterable[RowOutcome],
    parts: Path,
) -> dict[str, TextCounts]:
    """The counts of each split, over all rows that have a sequence, encoded in this run or before.

    The parts hold what was kept. Only texts that fill ``max_length`` may have been cut; those are
    encoded once more to learn what is gone.
    """
    kept = _measure(parts, encoder.unknown_id)
    splits = manifest.column("split")
    whole: dict[str, list[tuple[int, int]]] = {}
    full: dict[str, list[int]] = {}
    for row, content_hash, problem in outcomes:
        if problem is not None:
            continue
        num_steps, num_unknown = kept[content_hash]
        if num_steps < encoder.max_length:
            whole.setdefault(splits[row], []).append((num_steps, num_unknown))
        else:
            full.setdefault(splits[row], []).append(row)
    counts = {}
    for split in sorted({*whole, *full}):
        rows = whole.get(split, [])
        num_tokens, num_unknown = np.array(rows, np.int64).reshape(-1, 2).sum(0).tolist()
        counts[split] = TextCounts(len(rows), num_tokens=num_tokens, num_unknown=num_unknown)
        counts[split] += _encode_again(features, encoder, manifest, full.get(split, []))
    return counts


def _measure(parts: Path, unknown_id: int) -> dict[str, tuple[int, int]]:
    """For each content hash the tokens kept, and how many of them are unknown."""
    kept = {}
    for path in part_paths(parts):
        for batch in open_part(path):
            unknown_before = np.append(0, np.cumsum(batch.values == unknown_id))
            num_unknown = np.diff(unknown_before[batch.offsets])
            pairs = zip(batch.num_steps.tolist(), num_unknown.tolist())
            kept.update(zip(batch.content_hash.to_pylist(), pairs))
    return kept


def _encode_again(
    features: Features, encoder: TextEncoder, manifest: Manifest, rows: Sequence[int]
) -> TextCounts:
    counts = TextCounts()
    for start in range(0, len(rows), CHUNK_TEXTS):
        texts = []
        for source in manifest.sources(rows[start : start + CHUNK_TEXTS]):
            try:
                texts.append(features.read(source))
            except BadInput:
                continue  # gone or changed since it was encoded a moment ago
        counts += encoder.encode_counted(texts)[1]
    return counts
