"""Does a confidence tell what a model has never heard, read or seen of?

    python benchmarks/unknown_inputs.py [audio|text|video ...]

Trains the LSTM of fsdd.yaml (10 epochs), sst2.yaml and ut_interaction.yaml (its first fold), then
answers the test part and probes that hold nothing of the kind. Scores of how known an input is: the
calibrated confidence, the largest logit, and the energy (log-sum-exp of the logits; Liu et al.
2020, arXiv:2010.03759). Printed is the area under the ROC curve of the test part against each kind
of probe, and the share of it that ``predict --coverage 0.95`` would still answer. Data sets come
from SEQBELT_DATA_MIRROR or are fetched.
"""

import argparse
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.signal import chirp
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score

from seqbelt.data.batches import pad
from seqbelt.evaluation.calibration import fit_temperature
from seqbelt.experiment import Experiment
from seqbelt.features.base import Encoder, Features
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.prepared_data import prepare_data

CONFIGS = Path(__file__).parents[1] / "pipelines" / "configs"
CPU = torch.device("cpu")
NUM_PROBES, RATE = 200, 8000
Probe = Callable[[np.random.Generator], np.ndarray | str]


def sound(make: Callable[[np.random.Generator, np.ndarray], np.ndarray]) -> Probe:
    """0.3 to 0.8 s of what ``make`` gives for the times, in seconds."""

    def probe(dice: np.random.Generator) -> np.ndarray:
        time = np.arange(int(dice.uniform(0.3, 0.8) * RATE)) / RATE
        return make(dice, time).astype(np.float32)

    return probe


def words(make: Callable[[np.random.Generator], str]) -> Probe:
    """5 to 25 words of what ``make`` gives."""
    return lambda dice: " ".join(make(dice) for _ in range(dice.integers(5, 25)))


def letters(alphabet: str, longest: int) -> Callable[[np.random.Generator], str]:
    return lambda dice: "".join(dice.choice(list(alphabet), dice.integers(1, longest + 1)))


def clip(make: Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]) -> Probe:
    """40 frames of 48 x 64 pixels, of what ``make`` gives for the steps and the columns."""

    def probe(dice: np.random.Generator) -> np.ndarray:
        step, column = np.arange(40)[:, None, None], np.arange(64)[None, None, :]
        values = np.broadcast_to(make(dice, step, column), (40, 48, 64))
        return np.repeat(values.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)

    return probe


HANGUL = "".join(chr(0xAC00 + 28 * k) for k in range(0, 399, 3))
KINDS: dict[str, tuple[str, list[str], dict[str, Probe]]] = {
    "audio": ("fsdd.yaml", ["training.num_epochs=10"], {
        "white noise": sound(lambda dice, t: dice.normal(0, 0.1, len(t))),
        "faint noise": sound(lambda dice, t: dice.normal(0, 1e-4, len(t))),
        "pure tone": sound(lambda dice, t: 0.3 * np.sin(2 * np.pi * dice.uniform(100, 3500) * t)),
        "chirp": sound(lambda dice, t: 0.3 * chirp(t, dice.uniform(50, 500), t[-1] + 1e-3, 3500)),
        "clicks": sound(
            lambda dice, t: (dice.random(len(t)) < 0.002) * dice.choice([-0.8, 0.8], len(t))
        ),
        "mains hum": sound(
            lambda dice, t: 0.2 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3))
        ),
    }),
    "text": ("sst2.yaml", [], {
        "Korean syllables": words(letters(HANGUL, 4)),
        "random letters": words(letters(string.ascii_lowercase, 8)),
        "numbers": words(lambda dice: str(dice.integers(10_000))),
        "one letter": lambda dice: str(dice.choice(list(string.ascii_lowercase))),
        "punctuation": words(letters("!?.,;:-()", 3)),
    }),
    "video": ("ut_interaction.yaml", ["data.validation_fraction=0.2"], {
        "black": clip(lambda dice, step, column: np.zeros(1)),
        "white noise": clip(lambda dice, step, column: dice.uniform(0, 255, (40, 48, 64))),
        "still picture": clip(lambda dice, step, column: dice.uniform(0, 255, (1, 48, 64))),
        "flicker": clip(lambda dice, step, column: dice.uniform(0, 255, (40, 1, 1))),
        "moving bar": clip(lambda dice, step, column: 255.0 * (abs(column - 1.5 * step) < 4)),
    }),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    for kind in parser.parse_args().kinds:
        config, overrides, probes = KINDS[kind]
        print(f"\n{kind}", flush=True)
        study(Experiment.load(CONFIGS / config, overrides), probes)


def study(experiment: Experiment, probes: dict[str, Probe]) -> None:
    """Train, answer, and print a table."""
    experiment = experiment.with_data(next(iter(experiment.data.each_fold())))
    store = prepare_data(experiment).store
    parts = {name: store.split(name) for name in ("train", "validation", "test")}
    network, _ = Loop(experiment.training,
        lambda: build_network(
            experiment.model, store.num_features, len(store.classes), store.is_tokens
        ),
        parts["train"], parts["validation"],
    ).run()  # fmt: skip
    validation = predict_logits(network, parts["validation"], CPU)
    temperature = fit_temperature(validation, parts["validation"].labels)
    scores = {
        "confidence": lambda logits: softmax(logits / temperature, axis=1).max(1),
        "largest logit": lambda logits: logits.max(1),
        "energy": lambda logits: logsumexp(logits, axis=1),
    }
    known = predict_logits(network, parts["test"], CPU)
    threshold = np.quantile(scores["confidence"](validation), 0.05)
    print(f"| probe | {' | '.join(f'AUROC of the {name}' for name in scores)} | answered |")
    print("|---|" + "---|" * (len(scores) + 1))
    encoder = experiment.features.encoder(store.learned)
    for name, probe in {"test part": None, **probes}.items():
        logits = known
        if probe is not None:
            logits = probe_logits(network, experiment.features, encoder, probe)
        answered = (scores["confidence"](logits) >= threshold).mean()
        areas = ["" if probe is None else f"{area(score(known), score(logits)):.3f}"
                 for score in scores.values()]  # fmt: skip
        print(f"| {name} | {' | '.join(areas)} | {answered:.1%} |", flush=True)


def probe_logits(
    network: SequenceNetwork, features: Features, encoder: Encoder, probe: Probe
) -> np.ndarray:
    """Logits of generated inputs ``(probes, classes)``."""
    dice = np.random.default_rng(0)
    raws = [features.read(probe(dice)) for _ in range(NUM_PROBES)]
    sequences = [np.asarray(sequence) for sequence in encoder.encode(raws)]
    with torch.inference_mode():
        return network.eval()(*pad(sequences)).float().numpy()


def area(known: np.ndarray, unknown: np.ndarray) -> float:
    """How often a known input has the larger score."""
    labels = np.repeat([1, 0], [len(known), len(unknown)])
    return float(roc_auc_score(labels, np.concatenate([known, unknown])))


if __name__ == "__main__":
    main()
