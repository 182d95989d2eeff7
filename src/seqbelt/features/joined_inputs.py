"""Several inputs of one item: sequences of any kinds, and columns of the manifest."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field, field_validator, model_serializer, model_validator

from seqbelt.errors import EMPTY, BadInput, SettingsError
from seqbelt.features.base import Encoder, Features, JoinedSource, Learned, Source
from seqbelt.features.input_layout import ColumnSize, InputLayout, InputSize
from seqbelt.features.manifest_columns import (
    Column,
    ColumnKind,
    columns_from_bytes,
    columns_to_bytes,
    encode_cells,
    learn_columns,
)
from seqbelt.features.single_kinds import AnySingle

KIND = "inputs"
SINGLE = "sequence"
"""Name of the only input, where a config has columns beside one kind of features."""
COLUMNS_FILE = "columns.json"
NOT_NAMES = ("kind", "columns", "column", "sections", "reads", "read_from")


class Part(NamedTuple):
    """One input of an item."""

    name: str
    features: Features
    source: Source | None
    """Its content; None where it is missing."""


class JoinedRaw(NamedTuple):
    """What was decoded of one item: of each input, None where it is missing, and the cells."""

    inputs: tuple[Any, ...]
    cells: tuple[str, ...]


class SeveralInputs(Features):
    """Several inputs of one item: ``features: {sound: {kind: …}, note: {kind: …}, columns: […]}``.

    Each has its own recurrent network; their outputs and the columns are joined before the last
    layers. Any of them may be missing in a row.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, AnySingle] = Field(init=False)  # type: ignore[assignment]

    kind: Literal["inputs"]
    columns: dict[str, ColumnKind] = Field(default_factory=dict)
    """Columns of the manifest, each read as a ``number`` or a ``category``; auto, or a list of
    their names, takes a column of numbers only as a number."""
    read_from: dict[str, str] = Field(default_factory=dict)
    """Manifest column of each input that is not read from ``data.text_column`` (texts) or
    ``data.path_column`` (files); in a config, ``column`` of the input."""
    faster_with_torch: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    learns_from_sources: ClassVar[bool] = True

    @classmethod
    def spell_out(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Move each input's ``column`` to ``read_from``, and give columns of a list their kind."""
        spelled = {**values, "kind": KIND}
        if isinstance(columns := values.get("columns"), list):
            spelled["columns"] = dict.fromkeys(columns, "auto") if _are_names(columns) else columns
        read_from = dict(values.get("read_from", {}))
        for name, section in values.items():
            if isinstance(section, Mapping) and name not in NOT_NAMES and "column" in section:
                read_from[name] = section["column"]
                spelled[name] = {key: value for key, value in section.items() if key != "column"}
        if read_from:
            spelled["read_from"] = read_from
        return spelled

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, columns: dict[str, ColumnKind]) -> dict[str, ColumnKind]:
        if any(not name.strip() for name in columns):
            raise ValueError("the name of a column is empty")
        return columns

    @model_validator(mode="after")
    def _check_inputs(self) -> "SeveralInputs":
        if not self.inputs:
            raise ValueError("no input has features; name one, such as sound: {kind: log_mel}")
        for name in self.inputs:
            if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in NOT_NAMES:
                raise ValueError(
                    f"'{name}' cannot be the name of an input; use letters, digits and _, and none "
                    f"of {', '.join(NOT_NAMES)}"
                )
        if len(self.inputs) == 1 and not self.columns:
            (name,) = self.inputs
            raise ValueError(
                f"'{name}' is the only input; write its settings in features itself, or add "
                "another input or columns"
            )
        return self

    @property
    def inputs(self) -> dict[str, Features]:
        """The features of each input by its name."""
        return dict(self.__pydantic_extra__ or {})  # type: ignore[arg-type]

    @model_serializer
    def _write(self) -> dict[str, Any]:
        parts: dict[str, Any] = {name: section.to_dict() for name, section in self.inputs.items()}
        for name, column in self.read_from.items():
            parts[name]["column"] = column
        return {"kind": KIND, **parts, "columns": self.columns}

    def identity(self) -> dict[str, Any]:
        inputs = {
            name: {**section.identity(), "version": section.version}
            for name, section in self.inputs.items()
        }
        # Which column an input is read from does not affect what is encoded.
        return {"kind": KIND, "inputs": [*inputs.items()], "columns": [*self.columns.items()]}

    def files_stamp(self) -> str:
        return "".join(section.files_stamp() for section in self.inputs.values())

    def identifying(self, learned: Learned) -> Learned:
        contents = {
            f"{name}-{file}": content
            for name, section in self.inputs.items()
            for file, content in section.identifying(learned_of(name, learned)).items()
        }
        return {**contents, COLUMNS_FILE: learned[COLUMNS_FILE]}

    def notes(self, learned: Learned) -> tuple[str, ...]:
        notes = [
            f"{name}: {note}"
            for name, section in self.inputs.items()
            for note in section.notes(learned_of(name, learned))
        ]
        return (
            *notes,
            *(column.sentence for column in columns_from_bytes(learned[COLUMNS_FILE])),
        )

    def manifest_column(self, name: str, path_column: str, text_column: str) -> str:
        """The manifest's column that an input is read from."""
        default = text_column if self.inputs[name].reads_text else path_column
        return self.read_from.get(name, default)

    def fetch(self, source: Source) -> Source:
        assert isinstance(source, JoinedSource)
        parts = []
        for (name, section), part in zip(self.inputs.items(), source.inputs, strict=True):
            with _named(name):
                parts.append(None if part is None else section.fetch(part))
        return replace(source, inputs=tuple(parts))

    def read(self, source: Source) -> JoinedRaw:
        assert isinstance(source, JoinedSource)
        if all(part is None for part in source.inputs) and not self.columns:
            raise BadInput(EMPTY, "every input is missing")
        raws = []
        for (name, section), part in zip(self.inputs.items(), source.inputs, strict=True):
            with _named(name):
                raws.append(None if part is None else section.read(part))
        return JoinedRaw(tuple(raws), source.cells)

    def problem(self, raw: JoinedRaw) -> BadInput | None:
        for section, part in zip(self.inputs.values(), raw.inputs, strict=True):
            if part is not None and (reason := section.problem(part)) is not None:
                return reason
        return None

    def learn(self, raws: Iterable[Any]) -> Learned:
        """What the inputs and the columns learn; ``raws`` are sources, and are read once for every
        input that learns. Raises SettingsError."""
        learned: Learned = {}
        for index, (name, section) in enumerate(self.inputs.items()):
            if section.learns:
                files = section.learn(
                    _read_each(section, (source.inputs[index] for source in raws))
                )
                learned |= {f"{name}-{file}": content for file, content in files.items()}
        columns = learn_columns(self.columns, (source.cells for source in raws))
        return {**learned, COLUMNS_FILE: columns_to_bytes(columns)}

    def encoder(self, learned: Learned) -> "JoinedEncoder":
        encoders = {
            name: section.encoder(learned_of(name, learned))
            for name, section in self.inputs.items()
        }
        return JoinedEncoder(self, encoders, columns_from_bytes(learned[COLUMNS_FILE]))

    def remarks(self, raw: JoinedRaw, encoder: Encoder) -> tuple[str, ...]:
        assert isinstance(encoder, JoinedEncoder)
        remarks = []
        for (name, section), part in zip(self.inputs.items(), raw.inputs, strict=True):
            if part is not None:
                remarks += [
                    f"{name}: {remark}" for remark in section.remarks(part, encoder.encoders[name])
                ]
        cells = zip(encoder.columns, raw.cells, strict=True)
        return (*remarks, *filter(None, (column.remark(cell) for column, cell in cells)))


