"""Events in hours of sound: labels of clips against a label for every step.

    python benchmarks/sound_events.py DIGITS WORK [--hours 1] [--seed 0]

DIGITS is the manifest of the Free Spoken Digit Dataset. Below WORK are made, from its training
recordings: clips with one digit in noise and clips of noise, labelled as a whole (folders of
classes); and streams of 30 s with a table of segments each, of the same digits. From its test
recordings: an hour of noise with digits at 0, 10 and 20 dB, exact truth beside them. Two models
are trained by configs of three and four lines, and both label the hours: the model of clips by
`seqbelt predict --timeline`, the model of steps by `seqbelt predict`. Printed is the F1 of events:
a predicted event counts if it has the true label and overlaps a true one by half (intersection
over union).
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.csv as arrow_csv
import soundfile

RATE = 8000
SNRS_DB = (0, 10, 20)
TRAINING_SNR_DB = (-3.0, 25.0)
NOISE_STD = 0.03
NUM_STREAMS, STREAM_S = 60, 30.0
PAUSE_S = (0.3, 4.0)
CLIP_MARGIN_S = (0.0, 0.3)
BACKGROUND = "noise"


def noise(num_samples: int, random: np.random.Generator) -> np.ndarray:
    """Noise between white and pink, as loud as NOISE_STD."""
    spectrum = np.fft.rfft(random.standard_normal(num_samples))
    frequencies = np.fft.rfftfreq(num_samples, 1 / RATE).clip(20)
    samples = np.fft.irfft(spectrum * frequencies ** -random.uniform(0, 0.5), num_samples)
    return NOISE_STD * samples / samples.std()


def digit_at(samples: np.ndarray, snr_db: float) -> np.ndarray:
    """A recording, scaled so that its mean power is ``snr_db`` above the noise's."""
    return (
        samples * NOISE_STD * 10 ** (snr_db / 20) / max(1e-6, float(np.sqrt((samples**2).mean())))
    )


class Digits:
    """Recordings of one part, drawn at random."""

    def __init__(self, manifest: Path, split: str, random: np.random.Generator) -> None:
        with manifest.open() as file:
            self.rows = [row for row in csv.DictReader(file) if row["split"] == split]
        self.root, self.random = manifest.parent, random

    def draw(self) -> tuple[np.ndarray, str]:
        row = self.rows[self.random.integers(len(self.rows))]
        return soundfile.read(self.root / row["path"])[0], row["label"]


def write_clips(folder: Path, digits: Digits, number: int) -> None:
    random = digits.random
    for index in range(number):
        samples, label = digits.draw()
        before, after = (int(random.uniform(*CLIP_MARGIN_S) * RATE) for _ in range(2))
        if is_noise := index % 6 == 0:
            label = BACKGROUND
        clip = noise(before + len(samples) + after, random)
        if not is_noise:
            clip[before : before + len(samples)] += digit_at(
                samples, random.uniform(*TRAINING_SNR_DB)
            )
        write(folder / label / f"{index:05d}.wav", clip)


