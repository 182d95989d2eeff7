"""Train one network after another from different seeds, as one model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.ensemble import Ensemble, Network
from seqbelt.training.checkpoint import has_checkpoint, remove_checkpoint
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.training.history import Epoch, History
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import train_network


def train_networks(
    settings: Training,
    build: Callable[[], SequenceNetwork],
    train: Sequences,
    validation: Sequences | None,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    row_weights: np.ndarray | None = None,
    on_start: Callable[[GradientReach], object] = lambda reach: None,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    on_step: Callable[[], object] = lambda: None,
) -> tuple[Network, History]:
    """Train the ``num_networks`` of the settings; return the network, or the ensemble of all.

    Each is trained as by ``train_network``, the first with the seed of the settings. The history,
    ``on_start`` and ``on_epoch`` are about the first; its ``train_s`` is that of all. Each network
    has its own checkpoint, beside that of the first. An interrupted training returns the networks
    that are finished, or the first as it is.
    """
    settings = settings.resolve_for(train, train.store.is_tokens, train.store.target.labels_steps)
    assert settings.num_networks != "auto"
    paths = [_beside(checkpoint, number) for number in range(1, settings.num_networks)]
    if not resume:
        for path in filter(None, paths):  # of an earlier training
            remove_checkpoint(path)
    train_one = partial(
        train_network,
        build=build,
        train=train,
        validation=validation,
        row_weights=row_weights,
        on_step=on_step,
    )
    network, history = train_one(
        settings, checkpoint=checkpoint, resume=resume, on_start=on_start, on_epoch=on_epoch
    )
    networks = [network]
    for number, path in enumerate(paths, start=1):
        if history.interrupted:
            break
        network, its_history = train_one(
            settings.replace(seed=member_seed(settings.seed, number)),
            checkpoint=path,
            resume=resume and path is not None and has_checkpoint(path),
        )
        history.train_s += its_history.train_s
        history.interrupted = its_history.interrupted
        if not history.interrupted:
            networks.append(network)
    return (Ensemble(networks) if len(networks) > 1 else networks[0]), history


def member_seed(seed: int, number: int) -> int:
    """Seed of network ``number``, counted from 0, of a model with this seed: its own for the first;
    the networks of two models share none."""
    if not number:
        return seed
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1)


def _beside(checkpoint: Path | None, number: int) -> Path | None:
    return checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-{number + 1}")