@dataclass(frozen=True)
class JoinedEncoder:
    """Encodes items of several inputs as packed arrays (``input_layout``)."""

    features: SeveralInputs
    encoders: Mapping[str, Encoder]
    columns: tuple[Column, ...]

    @property
    def layout(self) -> InputLayout:
        """Where the inputs and columns of a packed item are."""
        inputs = [
            InputSize(name, self.encoders[name].num_features, section.is_tokens)
            for name, section in self.features.inputs.items()
        ]
        columns = [ColumnSize(column.name, column.width) for column in self.columns]
        return InputLayout(tuple(inputs), tuple(columns))

    @property
    def num_features(self) -> int:
        return self.layout.width

    def encode(self, raws: Sequence[JoinedRaw]) -> list[np.ndarray]:
        """Encode items: float32 ``(rows, width)`` each."""
        layout = self.layout
        sequences: list[list[np.ndarray | None]] = [[] for _ in raws]
        for index, encoder in enumerate(self.encoders.values()):
            present = [raw.inputs[index] for raw in raws if raw.inputs[index] is not None]
            encoded = iter(encoder.encode(present) if present else ())
            for raw, of in zip(raws, sequences, strict=True):
                of.append(None if raw.inputs[index] is None else next(encoded))
        return [
            layout.pack(of, encode_cells(self.columns, raw.cells))
            for raw, of in zip(raws, sequences, strict=True)
        ]


