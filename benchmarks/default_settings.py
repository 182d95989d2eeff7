"""What do the default settings of `model` and `training` give, on data that nobody tuned them for?

    python benchmarks/default_settings.py [--seeds 3] [--sets NAME ...] [--extra VARIANTS.yaml]

Of each known set the official training rows alone are used: 60 % train, 10 % validate, 30 % are
scored (whole speakers, subjects or scenes where the set has groups). A variant changes some
settings; each cell is trained with each seed. Printed are mean accuracies of LSTM and RNN and the
seconds of an LSTM and an RNN together. The defaults were chosen by the means over all sets. Data
comes from SEQBELT_DATA_MIRROR or is fetched, and is prepared under data/ in the current folder.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from seqbelt.data.sequences import Sequences
from seqbelt.experiment import Experiment
from seqbelt.models.classifier import build_network
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.yaml_reading import read_yaml

SETS: dict[str, dict[str, Any]] = {
    "fsdd": {"features": {"kind": "log_mel", "sample_rate": 8000}, "rows": 600},
    "japanese_vowels": {"features": {"kind": "channels"}},
    "basic_motions": {"features": {"kind": "channels"}},
    "utd_mhad": {"features": {
        "kind": "vectors", "layout": "joints coordinates steps", "skeleton": {"root_joint": 3}}},
    "ut_interaction": {"features": {"kind": "frame_differences"}},
    "sst2": {"features": {"kind": "word", "lowercase": True}, "rows": 3000},
    "nsmc": {"features": {"kind": "subword", "vocabulary_size": 16000}, "rows": 4000},
}  # fmt: skip
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "defaults": {},
    "before": {
        "training": {
            "num_epochs": 30, "batch_size": 64, "learning_rate": 1e-3, "schedule": "cosine"
        },
        "model": {"pooling": "last"},
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--extra", type=Path, help="YAML of other variants")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    variants: dict[str, Any] = read_yaml(arguments.extra) if arguments.extra else VARIANTS
    print("set", *variants, sep=" | ", flush=True)
    table = {}
    for name in arguments.sets:
        parts = split(name)
        row = table[name] = {}
        for variant in variants:
            for cell in ("lstm", "rnn"):
                began = time.perf_counter()
                found = [accuracy(name, variants[variant], cell, seed, parts)
                         for seed in range(arguments.seeds)]  # fmt: skip
                seconds = (time.perf_counter() - began) / arguments.seeds
                row[variant, cell] = (float(np.mean(found)), seconds)
        print(name, *(f"{100 * row[v, 'lstm'][0]:.1f} / {100 * row[v, 'rnn'][0]:.1f} "
              f"({row[v, 'lstm'][1] + row[v, 'rnn'][1]:.1f} s)" for v in variants),
              sep=" | ", flush=True)  # fmt: skip
    for cell in ("lstm", "rnn"):
        print(f"mean, {cell}", *(f"{100 * np.mean([table[n][v, cell][0] for n in table]):.2f}"
              for v in variants), sep=" | ")  # fmt: skip


def split(name: str) -> tuple[Any, dict[str, Sequences]]:
    """The store of a set, and its official training rows in three parts."""
    about = SETS[name]
    experiment = Experiment.parse(
        {"name": f"defaults-{name}", "data": {"source": name, "validation_fraction": 0},
         "features": about["features"]},
        origin=name,
    )  # fmt: skip
    store = prepare_data(experiment).store
    rows = store.split("train")
    random = np.random.default_rng(0)
    chosen = random.permutation(len(rows))[: about.get("rows", len(rows))]
    rows = rows.take(np.sort(chosen))
    groups = np.array(rows.column("group"))
    rest, test = cut(rows, groups, 0.3)
    train, validation = cut(rows.take(rest), groups[rest], 1 / 7)
    parts = {
        "train": rows.take(rest).take(train),
        "validation": rows.take(rest).take(validation),
        "test": rows.take(test),
    }
    return store, parts


def cut(rows: Sequences, groups: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.arange(len(rows))
    if len(set(groups)) > 1:
        return next(GroupShuffleSplit(1, test_size=share, random_state=0).split(
            numbers, groups=groups))  # fmt: skip
    whole = StratifiedShuffleSplit(1, test_size=max(share, 4 / len(rows)), random_state=0)
    return next(whole.split(numbers, rows.labels))


def accuracy(
    name: str, variant: dict[str, dict], cell: str, seed: int, parts: tuple[Any, dict]
) -> float:
    store, rows = parts
    experiment = Experiment.parse(
        {"name": name, "data": {"source": name}, "features": SETS[name]["features"],
         "model": {**variant.get("model", {}), "cell": cell},
         "training": {**variant.get("training", {}), "seed": seed}},
        origin=name,
    )  # fmt: skip
    network, _ = Loop(experiment.training,
        lambda: build_network(experiment.model,
            store.num_features, len(store.classes), store.is_tokens, rows["train"].lengths
        ),
        rows["train"], rows["validation"],
    ).run()  # fmt: skip
    logits = predict_logits(network, rows["test"], next(network.parameters()).device)
    return float((logits.argmax(1) == rows["test"].labels).mean())


if __name__ == "__main__":
    main()
