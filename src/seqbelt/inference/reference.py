"""What a model's training rows looked like, kept in its bundle, to compare inputs with later.

Each row is summarised by a few numbers, which prediction computes from the sequences that it has
anyway: no file is read twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from safetensors.numpy import load, save

from seqbelt.errors import SeqbeltError
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.manifest_columns import Column, columns_from_bytes, columns_to_bytes
from seqbelt.inference.row_quantities import QuantityName, summarize_cells, summarize_signal
from seqbelt.texts import list_first

FILE = "reference.safetensors"
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
            far = [self.names[column] for column in np.flatnonzero(is_far[row])]
            remarks[row] = _describe_far([QuantityName.of(name) for name in far], names)
        return remarks

    @cached_property
    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Below and above which quantities are far from all training rows, ``(quantities,)``."""
        high = np.full(len(self.names), np.inf)
        low = -high
        columns = {name: column for column, name in enumerate(self.names)}
        for name, column in columns.items():
            rows = self.summaries[:, column]
            rows = rows[~np.isnan(rows)].astype(np.float64)
            part = QuantityName.of(name)
            if not len(rows) or part.kind not in ("mean", "std", "unknown"):
                continue
            if part.kind == "unknown":
                high[column] = max(MANY_UNKNOWN, rows.max())
            elif part.kind == "std":
                high[column] = FAR * rows.max()
            else:
                deviation = name.removesuffix(f"mean {part.which}") + f"std {part.which}"
                spread = np.nanmax(self.summaries[:, columns[deviation]])
                reach = FAR * max(float(spread), float(np.ptp(rows)), SLIGHT * abs(rows).max())
                low[column], high[column] = rows.min() - reach, rows.max() + reach
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
            for number, reference in enumerate(self.inputs):
                arrays[f"{_INPUT}{number}"] = np.frombuffer(reference.to_bytes(), np.uint8)
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
                    cls.from_bytes(arrays[f"{_INPUT}{number}"].tobytes())
                    for number in range(len(layout.inputs))
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


def short_hash(content_hash: str) -> int:
    """The first 64 bits of a content hash."""
    return int(content_hash[:_HASH_DIGITS], 16)
