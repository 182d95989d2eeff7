"""Ten hours of sound with a model of clips: time, memory, and the same rows after kills.

    python benchmarks/long_recordings.py MODEL DIGITS WORK [--hours 10] [--kills 2]

MODEL is a bundle of clips, such as that of benchmarks/sound_events.py; DIGITS the manifest of the
Free Spoken Digit Dataset. Below WORK one recording at 16 kHz is written: noise with spoken digits
at 10 dB. `seqbelt predict --timeline` labels it once undisturbed and once with `kill -9` at random
moments, begun again each time. Printed are seconds by the clock and of all processes, the
largest memory of all processes together (shared pages once), and whether the rows are the same.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly
from sound_events import Digits, digit_at, noise

RATE = 16_000
BLOCK_S = 60
SNR_DB = 10
COMMAND = "from seqbelt.cli import main; main()"


def write_recording(path: Path, digits: Digits, hours: float) -> None:
    """Minutes of noise with a digit every two seconds, one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(round(hours * 3600 / BLOCK_S)):
            block = noise(BLOCK_S * RATE, digits.random)
            for start in range(0, BLOCK_S - 2, 2):
                samples = digit_at(resample_poly(digits.draw()[0], 2, 1), SNR_DB)
                first = start * RATE
                block[first : first + len(samples)] += samples[: len(block) - first]
            file.write(block.clip(-1, 1).astype(np.float32))


def memory_mb(root: int) -> float:
    """Memory of a process and all that it has started, shared pages divided among them."""
    parents, memory = dict[int, int](), dict[int, int]()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # ended meanwhile
        parents[int(process.name)] = int(fields[1])
        memory[int(process.name)] = sum(int(x.split()[1]) for x in lines if x.startswith("Pss:"))
    family, size = {root}, 0
    while len(family) > size:
        size = len(family)
        family |= {process for process, parent in parents.items() if parent in family}
    return sum(memory.get(process, 0) for process in family) / 1024


def predict(model: str, work: Path, output: Path, kill_after_s: float | None) -> dict[str, float]:
    """Run once, or until it is killed: seconds by the clock and of processors, memory in MB."""
    command = [sys.executable, "-c", COMMAND, "predict", model, "recordings", "--timeline"]
    began, largest = time.perf_counter(), 0.0
    with (work / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [*command, "--output", output.name], cwd=work, stderr=log, stdout=log,
            start_new_session=True,
        )  # fmt: skip
        while process.poll() is None:
            largest = max(largest, memory_mb(process.pid))
            if kill_after_s is not None and time.perf_counter() - began > kill_after_s:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.2)
    seconds = time.perf_counter() - began
    if kill_after_s is None and process.returncode:
        raise SystemExit(f"exit code {process.returncode}, see {work / 'log.txt'}")
    return {"seconds": seconds, "memory_mb": largest}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("digits", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    path = work / "recordings/long.wav"
    if not path.exists():
        write_recording(
            path, Digits(arguments.digits, "test", np.random.default_rng(arguments.seed)),
            arguments.hours,
        )  # fmt: skip
    # A folder from here, or the name of a registered model.
    model = (
        str(Path(arguments.model).resolve()) if Path(arguments.model).exists() else arguments.model
    )
    print(f"{arguments.hours:g} hours at {RATE} Hz, {path.stat().st_size / 1e6:,.0f} MB")
    before = os.times()
    done = predict(model, work, work / "undisturbed.csv", None)
    after = os.times()
    processor_s = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    print(
        f"undisturbed: {done['seconds']:.0f} s, {processor_s:.0f} s of processors, "
        f"largest memory {done['memory_mb']:,.0f} MB"
    )
    moments = random.Random(arguments.seed)
    for number in range(arguments.kills):
        moment = moments.uniform(0.1, 0.6) * done["seconds"]
        predict(model, work, work / "killed.csv", moment)
        print(f"kill {number + 1} after {moment:.0f} s")
    last = predict(model, work, work / "killed.csv", None)
    same = (work / "killed.csv").read_bytes() == (work / "undisturbed.csv").read_bytes()
    rows = (work / "undisturbed.csv").read_text().count("\n") - 1
    print(f"{rows:,} segments; after the kills {'the same' if same else 'OTHER'} rows")
    print(f"the last run took {last['seconds']:.0f} s")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
