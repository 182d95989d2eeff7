"""An alarm on a live signal: how soon it comes, and how often without a reason.

    python benchmarks/live_alarm.py WORK [--trials 20] [--normal-hours 20] [--window-s 2]
        [--options --threshold 0.9 --min-duration-s 2]

Vibration of a machine at 50 Hz in six channels is generated: rotation of varying speed and load in
noise; a fault adds sidebands and knocks, from 60 s to 180 s of a signal. A model is trained on
clips of --window-s seconds of other days by a config of three lines and one rate. Printed are the
delays of `seqbelt stream --events` from the fault's begin to its alarm, the false alarms in hours
of normal vibration, the real-time factor, and the process's memory at the start and at the end.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

RATE = 50
NUM_CHANNELS = 6
FAULT_S, END_S = 60, 180
NUM_CLIPS = 600
CONFIG = """name: vibration
data: {source: clips}
features: {kind: channels, source_rate_hz: 50}
"""
COMMAND = "from seqbelt.cli import main; main()"


def vibration(num_rows: int, fault_at: int | None, random: np.random.Generator) -> np.ndarray:
    """Rows ``(num_rows, 6)`` of one machine; the fault begins at row ``fault_at``."""
    times = np.arange(num_rows) / RATE
    # The speed wanders by 0.2 Hz (standard deviation) and is governed back within minutes.
    wander = lfilter([0.002], [1, -(1 - 5e-5)], random.standard_normal(num_rows))
    phase = 2 * np.pi * np.cumsum(random.uniform(4, 7) + wander) / RATE
    load = 1 + 0.3 * np.sin(2 * np.pi * times / random.uniform(20, 60) + random.uniform(0, 6))
    mixing = np.random.default_rng(99).uniform(0.3, 1, (4, NUM_CHANNELS))  # the same machine
    mixing *= random.uniform(0.9, 1.1, mixing.shape)  # on another day
    sources = [load * np.sin(phase), 0.4 * np.sin(2 * phase + 1), 0.2 * np.sin(3 * phase)]
    knocks = np.zeros(num_rows)
    if fault_at is not None:
        is_fault = times >= fault_at / RATE
        turns = np.floor(phase / (2 * np.pi))
        knocks[1:] = (np.diff(turns) > 0) * random.uniform(0.5, 1.2)
        knocks = np.convolve(knocks, [1, -0.7, 0.4, -0.2])[:num_rows] * is_fault
        sources[0] = sources[0] * (1 + 0.4 * is_fault * np.sin(phase / 2.3))
    signal = np.stack([*sources, knocks], axis=1) @ mixing
    return signal + 0.25 * random.standard_normal((num_rows, NUM_CHANNELS))


def write(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ",".join(f"axis_{number}" for number in range(NUM_CHANNELS))
    np.savetxt(path, rows, "%.4f", ",", header=names, comments="")


def memory_mb(process: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def train(work: Path, config: str, clip_s: float) -> dict:
    """What `seqbelt train` prints of a model of clips of other days, trained once."""
    trained = work / "trained.json"
    if not trained.exists():
        random = np.random.default_rng(0)
        for number in range(NUM_CLIPS):
            rows = vibration(round(clip_s * RATE), 0 if number % 2 else None, random)
            write(work / "clips" / ("fault" if number % 2 else "normal") / f"{number}.csv", rows)
        (work / "vibration.yaml").write_text(config)
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "train", "vibration.yaml", "--json"],
            cwd=work, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        trained.write_text(done.stdout.splitlines()[-1])
    return json.loads(trained.read_text())


def listen(
    work: Path, model: str, window_s: float, rows: np.ndarray, options: list[str]
) -> tuple[list[dict], dict]:
    """The events of a signal that is written to the standard input of `seqbelt stream`, and the
    summary with memory in MB after a tenth of it and at the end."""
    command = [sys.executable, "-c", COMMAND, "stream", model, "-", "--json", "--events"]
    process = subprocess.Popen(
        [*command, "--window-s", str(window_s), *options],
        cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    memory: list[float] = []

    def feed() -> None:
        assert process.stdin is not None
        process.stdin.write(",".join(f"axis_{n}" for n in range(NUM_CHANNELS)) + "\n")
        blocks = np.array_split(rows, max(10, len(rows) // 5000))
        for number, block in enumerate(blocks):
            np.savetxt(process.stdin, block, "%.4f", ",")
            if number in (len(blocks) // 10, len(blocks) - 1):
                memory.append(memory_mb(process.pid))
        process.stdin.close()

    thread = threading.Thread(target=feed)
    thread.start()
    assert process.stdout is not None
    lines = [json.loads(line) for line in process.stdout]
    thread.join()
    if process.wait():
        raise SystemExit(process.stderr.read() if process.stderr else "")
    return lines[:-1], lines[-1] | {"memory_mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--normal-hours", type=float, default=20)
    parser.add_argument("--window-s", type=float, default=2)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="of the stream")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    about = train(work, CONFIG, arguments.window_s)
    print(f"test accuracy of clips: {about['test'] and about['test']['accuracy']}")
    random = np.random.default_rng(1)
    delays, num_early = [], 0
    for _ in range(arguments.trials):
        rows = vibration(END_S * RATE, FAULT_S * RATE, random)
        events, _ = listen(work, about["model_uri"], arguments.window_s, rows, arguments.options)
        alarms = [event["time_s"] for event in events if event["label"] == "fault"]
        num_early += sum(time_s < FAULT_S for time_s in alarms)
        delays.append(next((t - FAULT_S for t in alarms if t >= FAULT_S), np.inf))
    print(f"delays of the alarm in s: {np.round(sorted(delays), 2).tolist()}; early: {num_early}")
    rows = vibration(int(arguments.normal_hours * 3600) * RATE, None, random)
    began = time.perf_counter()
    events, summary = listen(work, about["model_uri"], arguments.window_s, rows, arguments.options)
    seconds = time.perf_counter() - began
    num_alarms = sum(event["label"] == "fault" for event in events)
    print(
        f"{arguments.normal_hours:g} h of normal vibration: {num_alarms} alarms, "
        f"{len(rows) / RATE / seconds:.0f} times real time, latency {summary['latency_ms']} ms, "
        f"memory {summary['memory_mb']} MB"
    )


if __name__ == "__main__":
    main()
