"""Mixtures of two spoken digits: several labels for a recording.

    python benchmarks/digit_mixtures.py RECORDINGS data/raw/digit_mixtures
    seqbelt compare data/raw/digit_mixtures/digit_mixtures.yaml

RECORDINGS is the folder of the Free Spoken Digit Dataset (``{digit}_{speaker}_{index}.wav``, 8
kHz). Each of 1,500 mixtures adds two recordings of different digits, the second beginning 0.1 to
0.4 s after the first, at levels that differ by up to 3 dB. Recordings of the official test part
(index 0 to 4) are only in test mixtures, which are a fifth of all.
"""

import json
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000
NUM_MIXTURES = 1500
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.15
"""Of the mixtures that are not in the test part."""
NUM_TEST_INDICES = 5
DELAY_S = (0.1, 0.4)
MAX_LEVEL_DB = 3.0
PEAK = 0.5

CONFIG = """\
name: digit-mixtures
data: {source: %s, labels: several}
features: {kind: log_mel, sample_rate: 8000, window_ms: 25, hop_ms: 10, num_bands: 40}
model: {cell: lstm, hidden_size: 96}
training: {num_epochs: 60, batch_size: 32}
comparison: {cells: [lstm, rnn], seeds: [0, 1, 2]}
"""


def mix(first: Path, second: Path, random: np.random.Generator) -> np.ndarray:
    """Two recordings, one delayed, each at the same level within ``MAX_LEVEL_DB``."""
    voices = []
    for path in (first, second):
        samples, rate = soundfile.read(path)
        assert rate == RATE, f"{path}: {rate} Hz, expected {RATE}"
        level = 10 ** (random.uniform(-MAX_LEVEL_DB, MAX_LEVEL_DB) / 40)  # half each way
        voices.append(level * samples / (np.sqrt(np.mean(samples**2)) + 1e-9))
    delay = int(random.uniform(*DELAY_S) * RATE)
    mixture = np.zeros(max(len(voices[0]), delay + len(voices[1])))
    mixture[: len(voices[0])] += voices[0]
    mixture[delay : delay + len(voices[1])] += voices[1]
    return PEAK * mixture / np.abs(mixture).max()


def main(recordings: Path, target: Path) -> None:
    random = np.random.default_rng(0)
    parts: dict[str, list[Path]] = {"train": [], "test": []}
    for path in sorted(recordings.glob("*.wav")):
        index = int(path.stem.split("_")[2])
        parts["test" if index < NUM_TEST_INDICES else "train"].append(path)
    if not parts["train"]:
        sys.exit(f"{recordings}: no recordings DIGIT_SPEAKER_INDEX.wav")
    (target / "mixtures").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(NUM_MIXTURES):
        part = "test" if number < TEST_SHARE * NUM_MIXTURES else "train"
        while True:
            first, second = (parts[part][k] for k in random.integers(len(parts[part]), size=2))
            digits = sorted({path.stem.split("_")[0] for path in (first, second)})
            if len(digits) == 2:
                break
        path = f"mixtures/{number:04d}.wav"
        soundfile.write(target / path, mix(first, second, random), RATE)
        if part == "train" and random.random() < VALIDATION_SHARE:
            part = "validation"
        row = {"path": path, "label": digits, "split": part, "first": first.name}
        lines.append(json.dumps(row | {"second": second.name}))
    manifest = target / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    (target / "digit_mixtures.yaml").write_text(CONFIG % manifest)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
