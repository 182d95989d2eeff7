"""Where the time of a whole comparison goes, from an empty folder to the verdict.

    python benchmarks/whole_loop.py pipelines/configs/fsdd.yaml [KEY=VALUE ...]

Runs ``seqbelt compare`` in this process, in an empty folder with a tracking store of its own, and
counts the seconds in which a network computes: steps of training (forward, backward, update) and
passes outside of them (scores, controls, reasons). The rest is everything else: starting Python,
preparing files, batches, scores, checkpoints, MLflow, pictures.
"""

import time

BEGAN = time.perf_counter()  # before what takes long to import

import argparse
import functools
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import torch

from seqbelt.models.classifier import SingleNetwork
from seqbelt.experiment import Experiment
from seqbelt.commands import compare as comparison
from seqbelt.training.step import Step

spent: dict[str, float] = defaultdict(float)
open_clocks: list[str] = []


def clocked(owner: object, name: str, part: str) -> None:
    """Count the seconds of a function as a part's, less those of clocked functions inside."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def timed(*arguments: object, **options: object) -> object:
        began = time.perf_counter()
        open_clocks.append(part)
        try:
            return function(*arguments, **options)
        finally:
            open_clocks.pop()
            seconds = time.perf_counter() - began
            spent[part] += seconds
            if open_clocks:
                spent[open_clocks[-1]] -= seconds

    setattr(owner, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    clocked(Step, "__call__", "the network: training steps")
    clocked(SingleNetwork, "forward", "the network: passes")
    for name in ("prepare_data", "audit_first", "build_variants", "run_baselines", "log_baselines",
                 "measure_diagnostics", "register", "_log_conclusion"):  # fmt: skip
        clocked(comparison, name, name.strip("_").replace("_", " "))
    experiment = Experiment.load(arguments.config.absolute(), arguments.settings)
    started = time.perf_counter() - BEGAN
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        comparison.compare(experiment)
    whole = time.perf_counter() - BEGAN
    spent["imports and settings"] = started
    network = sum(seconds for part, seconds in spent.items() if part.startswith("the network"))
    for part, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{part:30} {seconds:8.1f} s  {seconds / whole:6.1%}")
    print(f"{'everything else':30} {whole - sum(spent.values()):8.1f} s")
    print(f"whole {whole:.1f} s, {torch.get_num_threads()} threads; "
          f"outside the network {1 - network / whole:.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