def parts_of(features: Features, source: Source) -> list[Part]:
    """The inputs of an item; where it has one only, that one without a name."""
    if not isinstance(features, SeveralInputs):
        return [Part("", features, source)]
    assert isinstance(source, JoinedSource)
    pairs = zip(features.inputs.items(), source.inputs, strict=True)
    return [Part(name, section, part) for (name, section), part in pairs]


def cells_of(features: Features, source: Source) -> list[tuple[str, str]]:
    """The columns of the manifest beside an item's inputs, and its cells."""
    if not isinstance(features, SeveralInputs):
        return []
    assert isinstance(source, JoinedSource)
    return [*zip(features.columns, source.cells, strict=True)]


def are_inputs(features: Mapping[str, Any]) -> bool:
    """Whether a section ``features`` of a config has several inputs, or columns of the manifest."""
    has_columns = isinstance(features.get("columns"), list | Mapping)
    return has_columns or features.get("kind") == KIND or ("kind" not in features and any(
        isinstance(section, Mapping) for section in features.values()
    ))  # fmt: skip


def name_inputs(features: Mapping[str, Any]) -> Mapping[str, Any]:
    """The kind of features that such a section stands for; one kind beside columns is the only
    input, named ``sequence``."""
    if features.get("kind") not in (None, KIND):
        single = {name: value for name, value in features.items() if name != "columns"}
        features = {SINGLE: single, "columns": features["columns"]}
    return SeveralInputs.spell_out(features)


def _are_names(columns: list[Any]) -> bool:
    if any(not isinstance(name, str) for name in columns):
        return False
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise SettingsError(f"features.columns: '{twice[0]}' is in the list twice; remove one")
    return True


def learned_of(name: str, learned: Learned) -> Learned:
    """The files that one input learned."""
    start = f"{name}-"
    return {
        file.removeprefix(start): content
        for file, content in learned.items()
        if file.startswith(start)
    }


def _read_each(features: Features, sources: Iterable[Source | None]) -> Iterable[Any]:
    """What can be read of one input's sources, as ``learn`` takes it."""
    for source in sources:
        if source is None:
            continue
        try:
            raw = features.read(source)
        except BadInput:  # the row is quarantined when it is encoded
            continue
        if features.problem(raw) is None:
            yield raw


class _named:
    """Name the input in front of a BadInput's message."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, BadInput):
            raise BadInput(error.reason, f"{self.name}: ", *error.message) from None
