"""What a checkpoint keeps of a running loop: taken out and put back, so that it goes on exactly."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqbelt.training.checkpoint import pack_optimizer, unpack_optimizer
from seqbelt.training.history import Epoch

if TYPE_CHECKING:
    from seqbelt.training.loop import Loop


def capture(loop: "Loop") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON-ready values of a loop between two steps."""
    tensors = {f"model.{name}": value for name, value in loop.model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in loop.best_weights.items()}
    tensors |= pack_optimizer(loop.optimizer)
    tensors["totals"] = loop.step.totals
    for rank, states in enumerate(loop.ranks.gather(_random_states(loop))):
        tensors |= {f"random.{rank}.{name}": state for name, state in states.items()}
    about = {
        "epochs": [asdict(epoch) for epoch in loop.history.epochs],
        "reaches": loop.history.reaches,
        "best_epoch": loop.history.best_epoch,
        "batch_number": loop.batch_number,
        "epoch_s": loop.epoch_s,
        "work": [loop.history.fill, loop.history.flops, loop.history.padded_flops],
    }
    return tensors, about


def restore(loop: "Loop", tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Put back what ``capture`` took, into a loop of the same settings and data."""
    loop.model.load_state_dict(_under("model.", tensors))
    loop.best_weights = _under("best.", tensors)
    unpack_optimizer(loop.optimizer, tensors)
    loop.step.totals.copy_(tensors["totals"])
    states = _under(f"random.{loop.ranks.number}.", tensors)
    if "cpu" in states:  # with other processes than before, the draws are others as well
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and loop.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], loop.device)
    loop.history.epochs = [Epoch.from_plain(epoch) for epoch in about["epochs"]]
    loop.history.reaches = [(number, curve) for number, curve in about["reaches"]]
    loop.history.best_epoch = about["best_epoch"]
    loop.batch_number, loop.epoch_s = about["batch_number"], about["epoch_s"]
    if "work" in about:  # else there may be no epoch left that would count it
        history = loop.history
        history.fill, history.flops, history.padded_flops = about["work"]


def _random_states(loop: "Loop") -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if loop.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(loop.device)
    return states


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
