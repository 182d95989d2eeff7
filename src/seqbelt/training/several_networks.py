"""Train one network after another from different seeds, as one model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.ensemble import Ensemble, Network
from seqbelt.training.checkpoint import has_checkpoint, remove_checkpoint
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.training.history import Epoch, History
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop


def train_networks(
    settings: Training,
    build: Callable[[], SequenceNetwork],
    train: Sequences,
    validation: Sequences | None,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    row_weights: np.ndarray | None = None,
    on_network: Callable[[int], object] = lambda number: None,
    on_start: Callable[[GradientReach], object] = lambda reach: None,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    on_step: Callable[[], object] = lambda: None,
) -> tuple[Network, History]:
    """Train the ``num_networks`` of the settings; return the network, or the ensemble of all.

    Each is trained by a ``Loop``, the first with the seed of the settings. ``on_network`` is told
    the number of each, from 0, before it is trained. ``on_start`` (before the first update),
    ``on_epoch`` and the history are about the first; the history's ``train_s`` is that of all. Each
    network has its own checkpoint, beside that of the first. An interrupted training returns the
    networks that are finished, or the first as it is.
    """
    settings = settings.resolve_for(train, train.store.is_tokens, train.store.target.labels_steps)
    assert settings.num_networks != "auto"
    networks: list[SequenceNetwork] = []
    histories: list[History] = []
    paths = [_beside(checkpoint, number) for number in range(settings.num_networks)]
    if not resume:
        for path in filter(None, paths[1:]):  # of an earlier training
            remove_checkpoint(path)
    for number, path in enumerate(paths):
        is_first = number == 0
        on_network(number)
        loop = Loop(
            settings.replace(seed=member_seed(settings.seed, number)),
            build,
            train,
            validation,
            checkpoint=path,
            row_weights=row_weights,
            on_epoch=on_epoch if is_first else lambda epoch: None,
            on_step=on_step,
        )
        if is_first:
            on_start(loop.reach)
        has_state = is_first or (path is not None and has_checkpoint(path))
        network, history = loop.run(resume and has_state)
        del loop  # and what it has on the device
        histories.append(history)
        if is_first or not history.interrupted:
            networks.append(network)
        if history.interrupted:
            break
    history = histories[0]
    history.train_s = sum(each.train_s for each in histories)
    history.interrupted = histories[-1].interrupted
    return (Ensemble(networks) if len(networks) > 1 else networks[0]), history


def member_seed(seed: int, number: int) -> int:
    """Seed of network ``number``, counted from 0, of a model with this seed: its own for the first;
    the networks of two models share none."""
    if not number:
        return seed
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1)


def _beside(checkpoint: Path | None, number: int) -> Path | None:
    if checkpoint is None or not number:
        return checkpoint
    return checkpoint.with_stem(f"{checkpoint.stem}-{number + 1}")
