"""Who trains: the product's loop, cuDNN alone, and the loop of the tutorials.

Each is a class with a method ``epoch`` that queues the steps of one epoch and returns how many.
"""

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

from gpu_training.loops import builder, make_loop, run_epoch
from gpu_training.workloads import Workload
from seqbelt.data.batches import make_batch, training_plan
from seqbelt.models.model import Layout

MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Product:
    """The product's own steps, in one layout, recorded where it would, from one of its feeds."""

    def __init__(
        self,
        workload: Workload,
        cell: str,
        precision: str,
        device: torch.device,
        layout: Layout = "auto",
        is_recorded: bool = True,
        is_resident: bool = True,
    ) -> None:
        self.loop = make_loop(workload, device, precision, cell=cell, layout=layout)
        if not is_recorded:
            self.loop.update = self.loop.step
        if not is_resident:
            self.loop.prefetcher.resident = None
        self.epoch_number = 0

    def epoch(self) -> int:
        self.epoch_number += 1
        return run_epoch(self.loop, self.epoch_number)


class Bare:
    """cuDNN's layer between the network's own first and last layers, on batches that lie on the
    device in the form that it takes, forward, backward and AdamW. The padded form ignores the
    lengths, so its answers are wrong; it shows what the kernels give."""

    def __init__(
        self,
        workload: Workload,
        cell: str,
        precision: str,
        device: torch.device,
        is_packed: bool = True,
    ) -> None:
        torch.manual_seed(0)
        self.network = builder(workload, cell=cell, layout="packed")().to(device)
        self.network.train()
        self.autocast = autocast(precision, device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), fused=True, capturable=device.type == "cuda"
        )
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
            self._step(inputs, labels)
        return len(self.batches)

    def _step(self, inputs: Any, labels: Tensor) -> None:
        with self.autocast:
            loss = F.cross_entropy(self._logits(inputs).float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

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


class BareRecorded(Bare):
    """The same over padded batches, each step recorded as a CUDA graph of its own: no launches."""

    def __init__(self, workload: Workload, cell: str, precision: str, device: torch.device) -> None:
        super().__init__(workload, cell, precision, device, is_packed=False)
        stream, pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        self.graphs = []
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            super().epoch()
            for inputs, labels in self.batches:
                graph = torch.cuda.CUDAGraph()
                graph.capture_begin(pool=pool)
                self._step(inputs, labels)
                graph.capture_end()
                self.graphs.append(graph)
        torch.cuda.current_stream().wait_stream(stream)

    def epoch(self) -> int:
        for graph in self.graphs:
            graph.replay()
        return len(self.graphs)


class Naive:
    """The tutorials' loop: a DataLoader over single sequences, pad_sequence, ``.to(device)``,
    pack_padded_sequence, the last state, Adam, and the loss read in every step."""

    def __init__(self, workload: Workload, cell: str, precision: str, device: torch.device) -> None:
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
