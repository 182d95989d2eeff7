"""``prepare``: sources to a sequence store; resumable, and no work twice."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from seqbelt.data.labels.labelling import Labelling, SequenceLabelling
from seqbelt.data.sources.equal_content import content_codes, count_split_rows
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.parts import PartWriter, open_part, part_paths, reuse_parts
from seqbelt.data.store.readings import Readings
from seqbelt.data.store.store import SequenceStore
from seqbelt.data.store.token_counts import count_tokens
from seqbelt.data.store.writing import RowOutcome, write_ledger, write_store
from seqbelt.errors import UNREADABLE, WRONG_SHAPE, BadInput, SeqbeltError, naming
from seqbelt.features.base import Encoder, Features, Learned
from seqbelt.features.encoding import Encoded, IndexedSource, encode_sources, stamp_source
from seqbelt.features.joined_inputs import JoinedEncoder
from seqbelt.features.text.encoder import TextEncoder

Progress = Callable[[int], object]
"""Called with the number of items finished since the last call."""
Encode = Callable[
    [Features, Encoder, Iterable[IndexedSource], Callable[[str], bool]], Iterator[Encoded]
]
"""``encode_sources``, or what does the same on other machines."""


SplitAgain = Callable[[np.ndarray], Manifest]
"""Called with one number for each row's content."""


@dataclass(frozen=True)
class Prepared:
    """What a preparation did."""

    store: SequenceStore
    num_quarantined: int
    num_encoded: int
    """Items that had to be read and encoded; the rest was already there."""
    skipped: bool
    """Nothing had changed, so nothing was done."""
    prepare_s: float
    manifest: Manifest
    """What was prepared; its splits are those of the store unless ``skipped``."""


def prepare(
    manifest: Manifest,
    features: Features,
    folder: Path,
    settings: Mapping[str, object],
    progress: Progress = lambda done: None,
    labelling: Labelling | None = None,
    wait_s: float = 0.0,
    encode: Encode = encode_sources,
    split_again: SplitAgain | None = None,
) -> Prepared:
    """Bring the store in ``folder`` up to date with a manifest that has its splits.

    Without ``labelling`` each sequence has the manifest's label. ``settings`` is kept in the store
    for its readers. ``split_again`` gives the manifest with rows of the same content on one
    side; it is called only where the store is not up to date and some content is on both sides.
    Raises SeqbeltError if no item at all could be encoded, or if another process is preparing the
    same store and is not done within ``wait_s``.
    """
    began = time.perf_counter()
    labelling = labelling or SequenceLabelling()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=wait_s)
    try:
        with lock:
            stamps = [stamp_source(source) for source in manifest.sources()]
            request = _request(manifest, features, labelling, stamps)
            store = _current(folder, request)
            if store is not None:
                progress(len(manifest))
                seconds = time.perf_counter() - began
                number = store.about["num_quarantined"]
                return Prepared(store, number, 0, True, seconds, manifest)
            about: dict[str, object] = {}
            if split_again is not None:
                manifest, about["equal_content"] = _put_together(manifest, split_again)
            run = _Preparation(manifest, features, labelling, folder, stamps, progress, encode)
            with naming(folder):
                run.run(settings, request, about)
    except Timeout:
        raise SeqbeltError(f"{folder}: another process is preparing this store; wait") from None
    store = SequenceStore(folder)
    seconds = time.perf_counter() - began
    return Prepared(
        store, store.about["num_quarantined"], run.num_encoded, False, seconds, manifest
    )


def _put_together(manifest: Manifest, split_again: SplitAgain) -> tuple[Manifest, dict[str, int]]:
    """The manifest with rows of the same content on one side of its splits, and how many rows of a
    held-out part had, and have, the content of a row of an earlier part."""
    content = content_codes(manifest)
    before = after = count_split_rows(manifest.column("split"), content)
    if before:
        manifest = split_again(content)
        after = count_split_rows(manifest.column("split"), content)
    return manifest, {"before": before, "after": after}


