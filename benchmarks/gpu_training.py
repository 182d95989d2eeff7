"""Training on a GPU: is it right, and how fast is it?

    python benchmarks/gpu_training.py --stores FOLDER [--json FILE]

Three sets (spoken digits, film reviews, long signals) lie prepared in FOLDER; missing ones are
prepared from the known sets (SEQBELT_DATA_MIRROR, or fetched). First the checks: layouts, waiting,
recorded steps, repetition, resuming, prediction, explanation, a backbone. Then, interleaved, in
shuffled rounds, the steps per second of

naive           the tutorials' loop: DataLoader, pad_sequence, .to(device), pack_padded_sequence,
                Adam, loss.item() in every step
packed          the product's loop in its packed layout
launched        the product's loop in the layout that it chooses, launching kernel by kernel
ahead           its steps recorded, its batches padded on the CPU by the thread that works ahead
product         as it is: its steps recorded, its batches gathered on the GPU
bare packed     cuDNN's layer and AdamW over packed batches that lie on the GPU: no dropout, no
                pooling but the last state, no clipping, no count of the loss
bare padded     the same over padded batches, lengths ignored (its answers are wrong)
bare recorded   the same, each batch's step recorded as a CUDA graph of its own

and whole trainings by ``Training.fit``, and cuDNN's time for a step in time by hidden size.
"""

import argparse
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

import torch
from gpu_training.checks import run_checks
from gpu_training.kernels import HIDDEN_SIZES, time_kernels
from gpu_training.rates import EVERY_WAY, MAIN_WAYS, fit, measure
from gpu_training.report import check_table, fit_table, kernel_table, main_table, rate_table
from gpu_training.workloads import load_workloads

CELLS = ("lstm", "gru", "rnn")


def main() -> None:
    arguments = parse()
    device = torch.device(arguments.device)
    workloads = load_workloads(arguments.stores, 16 if arguments.quick else None)
    about = [describe_machine(device), *(workload.describe() for workload in workloads)]
    print("\n".join(about), flush=True)
    checks = run_checks(workloads, device)
    print(f"\n{check_table(checks)}\n", flush=True)
    seconds, rates, fits = 0.02 if arguments.quick else 0.25, [], []
    for workload in workloads:
        for cell in CELLS:
            fits.append(fit(workload, cell, device))
    print(f"\n{fit_table(fits)}\n", flush=True)
    for workload in workloads:
        found = measure(workload, "lstm", EVERY_WAY, device, arguments.rounds, seconds)
        rates += found
        print(f"\n{rate_table(found)}\n", flush=True)
    for workload in workloads:
        for cell in CELLS[1:]:
            rates += measure(workload, cell, MAIN_WAYS, device, arguments.rounds, seconds)
    print(f"\n{main_table(rates)}\n", flush=True)
    kernels = time_kernels(device, HIDDEN_SIZES[:1] if arguments.quick else HIDDEN_SIZES)
    print(f"\n{kernel_table(kernels)}\n")
    if arguments.json:
        parts = {"checks": checks, "fits": fits, "rates": rates, "kernels": kernels}
        raw = {name: [asdict(row) for row in rows] for name, rows in parts.items()}
        arguments.json.write_text(json.dumps({"about": about, **raw}, indent=1), encoding="utf-8")


def describe_machine(device: torch.device) -> str:
    """Hardware and versions in one line."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    if device.type != "cuda":
        return f"CPU, {os.cpu_count()} cores, {versions}"
    cudnn = torch.backends.cudnn.version()
    return (
        f"{torch.cuda.get_device_name(device)}, {os.cpu_count()} cores, {versions}, cuDNN {cudnn}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", type=Path, required=True, help="folder of the prepared sets")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to rehearse")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="16 rows of each set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure of every round")
    return parser.parse_args()


if __name__ == "__main__":
    main()
