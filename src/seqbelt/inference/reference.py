"""What a model's training rows looked like, kept in its bundle, to compare inputs with later.

Each row is summarised by a few numbers, which prediction computes from the sequences that it has
anyway: no file is read twice.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load, save

from seqbelt.data.joined_views import cells_of, count_steps, layout_of, view_input
from seqbelt.data.sequences import Sequences
from seqbelt.errors import SeqbeltError
from seqbelt.features.base import Features, Learned
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.joined_inputs import COLUMNS_FILE, SeveralInputs, learned_of
from seqbelt.features.manifest_columns import Column, columns_from_bytes, columns_to_bytes
from seqbelt.features.text.encoder import TextEncoder
from seqbelt.texts import list_first

FILE = "reference.safetensors"
MAX_ROWS = 1000
"""Training rows that are summarised, drawn at random."""
MAX_HASHES = 1_000_000
"""Rows up to which the contents of all are known by their hashes (8 bytes each)."""
MAX_BLOCKS = 16
"""Features are summarised in at most so many blocks of neighbours."""
ROWS_AT_ONCE = 10_000
_HASH_DIGITS = 16
FAR = 20.0
"""Times the spread of the training rows, beyond which nothing was learned."""
SLIGHT = 1e-3
"""Of a constant feature's value: its spread at least, so that another offset is not far."""
MANY_UNKNOWN = 0.5
"""Share of unknown tokens above which a text is of another kind."""
MAX_NAMED = 3
"""Features that a remark names."""
_INPUT = "input "
"""Begins the names of the arrays with the references of several inputs."""
_NAME = re.compile(
    r"(?:(.*?): )?(mean|std|num_steps|information|unknown|confidence|missing|value|share|other)"
    r"(?: (.*))?",
    re.DOTALL,
)
FRACTIONS = frozenset(("missing", "share", "other"))
"""Kinds of quantities that are 0 or 1 in a row, so that their mean is a fraction."""


class QuantityName(NamedTuple):
    """The parts of a quantity's name."""

    owner: str
    """The input or column; empty where an item has one input."""
    kind: str
    which: str

    @classmethod
    def of(cls, name: str) -> "QuantityName":
        """The parts of one of ``Reference.names``, or of ``confidence``."""
        match = _NAME.fullmatch(name)
        return cls(*(part or "" for part in match.groups())) if match else cls("", name, "")

    @property
    def is_fraction(self) -> bool:
        """Whether it is 0 or 1 in a row."""
        return self.kind in FRACTIONS


