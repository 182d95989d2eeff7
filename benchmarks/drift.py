"""Planted shifts of spoken digits: how many folders are found, how many clean ones raise an alarm?

    python benchmarks/drift.py RECORDINGS [--other ARABIC] [--clean 200] [--draws 40] [--size 200]

RECORDINGS has the files of FSDD (digit_speaker_take.wav), ARABIC any folder of spoken words in
another language. A small LSTM is trained on half of the recordings of five speakers; a tenth more
is its validation part; folders of 200 files are drawn from the rest, clean or changed, and compared
with the reference that a bundle keeps. Prints a line for each shift, the share of clean folders
with an alarm, and the CPU time that the statistics add to a prediction (median of ratios).
"""

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from scipy.special import softmax

from seqbelt.data.in_memory import ArrayStore
from seqbelt.data.sequences import Sequences
from seqbelt.evaluation.calibration import fit_temperature
from seqbelt.evaluation.drift import measure_drift
from seqbelt.evaluation.proportions import wilson
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.predictor import Predictor
from seqbelt.inference.training_reference import make_reference
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits

RATE = 8000
AUDIO = (".wav", ".flac")
NEW_SPEAKER = "yweweler"
FEATURES = LogMel(kind="log_mel", sample_rate=RATE)
random = np.random.default_rng(0)


def noisy(samples: np.ndarray) -> np.ndarray:
    """White noise 10 dB below the recording."""
    noise = random.normal(size=len(samples)) * samples.std() * 10 ** (-10 / 20)
    return (samples + noise).astype(np.float32)


def resampled(samples: np.ndarray) -> np.ndarray:
    """Recorded at 4 kHz."""
    return soxr.resample(soxr.resample(samples, RATE, RATE // 2), RATE // 2, RATE)


def coded(samples: np.ndarray) -> np.ndarray:
    """Through the codec of GSM telephones."""
    content = io.BytesIO()
    soundfile.write(content, samples, RATE, format="WAV", subtype="GSM610")
    content.seek(0)
    return soundfile.read(content, dtype="float32")[0][: len(samples)]


def cut(samples: np.ndarray) -> np.ndarray:
    """A sixth missing at each end."""
    edge = len(samples) // 6
    return samples[edge : len(samples) - edge]


SHIFTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "-12 dB": lambda samples: samples * np.float32(10 ** (-12 / 20)),
    "resampled": resampled,
    "10 dB noise": noisy,
    "codec": coded,
    "other rate": lambda samples: soxr.resample(samples, RATE, RATE * 5 // 4),
    "cut ends": cut,
}


class Recordings(ArrayStore):
    """Encoded recordings, whose content is their number."""

    def column(self, name, rows):
        return [f"{row:032x}" if name == "content_hash" else "" for row in rows.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--clean", type=int, default=200)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    files = sorted(options.recordings.glob("*_*_*.wav"))
    samples = [soundfile.read(file, dtype="float32")[0] for file in files]
    speakers = np.array([file.stem.split("_")[1] for file in files])
    digits = np.array([int(file.stem.split("_")[0]) for file in files])
    known = random.permutation(np.flatnonzero(speakers != NEW_SPEAKER))
    train, validation, pool = np.split(known, [len(known) // 2, len(known) * 6 // 10])
    predictor = fit(samples, digits, train, validation, options.epochs)

    folders = {"clean": [samples[row] for row in pool]}
    for name, change in SHIFTS.items():
        folders[name] = [change(samples[row]) for row in pool]
    folders["new speaker"] = [samples[row] for row in np.flatnonzero(speakers == NEW_SPEAKER)]
    if options.other:
        paths = [path for path in sorted(options.other.rglob("*")) if path.suffix in AUDIO]
        folders["other language"] = [
            read(path) for path in random.permutation(np.array(paths, object))[:1000]
        ]
    print(f"{len(train)} rows to train, {len(validation)} to validate, {len(pool)} in the pool; "
          f"folders of {options.size}")  # fmt: skip
    for name, content in folders.items():
        summaries, confidences = measure(predictor, content)
        count = options.clean if name == "clean" else options.draws
        size = min(options.size, len(content))
        found = 0
        for _ in range(count):
            rows = random.choice(len(content), size, replace=False)
            reference = predictor.bundle.reference
            assert reference is not None
            drift = measure_drift(reference, summaries[rows], confidences[rows])
            found += bool(drift and drift.alarms)
        low, high = wilson(found, count)
        print(f"{name:15} alarms in {found:3} of {count} folders ({found / count:.1%}, interval "
              f"{low:.1%} to {high:.1%})", flush=True)  # fmt: skip
    ratio = overhead(predictor, [files[row] for row in pool])
    print(f"CPU time with statistics / without: {ratio:.3f}")


def read(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(1), rate, RATE)


def encode(samples: list[np.ndarray]) -> list[np.ndarray]:
    return FEATURES.encode([Audio(one, RATE) for one in samples])


def fit(
    samples: list[np.ndarray],
    digits: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    epochs: int,
) -> Predictor:
    chosen = np.concatenate([train, validation])
    classes = tuple(map(str, range(10)))
    arrays = encode([samples[row] for row in chosen])
    lengths = np.array([len(array) for array in arrays])
    rows = Sequences(Recordings(arrays, classes), np.arange(len(chosen)), lengths, digits[chosen])
    parts = rows.take(np.arange(len(train))), rows.take(np.arange(len(train), len(chosen)))
    settings = Model(cell="lstm", hidden_size=48).resolve(False, parts[0].lengths)
    training = Training(device="cpu", num_epochs=epochs, seed=0).resolve(
        len(train), False, False, True
    )

    def build():
        return build_network(settings, FEATURES.num_features, 10, False, parts[0].lengths)

    network, _ = Loop(training, build, *parts).run()
    network = network.cpu().eval()
    logits = predict_logits(network, parts[1], torch.device("cpu"))
    temperature = fit_temperature(logits, parts[1].labels)
    probabilities = softmax(logits / temperature, axis=1)
    accuracy = (logits.argmax(1) == parts[1].labels).mean()
    print(f"LSTM: validation accuracy {accuracy:.1%}")
    bundle = Bundle(
        "digits",
        FEATURES,
        {},
        settings,
        classes,
        FEATURES.num_features,
        weights_of(network),
        {},
        temperature,
    )
    reference = make_reference(*parts, probabilities.max(1))
    return Predictor(replace(bundle, reference=reference), "cpu")


def measure(predictor: Predictor, samples: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Summaries and confidences, as a prediction gathers them."""
    reference = predictor.bundle.reference
    assert reference is not None
    sequences = encode(samples)
    summaries = np.stack([reference.summarize(one) for one in sequences])
    return summaries, predictor.probabilities(sequences).max(1)


def overhead(predictor: Predictor, files: list[Path]) -> float:
    """Median ratio of the times of a prediction with and without statistics."""
    ratios = []
    for _ in range(15):
        seconds = {}
        for summarizes in random.permutation([False, True]).tolist():
            predictor.summarizes = summarizes
            began = time.process_time()
            for _ in predictor.predict(enumerate(files)):
                pass
            seconds[summarizes] = time.process_time() - began
        ratios.append(seconds[True] / seconds[False])
    return float(np.median(ratios))


if __name__ == "__main__":
    main()
