"""Determinism: repeated training and prediction give the same bits, or the first tensor that
differs."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.ensemble import Network
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits


@dataclass(frozen=True)
class DeterminismCertificate:
    """Two short trainings and two predictions, bit by bit."""

    passed: bool
    num_steps: int
    """Training steps repeated."""
    weights: tuple[str, str]
    """Hash of the weights after each training."""
    first_difference: str | None
    """The first tensor that differs, e.g. "step 2: gradient of classify.bias"."""

    def to_dict(self) -> dict[str, object]:
        values = asdict(self)
        # JSON keeps the key of earlier versions.
        return {"blame" if key == "first_difference" else key: values[key] for key in values}

    @property
    def sentence(self) -> str:
        """The outcome as a sentence."""
        if self.first_difference is not None:
            return f"determinism certificate FAILED: first difference at {self.first_difference}"
        return f"determinism certificate passed: {self.num_steps} steps twice, the same bits"


def certify_determinism(
    network: Network,
    training: Training,
    build: Callable[[], SequenceNetwork],
    sequences: Sequences,
    num_steps: int = 5,
) -> DeterminismCertificate:
    """Train twice from one seed and compare all weights; predict twice and compare all logits.

    ``build`` returns the untrained network; ``network`` is the trained one, which predicts; a few
    of the training rows ``sequences`` are used.
    """
    training = training.resolve_for(sequences, network.is_tokens, network.labels_steps)
    batch_size = training.plan(len(sequences)).batch_size
    rows = np.random.default_rng(0).permutation(len(sequences))[: num_steps * batch_size]
    few = sequences.take(rows)
    trainings = [_train(training, build, few) for _ in range(2)]
    predictions = [_predict(network, few) for _ in range(2)]
    first_difference = _first_difference(*trainings) or _first_difference(*predictions)
    return DeterminismCertificate(
        passed=first_difference is None,
        num_steps=-(-len(few) // batch_size),
        weights=(trainings[0].result, trainings[1].result),
        first_difference=first_difference,
    )


_Outputs: TypeAlias = "Tensor | Sequence[_Outputs]"
"""A layer's outputs, which may include a state."""


class _Trace:
    """Names and hashes of the tensors computed, in order.

    The last entry is the result that must agree; the others locate where a difference began.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.entries: list[tuple[str, str]] = []
        self._hooks: list[RemovableHandle] = []

    @property
    def result(self) -> str:
        return self.entries[-1][1]

    def add(self, name: str, *tensors: Tensor) -> None:
        digest = hashlib.blake2b(digest_size=16)
        for tensor in tensors:
            bits = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(bits.numpy().tobytes())
        self.entries.append((f"{self.stage}: {name}", digest.hexdigest()))

    def watch(self, network: Network) -> None:
        """Add the output of each part of the network, and each gradient, as they are computed."""
        for number, member in enumerate(network.networks, start=1):
            suffix = f" of network {number}" if len(network.networks) > 1 else ""
            for name, part in member.named_children():
                hook = partial(self._add_output, name + suffix)
                self._hooks.append(part.register_forward_hook(hook))
        for name, parameter in network.named_parameters():
            hook = partial(self.add, f"gradient of {name}")
            self._hooks.append(parameter.register_hook(hook))

    def unwatch(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _add_output(self, name: str, part: nn.Module, inputs: object, outputs: _Outputs) -> None:
        self.add(f"output of {name}", *_tensors(outputs))


def _tensors(outputs: _Outputs) -> list[Tensor]:
    """The tensors in a layer's outputs."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [tensor for part in outputs for tensor in _tensors(part)]


def _train(
    training: Training, build: Callable[[], SequenceNetwork], sequences: Sequences
) -> _Trace:
    """One epoch over a few sequences, with the training loop."""
    trace = _Trace("initialisation")
    num_steps = 0

    def add_weights() -> None:
        """Add the weights at the start, and after each step."""
        nonlocal num_steps
        values = loop.model.state_dict()
        for name, value in values.items():
            trace.add(f"weights of {name}", value)
        trace.add("weights", *values.values())
        num_steps += 1
        trace.stage = f"step {num_steps}"

    # The hooks read values, which a CUDA graph does not expose.
    short = training.replace(num_epochs=1, cuda_graphs=False)
    loop = Loop(short, build, sequences, None, on_step=add_weights)
    add_weights()
    trace.watch(loop.model)
    loop.run()
    return trace


def _predict(network: Network, sequences: Sequences) -> _Trace:
    trace = _Trace("prediction")
    trace.watch(network)
    device = next(network.parameters()).device
    try:
        logits = predict_logits(network, sequences, device)
    finally:
        trace.unwatch()
    trace.add("logits", torch.from_numpy(logits))
    return trace


def _first_difference(first: _Trace, second: _Trace) -> str | None:
    """The first difference of two traces of the same work; None if their results agree."""
    if first.result == second.result:
        return None
    pairs = zip(first.entries, second.entries)
    return next((entry[0] for entry, repeated in pairs if entry != repeated), first.entries[-1][0])
