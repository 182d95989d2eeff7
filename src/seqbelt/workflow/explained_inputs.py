"""The parts of an explained item: its inputs, with the attribution of each step, and columns."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqbelt.features.base import Encoder, Features, JoinedSource, Learned, Source
from seqbelt.features.joined_inputs import JoinedEncoder, SeveralInputs, learned_of
from seqbelt.features.text.text import TextFeatures
from seqbelt.inference.bundle import Bundle
from seqbelt.settings import MAX_INTEGER


class Tokens(NamedTuple):
    """A text and the offsets of its tokens, truncated ones included."""

    text: str
    offsets: list[tuple[int, int]]
    is_unknown: np.ndarray

    @property
    def pieces(self) -> list[str]:
        """The text under each token."""
        return [self.text[start:end] for start, end in self.offsets]

    def pad(self, attributions: np.ndarray) -> np.ndarray:
        """``attributions`` padded with NaN for the truncated tokens."""
        return np.append(attributions, np.full(len(self.offsets) - len(attributions), np.nan))


@dataclass(frozen=True)
class ExplainedInput:
    """One sequence of an item; ``name`` is empty where it is the only input."""

    name: str
    features: Features
    encoder: Encoder
    source: Source
    sequence: np.ndarray
    attributions: np.ndarray
    """float64 ``(steps,)`` in nats; NaN at steps that were not read, truncated tokens included."""
    tokens: Tokens | None = None

    @property
    def total(self) -> float:
        """The sum of its attributions."""
        return float(np.nansum(self.attributions))

    @property
    def times(self) -> np.ndarray:
        """Time of each step in seconds, or its number."""
        return np.arange(len(self.attributions)) * (self.features.step_s() or 1)

    @property
    def step_names(self) -> list[str]:
        """What each step is called in text, where steps are no tokens."""
        if self.features.step_s():
            return [f"{time:g} s" for time in self.times.round(4)]
        return [f"step {number}" for number in range(len(self.attributions))]


class ExplainedColumn(NamedTuple):
    """The cell of a column of the manifest."""

    name: str
    cell: str
    read_as: str
    """``value``, ``missing``, or ``other``: the cell that rare and unknown categories share."""
    attribution: float

    @property
    def shown(self) -> str:
        """Name and cell, and how it was read where that is not the cell."""
        if self.read_as == "value":
            return f"{self.name} = {self.cell.strip()}"
        if self.read_as == "missing":
            return f"{self.name} (empty)"
        return f"{self.name} = {self.cell.strip()} (read as other)"


@dataclass(frozen=True)
class ExplainedItem:
    """All parts of an item."""

    inputs: tuple[ExplainedInput, ...]
    """Those that are there."""
    missing: tuple[str, ...] = ()
    columns: tuple[ExplainedColumn, ...] = ()
    is_joined: bool = False
    """Whether the model has several inputs or columns."""

    @property
    def attributions(self) -> np.ndarray:
        """Of all steps, and of the columns."""
        cells = [column.attribution for column in self.columns]
        return np.concatenate([*(input.attributions for input in self.inputs), np.array(cells)])

    @property
    def num_steps(self) -> int:
        return sum(len(input.attributions) for input in self.inputs)

    @property
    def num_unread(self) -> int:
        """Steps that were not read."""
        return int(sum(np.isnan(input.attributions).sum() for input in self.inputs))

    def facts(self) -> dict[str, Any]:
        """What the command's result has of each part; nothing for a single input."""
        if not self.is_joined:
            return {}
        inputs = {
            part.name: {"num_steps": len(part.attributions), "share": round(part.total, 6)}
            for part in self.inputs
        }
        missing = {name: {"num_steps": 0, "share": None} for name in self.missing}
        columns = {
            part.name: {
                "cell": part.cell, "read_as": part.read_as, "share": round(part.attribution, 6)
            }
            for part in self.columns
        }  # fmt: skip
        return {"inputs": inputs | missing, "columns": columns}


