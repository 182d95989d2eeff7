"""Data larger than one likes to hold: opening, shuffled reading, training and memory by store size.

    python benchmarks/large_store.py [--gigabytes 0.5 1 2 4 8] [--rows 1000000]

Generates stores of float32 sequences (64 features, 100 to 500 steps) through `prepare`, each in
a process of its own. Reported are seconds to prepare and to open, milliseconds to read and pad a
batch of 64 from anywhere in the store (the product's shuffled plan), and to train on it (LSTM, 32
units); memory is the process's own (RssAnon), without pages of the file that the system may drop.
Then a store of --rows sequences of a few steps: what its index costs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from seqbelt.data.batches import make_batch, training_plan
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.data.store.store import SequenceStore
from seqbelt.features.arrays.channels import Channels
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

NUM_FEATURES, BATCH_SIZE, NUM_BATCHES = 64, 64, 200
MEAN_STEPS = 300


class Generated(Sequence):
    """Arrays that are made when they are asked for."""

    def __init__(self, count: int, fewest: int, most: int, width: int) -> None:
        self.count, self.bounds, self.width = count, (fewest, most + 1), width
        self.noise = np.random.default_rng(0).normal(size=(2 * most, width)).astype(np.float32)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number):
        random = np.random.default_rng(number)
        steps, start = random.integers(*self.bounds), random.integers(len(self.noise) // 2)
        array = self.noise[start : start + steps].copy()
        array[0, 0] = number
        return array


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 1, 2, 4, 8])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(_case(arguments.case[0], float(arguments.case[1]))))
        return
    print("| store | sequences | prepare, s | open, s | shuffled batch, ms | with a step, ms | "
          "own memory, MB |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for size in arguments.gigabytes:
        _report(f"{size:g} GB", "size", size)
    _report("short rows", "rows", arguments.rows)


def _report(name: str, kind: str, amount: float) -> None:
    run = subprocess.run(
        [sys.executable, __file__, "--case", kind, str(amount)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found = json.loads(run.stdout.splitlines()[-1])
    print(
        f"| {name} | {found['count']:,} | {found['prepare_s']:.1f} | {found['open_s']:.3f} | "
        f"{found['read_ms']:.1f} | {found['step_ms']:.1f} | {found['memory_mb']:.0f} |",
        flush=True,
    )


def _case(kind: str, amount: float) -> dict[str, float]:
    if kind == "size":
        count, steps = int(amount * 1e9 / (4 * NUM_FEATURES * MEAN_STEPS)), (100, 500)
        width = NUM_FEATURES
    else:
        count, steps, width = int(amount), (1, 4), 2
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        pid = subprocess.run(
            [sys.executable, "-c", _PREPARE, str(Path(__file__).parent), folder, str(count),
             *map(str, steps), str(width)], check=True,
        )  # fmt: skip
        assert pid.returncode == 0
        prepare_s = time.perf_counter() - began
        return {"count": count, "prepare_s": prepare_s, **_read(Path(folder))}


_PREPARE = """
import sys; sys.path.insert(0, sys.argv[1])
from large_store import make_store
make_store(sys.argv[2], *map(int, sys.argv[3:]))
"""


def make_store(folder: str, count: int, fewest: int, most: int, width: int) -> None:
    """Prepare a store of generated sequences."""
    arrays = Generated(count, fewest, most, width)
    manifest = make_manifest(
        label=[("no", "yes")[row % 2] for row in range(count)],
        split=["train"] * count,
        contents=arrays,
    )
    prepare(manifest, Channels(kind="channels"), Path(folder), {})


def _read(folder: Path) -> dict[str, float]:
    torch.set_num_threads(1)
    began = time.perf_counter()
    store = SequenceStore(folder)
    assert store.classes and store.fingerprint
    open_s = time.perf_counter() - began
    train = store.split("train")
    plan = training_plan(train.lengths, BATCH_SIZE, 0, 0, 16)[:NUM_BATCHES]
    began = time.perf_counter()
    for rows in plan:
        make_batch(train, rows)
    read_s = time.perf_counter() - began
    network = build_network(Model(hidden_size=32, pooling="last"), store.num_features, 2, False)
    optimizer = torch.optim.AdamW(network.parameters())
    network(*make_batch(train, plan[0])[:2])  # the kernel is loaded
    began = time.perf_counter()
    for rows in plan:
        batch = make_batch(train, rows)
        loss = torch.nn.functional.cross_entropy(network(batch.inputs, batch.lengths), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    step_s = time.perf_counter() - began
    return {
        "open_s": open_s,
        "read_ms": 1e3 * read_s / len(plan),
        "step_ms": 1e3 * step_s / len(plan),
        "memory_mb": _own_memory_mb(),
    }


def _own_memory_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
