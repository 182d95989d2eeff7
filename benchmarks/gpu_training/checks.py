"""What must be right on the GPU before its speed means anything."""

import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpu_training.loops import builder, make_loop, run_epoch
from gpu_training.workloads import Workload
from seqbelt.data.batches import step_statistics
from seqbelt.evaluation.attribution import explain
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.video.descriptors import import_torchvision, load_backbone
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.predictor import Predictor
from seqbelt.models.model import Layout
from seqbelt.models.recurrent import Recurrent
from seqbelt.training import cuda_graphs
from seqbelt.training.device import round_to_tf32
from seqbelt.training.loop import Loop

NUM_EPOCHS = 6
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Check:
    """A difference that was found, and how large it may be."""

    name: str
    found: float
    allowed: float
    seconds: float

    @property
    def passed(self) -> bool:
        return self.found <= self.allowed  # NaN does not pass


def run_checks(workloads: list[Workload], device: torch.device) -> list[Check]:
    """All checks, in order; one that raises counts as infinitely wrong and is printed."""
    workload = workloads[0]
    round_to_tf32(False)
    checks: list[tuple[str, float, Callable[[], float]]] = [
        ("layouts, float64", 1e-12, lambda: layouts(device, torch.float64)),
        ("layouts, float32", 5e-5, lambda: layouts(device, torch.float32)),
        ("steps that make the CPU wait", 0, lambda: waits(workload, device)),
        ("recorded steps against launched ones", 0, lambda: recorded(workload, device)),
        ("a training repeated", 0, lambda: repeated(workload, device)),
        ("a training interrupted and resumed", 0, lambda: resumed(workload, device)),
        ("probabilities against the CPU's", 1e-5, lambda: probabilities(workload, device)),
        ("explanation against the CPU's, relative", 1e-2, lambda: attributions(workload, device)),
        ("backbone's features against the CPU's, relative", 1e-4, lambda: backbone(device)),
    ]
    return [_run(*check) for check in checks]


def _run(name: str, allowed: float, measure: Callable[[], float]) -> Check:
    began = time.perf_counter()
    try:
        found = measure()
    except Exception as error:  # the others shall still run
        print(f"FAILED {name}: {type(error).__name__}: {str(error)[:1500]}", flush=True)
        found = float("inf")
    check = Check(name, found, allowed, time.perf_counter() - began)
    print(f"{'ok' if check.passed else 'WRONG'}  {name}: {found:.2e} of {allowed:.0e}", flush=True)
    return check


def layouts(device: torch.device, dtype: torch.dtype) -> float:
    """Largest difference of outputs, states and gradients between a layout and the CPU's packed
    layer, relative to the largest value of each."""
    worst = 0.0
    for cell, directions, num_layers in product(("lstm", "gru", "rnn"), (1, 2), (1, 2, 3)):
        options = {"cell": cell, "bidirectional": directions == 2, "num_layers": num_layers}
        expected = _computed("packed", CPU, dtype, options)
        for layout in ("packed", "padded"):
            found = _computed(layout, device, dtype, options)
            differences = [
                float((one - other).abs().max() / other.abs().max().clamp_min(1e-3))
                for one, other in zip(found, expected, strict=True)
            ]
            worst = max(worst, *differences)
    return worst


def _computed(
    layout: Layout, device: torch.device, dtype: torch.dtype, options: Any
) -> list[Tensor]:
    torch.manual_seed(0)
    recurrent = Recurrent(input_size=24, hidden_size=64, layout=layout, **options).to(device, dtype)
    lengths = torch.tensor([9, 1, 23, 14, 23, 2, 5])
    valid = torch.arange(25) < lengths[:, None]
    inputs = torch.randn(len(lengths), 25, 24, dtype=torch.float64).masked_fill(
        ~valid[:, :, None], 0
    )
    inputs = inputs.to(device, dtype).requires_grad_()
    outputs, state = recurrent(inputs, lengths)
    shown, finals = outputs[valid.to(device)], recurrent.final(state)
    weights = torch.linspace(-1, 1, shown.numel(), dtype=dtype, device=device).view_as(shown)
    ((shown * weights).sum() + (finals**2).sum()).backward()
    gradients = [parameter.grad for parameter in recurrent.parameters()]
    return [t.detach().cpu() for t in (shown, finals, inputs.grad, *gradients) if t is not None]


