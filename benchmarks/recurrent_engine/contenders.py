"""Who is compared: one network, from the same weights, around several recurrences."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from recurrent_engine.workloads import SEED, Workload
from seqbelt.data.batches import Batch
from seqbelt.models.model import Cell, Layout
from seqbelt.models.recurrent import Recurrent
from seqbelt.training.device import has_bf16_products

HIDDEN_SIZE = 128
CELLS: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
REFERENCE = "packed loop, random"


@dataclass(frozen=True)
class Task:
    """One cell on one workload on one device."""

    workload: Workload
    cell: Cell
    device: torch.device


class Runner(Protocol):
    """A network that can be timed. ``load`` is not timed; the others take what it returns."""

    def load(self, batch: Batch) -> Any: ...

    def train(self, batch: Any) -> None: ...

    def infer(self, batch: Any) -> None: ...


@dataclass(frozen=True)
class Contender:
    """A way to run the recurrence."""

    name: str
    make: Callable[[Task, bool], Runner]
    """Builds the network for a task, in bfloat16 or not."""
    bucketed: bool
    bf16: bool = False
    to_longest: bool = False
    slow: Literal["never", "long training", "long", "always"] = "never"
    """Where it would take minutes on a CPU, and therefore runs only some of the batches."""
    inference_only: bool = False
    is_bare: bool = False
    """Not to be beaten: cuDNN alone on resident data, the measure of what a GPU can give."""

    def is_slow(self, task: Task, training: bool) -> bool:
        if self.slow in ("never", "always"):
            return self.slow == "always"
        is_long = task.workload.name == "long" and task.device.type == "cpu"
        return is_long and (training or self.slow == "long")

    def is_left_out(self, task: Task, training: bool) -> bool:
        """One packed training of long signals is enough: that of the reference."""
        if training and self.inference_only:
            return True
        repeats = self.slow == "long training" and self.name != REFERENCE
        return repeats and self.is_slow(task, training)

    def batches(self, workload: Workload) -> list[Batch]:
        return workload.batches(self.bucketed, self.to_longest)

    def build(self, task: Task) -> Runner:
        return self.make(task, self.bf16)


def torch_contenders(device: torch.device, fused: bool) -> list[Contender]:
    """Those that need torch only; the first is the reference."""
    found = [
        Contender(REFERENCE, _of(TutorialPacked), bucketed=False, slow="long training"),
        Contender(
            "padded to set's longest", _of(Unpacked), bucketed=False, to_longest=True, slow="long"
        ),
    ]
    layouts: list[Layout] = ["packed", "padded", "fused"] if fused else ["packed", "padded"]
    for layout in layouts:
        make = _of(partial(Ours, layout=layout))
        slow = "long training" if layout == "packed" else "never"
        plain = Contender(f"seqbelt {layout}", make, bucketed=True, slow=slow)
        found.append(plain)
        if device.type == "cuda" or has_bf16_products():
            found.append(replace(plain, name=f"{plain.name}, bf16", bf16=True))
    if fused:
        make = _of(partial(Ours, layout="fused"))
        found.append(Contender("seqbelt fused, random", make, bucketed=False))
    if device.type == "cuda":
        found.append(Contender("bare cuDNN, resident", BareRunner, bucketed=True, is_bare=True))
    return found


def torch_layer(task: Task) -> nn.RNNBase:
    """torch's layer with the weights that every contender begins with."""
    torch.manual_seed(SEED)
    workload = task.workload
    return CELLS[task.cell](
        workload.input_size, HIDDEN_SIZE, batch_first=True, bidirectional=workload.bidirectional
    )


def _last_hidden(state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    hidden = state if isinstance(state, Tensor) else state[0]
    return torch.cat(list(hidden), dim=1)


class TutorialPacked(nn.Module):
    """pack_padded_sequence and torch's layer."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.layer = torch_layer(task)

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
        return _last_hidden(self.layer(packed)[1])


class Unpacked(TutorialPacked):
    """torch's layer over the padding too: what it answers depends on the padding."""

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        return _last_hidden(self.layer(steps)[1])


class Ours(nn.Module):
    """The product's engine in one layout."""

    def __init__(self, task: Task, layout: Layout) -> None:
        super().__init__()
        workload = task.workload
        self.layer = Recurrent(
            task.cell,
            workload.input_size,
            HIDDEN_SIZE,
            bidirectional=workload.bidirectional,
            layout=layout,
        )
        self.layer.weights.load_state_dict(torch_layer(task).state_dict())

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        return self.layer.final(self.layer(steps, lengths)[1])


def _of(recurrence: Callable[[Task], nn.Module]) -> Callable[[Task, bool], Runner]:
    return lambda task, bf16: TorchRunner(task, recurrence(task), bf16)


class TorchRunner:
    """Embedding (for tokens), recurrence, last state, linear layer; AdamW in one kernel."""

    def __init__(self, task: Task, recurrence: nn.Module, bf16: bool) -> None:
        self.device, self.bf16 = task.device, bf16
        torch.manual_seed(SEED)
        workload = task.workload
        self.network = nn.ModuleDict({"recurrence": recurrence})
        if workload.vocabulary_size:
            self.network["embed"] = nn.Embedding(workload.vocabulary_size, workload.input_size)
        width = HIDDEN_SIZE * workload.num_directions
        self.network["classify"] = nn.Linear(width, workload.num_classes)
        self.network.to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), fused=True)

    def load(self, batch: Batch) -> Batch:
        """What is made of a batch before the clock starts."""
        return batch

    def final(self, batch: Batch) -> Tensor:
        """The final hidden states ``(batch, directions * hidden)``."""
        batch = batch.to(self.device)
        steps = self.network["embed"](batch.inputs) if "embed" in self.network else batch.inputs
        return self.network["recurrence"](steps, batch.lengths)

    def loss(self, batch: Batch) -> Tensor:
        with self.arithmetic():
            logits = self.network["classify"](self.final(batch))
        return F.cross_entropy(logits.float(), batch.labels.to(self.device))

    def train(self, batch: Batch) -> None:
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def infer(self, batch: Batch) -> None:
        with torch.inference_mode(), self.arithmetic():
            self.network["classify"](self.final(batch))

    def gradient(self, batch: Batch) -> Tensor:
        """The gradient of the recurrence's weights, in one row."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(batch).backward()
        parameters = self.network["recurrence"].parameters()
        return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])

    @contextlib.contextmanager
    def arithmetic(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            yield


class BareRunner(TorchRunner):
    """cuDNN over packed batches that lie on the device already."""

    def __init__(self, task: Task, bf16: bool) -> None:
        super().__init__(task, torch_layer(task), bf16)

    def load(self, batch: Batch) -> Batch:
        packed = pack_padded_sequence(
            batch.inputs, batch.lengths, batch_first=True, enforce_sorted=False
        )
        return batch._replace(
            inputs=packed.to(self.device),  # type: ignore[arg-type]
            labels=batch.labels.to(self.device),
        )

    def final(self, batch: Batch) -> Tensor:
        packed: PackedSequence = batch.inputs  # type: ignore[assignment]
        if "embed" in self.network:
            packed = packed._replace(data=self.network["embed"](packed.data))
        return _last_hidden(self.network["recurrence"](packed)[1])
