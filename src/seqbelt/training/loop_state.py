"""The state of a training loop between two steps: what a checkpoint has, and how it is loaded."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqbelt.training.history import Epoch

if TYPE_CHECKING:
    from seqbelt.training.loop import Loop


def capture(loop: "Loop") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of a loop between two steps: tensors and JSON-serialisable values."""
    tensors = {f"model.{name}": value for name, value in loop.model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in loop.best_weights.items()}
    tensors |= _pack_optimizer(loop.optimizer)
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
    """Load the state from ``capture`` into a loop of the same settings and data."""
    loop.model.load_state_dict(_with_prefix("model.", tensors))
    loop.best_weights = _with_prefix("best.", tensors)
    _unpack_optimizer(loop.optimizer, tensors)
    loop.step.totals.copy_(tensors["totals"])
    states = _with_prefix(f"random.{loop.ranks.rank}.", tensors)
    if "cpu" in states:  # missing with another number of ranks: then the draws differ
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and loop.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], loop.device)
    loop.history.epochs = [Epoch.from_dict(epoch) for epoch in about["epochs"]]
    loop.history.reaches = [(number, curve) for number, curve in about["reaches"]]
    loop.history.best_epoch = about["best_epoch"]
    loop.batch_number, loop.epoch_s = about["batch_number"], about["epoch_s"]
    if "work" in about:  # missing in older checkpoints
        history = loop.history
        history.fill, history.flops, history.padded_flops = about["work"]


def _pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state under flat names, without its settings."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, values in state.items()
        for name, value in values.items()
    }


def _unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the state from ``_pack_optimizer``."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _with_prefix("optimizer.", tensors).items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _random_states(loop: "Loop") -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if loop.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(loop.device)
    return states


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