def waits(workload: Workload, device: torch.device) -> float:
    """Ways to train, of both layouts and both feeds, in which a step makes the CPU wait."""
    found = 0
    for layout, is_resident in product(("padded", "packed"), (True, False)):
        loop = make_loop(workload, device, layout=layout)
        if not is_resident:
            loop.prefetcher.resident = None
        for _ in range(2 + cuda_graphs.RECORD_AFTER):
            run_epoch(loop)  # whatever is done once is done now
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("error")
        try:
            run_epoch(loop)
        except RuntimeError as error:
            print(f"  {layout}, resident {is_resident}: {str(error)[:300]}")
            found += 1
        finally:
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    return found


def recorded(workload: Workload, device: torch.device) -> float:
    """Largest difference of a weight between a training of replayed and one of launched steps."""
    before, found = cuda_graphs.RECORD_AFTER, []
    for after in (before, 10**9):
        cuda_graphs.RECORD_AFTER = after
        try:
            found.append(_trained(workload, device))
        finally:
            cuda_graphs.RECORD_AFTER = before
    return float((found[0] - found[1]).abs().max())


def repeated(workload: Workload, device: torch.device) -> float:
    """Largest difference of a weight between two trainings of one seed."""
    return float((_trained(workload, device) - _trained(workload, device)).abs().max())


def resumed(workload: Workload, device: torch.device) -> float:
    """Largest difference of a weight between an undisturbed and an interrupted training."""
    with tempfile.TemporaryDirectory() as folder:
        path, steps = Path(folder) / "checkpoint", count(1)
        size = workload.training.batch_size
        num_steps = NUM_EPOCHS * -(-len(workload.part("train")) // size)

        def stop() -> None:
            if next(steps) == num_steps // 2:
                signal.raise_signal(signal.SIGINT)

        _trained(workload, device, checkpoint=path, on_step=stop)
        found = _trained(workload, device, checkpoint=path, resume=True)
    return float((found - _trained(workload, device)).abs().max())


def _trained(
    workload: Workload, device: torch.device, resume: bool = False, **options: Any
) -> Tensor:
    """All weights after a short training."""
    settings = workload.training.model_copy(
        update={"num_epochs": NUM_EPOCHS, "device": device.type}
    )
    train = workload.part("train")
    build = builder(workload, layout="padded")
    network, _ = Loop(settings, build, train, None, **options).run(resume)
    return torch.cat([value.detach().flatten().cpu() for value in network.state_dict().values()])


def probabilities(workload: Workload, device: torch.device) -> float:
    """Largest difference of a probability."""
    validation = workload.part("validation")
    sequences = [validation[row] for row in range(min(64, len(validation)))]
    one, other = (
        Predictor(_bundle(workload), device=name).probabilities(sequences)
        for name in ("cpu", device.type)
    )
    return float(np.abs(one - other).max())


def attributions(workload: Workload, device: torch.device) -> float:
    """Largest difference of a step's share, relative to the largest share."""
    sequence = workload.part("validation")[0]
    network = _bundle(workload).network
    expected = explain(network.cpu(), sequence).attributions
    found = explain(network.to(device), sequence).attributions
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _bundle(workload: Workload) -> Bundle:
    torch.manual_seed(0)
    store = workload.store
    network = builder(workload, layout="padded")()
    if not store.is_tokens:
        network.normalize.learn(*step_statistics(workload.part("train")))
    features = LogMel(kind="log_mel", sample_rate=8000)
    return Bundle(
        "check",
        features,
        {},
        workload.model,
        store.classes,
        store.num_features,
        weights_of(network),
        {},
    )


def backbone(device: torch.device) -> float:
    """Largest difference of a feature of a randomly initialised ResNet, relative to the largest."""
    frames = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet18.pth"
        torch.save(import_torchvision().models.resnet18().state_dict(), path)
        described = load_backbone("resnet18", str(path), 224, "float32")
    assert described.device == device.type
    found = described.describe(frames)
    described.device = "cpu"
    described._model.cpu()
    expected = described.describe(frames)
    return float(np.abs(found - expected).max() / np.abs(expected).max())
