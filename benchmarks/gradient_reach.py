"""Gradient reach by the input and by the state: do they tell the same story?

    python benchmarks/gradient_reach.py STORE BUNDLE...      (seconds; one-directional models)

For each model: the norm of the loss's gradient k steps before the end relative to the end's, with
respect to what enters the recurrent layer (what `compare` reports) and with respect to the state
that leaves the step (hidden and cell state together), the latter by stepping torch's own cells.
Same sequences for both. Decision 17 says why the first is reported.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.data.batches import Batch
from seqbelt.data.store.store import SequenceStore
from seqbelt.inference.bundle import Bundle
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.training.gradient_reach import GradientReach, draw_sample, measure_reach

LAGS = (0, 1, 2, 5, 10, 20, 40, 60, 80, 99)


def state_reach(network: SequenceNetwork, batch: Batch) -> GradientReach:
    """The reach by the state, of a network of one layer and direction that pools the last step."""
    cell, weights = network.recurrent.cell, network.recurrent.weights
    assert weights.num_layers == 1 and not weights.bidirectional
    own = [getattr(weights, f"{name}_l0") for name in
           ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
    step = {"lstm": torch.lstm_cell, "gru": torch.gru_cell, "rnn": torch.rnn_tanh_cell}[cell]
    entering = (network.embed if network.is_tokens else network.normalize)(batch.inputs)
    total = torch.zeros(int(np.median(batch.lengths.numpy())))
    counts = torch.zeros_like(total)
    for row, length, label in zip(entering.detach(), batch.lengths.tolist(), batch.labels):
        state = torch.zeros(1, weights.hidden_size)
        states: list[tuple[Tensor, ...]] = []
        carried: tuple[Tensor, ...] = (state, state) if cell == "lstm" else (state,)
        for inputs in row[:length]:
            found = step(inputs[None], carried if cell == "lstm" else carried[0], *own)
            carried = tuple(found) if cell == "lstm" else (found,)
            states.append(carried)
        logits = network.classify(carried[0])
        loss = nn.functional.cross_entropy(logits, label[None])
        flat = [part for parts in states for part in parts]
        gradients = torch.autograd.grad(loss, flat, allow_unused=True)
        width = len(carried)
        norms = torch.stack([
            torch.cat([g for g in gradients[k : k + width] if g is not None], 1).norm()
            for k in range(0, len(gradients), width)
        ]).flip(0)[: len(total)]  # fmt: skip
        total[: len(norms)] += norms
        counts[: len(norms)] += 1
    curve = total / counts.clamp_min(1)
    return GradientReach((curve / curve[0]).numpy())


def main(store: Path, bundles: list[Path]) -> None:
    batch = draw_sample(SequenceStore(store).split("train"), seed=0)
    batch = Batch(*(part[:16] for part in batch))
    lags = [lag for lag in LAGS if lag < np.median(batch.lengths.numpy())]
    print(f"{'':24}" + "".join(f"{lag:>9}" for lag in lags) + "   half-life, reach")
    for folder in bundles:
        network = Bundle.load(folder).network
        for name, found in (("input", measure_reach(network, batch)),
                            ("state", state_reach(network, batch))):  # fmt: skip
            figures = "".join(f"{found.curve[lag]:9.1e}" for lag in lags)
            title = f"{folder.parent.name[:16]} {name}"
            print(f"{title:24}{figures}   {found.half_life}, {found.steps}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
