"""The weights of a bundle: one safetensors file for each network, and what they must fit."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load

from seqbelt.models.model import Model
from seqbelt.models.numpy_network import Weights, check_embedding_parts

if TYPE_CHECKING:  # it imports torch, which takes longer than the prediction of a few files
    from seqbelt.models.ensemble import Network


def weights_of(network: "Network") -> tuple[Weights, ...]:
    """The weights of a network, or of each network of an ensemble, copied."""
    return tuple(
        {
            name: np.array(tensor.detach().cpu().numpy(), order="C")
            for name, tensor in member.state_dict().items()
        }
        for member in network.networks
    )


def weight_file_names(num_networks: int) -> list[str]:
    """The names of the weight files, one for each network."""
    numbers = range(2, num_networks + 1)
    return ["weights.safetensors", *(f"weights-{number}.safetensors" for number in numbers)]


def read_weights(name: str, content: bytes) -> Weights:
    """Weights in the precision that the network computes in.

    Raises ValueError for weights of another kind, and for NaN and infinite ones.
    """
    weights = {}
    for parameter, array in load(content).items():
        kind = "i" if parameter.endswith("embed.parts") else "f"
        if array.dtype.kind != kind:
            expected = "whole numbers" if kind == "i" else "floating-point numbers"
            raise ValueError(f"{name}: {parameter}: expected {expected}, found {array.dtype}")
        with np.errstate(over="ignore"):  # infinite then
            weights[parameter] = array.astype(np.float32, copy=False) if kind == "f" else array
        if not np.isfinite(weights[parameter]).all():
            raise ValueError(f"{name}: {parameter}: contains NaN or infinite values")
    return weights


def check_num_layers(weights: Weights, model: Model) -> None:
    """Raise ValueError for weights of another number of recurrent layers or directions."""
    layers = sum(name.startswith("recurrent.weights.weight_hh_l") for name in weights)
    if model.cell != "none" and layers != model.num_layers * (1 + model.bidirectional):
        raise ValueError(
            f"the weights have {layers} recurrent layers and directions, bundle.json has "
            f"num_layers {model.num_layers}, bidirectional {str(model.bidirectional).lower()}"
        )


def check_weights(
    weights: Weights, expected: Mapping[str, tuple[int, ...]], num_features: int
) -> None:
    """Raise ValueError for weights of other names and shapes than ``expected``. No memory is
    allocated before, since a wrong size may be huge."""
    if (parts := weights.get("embed.parts")) is not None:
        check_embedding_parts("embed.parts", parts, num_features)
    for name, shape in expected.items():
        actual = weights[name].shape if name in weights else "nothing"
        if actual != shape:
            raise ValueError(f"{name}: bundle.json needs shape {shape}, found {actual}")
    for name in weights:
        if name not in expected and not name.endswith("embed.parts"):
            raise ValueError(f"{name}: the network has no such weights")
