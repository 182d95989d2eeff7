"""The clock: every way to train once a round, in shuffled order, in one process."""

import gc
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from typing import Any

import torch

from gpu_training.loops import builder
from gpu_training.ways import Bare, BareRecorded, Naive, Product
from gpu_training.workloads import Workload
from seqbelt.errors import SettingsError
from seqbelt.training.device import round_to_tf32
from seqbelt.training.loop import Loop

WARM_UP_EPOCHS = {"product": 4, "ahead": 4}
"""Until the steps of nearly all shapes are recorded; the others are warm after one."""
MAKERS: dict[str, Callable[..., Any]] = {
    "naive": Naive,
    "packed": partial(Product, layout="packed"),
    "launched": partial(Product, is_recorded=False),
    "ahead": partial(Product, is_resident=False),
    "product": Product,
    "bare packed": Bare,
    "bare padded": partial(Bare, is_packed=False),
    "bare recorded": BareRecorded,
}
"""naive and packed as their names say; the product's steps ``launched`` kernel by kernel, from
batches padded ``ahead`` on the CPU, and as it is; cuDNN alone on batches that lie on the GPU."""
EVERY_WAY = [(name, "float32") for name in MAKERS] + [("product", "tf32"), ("product", "bf16")]
MAIN_WAYS = [
    *[(name, "float32") for name in ("product", "bare padded", "bare recorded")],
    ("product", "bf16"),
]


@dataclass(frozen=True)
class Rate:
    """What one way to train did in every round."""

    workload: str
    cell: str
    way: str
    precision: str
    steps_per_s: list[float] = field(default_factory=list)
    utilisation: list[float] = field(default_factory=list)
    """Per cent of the time in which the GPU computed anything, as its driver samples it."""


def measure(
    workload: Workload,
    cell: str,
    ways: list[tuple[str, str]],
    device: torch.device,
    rounds: int,
    seconds: float,
) -> list[Rate]:
    """Run each way for ``seconds`` in each round; one that fails is printed and left out."""
    epochs: list[tuple[Rate, Callable[[], int]]] = []
    for way, precision in ways:
        try:
            set_precision(precision)
            epoch = MAKERS[way](workload, cell, precision, device).epoch
            for _ in range(WARM_UP_EPOCHS.get(way, 1)):
                epoch()
        except (RuntimeError, SettingsError) as error:
            print(f"{workload.name} {cell} {way} {precision}: {str(error)[:300]}", flush=True)
            continue
        epochs.append((Rate(workload.name, cell, way, precision), epoch))
    for number in range(rounds):
        random.Random(number).shuffle(epochs)
        for rate, epoch in epochs:
            set_precision(rate.precision)
            with sampled(device, rate.utilisation):
                rate.steps_per_s.append(_run(epoch, device, seconds))
    return [rate for rate, _ in epochs]


def set_precision(precision: str) -> None:
    round_to_tf32(precision == "tf32")


def _run(epoch: Callable[[], int], device: torch.device, seconds: float) -> float:
    """Steps per second over whole epochs."""
    wait(device)
    began, num_steps, took = time.perf_counter(), 0, 0.0
    while took < seconds:
        num_steps += epoch()
        wait(device)
        took = time.perf_counter() - began
    return num_steps / took


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def sampled(device: torch.device, found: list[float]) -> Iterator[None]:
    """Add what the driver says of the GPU's utilisation meanwhile."""
    if device.type != "cuda":
        yield
        return
    done = Event()

    def sample() -> None:
        while not done.wait(0.05):
            found.append(torch.cuda.utilization(device))

    thread = Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@dataclass(frozen=True)
class Fitted:
    """A whole training as a user runs it."""

    workload: str
    cell: str
    epoch_s: float
    """Median of the epochs' training time, the first two left out."""
    first_epochs_s: float
    """Training time of the first two, in which kernels are loaded and steps recorded."""
    wall_s: float
    """Everything, the validation after every epoch included."""
    num_epochs: int
    layout: str
    accuracy: float
    utilisation: float
    """Mean over the whole, in per cent."""
    megabytes: float
    """Most of the GPU's memory that was taken."""


def fit(workload: Workload, cell: str, device: torch.device) -> Fitted:
    """Train by ``Training.fit``."""
    settings = workload.training.model_copy(update={"device": device.type})
    train, validation = workload.part("train"), workload.part("validation")
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began, shares = time.perf_counter(), []
    with sampled(device, shares):
        _, history = Loop(settings, builder(workload, cell=cell), train, validation).run()
    wall_s = time.perf_counter() - began
    taken = torch.cuda.max_memory_reserved() / 2**20 if device.type == "cuda" else 0.0
    times = [epoch.train_s for epoch in history.epochs]
    best = history.epochs[history.best_epoch - 1].validation
    assert best is not None
    return Fitted(
        workload.name, cell, sorted(times[2:])[len(times[2:]) // 2], sum(times[:2]), wall_s,
        len(times), history.layout, best.accuracy, sum(shares) / max(1, len(shares)), taken,
    )  # fmt: skip
