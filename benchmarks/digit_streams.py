"""Streams of spoken digits, a label for every step: who says what, when.

    python benchmarks/digit_streams.py data/raw/fsdd/manifest.csv data/raw/digit_streams
    seqbelt compare pipelines/configs/digit_streams.yaml

Recordings of the Free Spoken Digit Dataset are strung together with pauses of noise, those of the
official test part for test streams only. Beside each stream lies its table of segments; what is
between two digits is labelled as a pause.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000
NUM_STREAMS = {"train": 90, "validation": 15, "test": 30}
NUM_DIGITS = 20
PAUSE_S = (0.05, 0.6)
NOISE = 0.003
"""Standard deviation; the digits peak at about 0.3."""


def write_stream(path: Path, rows: list[dict[str, str]], root: Path, random) -> None:
    """One recording and its table."""
    pieces, segments, place = [], [], 0

    def add(samples: np.ndarray, label: str) -> None:
        nonlocal place
        pieces.append(samples)
        segments.append((place / RATE, (place + len(samples)) / RATE, label))
        place += len(samples)

    for row in rows:
        add(np.zeros(int(random.uniform(*PAUSE_S) * RATE)), "pause")
        add(soundfile.read(root / row["path"])[0], row["label"])
    add(np.zeros(int(random.uniform(*PAUSE_S) * RATE)), "pause")
    samples = np.concatenate(pieces)
    samples += NOISE * random.standard_normal(len(samples))
    soundfile.write(path, samples.clip(-1, 1), RATE)
    with path.with_suffix(".segments.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("start_s", "end_s", "label"))
        writer.writerows((f"{start:.6f}", f"{end:.6f}", label) for start, end, label in segments)


def main(manifest: Path, target: Path) -> None:
    random = np.random.default_rng(0)
    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    known = random.permutation([row for row in rows if row["split"] == "train"]).tolist()  # pyright: ignore
    held = len(known) // 10
    parts = {
        "train": known[held:],
        "validation": known[:held],
        "test": [row for row in rows if row["split"] == "test"],
    }
    for part, of in parts.items():
        (target / part).mkdir(parents=True, exist_ok=True)
        for number in range(NUM_STREAMS[part]):
            chosen = [of[k] for k in random.integers(len(of), size=NUM_DIGITS)]
            write_stream(target / part / f"{number:03d}.wav", chosen, manifest.parent, random)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
