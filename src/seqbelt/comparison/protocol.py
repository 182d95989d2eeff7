"""What is held equal between cells: an LSTM has four times an RNN's weights at one hidden size."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from seqbelt.comparison.variants import label
from seqbelt.models.model import Model
from seqbelt.texts import Text, join, text

if TYPE_CHECKING:  # it imports torch
    from seqbelt.models.classifier import SequenceNetwork

Protocol = Literal["as_given", "equal_parameters", "equal_compute", "equal_tuning"]
EqualSize = Literal["equal_parameters", "equal_compute"]
_SIZES: dict[EqualSize, Callable[["SequenceNetwork"], int]] = {
    "equal_parameters": lambda network: network.num_parameters,
    "equal_compute": lambda network: network.main.recurrent.flops_per_step,
}
LARGEST_HIDDEN_SIZE = 1 << 16


def match(
    protocol: EqualSize, model: Model, other: Model, build: Callable[[Model], "SequenceNetwork"]
) -> Model:
    """``other`` with the hidden size that brings it nearest to ``model`` in parameters or
    operations a step, whichever ``protocol`` holds equal.

    ``model`` keeps its hidden size; ``build`` makes an untrained network from settings. Small
    networks still differ by a few percent; ``describe`` reports the sizes.
    """
    if other.cell == model.cell:
        return other
    target = size(protocol, model, build)

    def with_width(hidden_size: int) -> Model:
        return other.replace(hidden_size=hidden_size)

    def size_at(hidden_size: int) -> int:
        return size(protocol, with_width(hidden_size), build)

    above = bisect_left(range(LARGEST_HIDDEN_SIZE), target, lo=1, key=size_at)
    nearest = min({max(1, above - 1), above}, key=lambda width: abs(size_at(width) - target))
    return with_width(nearest)


def size(protocol: EqualSize, model: Model, build: Callable[[Model], "SequenceNetwork"]) -> int:
    """Trainable parameters of a model, or its floating-point operations a step, whichever
    ``protocol`` holds equal; no weights are allocated."""
    import torch

    with torch.device("meta"):
        return _SIZES[protocol](build(model))


def describe(
    protocol: EqualSize,
    models: Mapping[str, Model],
    build: Callable[[Model], "SequenceNetwork"],
) -> Text:
    """What is held equal, in words, with the size of each model; ``models`` by variant."""
    sizes = [
        text(
            "size_of",
            cell=label(name),
            size=size(protocol, model, build),
            units=model.hidden_size,
        )
        for name, model in models.items()
    ]
    return text("protocol_sized", what=text(f"protocol_{protocol}"), sizes=join(sizes, ", "))
