"""The variants of a model that a comparison can train, with their labels and colours."""

from collections.abc import Mapping
from typing import Any, Literal

from seqbelt.models.model import Model
from seqbelt.texts import Text, text

Variant = Literal["lstm", "gru", "rnn", "rnn_relu", "none"]
"""The cells, and the RNN with ReLU and identity initialisation (Le et al. 2015, arXiv:1504.00941),
which keeps its state longer than a plain RNN."""
OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "rnn_relu": {"cell": "rnn", "nonlinearity": "relu", "recurrent_init": "identity"},
    "none": {"cell": "none"},
}
"""Fields of ``Model`` that each variant overrides."""
COLOURS = {
    "lstm": "#1f77b4",
    "gru": "#2ca02c",
    "rnn": "#d62728",
    "rnn_relu": "#ff7f0e",
    "none": "#7f7f7f",
}
"""Colour of each variant in figures and on the MLflow page."""
_LABELS = {"rnn_relu": Text("RNN (ReLU)", "RNN(ReLU)"), "none": text("cell_none")}


def apply_variant(model: Model, name: str) -> Model:
    """The model with the variant's overrides."""
    return model.replace(**OVERRIDES[name])


def variant_of(model: Model) -> str:
    """The variant of a model, for the names of runs: ``rnn_relu`` only with all its overrides."""
    is_relu = all(getattr(model, name) == value for name, value in OVERRIDES["rnn_relu"].items())
    return "rnn_relu" if is_relu else model.cell


def label(name: str) -> Text:
    """Display name of a variant, e.g. ``RNN (ReLU)``."""
    return _LABELS.get(name, Text(name.upper(), name.upper()))


def in_sentence(name: str) -> Text:
    """Name of a variant within a sentence: ``lstm``, ``RNN (ReLU)``."""
    return _LABELS.get(name, Text(name, name.upper()))
