"""A batch that does not fit into a GPU's memory is computed in pieces, with the same result.

    python benchmarks/gpu_memory.py

Trains three epochs of generated long sequences in batches of 64 on an empty GPU, then with all but
one GB of its memory taken away, and prints both courses of the loss.
"""

import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.features.arrays.channels import Channels
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

LEFT_BYTES = 1 << 30


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(2000, 16)).astype(np.float32) for _ in range(256)]
    for number, array in enumerate(arrays):
        array[-200:] += 0.1 * (number % 2)
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_manifest(
            label=[("no", "yes")[row % 2] for row in range(256)], split=["train"] * 256,
            contents=arrays,
        )  # fmt: skip
        train = prepare(manifest, Channels(kind="channels"), Path(folder), {}).store.split("train")
        for name in ("empty", "full"):
            torch.cuda.empty_cache()
            taken = None
            if name == "full":
                free, _ = torch.cuda.mem_get_info()
                taken = torch.empty(free - LEFT_BYTES, dtype=torch.uint8, device="cuda")
            began = time.perf_counter()
            _, history = Loop(
                Training(num_epochs=3, batch_size=64, device="cuda"),
                lambda: build_network(Model(hidden_size=256, pooling="mean"), 16, 2, False),
                train,
                None,
            ).run()
            losses = ", ".join(f"{epoch.train_loss:.6f}" for epoch in history.epochs)
            print(f"{name} GPU: losses {losses}; {time.perf_counter() - began:.1f} s", flush=True)
            del taken


if __name__ == "__main__":
    main()
