"""Several inputs: a class that needs both of them, and columns that give the class away.

python benchmarks/several_inputs.py fused    the network, and each input alone, on generated sets
                                             whose class is whether a sequence and a column (or a
                                             text) agree
python benchmarks/several_inputs.py leaks    how often the audit names a planted column among
                                             honest ones, and how often it names an honest one
"""

import csv
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from seqbelt.comparison.baselines.fitted import Fold, fitted_baselines
from seqbelt.data.audit.columns import check_columns
from seqbelt.data.audit.rows import Rows
from seqbelt.data.joined_views import view_input
from seqbelt.data.sequences import Sequences
from seqbelt.data.store.preparation import prepare
from seqbelt.data.store.store import SequenceStore
from seqbelt.experiment import Experiment
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.networks import input_builder, network_builder

NUM_ROWS = 2000
NUM_LEAK_ROWS = 400
NUM_RUNS = 20
WORDS = ("left", "right", "up", "down", "near", "far")
FEATURES = {
    "column": {"kind": "channels", "columns": ["ward", "age"]},
    "text": {"signal": {"kind": "channels"}, "note": {"kind": "word"}},
}
MODEL = {"cell": "lstm", "hidden_size": 32, "embedding_size": 16}


def make_rows(folder: Path, num_rows: int, seed: int, missing: float = 0.0) -> list[dict[str, Any]]:
    """Rows whose class is whether the slope of a noisy signal and the ward (or a word of the note)
    agree; ``age`` says nothing."""
    random, rows = np.random.default_rng(seed), []
    for row in range(num_rows):
        is_rising, is_east = random.integers(0, 2, 2)
        num_steps = random.integers(20, 41)
        slope = np.linspace(-1, 1, num_steps) * (1 if is_rising else -1)
        signal = slope + random.normal(0, 0.3, num_steps)
        np.save(folder / f"{row}.npy", signal[:, None].astype(np.float32))
        note = [str(word) for word in random.choice(WORDS, 6)]
        note.insert(int(random.integers(0, 7)), "east" if is_east else "west")
        rows.append({
            "path": f"{row}.npy",
            "text": " ".join(note),
            "ward": "" if random.random() < missing else ("east" if is_east else "west"),
            "age": f"{random.normal(50, 10):.0f}",
            "label": "same" if is_rising == is_east else "other",
        })  # fmt: skip
    return rows


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    """Write the manifest; returns its path."""
    path = folder / "items.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def prepare_store(folder: Path, source: str, features: Any) -> tuple[Experiment, SequenceStore]:
    experiment = Experiment.parse(
        {
            "name": "several-inputs",
            "data": {"source": source, "test_fraction": 0.5},
            "features": features,
            "model": MODEL,
            "training": {"num_epochs": 20, "seed": 0, "device": "cpu"},
        }
    )
    manifest = experiment.data.load(experiment.features)
    store = prepare(manifest, experiment.features, folder / "store", {}).store
    return experiment.resolve(False, store.split("train")), store


def accuracy(experiment: Experiment, build: Any, train: Sequences, test: Sequences) -> float:
    network, _ = Loop(experiment.training, build, train, None).run()
    logits = predict_logits(network, test, next(network.parameters()).device)
    return float((logits.argmax(1) == test.labels).mean())


def fused() -> None:
    for name, features in FEATURES.items():
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            source = write(folder, make_rows(folder, NUM_ROWS, seed=0))
            experiment, store = prepare_store(folder, source, features)
            train, test = store.split("train"), store.split("test")
            began = time.perf_counter()
            build = network_builder(experiment, store, train, None)
            print(f"sequence and {name}, {len(train)} training and {len(test)} test rows")
            print(f"  together: {accuracy(experiment, build, train, test):.1%} "
                  f"({time.perf_counter() - began:.0f} s)")  # fmt: skip
            assert store.layout is not None
            for at, one in enumerate(store.layout.inputs):
                parts = view_input(train, at), view_input(test, at)
                build = input_builder(experiment, store, parts[0], at)
                print(f"  {one.name} alone: {accuracy(experiment, build, *parts):.1%}")
            fold = Fold(train, train.take(np.arange(0)), test, build)
            for baseline in fitted_baselines(store, experiment.model, experiment.training):
                found = baseline.run([fold])
                print(f"  {baseline.name}: {found.test_accuracy:.1%}")


def leaks() -> None:
    """Honest columns: one of chance, one that is right in three of four rows."""
    named, alarms = 0, 0
    for run in range(NUM_RUNS):
        with tempfile.TemporaryDirectory() as made:
            folder, random = Path(made), np.random.default_rng(1000 + run)
            rows = make_rows(folder, NUM_LEAK_ROWS, seed=run)
            for row in rows:
                is_same = row["label"] == "same"
                row["score"] = f"{is_same + random.normal(0, 0.74):.2f}"  # 75 % by a threshold
                row["code"] = f"{is_same + random.normal(0, 0.1):.2f}"
            source = write(folder, rows)
            planted = ("number", "category")[run % 2]
            if planted == "category":  # a few of a hundred are mistaken
                for row in rows:
                    right = random.random() > 0.01
                    row["code"] = "AB"[(row["label"] == "same") == right]
                source = write(folder, rows)
            for columns in (["age", "ward", "score"], ["age", "ward", "score", "code"]):
                features = {"kind": "channels", "columns": columns}
                _, store = prepare_store(folder, source, features)
                found = check_columns(Rows(store))
                is_named = "'code' alone" in found.sentence
                named += is_named
                alarms += found.severity == "leak" and found.count > is_named
    print(
        f"planted column named in {named} of {NUM_RUNS} runs; "
        f"honest columns named in {alarms} of {2 * NUM_RUNS} audits"
    )


if __name__ == "__main__":
    {"fused": fused, "leaks": leaks}[sys.argv[1]]()
