"""Whole comparisons where the labels are drawn at random: how often is a cell called better?

    python benchmarks/shuffled_labels.py [REPEATS]        (200 repeats: about 4 minutes, one thread)

Each repeat draws other sequences and other labels, trains an LSTM and an RNN over three seeds as
`seqbelt compare` does, and lets the verdict judge their answers on the test rows. There is nothing
to learn, so every `better` or `worse` is false; 5 in 100 are allowed.
"""

import sys
from collections import Counter

import numpy as np
import torch

from seqbelt.comparison.variants import apply_variant
from seqbelt.comparison.verdict import Verdict
from seqbelt.comparison.verdict_rule import VerdictRule
from seqbelt.data.in_memory import in_memory
from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits

SEEDS = (0, 1, 2)
SIZES = {"train": 60, "validation": 30, "test": 100}
TRAINING = Training(num_epochs=8, batch_size=16, learning_rate=1e-2, device="cpu")


def draw(random: np.random.Generator, count: int) -> Sequences:
    """Sequences of 5 to 12 steps of noise, each with a label that knows nothing of it."""
    lengths = random.integers(5, 13, count)
    arrays = [random.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    return in_memory(arrays, random.integers(0, 2, count))


def judge_shuffled(seed: int, rule: VerdictRule) -> Verdict:
    """One comparison, LSTM against RNN, where there is nothing to learn."""
    random = np.random.default_rng(seed)
    parts = {name: draw(random, count) for name, count in SIZES.items()}
    correct = {}
    for cell in ("lstm", "rnn"):
        model = apply_variant(Model(hidden_size=8), cell)
        answers = []
        for training_seed in SEEDS:
            network, _ = Loop(
                TRAINING.model_copy(update={"seed": training_seed}),
                lambda model=model: build_network(model, 3, 2, False),
                parts["train"],
                parts["validation"],
            ).run()
            logits = predict_logits(network, parts["test"], torch.device("cpu"))
            answers.append(logits.argmax(1) == parts["test"].labels)
        correct[cell] = np.stack(answers)
    return rule.judge(correct)[0]


def main(repeats: int) -> None:
    rule = VerdictRule()
    said = Counter(judge_shuffled(seed, rule).word for seed in range(repeats))
    claims = said["better"] + said["worse"]
    print(f"{repeats} comparisons on random labels, {len(SEEDS)} seeds, {SIZES['test']} test rows:")
    print(dict(said))
    print(f"false claims: {claims} of {repeats}, {100 * claims / repeats:.1f} %")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