class _Preparation:
    """One run over a manifest: fills parts, then writes index, ledger and description."""

    def __init__(
        self,
        manifest: Manifest,
        features: Features,
        labelling: Labelling,
        folder: Path,
        stamps: list[int],
        progress: Progress,
        encode: Encode,
    ) -> None:
        self.manifest, self.features, self.folder = manifest, features, folder
        self.labelling, self.stamps, self.progress = labelling, stamps, progress
        self.encode, self.num_encoded = encode, 0

    def run(self, settings: Mapping[str, object], request: str, more: Mapping[str, object]) -> None:
        learned = self._learn()
        encoder = self.features.encoder(learned)
        self.labelling.check(self.features, encoder)
        parts = self.folder / f"parts-{_features_fingerprint(self.features, learned)}"
        for name, content in learned.items():
            (parts / "learned").mkdir(parents=True, exist_ok=True)
            (parts / "learned" / name).write_bytes(content)
        reuse_parts(parts)
        self._stamp_hashes, self._known = _known_content(parts)
        self._readings = Readings(parts)
        writer = PartWriter(parts)
        try:
            outcomes = list(self._encode(encoder, writer))
        finally:  # also on Ctrl-C: what was encoded is kept
            writer.close()
            self._readings.save()
        about = {
            **more,
            "request": request,
            "num_features": encoder.num_features,
            "is_tokens": self.features.is_tokens,
            "step_s": self.features.step_s(),
            "settings": settings,
        }
        if widths := self.features.section_widths(encoder):
            about["sections"] = widths
        if isinstance(encoder, JoinedEncoder):
            about["layout"] = encoder.layout.to_stored()
        if notes := self.features.notes(learned):
            about["feature_notes"] = notes
        encoded = [outcome for outcome in outcomes if outcome.problem is None]
        if readings := self._readings.count(outcome.content_hash for outcome in encoded):
            about["readings"] = readings
        if isinstance(encoder, TextEncoder):
            counts = count_tokens(self.features, encoder, self.manifest, outcomes, parts)
            about["tokens"] = {split: count.to_stored() for split, count in counts.items()}
        write_store(self.folder, self.manifest, self.labelling, parts, outcomes, about)

    def _learn(self) -> Learned:
        if not self.features.learns:
            return {}
        problems: list[RowOutcome] = []
        num_read = 0

        def content() -> Iterator[object]:
            nonlocal num_read
            rows = np.flatnonzero(self.manifest.column("split") == "train").tolist()
            for row, source in zip(rows, self.manifest.sources(rows), strict=True):
                if self.features.learns_from_sources:
                    yield source
                    continue
                try:
                    raw = self.features.read(source)
                except BadInput as error:
                    problems.append(RowOutcome(row, "", error))
                    continue
                if problem := self.features.problem(raw):
                    problems.append(RowOutcome(row, "", problem))
                    continue
                num_read += 1
                yield raw

        try:
            return self.features.learn(_Repeated(content))
        except SeqbeltError:
            if num_read or not problems:
                raise
        ledger = self.folder / "quarantine.csv"
        write_ledger(ledger, self.manifest, problems)
        first = self.manifest.table["id"][problems[0].row].as_py()
        raise SeqbeltError(
            f"none of {len(problems)} training items could be read; first reason: {first}: "
            f"{problems[0].problem}. All reasons: {ledger}"
        )

    def _encode(self, encoder: Encoder, writer: PartWriter) -> Iterator[RowOutcome]:
        """Yield each row's outcome; only content that no part holds is encoded."""

        def unknown() -> Iterator[IndexedSource]:
            for row, source in enumerate(self.manifest.sources()):
                if problem := self.labelling.problem(self.manifest, row):
                    ready.append(RowOutcome(row, "", problem))
                elif self.stamps[row] in self._stamp_hashes:
                    ready.append(RowOutcome(row, self._stamp_hashes[self.stamps[row]], None))
                else:
                    yield row, source

        ready: list[RowOutcome] = []
        for encoded in self.encode(self.features, encoder, unknown(), self._known.__contains__):
            sequence, content_hash = encoded.sequence, encoded.content_hash
            problem = None
            if isinstance(sequence, BadInput):
                problem = sequence
            elif sequence is not None:
                problem = _misfit(sequence, encoder)
                # The same content may have come twice in the chunks under way.
                self._readings.add(content_hash, encoded.remarks)
                if problem is None and content_hash not in self._known:
                    writer.add(content_hash, self.stamps[encoded.index], sequence)
                    self._known.add(content_hash)
                    self.num_encoded += 1
            yield RowOutcome(encoded.index, content_hash, problem)
            self.progress(1)
        self.progress(len(ready))
        yield from ready


@dataclass(frozen=True)
class _Repeated(Iterable[object]):
    """Begins ``content()`` anew whenever it is iterated."""

    content: Callable[[], Iterator[object]]

    def __iter__(self) -> Iterator[object]:
        return self.content()


def _request(
    manifest: Manifest, features: Features, labelling: Labelling, stamps: list[int]
) -> str:
    """A hash of everything that the store depends on; a file counts by path, size and time."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_features_fingerprint(features).encode() + features.files_stamp().encode())
    for batch in manifest.table.to_batches():
        digest.update(batch.serialize())
    digest.update(np.array(stamps, dtype=np.uint64).tobytes())
    digest.update(labelling.stamp(manifest))
    return digest.hexdigest()


def _current(folder: Path, request: str) -> SequenceStore | None:
    """The store, if it already fulfils the request."""
    try:
        store = SequenceStore(folder)
        return store if store.about["request"] == request else None
    except (SeqbeltError, OSError, KeyError, pa.ArrowInvalid):
        return None


def _known_content(parts: Path) -> tuple[dict[int, str], set[str]]:
    """What the parts hold: hash by stamp, and the hashes. 0 (no stamp) never matches."""
    by_stamp: dict[int, str] = {}
    for path in part_paths(parts):
        for batch in open_part(path):
            by_stamp.update(zip(batch.stamp.tolist(), batch.content_hash.to_pylist()))
    known = set(by_stamp.values())
    by_stamp.pop(0, None)
    return by_stamp, known


def _misfit(sequence: np.ndarray, encoder: Encoder) -> BadInput | None:
    if sequence.ndim == 2 and sequence.shape[1] != encoder.num_features:
        return BadInput(
            WRONG_SHAPE, f"{sequence.shape[1]} features a step, expected {encoder.num_features}"
        )
    return None if len(sequence) else BadInput(UNREADABLE, "the features have no steps")


def _features_fingerprint(features: Features, learned: Learned | None = None) -> str:
    about = {"features": features.identity(), "version": features.version}
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=6)
    contents = features.identifying(learned) if learned else {}
    for name, content in sorted(contents.items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()
