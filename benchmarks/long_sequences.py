"""Sequences of 100,000 steps: memory, time, and what truncation does to the gradient.

    python benchmarks/long_sequences.py MANIFEST [--steps 100000]

The first table trains one step on generated sequences, each case in a process of its own, so that
its peak memory is its own. The second compares the gradient truncated at chunks of several sizes
with the exact one, on spoken digits at a hop of 2 ms (MANIFEST is what `seqbelt data get fsdd`
prints), after one epoch of exact training: cosine and ratio of norms over all weights.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from seqbelt.data.batches import make_batch
from seqbelt.data.sources.dataset import Data
from seqbelt.data.store.preparation import prepare
from seqbelt.features.audio.audio import LogMel
from seqbelt.models.chunks import Chunks
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

BATCH, FEATURES, CHUNK = 4, 16, 2000
CELLS = ("lstm", "gru", "rnn")
PLAIN = {"hidden_size": 128, "pooling": "last"}
WORK = {"whole": None, "chunks": Chunks(CHUNK), "truncated": Chunks(CHUNK, truncate=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(train_step(*arguments.case, arguments.steps)))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    memory_table(arguments)
    bias_table(arguments.manifest)


def memory_table(arguments: argparse.Namespace) -> None:
    print(
        f"| one step, {BATCH} x {arguments.steps:,} steps | CPU seconds | memory beyond start, MB |"
    )
    print("|---|---|---|")
    for cell in CELLS:
        for way in WORK:
            command = [sys.executable, *sys.argv, "--case", cell, way]
            found = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
            print(f"| {cell}, {way} | {found['seconds']:.1f} | {found['megabytes']:,.0f} |")


def train_step(cell: str, way: str, num_steps: int) -> dict[str, float]:
    """CPU seconds and peak memory of one forward and backward pass, pooling ``last``."""
    torch.manual_seed(0)
    network = build_network(Model.model_validate({"cell": cell, **PLAIN}), FEATURES, 2, False)
    gradients(network, torch.randn(1, 8, FEATURES), torch.tensor([8]), WORK[way])  # loads code
    lengths = torch.linspace(num_steps / 2, num_steps, BATCH).long()
    inputs = torch.randn(BATCH, num_steps, FEATURES)
    before, began = peak_megabytes(), time.process_time()
    gradients(network, inputs, lengths, WORK[way])
    return {"seconds": time.process_time() - began, "megabytes": peak_megabytes() - before}


def bias_table(manifest: str) -> None:
    features = LogMel(kind="log_mel", sample_rate=8000, window_ms=25, hop_ms=2)
    with tempfile.TemporaryDirectory() as folder:
        train = prepare(Data(source=manifest).load(), features, Path(folder), {}).store.split(
            "train"
        )
        batch = make_batch(train, torch.arange(0, len(train), 20).numpy()[:128])
        print(f"\nmedian {batch.lengths.median()} steps\n")
        print("| cosine (norm) of the truncated gradient | 10 steps | 25 | 50 | 100 | 200 |")
        print("|---|---|---|---|---|---|")
        for cell in CELLS:
            for pooling in ("last", "mean"):
                model = Model.model_validate({"cell": cell, **PLAIN, "pooling": pooling})
                network, _ = Loop(
                    Training(num_epochs=1, learning_rate=2e-3),
                    lambda model=model: build_network(model, features.num_features, 10, False),
                    train,
                    None,
                ).run()
                exact = gradients(network, batch.inputs, batch.lengths, None, batch.labels)
                row = [f"{cell}, pooling {pooling}"]
                for steps in (10, 25, 50, 100, 200):
                    chunks = Chunks(steps, truncate=True)
                    found = gradients(network, batch.inputs, batch.lengths, chunks, batch.labels)
                    cosine = nn.functional.cosine_similarity(found, exact, dim=0)
                    row.append(f"{cosine:.2f} ({found.norm() / exact.norm():.2f})")
                print("| " + " | ".join(row) + " |")


def gradients(
    network: SequenceNetwork,
    inputs: torch.Tensor,
    lengths: torch.Tensor,
    chunks: Chunks | None,
    labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """The gradient of the loss with respect to the recurrent layer's weights, flat."""
    labels = torch.zeros(len(inputs), dtype=torch.int64) if labels is None else labels
    loss = nn.functional.cross_entropy(network(inputs, lengths, chunks), labels)
    found = torch.autograd.grad(loss, list(network.recurrent.parameters()))
    return torch.cat([gradient.flatten() for gradient in found])


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
