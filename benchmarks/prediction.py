"""The whole `seqbelt predict` command on many short recordings: rate, memory, scaling.

    python benchmarks/prediction.py FOLDER [--num-files 1000 10000 100000] [--rounds 1]
    python benchmarks/prediction.py FOLDER --recordings MY_RECORDINGS

FOLDER keeps the generated recordings (0.25 to 0.6 s at 8 kHz, 16 bit; no two alike) for the next
run. The model is an untrained network of the spoken digits' size: 40 mel bands, one bidirectional
LSTM of 128 units, attention. Each figure is of one process on all cores that this one may use; the
rate over the whole command has starting Python and loading the model in it, `predict_s` has not.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from seqbelt.features.audio.audio import LogMel
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

RATE = 8000
DIGITS = tuple("0123456789")


class Figure(NamedTuple):
    """One run of the command."""

    num_files: int
    command_s: float
    predict_s: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num-files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--recordings", type=Path, help="predict this folder instead")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="of the command")
    arguments = parser.parse_args()
    bundle = save_bundle(arguments.folder / "bundle")
    given = arguments.recordings
    folders = [given] if given else [generate(arguments.folder, n) for n in arguments.num_files]
    print("files, files/s of the whole command, files/s with the model loaded, peak memory")
    for folder in folders:
        figures = [run(bundle, folder, arguments.options) for _ in range(arguments.rounds)]
        count = figures[0].num_files
        whole = statistics.median(count / figure.command_s for figure in figures)
        loaded = statistics.median(count / figure.predict_s for figure in figures)
        peak = max(figure.peak_mb for figure in figures)
        print(f"{count:,}  {whole:,.0f}  {loaded:,.0f}  {peak:,.0f} MB", flush=True)


def save_bundle(folder: Path) -> Path:
    torch.manual_seed(0)
    features = LogMel(kind="log_mel", sample_rate=RATE)
    model = Model(hidden_size=128, bidirectional=True, pooling="attention")
    network = build_network(model, features.num_features, len(DIGITS), is_tokens=False)
    network.normalize.learn(torch.full((40,), -40.0), torch.full((40,), 15.0))
    Bundle("digits", features, {}, model, DIGITS, 40, weights_of(network), {}).save(folder)
    return folder


def generate(folder: Path, count: int) -> Path:
    """Write recordings that are not there yet: 1,000 to a folder."""
    target, whole = folder / f"wavs-{count}", folder / f"wavs-{count}.whole"
    if whole.is_file():
        return target
    random = np.random.default_rng(0)
    noise = random.normal(0, 3000, RATE * 60).astype("<i2")
    for number in range(count):
        length = int(random.integers(RATE // 4, RATE * 6 // 10))
        start = int(random.integers(0, len(noise) - length))
        content = noise[start : start + length].tobytes()
        path = target / f"{number // 1000:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header(len(content)) + content)
    whole.touch()
    return target


def header(num_bytes: int) -> bytes:
    """Of a WAV with so many bytes of 16-bit mono samples."""
    about = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    sizes = struct.pack("<I", num_bytes + 36), struct.pack("<I", num_bytes)
    return b"RIFF" + sizes[0] + b"WAVEfmt " + about + b"data" + sizes[1]


def run(bundle: Path, folder: Path, options: list[str]) -> Figure:
    outputs = bundle.with_name("outputs")
    shutil.rmtree(outputs, ignore_errors=True)
    command = [sys.executable, "-m", "seqbelt", "predict", str(bundle), str(folder)]
    command += ["--output", str(outputs / "all.parquet"), "--json", *options]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        raise SystemExit("the command failed")
    result = json.loads(out.splitlines()[-1])
    count = result["num_predicted"] + result["num_quarantined"]
    return Figure(count, seconds, result["predict_s"], used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
