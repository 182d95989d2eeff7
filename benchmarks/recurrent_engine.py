"""The recurrent engine against what others use, in one interleaved run.

    python benchmarks/recurrent_engine.py [--save docs/pictures/recurrent_engine.png]

One network (embedding where there are tokens, one recurrent layer of 128 units, last state, linear
layer) is trained (forward, backward, AdamW) and asked (inference) on the same sequences, from the
same weights, around several recurrences:

packed loop, random      the tutorial's: random batches, pack_padded_sequence, torch's layer
padded to set's longest  torch's layer over everything padded to the data set's longest; lengths
                         are ignored, so its answers depend on the padding
Keras 3, masked, random  Keras on torch, padded to the batch's longest and masked (where installed)
ONNX Runtime, OpenVINO   the file that ``seqbelt export`` writes of the network, bucketed batches;
                         inference only (where installed)
seqbelt ...              this project's layouts, on batches bucketed by length unless "random"
products step by step    the products of the valid steps by torch.mm, in the same shapes: the rate
                         that the machine gives to them at that minute (CPU)
products in blocks       the same, the recurrent ones for 1,024 rows at once (CPU)
bare cuDNN, resident     cuDNN over packed batches that lie on the GPU already (CUDA)

Each round runs every contender once, in shuffled order; reported are medians of each round's ratio
with the smallest and largest. Ratios are of valid steps a second, because contenders that would
take minutes run fewer batches, as printed. Recordings and reviews come from SEQBELT_DATA_MIRROR or
are fetched.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

import torch
from recurrent_engine.contenders import CELLS, REFERENCE, Contender, Task, torch_contenders
from recurrent_engine.exported_contenders import exported_contenders
from recurrent_engine.keras_contender import keras_contender
from recurrent_engine.picture import draw, save
from recurrent_engine.products import largest_rate
from recurrent_engine.report import (
    RUNS,
    Result,
    error_table,
    measured_best,
    rate_table,
    shortened,
    speed_table,
)
from recurrent_engine.timing import Errors, measure, measure_errors
from recurrent_engine.workloads import NAMES, load_workloads

from seqbelt.models import fused

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    arguments = parse()
    device = torch.device(arguments.device)
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
    torch.backends.cudnn.allow_tf32 = arguments.tf32
    has_fused = device.type == "cpu" and fused.is_available()
    contenders, versions = all_contenders(device, has_fused, arguments)
    about = describe_machine(device, arguments, versions)
    print(about)
    if device.type == "cpu" and not has_fused:
        print(f"seqbelt fused skipped: {fused.why_unavailable()}")
    results, errors = run_all(contenders, device, arguments)
    print_tables(results, errors, *measured_best(device.type, contenders))
    if arguments.save:
        save(draw(results, about), arguments.save)
    if arguments.json:
        raw = {"about": about, "results": [asdict(result) for result in results]}
        arguments.json.write_text(json.dumps(raw, indent=1), encoding="utf-8")


def all_contenders(
    device: torch.device, has_fused: bool, arguments: argparse.Namespace
) -> tuple[list[Contender], str]:
    """Those that are asked for, the reference first, and the versions of what is not torch."""
    contenders = torch_contenders(device, has_fused)
    keras, keras_version = keras_contender(arguments.device)
    if keras and not arguments.no_keras:
        contenders.insert(2, keras)
    versions = [keras_version]
    if device.type == "cpu":
        exported, exported_versions = exported_contenders()
        contenders += exported
        versions.append(exported_versions)
    if arguments.contenders:
        names = [contender.name for contender in contenders]
        if unknown := set(arguments.contenders).difference(names):
            raise SystemExit(f"--contenders: no {sorted(unknown)} here; there are {names}")
        asked = {REFERENCE, *arguments.contenders}
        contenders = [contender for contender in contenders if contender.name in asked]
    return contenders, ", ".join(versions)


def run_all(
    contenders: list[Contender], device: torch.device, arguments: argparse.Namespace
) -> tuple[list[Result], dict[tuple[str, str], dict[str, Errors]]]:
    """Every workload and cell, trained and inferred; and the errors of each."""
    results, errors = [], {}
    clock = CLOCKS[arguments.clock]
    for workload in load_workloads(arguments.workloads, arguments.quick):
        print(f"- {workload.describe()}", flush=True)
        for cell in arguments.cells:
            task = Task(workload, cell, device)
            errors[workload.name, cell] = measure_errors(task, contenders)
            for run in RUNS:
                timed = measure(task, contenders, run == "training", arguments.rounds, clock)
                results.append(Result(workload.name, cell, run, timed))
    return results, errors


def print_tables(
    results: list[Result],
    errors: dict[tuple[str, str], dict[str, Errors]],
    own: str,
    bests: list[str],
) -> None:
    num_rounds = len(next(iter(results[0].timed.values())).seconds)
    print(f"\nRounds: {num_rounds}. Fewer batches than the others: {shortened(results)}.")
    for run in RUNS:
        print(f"\n{speed_table(results, run)}")
    print(f"\nUseful work of the recurrent layer:\n\n{rate_table(results, own, bests)}")
    print(
        "\nDifference from torch's packed layer in float32: largest of the final states / "
        f"relative of the weights' gradient:\n\n{error_table(errors)}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=CELLS)
    parser.add_argument("--workloads", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall",
        help="cpu is the steadier one on a busy machine, with --threads 1",
    )  # fmt: skip
    parser.add_argument("--tf32", action="store_true", help="let CUDA round float32 to TF32")
    parser.add_argument("--no-keras", action="store_true")
    parser.add_argument(
        "--contenders", nargs="+", metavar="NAME", help=f"only these, beside {REFERENCE!r}"
    )
    parser.add_argument("--quick", action="store_true", help="an eighth of the sequences")
    parser.add_argument("--save", type=Path, metavar="PICTURE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every time of every round")
    return parser.parse_args()


def describe_machine(device: torch.device, arguments: argparse.Namespace, versions: str) -> str:
    """Hardware and versions in one line, with the machine's largest product rate."""
    software = f"Python {platform.python_version()}, torch {torch.__version__}, {versions}"
    if device.type == "cuda":
        tf32 = "on" if arguments.tf32 else "off"
        return f"{torch.cuda.get_device_name(device)}, {software}, TF32 {tf32}"
    capability = torch.backends.cpu.get_cpu_capability()
    rate = largest_rate(CLOCKS[arguments.clock])
    threads = f"{arguments.threads} thread{'s' * (arguments.threads > 1)}"
    return (
        f"{processor_name()}, {os.cpu_count()} cores, {capability}, {threads}, "
        f"{arguments.clock} time, {software}; a product of 1536 x 1536 runs at {rate:.0f} GFLOP/s"
    )


def processor_name() -> str:
    """As Linux names it, or as Python does."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