def write_stream(
    path: Path, digits: Digits, duration_s: float, snr_db: float | None
) -> list[tuple]:
    """A recording and its segments ``(start_s, end_s, label)``."""
    random = digits.random
    stream, place, segments = noise(int(duration_s * RATE), random), 0, []
    while True:
        samples, label = digits.draw()
        place += int(random.uniform(*PAUSE_S) * RATE)
        if place + len(samples) > len(stream):
            break
        level_db = random.uniform(*TRAINING_SNR_DB) if snr_db is None else snr_db
        stream[place : place + len(samples)] += digit_at(samples, level_db)
        segments.append((place / RATE, (place + len(samples)) / RATE, label))
        place += len(samples)
    write(path, stream)
    with path.with_suffix(".segments.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("start_s", "end_s", "label"), *segments])
    return segments


def write(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.clip(-1, 1), RATE)


def f1(true: list[tuple], predicted: list[tuple]) -> tuple[float, float, float]:
    """F1, precision and recall; each true event is found once at most."""
    num_hits, taken = 0, set()
    starts = np.array([event[0] for event in true])
    for start, end, label in predicted:
        first = max(0, int(np.searchsorted(starts, start)) - 2)
        best, best_overlap = None, 0.5
        for index in range(first, min(len(true), first + 6)):
            true_start, true_end, true_label = true[index]
            common = min(end, true_end) - max(start, true_start)
            overlap = common / (max(end, true_end) - min(start, true_start))
            if true_label == label and index not in taken and overlap >= best_overlap:
                best, best_overlap = index, overlap
        if best is not None:
            taken.add(best)
            num_hits += 1
    precision, recall = num_hits / max(1, len(predicted)), num_hits / len(true)
    return 2 * num_hits / max(1, len(predicted) + len(true)), precision, recall


def events(table: Path) -> Iterator[tuple[str, tuple]]:
    for row in arrow_csv.read_csv(table).to_pylist():
        if row["label"] is not None and str(row["label"]) != BACKGROUND:
            yield row["path"], (row["start_s"], row["end_s"], str(row["label"]))


def run(work: Path, *arguments: str | Path) -> dict:
    """A command in ``work``: what it prints as JSON, and its seconds."""
    started = time.perf_counter()
    command = [
        sys.executable,
        "-c",
        "from seqbelt.cli import main; main()",
        *map(str, arguments),
        "--json",
    ]
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds": time.perf_counter() - started}


CONFIGS = {
    "clips": """name: clips
data: {source: clips}
features: {kind: log_mel, sample_rate: 8000}
""",
    "steps": """name: steps
data: {source: streams, labels: per_step, background: noise}
features: {kind: log_mel, sample_rate: 8000}
model: {crop_steps: 1000, crop: windows}
""",
}


def make(work: Path, digits: Path, hours: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    training, test = (Digits(digits, part, random) for part in ("train", "test"))
    num_events = 0
    for index in range(NUM_STREAMS):
        path = work / f"streams/{index:03d}.wav"
        num_events += len(write_stream(path, training, STREAM_S, None))
    write_clips(work / "clips", training, num_events * 6 // 5)
    truth = {
        f"{snr}.wav": write_stream(work / f"hours/{snr}.wav", test, 3600 * hours, snr)
        for snr in SNRS_DB
    }
    (work / "truth.json").write_text(json.dumps(truth))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("digits", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeline", nargs="*", default=[], help="flags as WINDOW-S=0.4")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "truth.json").exists():
        make(work, arguments.digits, arguments.hours, arguments.seed)
    truth = json.loads((work / "truth.json").read_text())
    flags = [part for flag in arguments.timeline for part in f"--{flag}".lower().split("=")]
    for name, config in CONFIGS.items():
        trained = work / f"{name}.json"
        if not trained.exists():
            (work / f"{name}.yaml").write_text(config)
            trained.write_text(json.dumps(run(work, "train", f"{name}.yaml")))
        about = json.loads(trained.read_text())
        output = f"{name}.csv"
        timeline = ["--timeline", *flags] if name == "clips" else []
        done = run(work, "predict", about["model_uri"], "hours", "--output", output, *timeline)
        found: dict[str, list[tuple]] = {file: [] for file in truth}
        for file, event in events(work / output):
            found[file].append(event)
        for file in truth:
            score, precision, recall = f1([tuple(event) for event in truth[file]], found[file])
            print(
                f"{name:6} {file:8} F1 {score:.3f}  precision {precision:.3f}  "
                f"recall {recall:.3f}  predicted {len(found[file])} of {len(truth[file])}"
            )
        print(f"{name:6} trained in {about['seconds']:.0f} s, labelled in {done['seconds']:.0f} s")


if __name__ == "__main__":
    main()
