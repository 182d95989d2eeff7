"""Does a confidence tell what a model has never heard of?

    python benchmarks/unknown_inputs.py [--epochs 10]

Trains the LSTM of pipelines/configs/fsdd.yaml, then answers the test recordings and probes that
hold no digit. Scores of how known an input is: the calibrated confidence, the largest logit, and
the energy (log-sum-exp of the logits; Liu et al. 2020, arXiv:2010.03759). Printed is the area
under the ROC curve of the test recordings against each kind of probe, and the share of it that
`predict --coverage 0.95` would still answer. Recordings come from SEQBELT_DATA_MIRROR or are
fetched.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.signal import chirp
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from seqbelt.data.batches import pad
from seqbelt.evaluation.calibration import fit_temperature, softmax
from seqbelt.experiment import Experiment
from seqbelt.stages.prepare import prepare_data
from seqbelt.training.scoring import predict_logits

CONFIG = Path(__file__).parents[1] / "pipelines" / "configs" / "fsdd.yaml"
CPU = torch.device("cpu")
NUM_PROBES, RATE = 200, 8000
Make = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""A probe as long as the time ``(samples,)``, in seconds, that it is given."""

PROBES: dict[str, Make] = {
    "white noise": lambda random, t: random.normal(0, 0.1, len(t)),
    "faint noise": lambda random, t: random.normal(0, 1e-4, len(t)),
    "pure tone": lambda random, t: 0.3 * np.sin(2 * np.pi * random.uniform(100, 3500) * t),
    "chirp": lambda random, t: 0.3 * chirp(t, random.uniform(50, 500), t[-1] + 1e-3, 3500),
    "clicks": lambda random, t: (
        (random.random(len(t)) < 0.002) * random.choice([-0.8, 0.8], len(t))
    ),
    "mains hum": lambda random, t: 0.2 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    experiment = Experiment.load(CONFIG)
    training = experiment.training.model_copy(update={"num_epochs": arguments.epochs})
    store = prepare_data(experiment).store
    parts = {name: store.split(name) for name in ("train", "validation", "test")}
    network, _ = training.fit(
        lambda: experiment.model.build(store.num_features, len(store.classes), False),
        parts["train"], parts["validation"],
    )  # fmt: skip
    validation = predict_logits(network, parts["validation"], CPU)
    temperature = fit_temperature(validation, parts["validation"].labels)
    scores = {
        "confidence": lambda logits: softmax(logits, temperature).max(1),
        "largest logit": lambda logits: logits.max(1),
        "energy": lambda logits: logsumexp(logits, axis=1),
    }
    known = predict_logits(network, parts["test"], CPU)
    threshold = np.quantile(scores["confidence"](validation), 0.05)
    print(f"| probe | {' | '.join(f'AUROC of the {name}' for name in scores)} | answered |")
    print("|---|" + "---|" * (len(scores) + 1))
    for name, make in {"test recordings": None, **PROBES}.items():
        logits = known if make is None else probe_logits(network, experiment, make)
        answered = (scores["confidence"](logits) >= threshold).mean()
        areas = ["" if make is None else f"{area(score(known), score(logits)):.3f}"
                 for score in scores.values()]  # fmt: skip
        print(f"| {name} | {' | '.join(areas)} | {answered:.1%} |")


def probe_logits(network: torch.nn.Module, experiment: Experiment, make: Make) -> np.ndarray:
    """Logits of generated recordings of 0.3 to 0.8 s ``(probes, classes)``."""
    random = np.random.default_rng(0)
    features = experiment.features
    raws = []
    for _ in range(NUM_PROBES):
        time = np.arange(int(random.uniform(0.3, 0.8) * RATE)) / RATE
        raws.append(features.read(make(random, time).astype(np.float32)))
    encoded = features.encoder({}).encode(raws)
    with torch.inference_mode():
        return network.eval()(*pad(list(encoded))).float().numpy()


def area(known: np.ndarray, unknown: np.ndarray) -> float:
    """How often a known input has the larger score."""
    labels = np.repeat([1, 0], [len(known), len(unknown)])
    return float(roc_auc_score(labels, np.concatenate([known, unknown])))


if __name__ == "__main__":
    main()
