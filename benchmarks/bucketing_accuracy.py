"""Does putting sequences of similar length into one batch cost accuracy?

    python benchmarks/bucketing_accuracy.py [--sets fsdd nsmc japanese_vowels] [--json FILE]

Trains the LSTM of each config in pipelines/configs with the default `training.bucket_batches` and
with 1, fully random batches; all else, the seeds included, is equal. The shortened budgets below
keep the whole under 20 minutes on two cores. NSMC is trained on 20,000 of its reviews; its test
part is whole. Prints the verdict's interval of the difference in test accuracy (over seeds and
test examples) and how much of what is padded is valid. Data comes from SEQBELT_DATA_MIRROR or is
fetched, and is prepared under data/ in the current folder.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from seqbelt.comparison.statistics import mean_interval
from seqbelt.comparison.verdict import Verdict
from seqbelt.comparison.verdict_rule import VerdictRule
from seqbelt.data.sequences import Sequences
from seqbelt.experiment import Experiment
from seqbelt.models.classifier import build_network
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits
from seqbelt.workflow.prepared_data import prepare_data

CONFIGS = Path(__file__).parents[1] / "pipelines" / "configs"
EPOCHS = {"fsdd": 10, "nsmc": 3, "japanese_vowels": 30}
MAX_TRAINING_ROWS = 20_000
BUCKETED, RANDOM = "bucketed", "random"
WINDOWS = {BUCKETED: Training().bucket_batches, RANDOM: 1}


@dataclass
class Arm:
    """One way of batching: what its models, one a seed, answered."""

    correct: list[np.ndarray] = field(default_factory=list)
    fill: list[float] = field(default_factory=list)
    train_s: list[float] = field(default_factory=list)

    @property
    def accuracies(self) -> np.ndarray:
        return np.array([correct.mean() for correct in self.correct])


@dataclass(frozen=True)
class Outcome:
    """Both ways on one data set."""

    name: str
    layout: str
    num_epochs: int
    num_steps: int
    """Valid steps of the training rows."""
    num_rows: int
    arms: dict[str, Arm]
    verdict: Verdict


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(EPOCHS), choices=EPOCHS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--quick", action="store_true", help="two seeds, one epoch")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    began = time.perf_counter()
    outcomes = []
    for name in arguments.sets:
        epochs = 1 if arguments.quick else EPOCHS[name]
        num_seeds = 2 if arguments.quick else arguments.seeds
        outcomes.append(compare(name, arguments.cell, epochs, num_seeds))
        print(f"{name}: {outcomes[-1].verdict.sentence}")
    print(table(outcomes))
    minutes, threads = (time.perf_counter() - began) / 60, torch.get_num_threads()
    print(f"\ntorch {torch.__version__}, threads: {threads}, {minutes:.0f} minutes")
    if arguments.json:
        plain = [plain_outcome(outcome) for outcome in outcomes]
        arguments.json.write_text(json.dumps(plain, indent=1), encoding="utf-8")


def compare(name: str, cell: str, num_epochs: int, num_seeds: int) -> Outcome:
    """Train both ways with every seed and judge."""
    overrides = [f"model.cell={cell}", f"training.num_epochs={num_epochs}"]
    experiment = Experiment.load(CONFIGS / f"{name}.yaml", overrides)
    store = prepare_data(experiment).store
    train, validation, test = (store.split(part) for part in ("train", "validation", "test"))
    train = train.take(np.random.default_rng(0).permutation(len(train))[:MAX_TRAINING_ROWS])
    arms, layout = {arm: Arm() for arm in WINDOWS}, ""
    for seed in range(num_seeds):
        for way, arm in arms.items():
            changes = {"seed": seed, "bucket_batches": WINDOWS[way]}
            training = experiment.training.model_copy(update=changes)
            network, history = Loop(
                training,
                lambda: build_network(
                    experiment.model,
                    store.num_features,
                    len(store.classes),
                    store.is_tokens,
                    train.lengths,
                ),
                train,
                validation if len(validation) else None,
            ).run()
            arm.correct.append(answers(network, test))
            arm.fill.append(history.fill)
            arm.train_s.append(history.train_s)
            layout = history.layout
            print(
                f"{name}, seed {seed}, {way}: test {arm.accuracies[-1]:.2%}, fill "
                f"{history.fill:.2f}, {history.train_s:.0f} s"
            )
    correct = {way: np.stack(arm.correct) for way, arm in arms.items()}
    (verdict,) = VerdictRule().judge(correct)
    num_steps = int(train.lengths.sum())
    return Outcome(name, layout, num_epochs, num_steps, len(train), arms, verdict)


def answers(network: torch.nn.Module, test: Sequences) -> np.ndarray:
    """Whether each test example is answered rightly."""
    logits = predict_logits(network, test, next(network.parameters()).device)
    return logits.argmax(1) == test.labels


def table(outcomes: list[Outcome]) -> str:
    header = [
        "data set", "batches", "valid share", "padded steps an epoch", "training, s",
        "test accuracy, mean (by seed)", "95 % interval over seeds", "bucketed less random, points",
        "verdict",
    ]  # fmt: skip
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for outcome in outcomes:
        verdict = outcome.verdict
        for way, arm in outcome.arms.items():
            fill = float(np.mean(arm.fill))
            wasted = outcome.num_steps / fill - outcome.num_steps
            mean = mean_interval(arm.accuracies, verdict.confidence)
            seeds = ", ".join(f"{100 * accuracy:.2f}" for accuracy in arm.accuracies)
            interval = f"{100 * mean.low:.1f} to {100 * min(mean.high, 1):.1f} %"
            judged = (
                f"{points(verdict.difference)} ({points(verdict.low)} to {points(verdict.high)})"
            )
            lines.append(
                f"| {outcome.name} | {way} | {fill:.2f} | {wasted:,.0f} of "
                f"{outcome.num_steps + wasted:,.0f} | {np.median(arm.train_s):.0f} "
                f"| {mean.value:.2%} ({seeds}) | {interval} "
                + (f"| {judged} | {verdict.word} |" if way == BUCKETED else "| | |")
            )
    notes = [
        f"{one.name}: {one.num_rows:,} sequences, {one.num_epochs} epochs, layout {one.layout}"
        for one in outcomes
    ]
    return "\n".join([*lines, "", "; ".join(notes) + "."])


def points(fraction: float) -> str:
    """A difference in accuracy, in percentage points."""
    return f"{100 * fraction:+.2f}"


def plain_outcome(outcome: Outcome) -> dict:
    arms = {
        way: {"accuracies": arm.accuracies.tolist(), "fill": arm.fill, "train_s": arm.train_s}
        for way, arm in outcome.arms.items()
    }
    return {"name": outcome.name, "verdict": outcome.verdict.sentence, "arms": arms}


if __name__ == "__main__":
    main()
