"""Export parity: another engine gives the network's logits, for every length and batch size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.checks.certificate import LogitCertificate, finite_or_none, tolerance_for
from seqbelt.data.batches import pad
from seqbelt.data.sequences import Sequences
from seqbelt.models.ensemble import Network

BATCH_SIZES = (1, 2, 7)
TYPICAL_STEPS, MOST_STEPS = 100, 1000
"""Median and longest of generated sequences, of a model that reads as many as there are."""
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
        """The outcome in words."""
        return (
            f"export certificate {'passed' if self.passed else 'FAILED'}: logits differ by "
            f"{self.shown_difference} at most (allowed {self.tolerance:.1e}), with "
            f"{self.worst_case}; {self.num_flips} of {self.num_sequences} labels flip"
        )


def draw_from(sequences: Sequences) -> tuple[Draw, int, int]:
    """Beginnings of real sequences, the real median length and the longest."""
    lengths = sequences.lengths

    def draw(num_steps: int, number: int) -> np.ndarray:
        fitting = np.flatnonzero(lengths >= num_steps)
        return sequences[int(fitting[number % len(fitting)])][:num_steps]

    return draw, int(np.sort(lengths)[len(lengths) // 2]), int(lengths.max())


def draw_generated(network: Network, max_steps: int | None) -> tuple[Draw, int, int]:
    """Noise of the training steps' mean and deviation, or random tokens; and two lengths."""

    def draw(num_steps: int, number: int) -> np.ndarray:
        random = np.random.default_rng((num_steps, number))
        if network.is_tokens:
            return random.integers(0, network.embed.num_embeddings, num_steps)
        mean, std = (part.cpu().numpy() for part in (network.normalize.mean, network.normalize.std))
        return (mean + std * random.normal(size=(num_steps, len(mean)))).astype(np.float32)

    longest = max_steps or MOST_STEPS
    return draw, min(TYPICAL_STEPS, -(-longest // 2)), longest


def make_cases(draw: Draw, median: int, longest: int) -> Iterator[Case]:
    """Batches of 1, 2 and 7 sequences of mixed lengths, each led by 1, 2, median, longest steps."""
    lengths = {"1 step": 1, "2 steps": 2, "the median length": median, "the longest": longest}
    kept = {name: steps for name, steps in lengths.items() if steps <= longest}
    for place, (name, steps) in enumerate(kept.items()):
        mixed = np.roll(list(kept.values()), -place).tolist()
        for size in BATCH_SIZES:
            rows = [draw(mixed[row % len(mixed)], row) for row in range(size)]
            yield Case(f"a batch of {size} led by {name}, {steps}", *pad(rows))


@torch.inference_mode()
def certify_export(
    network: Network, exported: nn.Module, cases: Sequence[Case]
) -> ExportCertificate:
    """Compare the two engines' logits on every batch; a single difference too large fails."""
    network.eval()
    differences, flips, largest = [], 0, 0.0
    for case in cases:
        wanted = network(case.inputs, case.lengths)
        found = exported(case.inputs, case.lengths)
        differences.append(float((found - wanted).abs().max()))
        flips += int((found.argmax(1) != wanted.argmax(1)).sum())
        largest = max(largest, float(wanted.abs().max()))
    place = int(np.argmax(differences))  # a nan counts as the largest
    tolerance = tolerance_for(largest)
    return ExportCertificate(
        passed=differences[place] <= tolerance and flips == 0,
        max_difference=finite_or_none(differences[place]),
        num_flips=flips,
        num_sequences=sum(len(case.lengths) for case in cases),
        tolerance=tolerance,
        worst_case=cases[place].name,
    )


@torch.inference_mode()
def batch_composition_difference(network: nn.Module, cases: Sequence[Case]) -> float:
    """Largest change of a logit caused by the other sequences of a batch."""
    worst = 0.0
    for case in cases:
        together = network(case.inputs, case.lengths)
        for row, length in enumerate(case.lengths.tolist()):
            own = slice(row, row + 1)
            alone = network(case.inputs[own, :length], case.lengths[own])
            worst = max(worst, float((together[own] - alone).abs().max()))
    return worst
