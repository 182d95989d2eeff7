"""Who may compete in a comparison, and how its pictures name and colour each."""

from collections.abc import Mapping
from typing import Any, Literal

from seqbelt.models.classifier import Model

Contestant = Literal["lstm", "gru", "rnn", "rnn_relu", "none"]
"""The cells, and the RNN with ReLU that starts as the identity (Le et al. 2015, arXiv:1504.00941):
the fairer baseline where a plain RNN forgets."""
OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "rnn_relu": {"cell": "rnn", "nonlinearity": "relu", "recurrent_init": "identity"},
    "none": {"cell": "none"},
}
"""What sets each one apart from the model as it is given."""
COLOURS = {
    "lstm": "#1f77b4",
    "gru": "#2ca02c",
    "rnn": "#d62728",
    "rnn_relu": "#ff7f0e",
    "none": "#7f7f7f",
}
"""One colour for each in every picture and on the MLflow page."""
_LABELS = {"rnn_relu": "RNN (ReLU)", "none": "no recurrence"}


def as_contestant(model: Model, name: str) -> Model:
    """The model as this contestant has it, and nothing else changed."""
    return model.replace(**OVERRIDES[name])


def contestant_of(model: Model) -> str:
    """The name under which a model's runs and pictures show it."""
    return "rnn_relu" if (model.cell, model.nonlinearity) == ("rnn", "relu") else model.cell


def label(name: str) -> str:
    """A contestant's name for people."""
    return _LABELS.get(name, name.upper())
