"""The clock: every contender once a round, in shuffled order, in one process."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from recurrent_engine.contenders import Contender, Runner, Task, TorchRunner
from recurrent_engine.exported_contenders import ExportedRunner
from recurrent_engine.products import PRODUCTS, PRODUCTS_IN_BLOCKS, ProductsRunner, useful_flop
from seqbelt.data.batches import Batch

WARM_UP_STEPS = 32


@dataclass(frozen=True)
class Timed:
    """What one contender did in every round."""

    name: str
    num_batches: int
    num_sequences: int
    num_steps: int
    useful_gflop: float
    seconds: list[float] = field(default_factory=list)

    @property
    def batches_per_s(self) -> list[float]:
        """Batches per second in each round: the loop's steps."""
        return [self.num_batches / seconds for seconds in self.seconds]

    @property
    def steps_per_s(self) -> list[float]:
        """Valid steps per second in each round: comparable though some run fewer batches."""
        return [self.num_steps / seconds for seconds in self.seconds]


def measure(
    task: Task,
    contenders: list[Contender],
    training: bool,
    rounds: int,
    clock: Callable[[], float],
) -> dict[str, Timed]:
    """Run every contender once in each of ``rounds`` rounds; all see the same sequences."""
    passes: dict[str, Callable[[], None]] = {}
    found: dict[str, Timed] = {}

    def enter(name: str, runner: Runner, batches: list[Batch], warm_up: list[Batch]) -> None:
        passes[name] = _one_pass(runner, batches, training, task.device)
        found[name] = _empty(name, task, batches, training)
        _one_pass(runner, warm_up, training, task.device)()

    for contender in contenders:
        if contender.is_left_out(task, training):
            continue
        batches = warm_up = contender.batches(task.workload)
        if contender.is_slow(task, training):
            batches, warm_up = batches[: task.workload.num_slow_batches], [_cut(batches[0])]
        enter(contender.name, contender.build(task), batches, warm_up)
    if task.device.type == "cpu":
        batches = task.workload.batches(bucketed=True)
        for name in (PRODUCTS, PRODUCTS_IN_BLOCKS):
            enter(name, ProductsRunner(task, name == PRODUCTS_IN_BLOCKS), batches, batches)
    order = list(passes)
    for number in range(rounds):
        random.Random(number).shuffle(order)
        for name in order:
            began = clock()
            passes[name]()
            found[name].seconds.append(clock() - began)
    return found


def _one_pass(
    runner: Runner, batches: list[Batch], training: bool, device: torch.device
) -> Callable[[], None]:
    loaded = [runner.load(batch) for batch in batches]
    step = runner.train if training else runner.infer

    def run() -> None:
        for batch in loaded:
            step(batch)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _empty(name: str, task: Task, batches: list[Batch], training: bool) -> Timed:
    return Timed(
        name=name,
        num_batches=len(batches),
        num_sequences=sum(len(batch.lengths) for batch in batches),
        num_steps=sum(int(batch.lengths.sum()) for batch in batches),
        useful_gflop=1e-9 * useful_flop(task, batches, training),
    )


def _cut(batch: Batch) -> Batch:
    """The batch's first steps: enough to load kernels, without the minutes of the whole."""
    return batch._replace(
        inputs=batch.inputs[:, :WARM_UP_STEPS].clone(),
        lengths=batch.lengths.clamp(max=WARM_UP_STEPS),
    )


@dataclass(frozen=True)
class Errors:
    """How far a contender is from torch's packed layer in float32."""

    final: float
    """Largest difference of a final hidden value, which lies in -1..1, over all sequences; of an
    exported file that of a logit, in the first batch."""
    gradient: float | None
    """Norm of the difference of one batch's gradient of the weights, relative to its norm."""


def measure_errors(task: Task, contenders: list[Contender]) -> dict[str, Errors]:
    """Errors of contenders with the weights of the first, the reference: all but Keras.

    The gradient is that of eight bucketed sequences of at most 256 steps, since the packed
    layer's backward is slow; what only pads differently has no gradient of interest.
    """
    reference = contenders[0].build(task)
    assert isinstance(reference, TorchRunner)
    finals = _finals(reference, contenders[0].batches(task.workload))
    sample = _sample(task.workload.batches(bucketed=True)[0])
    gradient = reference.gradient(sample)
    found = {}
    for contender in contenders[1:]:
        runner = contender.build(task)
        batches = contender.batches(task.workload)
        if isinstance(runner, ExportedRunner):
            found[contender.name] = Errors(runner.error(batches[0]), None)
            continue
        if not isinstance(runner, TorchRunner) or contender.is_bare:
            continue
        if contender.is_slow(task, training=False):
            batches = batches[: task.workload.num_slow_batches]
        own = _finals(runner, batches)
        final = max(float((own[row] - finals[row]).abs().max()) for row in own)
        relative = None
        if not contender.to_longest:
            relative = float((runner.gradient(sample) - gradient).norm() / gradient.norm())
        found[contender.name] = Errors(final, relative)
    return found


def _sample(batch: Batch, num_sequences: int = 8, max_steps: int = 256) -> Batch:
    lengths = batch.lengths[:num_sequences].clamp(max=max_steps)
    inputs = batch.inputs[:num_sequences, : int(lengths.max())].clone()
    return Batch(inputs, lengths, batch.labels[:num_sequences], batch.indices[:num_sequences])


def _finals(runner: TorchRunner, batches: list[Batch]) -> dict[int, torch.Tensor]:
    finals = {}
    with torch.inference_mode(), runner.arithmetic():
        for batch in batches:
            rows = runner.final(batch).float().cpu()
            finals |= dict(zip(batch.indices.tolist(), rows))
    return finals
