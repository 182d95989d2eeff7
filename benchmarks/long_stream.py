"""A day of a sensor, fed faster than it lasts: memory, delay, and the last answer.

    python benchmarks/long_stream.py WORK [--hours 24] [--speed 200]

A model in one direction is trained on the clips of benchmarks/live_alarm.py (six channels at 50
Hz) by a config of four lines. Hours of vibration are written to the standard input of `seqbelt
stream` at ``--speed`` times real time. Printed are the memory at each tenth, by how much the
writing was held up, and the difference of the last answer from `seqbelt predict` of the same rows.
"""

import argparse
import csv
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from live_alarm import COMMAND, NUM_CHANNELS, RATE, memory_mb, train, vibration, write

CONFIG = """name: vibration-live
data: {source: clips}
features: {kind: channels, source_rate_hz: 50, max_steps: 100_000_000}
model: {bidirectional: false}
"""
BLOCK_S = 10


def rows_of_day(hours: float, random: np.random.Generator) -> np.ndarray:
    """Rows ``(rows, 6)`` as the file has them, half of the hours with a fault."""
    half = int(hours * 1800) * RATE
    return vibration(2 * half, half, random).round(4)


def feed(process: subprocess.Popen[str], rows: np.ndarray, speed: float) -> tuple[list, float]:
    """Write the rows at ``speed``: memory in MB at each tenth, and the delay at the end in s."""
    assert process.stdin is not None
    process.stdin.write(",".join(f"axis_{n}" for n in range(NUM_CHANNELS)) + "\n")
    memory, block = [], BLOCK_S * RATE
    tenths = {int(part) // block for part in np.linspace(0, len(rows) - 1, 11)}
    began = time.perf_counter()
    for start in range(0, len(rows), block):
        due = began + start / RATE / speed
        time.sleep(max(0.0, due - time.perf_counter()))
        np.savetxt(process.stdin, rows[start : start + block], "%.4f", ",")
        if start // block in tenths:
            memory.append(round(memory_mb(process.pid)))
    process.stdin.close()
    return memory, time.perf_counter() - began - len(rows) / RATE / speed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--speed", type=float, default=200)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    model = train(work, CONFIG, clip_s=2)["model_uri"]
    rows = rows_of_day(arguments.hours, np.random.default_rng(1))
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "stream", model, "-", "--json"],
        cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    fed: list[tuple[list, float]] = []
    thread = threading.Thread(target=lambda: fed.append(feed(process, rows, arguments.speed)))
    thread.start()
    assert process.stdout is not None
    last, summary = {}, {}
    for line in process.stdout:
        last, summary = summary, json.loads(line)
    thread.join()
    if process.wait():
        raise SystemExit(f"exit code {process.returncode}")
    memory, delay_s = fed[0]
    print(f"{arguments.hours:g} h at {arguments.speed:g} times real time: memory {memory} MB, ")
    print(f"{delay_s:.1f} s behind at the end, latency {summary['latency_ms']} ms")
    write(work / "day/day.csv", rows)
    subprocess.run(
        [sys.executable, "-c", COMMAND, "predict", model, "day", "--output", "day.csv"],
        cwd=work, check=True,
    )  # fmt: skip
    with (work / "day.csv").open() as file:
        (predicted,) = csv.DictReader(file)
    print(f"last answer: {last}\npredict: {predicted}")


if __name__ == "__main__":
    main()