@dataclass(frozen=True)
class Reference:
    """Summaries and confidences of training and validation rows."""

    names: tuple[str, ...]
    """Of the quantities: ``mean FROM-TO`` and ``std FROM-TO`` of a block of features over the
    steps of a sequence, or ``information`` (mean of -log p of its tokens, in nats) and ``unknown``
    (fraction of unknown tokens); ``num_steps``. Of several inputs those of each, as ``INPUT: ...``,
    and ``INPUT: missing``; of columns ``value`` or the ``share CATEGORY`` of each, ``other`` and
    ``missing``."""
    summaries: np.ndarray
    """Of training rows, float32 ``(rows, quantities)``; NaN where something is missing, and for the
    ``information`` of the rows whose tokens were counted."""
    confidences: np.ndarray
    """Of validation rows, float32 ``(rows,)``; empty where there are none."""
    hashes: np.ndarray
    """Of the contents of training and validation rows, uint64, sorted; empty if too many."""
    information: np.ndarray
    """-log p of each token among the counted training rows, float32 ``(vocabulary,)``; empty
    otherwise."""
    unknown_id: int = -1
    """The id of the unknown token; -1 without tokens."""
    layout: InputLayout | None = None
    """Where the inputs of an item are, if it has several."""
    columns: tuple[Column, ...] = ()
    """The manifest's columns beside several inputs."""
    inputs: tuple["Reference", ...] = ()
    """Of several inputs that of each."""

    def summarize(self, sequence: np.ndarray) -> np.ndarray:
        """The quantities of one sequence ``(steps, features)`` or ``(steps,)``, or of a packed
        item: float32 ``(quantities,)``."""
        return self.summarize_each([sequence])[0]

    def summarize_each(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """``summarize`` of at least one sequence: float32 ``(sequences, quantities)``."""
        if self.layout is not None:
            return np.stack([self._summarize_item(item, self.layout) for item in sequences])
        if len(self.information):
            return self._summarize_tokens(sequences)
        return np.stack([summarize_signal(steps) for steps in sequences])

    def _summarize_item(self, item: np.ndarray, layout: InputLayout) -> np.ndarray:
        sequences = layout.unpack(item)
        of_inputs = [
            np.full(len(reference.names), np.nan) if steps is None else reference.summarize(steps)
            for reference, steps in zip(self.inputs, sequences, strict=True)
        ]
        missing = np.array([steps is None for steps in sequences])
        of_columns = summarize_cells(self.columns, layout.cells(item)[None])[0]
        return np.concatenate([*of_inputs, missing, of_columns]).astype(np.float32)

    def _summarize_tokens(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        lengths = np.array([len(tokens) for tokens in sequences])
        tokens, starts = np.concatenate(sequences), np.cumsum(lengths) - lengths
        information = np.add.reduceat(self.information[tokens], starts, dtype=np.float64)
        unknown = np.add.reduceat(tokens == self.unknown_id, starts, dtype=np.int64)
        columns = (information / lengths, unknown / lengths, lengths)
        return np.stack(columns, axis=1).astype(np.float32)

    def unlike(self, summaries: np.ndarray, names: Sequence[str] = ()) -> list[tuple[str, ...]]:
        """For each of ``summaries`` ``(sequences, quantities)`` what is far from all training rows;
        ``names`` are those of the first features."""
        low, high = self._limits
        is_far = (summaries < low) | (summaries > high)
        remarks: list[tuple[str, ...]] = [()] * len(summaries)
        for row in np.flatnonzero(is_far.any(axis=1)).tolist():
            far = [self.names[at] for at in np.flatnonzero(is_far[row])]
            remarks[row] = _describe_far([QuantityName.of(name) for name in far], names)
        return remarks

    @cached_property
    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Below and above which quantities are far from all training rows, ``(quantities,)``."""
        high = np.full(len(self.names), np.inf)
        low = -high
        places = {name: at for at, name in enumerate(self.names)}
        for name, at in places.items():
            rows = self.summaries[:, at][~np.isnan(self.summaries[:, at])].astype(np.float64)
            part = QuantityName.of(name)
            if not len(rows) or part.kind not in ("mean", "std", "unknown"):
                continue
            if part.kind == "unknown":
                high[at] = max(MANY_UNKNOWN, rows.max())
            elif part.kind == "std":
                high[at] = FAR * rows.max()
            else:
                deviation = name.removesuffix(f"mean {part.which}") + f"std {part.which}"
                spread = np.nanmax(self.summaries[:, places[deviation]])
                reach = FAR * max(float(spread), float(np.ptp(rows)), SLIGHT * abs(rows).max())
                low[at], high[at] = rows.min() - reach, rows.max() + reach
        return low, high

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
        if self.layout is not None:
            about["layout"] = json.dumps(self.layout.to_stored())
            about["columns"] = columns_to_bytes(self.columns).decode()
            for at, one in enumerate(self.inputs):
                arrays[f"{_INPUT}{at}"] = np.frombuffer(one.to_bytes(), np.uint8)
        return save(arrays, about)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Reference":
        """The reference that ``to_bytes`` gave. Raises SeqbeltError for anything else."""
        try:
            about = _metadata(content)
            names = tuple(json.loads(about["names"]))
            arrays = load(content)
            reference = cls(
                names,
                summaries=arrays["summaries"],
                confidences=arrays["confidences"],
                hashes=arrays["hashes"],
                information=arrays["information"],
                unknown_id=int(about["unknown_id"]),
            )
            if "layout" in about:
                layout = InputLayout.from_stored(json.loads(about["layout"]))
                columns = columns_from_bytes(about["columns"].encode())
                inputs = [
                    cls.from_bytes(arrays[f"{_INPUT}{at}"].tobytes())
                    for at in range(len(layout.inputs))
                ]
                reference = replace(reference, layout=layout, columns=columns, inputs=tuple(inputs))
            if reference.summaries.shape[1:] != (len(names),):
                raise ValueError(f"{len(names)} names for summaries {reference.summaries.shape}")
            return reference
        except Exception as error:  # from safetensors or JSON
            raise SeqbeltError(f"{FILE}: cannot be read ({error})") from None


def _describe_far(parts: Sequence[QuantityName], names: Sequence[str]) -> tuple[str, ...]:
    """Sentences on quantities that are far from those of all training rows."""
    sentences = list[str]()
    if any(part.kind == "unknown" for part in parts):
        sentences.append(
            "most tokens are unknown to the model, as of another language or other letters"
        )
    spans = {(part.owner, part.which) for part in parts if part.kind in ("mean", "std")}
    if spans:
        ordered = sorted(spans, key=lambda span: (span[0], int(span[1].split("-")[0])))
        labels = [_feature_label(*span, names) for span in ordered]
        sentences.append(
            f"values of {list_first(labels, MAX_NAMED)} are far from those of all training rows, "
            "as in another unit"
        )
    return tuple(sentences)


def _feature_label(owner: str, which: str, names: Sequence[str]) -> str:
    """A feature, or a block of them, as a message names it."""
    of = f" of {owner}" if owner else ""
    if not of and which.isdigit() and int(which) <= len(names):
        return f"'{names[int(which) - 1]}'"
    return f"feature {which}{of}"


def _metadata(content: bytes) -> Mapping[str, str]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"]


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
        make_reference(view_input(train, at, present_only=True), no_rows, np.zeros(0), unknown_id)
        for at, unknown_id in enumerate(unknown_ids)
    ]
    rows = _draw(train)
    missing = count_steps(rows) == 0
    parts = [
        *(one.summaries for one in inputs),
        missing,
        summarize_cells(columns, cells_of(rows)),
    ]
    summaries = np.full((max(map(len, parts)), sum(part.shape[1] for part in parts)), np.nan)
    start = 0
    for part in parts:  # rows of the inputs are drawn apart, and some have fewer
        summaries[: len(part), start : start + part.shape[1]] = part
        start += part.shape[1]
    names = [
        *(f"{size.name}: {name}" for size, one in zip(layout.inputs, inputs) for name in one.names),
        *(f"{size.name}: missing" for size in layout.inputs),
        *(f"{column.name}: {name}" for column in columns for name in _cell_names(column)),
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
            replace(one, summaries=one.summaries[:0], hashes=one.hashes[:0]) for one in inputs
        ),
    )


def _cell_names(column: Column) -> list[str]:
    """The quantities of a column, one for each of its cells."""
    if column.kind == "number":
        return ["value", "missing"]
    return [*(f"share {value}" for value in column.values), "other", "missing"]


def summarize_cells(columns: Sequence[Column], cells: np.ndarray) -> np.ndarray:
    """The quantities of columns, of encoded ``cells`` ``(rows, cells)`` and of that shape: numbers
    in their own unit, NaN where they are missing."""
    quantities = cells.astype(np.float64)
    start = 0
    for column in columns:
        if column.kind == "number":
            values = column.mean + column.std * quantities[:, start]
            quantities[:, start] = np.where(quantities[:, start + 1] > 0, np.nan, values)
        start += column.width
    return quantities


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
