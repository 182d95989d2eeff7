"""Export parity: another engine gives the network's logits, for every length and batch size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.checks.certificate import LogitCertificate, find_flips, finite_or_none, tolerance_for
from seqbelt.data.batches import pad
from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.data.sequences import Sequences
from seqbelt.models.ensemble import Network

BATCH_SIZES = (1, 2, 7)
TYPICAL_STEPS, MOST_STEPS = 100, 1000
"""Median and longest length of generated sequences for a model without ``max_steps``."""
NUM_FIRST_CUTS = 32
Draw = Callable[[int, int], np.ndarray]
"""Maps a number of steps and a seed to a sequence ``(steps, …)``."""


class Case(NamedTuple):
    """One batch to compare."""

    name: str
    inputs: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class ExportCertificate(LogitCertificate):
    """Logits of an exported file against the network's."""

    tolerance: float
    worst_case: str

    @property
    def sentence(self) -> str:
        """The outcome as a sentence."""
        return (
            f"export certificate {'passed' if self.passed else 'FAILED'}: logits differ by "
            f"{self.shown_difference} at most (allowed {self.tolerance:.1e}), with "
            f"{self.worst_case}; {self.num_flips} of {self.num_sequences} labels change"
        )


def draw_from(sequences: Sequences) -> tuple[Draw, int, int]:
    """A function that returns prefixes of real sequences, and their median and largest length."""
    lengths = sequences.lengths

    def draw(num_steps: int, number: int) -> np.ndarray:
        fitting = np.flatnonzero(lengths >= num_steps)
        return sequences[int(fitting[number % len(fitting)])][:num_steps]

    return draw, int(np.sort(lengths)[len(lengths) // 2]), int(lengths.max())


def draw_generated(network: Network, max_steps: int | None) -> tuple[Draw, int, int]:
    """A function that returns noise with the training mean and deviation, or random tokens; and two
    lengths."""

    def draw(num_steps: int, number: int) -> np.ndarray:
        random = np.random.default_rng((num_steps, number))
        if network.is_tokens:
            return random.integers(0, network.main.embed.num_embeddings, num_steps)
        normalize = network.main.normalize
        mean, std = (part.cpu().numpy() for part in (normalize.mean, normalize.std))
        return (mean + std * random.normal(size=(num_steps, len(mean)))).astype(np.float32)

    longest = max_steps or MOST_STEPS
    return draw, min(TYPICAL_STEPS, -(-longest // 2)), longest


def make_cases(draw: Draw, median: int, longest: int) -> Iterator[Case]:
    """Batches of 1, 2 and 7 sequences of mixed lengths, starting with 1, 2, median or longest
    steps."""
    lengths = {"1 step": 1, "2 steps": 2, f"{median} steps (median)": median}
    lengths[f"{longest} steps (longest)"] = longest
    kept = {name: steps for name, steps in lengths.items() if steps <= longest}
    for index, name in enumerate(kept):
        mixed = np.roll(list(kept.values()), -index).tolist()
        for size in BATCH_SIZES:
            rows = [draw(mixed[row % len(mixed)], row) for row in range(size)]
            yield Case(f"a batch of {size} whose first has {name}", *pad(rows))


def make_cut_case(draw: Draw, longest: int) -> Case:
    """One sequence cut after each of its first ``NUM_FIRST_CUTS`` steps, and at so many places
    after them: a file that reads step by step has an answer at each."""
    spread = np.linspace(1, longest, NUM_FIRST_CUTS).astype(int).tolist()
    ends = sorted({*range(1, min(NUM_FIRST_CUTS, longest) + 1), *spread})
    sequence = draw(longest, 0)
    return Case(f"cuts of a sequence of {longest}", *pad([sequence[:end] for end in ends]))


@torch.inference_mode()
def certify_export(
    network: nn.Module,
    exported: nn.Module,
    cases: Sequence[Case],
    target: Target = TARGETS["per_sequence"],
) -> ExportCertificate:
    """Compare the two engines' logits on every batch; a single difference above the tolerance
    fails, and so does another prediction of the ``target``."""
    network.eval()
    differences, flips, largest = [], 0, 0.0
    for case in cases:
        expected = network(case.inputs, case.lengths)
        outputs = exported(case.inputs, case.lengths)
        differences.append(float((outputs - expected).abs().max()))
        flips += int(find_flips(target, outputs, expected).sum())
        largest = max(largest, float(expected.abs().max()))
    worst = int(np.argmax(differences))  # a nan counts as the largest
    tolerance = tolerance_for(largest)
    return ExportCertificate(
        passed=differences[worst] <= tolerance and flips == 0,
        max_difference=finite_or_none(differences[worst]),
        num_flips=flips,
        num_sequences=sum(len(case.lengths) for case in cases),
        tolerance=tolerance,
        worst_case=cases[worst].name,
    )


@torch.inference_mode()
def batch_composition_difference(network: nn.Module, cases: Sequence[Case]) -> float:
    """Largest change of a logit caused by the other sequences of a batch."""
    worst = 0.0
    for case in cases:
        together = network(case.inputs, case.lengths)
        for row, length in enumerate(case.lengths.tolist()):
            single = slice(row, row + 1)
            alone = network(case.inputs[single, :length], case.lengths[single])
            worst = max(worst, float((together[single] - alone).abs().max()))
    return worst
