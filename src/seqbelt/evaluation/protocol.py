"""What is held equal between cells: an LSTM has four times an RNN's weights at the same width."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Literal

import torch

from seqbelt.models.classifier import Model, SequenceClassifier
from seqbelt.models.recurrent import Cell

Protocol = Literal["as_given", "equal_parameters", "equal_compute"]

_SIZES: dict[Protocol, Callable[[SequenceClassifier], int]] = {
    "equal_parameters": lambda network: network.num_parameters,
    "equal_compute": lambda network: network.recurrent.flops_per_step,
}
_WHAT = {"equal_parameters": "trainable parameters", "equal_compute": "operations per step"}
LARGEST_HIDDEN_SIZE = 1 << 16


def match(
    protocol: Protocol, model: Model, cell: Cell, build: Callable[[Model], SequenceClassifier]
) -> Model:
    """The model with another cell, its hidden size chosen so that the protocol holds.

    ``model`` as it is given is the measure; ``build`` makes the untrained network of settings.
    Of the two nearest hidden sizes the one nearer in size is taken: with small networks the
    sizes cannot meet exactly, which ``describe`` tells.
    """
    other = model.model_copy(update={"cell": cell})
    if protocol == "as_given" or cell == model.cell:
        return other
    target = size(protocol, model, build)

    def with_width(hidden_size: int) -> Model:
        return other.model_copy(update={"hidden_size": hidden_size})

    def size_at(hidden_size: int) -> int:
        return size(protocol, with_width(hidden_size), build)

    above = bisect_left(range(LARGEST_HIDDEN_SIZE), target, lo=1, key=size_at)
    nearest = min({max(1, above - 1), above}, key=lambda width: abs(size_at(width) - target))
    return with_width(nearest)


def size(protocol: Protocol, model: Model, build: Callable[[Model], SequenceClassifier]) -> int:
    """What the protocol holds equal, of one model; nothing is allocated."""
    with torch.device("meta"):
        return _SIZES[protocol](build(model))


def describe(
    protocol: Protocol, models: list[Model], build: Callable[[Model], SequenceClassifier]
) -> str:
    """The protocol in words, with what was achieved."""
    if protocol == "as_given":
        return "Protocol: settings as given, the same for every cell."
    found = ", ".join(
        f"{model.cell.upper()} {size(protocol, model, build):,} ({model.hidden_size} units)"
        for model in models
    )
    return f"Protocol: equal {_WHAT[protocol]}, hidden size solved for each cell: {found}."
