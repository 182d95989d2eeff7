"""How fast a training runs: the product's loop, cuDNN alone, and the loop of the tutorials."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

from gpu_training.loops import builder, make_loop, run_epoch
from gpu_training.workloads import Workload
from seqbelt.data.batches import make_batch, training_plan
from seqbelt.training.device import round_to_tf32
from seqbelt.training.graphs import RECORD_AFTER

MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@dataclass(frozen=True)
class Rate:
    """What one way to train did."""

    workload: str
    cell: str
    precision: str
    way: str
    steps_per_s: float
    spread: float
    """Longest time of an epoch divided by the shortest."""
    utilisation: float | None = None
    """Share of the time in which the GPU computed anything at all, as the driver samples it."""
    num_recorded: int = 0
    """Shapes of batches whose steps were recorded."""


def measure(
    workload: Workload, cell: str, precision: str, way: str, device: torch.device, seconds: float
) -> Rate:
    """Steps per second of one way: "packed", "padded" or "recorded" (the product's), "bare
    packed" or "bare padded" (cuDNN on batches that lie there), or "naive"."""
    warm_up, num_recorded = 2, 0
    loop = None
    if way.startswith("bare"):
        epoch = Bare(workload, cell, precision, way == "bare packed", device).epoch
    elif way == "naive":
        epoch, warm_up = Naive(workload, cell, precision, device).epoch, 1
    else:
        layout = "packed" if way == "packed" else "padded"
        loop = make_loop(workload, device, precision, cell=cell, layout=layout)
        if way != "recorded":
            loop.update = loop._update
        warm_up = RECORD_AFTER + 2 if way == "recorded" else 2
        numbers = iter(range(10**9))
        epoch = lambda: run_epoch(loop, next(numbers))  # noqa: E731
    for _ in range(warm_up):
        epoch()
    with sampled(device) as utilisation:
        num_steps, times = _timed(epoch, device, seconds)
    if loop is not None and way == "recorded":
        num_recorded = len(getattr(loop.update, "recorded", ()))
    times.sort()
    rate = num_steps / times[len(times) // 2]
    share = sum(utilisation) / len(utilisation) / 100 if utilisation else None
    spread = times[-1] / times[0]
    return Rate(workload.name, cell, precision, way, rate, spread, share, num_recorded)


def _timed(
    epoch: Callable[[], int], device: torch.device, seconds: float
) -> tuple[int, list[float]]:
    """Steps of an epoch, and the time of each of as many epochs as fit."""
    wait(device)
    began, times, num_steps = time.perf_counter(), [], 0
    while not times or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        num_steps = epoch()
        wait(device)
        times.append(time.perf_counter() - start)
    return num_steps, times


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def sampled(device: torch.device) -> Iterator[list[float]]:
    """What the driver says of the GPU's utilisation meanwhile, in per cent."""
    from threading import Event, Thread

    found: list[float] = []
    done = Event()

    def sample() -> None:
        while not done.wait(0.05):
            found.append(torch.cuda.utilization(device))

    thread = Thread(target=sample) if device.type == "cuda" else None
    if thread:
        thread.start()
    try:
        yield found
    finally:
        done.set()
        if thread:
            thread.join()


class Bare:
    """cuDNN's layer between the network's own first and last layers, on batches that lie on the
    device in the form that it takes, forward, backward and AdamW. The padded form ignores the
    lengths, so its answers are wrong; it shows what the kernels give."""

    def __init__(
        self, workload: Workload, cell: str, precision: str, is_packed: bool, device: torch.device
    ) -> None:
        round_to_tf32(precision == "tf32")
        torch.manual_seed(0)
        self.network = builder(workload, cell=cell, layout="packed")().to(device)
        self.network.train()
        self.autocast = autocast(precision, device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), fused=True)
        train, training = workload.part("train"), workload.training
        plan = training_plan(train.lengths, training.batch_size, 0, 0, training.bucket_batches)
        self.batches = []
        for rows in plan:
            batch = make_batch(train, rows)
            labels = batch.labels.to(device)
            inputs: Any = batch.inputs
            if is_packed:
                inputs = pack_padded_sequence(inputs, batch.lengths, True, enforce_sorted=False)
            self.batches.append((inputs.to(device), labels))

    def epoch(self) -> int:
        for inputs, labels in self.batches:
            with self.autocast:
                loss = F.cross_entropy(self._logits(inputs).float(), labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return len(self.batches)

    def _logits(self, inputs: Tensor | PackedSequence) -> Tensor:
        network = self.network

        def first(values: Tensor) -> Tensor:
            if network.is_tokens:
                return F.embedding(values, network.embed.weight)
            return network.normalize(values)

        if isinstance(inputs, PackedSequence):
            inputs = inputs._replace(data=first(inputs.data))
        else:
            inputs = first(inputs)
        _, state = network.recurrent.weights(inputs)
        final = network.recurrent.final(state)
        width = network.classify.in_features // final.shape[1]
        return network.classify(final.repeat(1, width))


class Naive:
    """The tutorials' loop: a DataLoader over single sequences, pad_sequence, ``.to(device)``,
    pack_padded_sequence, the last state, Adam, and the loss read in every step."""

    def __init__(self, workload: Workload, cell: str, precision: str, device: torch.device) -> None:
        round_to_tf32(precision == "tf32")
        torch.manual_seed(0)
        store, model = workload.store, workload.model
        train = workload.part("train")
        rows = [
            (torch.from_numpy(train[row].copy()), int(train.labels[row]))
            for row in range(len(train))
        ]
        size = workload.training.batch_size
        self.loader = DataLoader(rows, size, shuffle=True, collate_fn=_collate)
        self.device, self.autocast = device, autocast(precision, device)
        is_tokens = store.is_tokens
        self.embed = nn.Embedding(store.num_features, 128) if is_tokens else nn.Identity()
        width = 128 if is_tokens else store.num_features
        bidirectional = model.bidirectional
        self.layer = MODULES[cell](width, model.hidden_size, batch_first=True,
                                   bidirectional=bidirectional)  # fmt: skip
        self.classify = nn.Linear(model.hidden_size * (1 + bidirectional), len(store.classes))
        self.network = nn.ModuleList([self.embed, self.layer, self.classify]).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def epoch(self) -> int:
        for inputs, lengths, labels in self.loader:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            with self.autocast:
                loss = F.cross_entropy(self._logits(inputs, lengths).float(), labels)
            loss.backward()
            self.optimizer.step()
            loss.item()
        return len(self.loader)

    def _logits(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embed(inputs), lengths, True, enforce_sorted=False)
        _, state = self.layer(packed)
        hidden = state[0] if isinstance(state, tuple) else state
        return self.classify(torch.cat(list(hidden), dim=1))


def _collate(rows: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    sequences, labels = zip(*rows)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(sequences, batch_first=True), lengths, torch.tensor(labels)


def autocast(precision: str, device: torch.device) -> Any:
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


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


def fit(workload: Workload, cell: str, device: torch.device) -> Fitted:
    """Train by ``Training.fit``."""
    settings = workload.training.model_copy(update={"device": device.type})
    train, validation = workload.part("train"), workload.part("validation")
    began = time.perf_counter()
    _, history = settings.fit(builder(workload, cell=cell), train, validation)
    wall_s = time.perf_counter() - began
    times = [epoch.train_s for epoch in history.epochs]
    best = history.epochs[history.best_epoch - 1].validation
    assert best is not None
    return Fitted(
        workload.name, cell, sorted(times[2:])[len(times[2:]) // 2], sum(times[:2]), wall_s,
        len(times), history.layout, best.accuracy,
    )  # fmt: skip