def divide_item(
    bundle: Bundle, source: Source, encoded: np.ndarray, attributions: np.ndarray
) -> ExplainedItem:
    """An item of its encoded array and the attributions of ``evaluation.attribution``."""
    if bundle.layout is None:
        only = _explain_input(
            "", bundle.features, bundle.encoder, bundle.learned, source, encoded, attributions
        )
        return ExplainedItem((only,))
    features, encoder = bundle.features, bundle.encoder
    assert isinstance(features, SeveralInputs) and isinstance(encoder, JoinedEncoder)
    assert isinstance(source, JoinedSource)
    counts = bundle.layout.num_steps(encoded)
    *parts, cells = np.split(attributions, np.cumsum(counts))
    inputs, missing = [], []
    for (name, section), sequence, input_source, input_attributions in zip(
        features.inputs.items(), bundle.layout.unpack(encoded), source.inputs, parts, strict=True
    ):
        if sequence is None or input_source is None:
            missing.append(name)
            continue
        learned = learned_of(name, bundle.learned)
        inputs.append(
            _explain_input(
                name,
                section,
                encoder.encoders[name],
                learned,
                input_source,
                sequence,
                input_attributions,
            )
        )
    columns = tuple(
        ExplainedColumn(column.name, cell, column.read_as(cell), float(share))
        for column, cell, share in zip(encoder.columns, source.cells, cells, strict=True)
    )
    return ExplainedItem(tuple(inputs), tuple(missing), columns, is_joined=True)


def _explain_input(
    name: str,
    features: Features,
    encoder: Encoder,
    learned: Learned,
    source: Source,
    sequence: np.ndarray,
    attributions: np.ndarray,
) -> ExplainedInput:
    tokens = None
    if isinstance(features, TextFeatures):
        tokens = _read_tokens(features, learned, source)
        attributions = tokens.pad(attributions)
    return ExplainedInput(name, features, encoder, source, sequence, attributions, tokens)


def _read_tokens(features: TextFeatures, learned: Learned, source: Source) -> Tokens:
    text = features.read(source)
    # Without the limit, so that truncated tokens are shown too, as not read.
    encoder = features.replace(max_length=MAX_INTEGER).encoder(learned)
    (ids,) = encoder.encode([text])
    return Tokens(text, encoder.offsets(text), ids == encoder.unknown_id)


def write_table(path: Path, item: ExplainedItem, rough_gap: float | None) -> None:
    """One row for each step and column; the share is empty for a step that was not read. Rough
    shares have the completeness gap beside them."""
    columns: dict[str, list[Any]] = {}
    num_cells = len(item.columns)
    if item.is_joined:
        names = [part.name for part in item.inputs for _ in part.attributions]
        columns["input"] = names + [part.name for part in item.columns]
    steps = [step for part in item.inputs for step in range(len(part.attributions))]
    columns["step"] = steps + [""] * num_cells
    if any(part.features.step_s() for part in item.inputs):
        columns["start_s"] = [time for part in item.inputs for time in _start_times(part)]
        columns["start_s"] += [""] * num_cells
    if any(part.tokens for part in item.inputs):
        columns["token"] = [piece for part in item.inputs for piece in _pieces(part)]
        columns["token"] += [""] * num_cells
    if item.columns:
        columns["cell"] = [""] * item.num_steps + [part.cell for part in item.columns]
    columns["share"] = ["" if np.isnan(share) else f"{share:.6g}" for share in item.attributions]
    if rough_gap is not None:
        columns["rough_gap"] = [f"{rough_gap:.3g}"] * len(item.attributions)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _start_times(input: ExplainedInput) -> Sequence[Any]:
    return (
        input.times.round(6).tolist() if input.features.step_s() else [""] * len(input.attributions)
    )


def _pieces(input: ExplainedInput) -> Sequence[str]:
    return [""] * len(input.attributions) if input.tokens is None else input.tokens.pieces
