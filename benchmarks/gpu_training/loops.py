"""The product's own loop, taken apart far enough to be timed and looked at."""

from collections.abc import Callable
from typing import Any

import torch

from gpu_training.workloads import Workload
from seqbelt.data.batches import training_plan
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.training.device import set_learning_rate
from seqbelt.training.loop import Loop


def builder(workload: Workload, **model: Any) -> Callable[[], SequenceNetwork]:
    """What builds the workload's network, with some of the model's settings changed."""
    store, settings = workload.store, workload.change_model(**model)

    def build() -> SequenceNetwork:
        return build_network(settings, store.num_features, len(store.classes), store.is_tokens)

    return build


def make_loop(
    workload: Workload, device: torch.device, precision: str = "float32", **model: Any
) -> Loop:
    """A training that has not begun."""
    changes = {"device": device.type, "precision": precision}
    settings = workload.training.model_copy(update=changes)
    train = workload.part("train")
    return Loop(settings, builder(workload, **model), train, None)


def run_epoch(loop: Loop, epoch: int = 0) -> int:
    """The steps of one epoch, as the loop does them; returns how many. Waits for nothing."""
    settings, train = loop.settings, loop.train
    plan = training_plan(
        train.lengths, settings.batch_size, settings.seed, epoch, settings.bucket_batches
    )
    loop.network.train()
    for batch in loop.prefetcher.batches(train, plan, epoch):
        set_learning_rate(loop.optimizer, settings.learning_rate)
        loop.update(batch)
    return len(plan)
