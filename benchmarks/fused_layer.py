"""Time the fused recurrent layers against torch's layers on packed sequences.

Run ``python benchmarks/fused_layer.py [--quick]``. Both are timed in turn in one process, on the
same randomly ordered batches, and medians are compared, because other programs disturb a single
time but hardly the ratio of medians of interleaved runs.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from seqbelt.models.fused import Plan, fused_layer, is_available, why_unavailable

HIDDEN_SIZE = 128
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}
# name: batch size, median, shortest and longest length in steps, input size, directions
WORKLOADS = {
    "short audio": (64, 43, 15, 130, 40, 2),
    "text": (64, 27, 3, 150, 128, 1),
    "long signals": (32, 670, 300, 1300, 64, 1),
}


def draw_lengths(batch_size: int, median: int, shortest: int, longest: int) -> Tensor:
    """Lengths in steps, log-normal around the median: many short sequences and a few long ones."""
    lengths = median * torch.exp(0.45 * torch.randn(batch_size))
    return lengths.long().clamp(shortest, longest)


def make_steps(
    cell: str, lengths: Tensor, input_size: int, directions: int
) -> dict[str, Callable[[], Tensor]]:
    """The packed and the fused layer, with the same weights, from their usual inputs to a loss."""
    layer = CELLS[cell](input_size, HIDDEN_SIZE, bidirectional=directions == 2)
    weights = [layer.all_weights[direction] for direction in range(directions)]
    rows = torch.randn(int(lengths.sum()), input_size)
    padded = pad_sequence(list(rows.split(lengths.tolist())))

    def packed() -> Tensor:
        batch = pack_padded_sequence(padded, lengths, enforce_sorted=False)
        output, final = layer(batch)
        return loss(output.data, final)

    def fused() -> Tensor:
        return loss(*fused_layer(cell, rows, Plan(lengths), weights))

    def loss(output: Tensor, final: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        hidden = final if isinstance(final, Tensor) else final[0]
        return output.mean() + hidden.square().mean()

    return {"packed": packed, "fused": fused}


def train(step: Callable[[], Tensor]) -> None:
    step().backward()


def infer(step: Callable[[], Tensor]) -> None:
    with torch.inference_mode():
        step()


def medians(
    run: Callable[[Callable[[], Tensor]], None],
    steps: dict[str, Callable[[], Tensor]],
    repetitions: int,
    warm_up: bool,
) -> dict[str, float]:
    """Median seconds of each step, the steps taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for name in steps:
        if warm_up or name == "fused":
            run(steps[name])
    for _ in range(repetitions):
        for name, step in steps.items():
            start = time.perf_counter()
            run(step)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions, no long training")
    quick = parser.parse_args().quick
    if not is_available():
        raise SystemExit(why_unavailable())
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, hidden {HIDDEN_SIZE}")
    print(f"{'workload':14}{'cell':10}{'run':10}{'packed ms':>11}{'fused ms':>11}{'ratio':>8}")
    for workload, (batch_size, *spread, input_size, directions) in WORKLOADS.items():
        lengths = draw_lengths(batch_size, *spread)
        for cell in CELLS:
            steps = make_steps(cell, lengths, input_size, directions)
            for run in (train, infer):
                # Training torch's packed layers takes time quadratic in the length.
                slow = workload == "long signals" and run is train
                if quick and slow:
                    continue
                repetitions = 1 if slow else 5 if quick or workload == "long signals" else 15
                found = medians(run, steps, repetitions, warm_up=not slow)
                packed_ms, fused_ms = 1e3 * found["packed"], 1e3 * found["fused"]
                print(
                    f"{workload:14}{cell:10}{run.__name__:10}{packed_ms:11.1f}{fused_ms:11.1f}"
                    f"{packed_ms / fused_ms:8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
