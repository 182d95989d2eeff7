"""How many sequences a step should hold, and how many threads it should use, on a CPU.

    python benchmarks/batches_and_threads.py

Trains (forward, backward, AdamW) the network of benchmarks/recurrent_engine.py on its workloads,
in the layout that `auto` picks, for several batch sizes and numbers of threads; each combination
once a round, in shuffled order; printed are medians, sequences a second. Data comes from
SEQBELT_DATA_MIRROR or is fetched.
"""

import argparse
import random
import time
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from recurrent_engine.contenders import Ours, Task, TorchRunner
from recurrent_engine.workloads import NAMES, Workload, load_workloads

BATCH_SIZES = (8, 16, 32, 64, 128, 256)
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--workloads", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="an eighth of the sequences")
    arguments = parser.parse_args()
    columns = [(name, count) for name in arguments.workloads for count in arguments.threads]
    found: dict[tuple[str, int, int], float] = {}
    for workload in load_workloads(arguments.workloads, arguments.quick):
        for (size, threads), rate in rates(workload, arguments.threads, arguments.rounds).items():
            found[workload.name, threads, size] = rate
    print(f"| batch | {' | '.join(f'{name}, {count} threads' for name, count in columns)} |")
    print("| --- |" + " --- |" * len(columns))
    for size in BATCH_SIZES:
        rates_of_size = (f"{found[name, count, size]:,.0f}" for name, count in columns)
        print(f"| {size} | {' | '.join(rates_of_size)} |")


def rates(workload: Workload, threads: list[int], rounds: int) -> dict[tuple[int, int], float]:
    """Median sequences a second by (batch size, threads)."""
    seconds: dict[tuple[int, int], list[float]] = {}
    for size in BATCH_SIZES:
        for count in threads:
            seconds[size, count] = []
    runners = {size: _runner(replace(workload, batch_size=size)) for size in BATCH_SIZES}
    for number in range(-1, rounds):  # the first round warms up
        order = list(seconds)
        random.Random(number).shuffle(order)
        for size, count in order:
            torch.set_num_threads(count)
            began = time.perf_counter()
            runners[size]()
            if number >= 0:
                seconds[size, count].append(time.perf_counter() - began)
    return {key: len(workload.sequences) / median(found) for key, found in seconds.items()}


def _runner(workload: Workload) -> partial[None]:
    task = Task(workload, "lstm", CPU)
    runner = TorchRunner(task, Ours(task, "auto"), bf16=False)
    return partial(_epoch, runner, workload.batches(bucketed=True))


def _epoch(runner: TorchRunner, batches: list) -> None:
    for batch in batches:
        runner.train(batch)


if __name__ == "__main__":
    main()
