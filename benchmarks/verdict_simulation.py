"""How often does the verdict claim what is not there, find what is, and do its intervals cover?

    python benchmarks/verdict_simulation.py claims [REPEATS]   (400 repeats: about 2 minutes)
    python benchmarks/verdict_simulation.py cells [REPEATS]    (intervals of a cell: half a minute)
    python benchmarks/verdict_simulation.py looks [REPEATS]    (growing comparisons: 4 minutes)
    python benchmarks/verdict_simulation.py groups [REPEATS]   (held-out speakers: a minute)
    python benchmarks/verdict_simulation.py metrics [REPEATS]  (macro-F1 and others: a minute)

`--generator N` draws 24 other worlds. The code was tuned on generators 0 to 9; `--kept` takes the
ten that were kept aside, 100 to 109, three worlds of each.

Two cells answer the same test examples. A model gets an example right when a normal score is
above a threshold; the score adds the example's difficulty (shared by all), the cell's own
difficulty with it, the seed's luck, and what is particular to seed and example. The threshold sets
each cell's accuracy over all seeds and examples exactly, so that the truth is known. In some
worlds one seed in ten does not learn at all. All figures are per cent; "before" is the test until
version 0.1.0: every component with the Student quantile of its own degrees of freedom (Banerjee
1960), and 2 / (n + 2)^2 added to the variance.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from seqbelt.comparison.looks import SCHEDULE, Looks
from seqbelt.comparison.metric_scores import score_cells
from seqbelt.comparison.metrics import Metric, RunPredictions
from seqbelt.comparison.statistics import mean_interval, score_difference, score_interval
from seqbelt.comparison.verdict import Verdict
from seqbelt.comparison.verdict_rule import VerdictRule

KEPT = range(100, 110)
"""Generators of worlds on which nothing was tuned."""


@dataclass(frozen=True)
class World:
    """A truth to draw test results from."""

    num_seeds: tuple[int, int]
    num_examples: int
    accuracies: tuple[float, float] = (0.9, 0.9)
    seed_spreads: tuple[float, float] = (0.3, 0.3)
    """Standard deviation of a seed's luck, in units of the noise of seed and example."""
    collapse: float = 0.0
    """Chance that a seed does not learn and answers right one time in four."""
    example_spread: float = 1.5
    cell_spread: float = 0.5

    @property
    def truths(self) -> tuple[float, float]:
        """Accuracy of both cells over all seeds and examples."""
        a, b = ((1 - self.collapse) * one + self.collapse * 0.25 for one in self.accuracies)
        return a, b

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        difficulty = self.example_spread * rng.standard_normal(self.num_examples)
        cells = {}
        for name, count, accuracy, spread in zip(
            ("a", "b"), self.num_seeds, self.accuracies, self.seed_spreads
        ):
            own = self.cell_spread * rng.standard_normal(self.num_examples)
            luck = spread * rng.standard_normal((count, 1))
            rest = rng.standard_normal((count, self.num_examples))
            total = np.sqrt(self.example_spread**2 + self.cell_spread**2 + spread**2 + 1)
            right = ndtri(accuracy) * total + difficulty + own + luck + rest > 0
            failed = rng.random((count, 1)) < self.collapse
            cells[name] = np.where(failed, rng.random(right.shape) < 0.25, right)
        return cells


def worlds(generator: int, count: int = 24) -> Iterator[World]:
    """Worlds in which both cells are equally good; 20 to 400 examples, 3 seeds."""
    rng = np.random.default_rng(generator)
    for _ in range(count):
        accuracy = rng.choice([0.6, 0.75, 0.85, 0.9, 0.95, 0.98])
        yield World(
            (3, 3),
            int(np.exp(rng.uniform(np.log(20), np.log(400)))),
            (accuracy, accuracy),
            (rng.choice([0, 0.1, 0.3, 0.6]), rng.choice([0, 0.1, 0.3, 0.6])),
            rng.choice([0, 0, 0, 0.1]),
            rng.uniform(0.5, 2.5),
            rng.uniform(0.1, 1.0),
        )


def judge_many(world: World, rule: VerdictRule, repeats: int, seed: int) -> list[Verdict]:
    rng = np.random.default_rng(seed)
    return [rule.judge(world.draw(rng))[0] for _ in range(repeats)]


def claim_rate(verdicts: list[Verdict]) -> float:
    return sum(verdict.word in ("better", "worse") for verdict in verdicts) / len(verdicts)


def coverage(verdicts: list[Verdict], truth: float) -> float:
    return sum(verdict.low <= truth <= verdict.high for verdict in verdicts) / len(verdicts)


def equivalence_rate(verdicts: list[Verdict]) -> float:
    return sum(verdict.word == "equivalent" for verdict in verdicts) / len(verdicts)


def half_width_before(a: np.ndarray, b: np.ndarray, level: float = 0.05) -> float:
    """Of the interval until version 0.1.0."""
    num_seeds, num_examples = a.shape
    seeds = (a.mean(axis=1).var(ddof=1) + b.mean(axis=1).var(ddof=1)) / num_seeds
    between = a.mean(axis=0) - b.mean(axis=0)
    from_seeds = sum((one - one.mean(axis=1, keepdims=True)).var(axis=0, ddof=1).sum()
                     for one in (a.astype(float), b.astype(float))) / num_seeds  # fmt: skip
    examples = max(between.var(ddof=1) * num_examples - from_seeds, 0) / num_examples**2
    examples += 2 / (num_examples + 2) ** 2
    quantiles = stdtrit([num_seeds - 1, num_examples - 1], 1 - level / 2) ** 2
    return float(np.sqrt(quantiles @ [seeds, examples]))


def print_claims(all_worlds: list[World], repeats: int) -> None:
    print(
        "Two cells, one look at the 5 % level; mean over the worlds and the worst (coverage: least)"
    )
    print(f"{'':22}{'before':>34}{'now':>34}")
    header = f"{'mean':>14}{'worst':>7}{'coverage':>13}"
    print(f"{'seeds':>5} {'difference':>12}    {header}{header}")
    for gain in (0.0, 0.05):
        for num_seeds in (2, 3, 5, 10):
            rates = np.array([
                _claims(world, num_seeds, gain, repeats, number)
                for number, world in enumerate(all_worlds)
            ])  # fmt: skip
            parts = [f"{num_seeds:5} {100 * gain:11.0f}    "]
            for claims, covers in ((rates[:, 0], rates[:, 1]), (rates[:, 2], rates[:, 3])):
                parts.append(f"{100 * claims.mean():14.1f}{100 * claims.max():7.1f}"
                             f"{100 * covers.mean():7.1f},{100 * covers.min():5.1f}")  # fmt: skip
            print("".join(parts))
    for num_seeds, rows, accuracies in ((3, 100, (0.9, 0.85)), (10, 40, (0.9, 0.8))):
        world = World((3, 3), rows, accuracies, (0.1, 0.1))
        before, _, now, _ = 100 * np.array(_claims(world, num_seeds, 0.0, 4 * repeats, 0))
        good, bad = (f"{100 * one:.0f}" for one in accuracies)
        print(f"{num_seeds} seeds x {rows} rows, {good} against {bad} %, seeds that vary little: "
              f"found {before:.0f}, now {now:.0f}")  # fmt: skip


def _claims(world: World, num_seeds: int, gain: float, repeats: int, seed: int) -> tuple:
    """Rates of claims and of coverage, before and now."""
    a, b = world.accuracies
    world = replace(world, num_seeds=(num_seeds, num_seeds), accuracies=(a, b - gain))
    truth = world.truths[0] - world.truths[1]
    rng, found = np.random.default_rng(seed), []
    for _ in range(repeats):
        cells = world.draw(rng)
        now = score_difference(cells["a"], cells["b"])
        halves = half_width_before(cells["a"], cells["b"]), now.half_width(0.05)
        misses = abs(now.value - truth)
        found.append([hit for half in halves for hit in (abs(now.value) > half, misses <= half)])
    return tuple(np.mean(found, axis=0))


def mean_coverage(world: World, repeats: int, seed: int) -> tuple[float, float]:
    """How often the interval of a cell holds its accuracy over all seeds and examples: the one over
    seeds, as it was shown before, and the one over seeds and examples."""
    rng, truth, found = np.random.default_rng(seed), world.truths[0], []
    for _ in range(repeats):
        answers = world.draw(rng)["a"]
        both = (mean_interval(answers.mean(axis=1), 0.95), score_interval(answers, 0.95))
        found.append([one.low <= truth <= one.high for one in both])
    before, now = np.mean(found, axis=0)
    return float(before), float(now)


def print_cells(all_worlds: list[World], repeats: int) -> None:
    print("Coverage of a cell's 95 % interval for new seeds and new rows, where all seeds learn")
    print(f"{'seeds':>5}{'before: mean':>14}{'least':>7}{'now: mean':>12}{'least':>7}{'most':>7}")
    for num_seeds in (2, 3, 5, 10):
        found = 100 * np.array([
            mean_coverage(replace(world, num_seeds=(num_seeds, 1), collapse=0.0), repeats, number)
            for number, world in enumerate(all_worlds)
        ])  # fmt: skip
        before, now = found.T
        print(f"{num_seeds:5}{before.mean():14.1f}{before.min():7.1f}{now.mean():12.1f}"
              f"{now.min():7.1f}{now.max():7.1f}")  # fmt: skip
    print("All rows right in all of 3 seeds:")
    for rows in (20, 100, 400):
        one = score_interval(np.ones((3, rows), dtype=bool), 0.95)
        print(f"{rows:5} of {rows}: {100 * one.low:.1f} to {100 * one.high:.1f}")


PATHS = {"3, 5, 8, 13, 20": SCHEDULE, "5, 8, 13, 20": SCHEDULE[1:], "every seed": range(3, 21)}


def print_looks(all_worlds: list[World], repeats: int) -> None:
    print("A comparison is extended until it claims a difference, at most to 20 seeds")
    print(f"{'looks at':18}{'difference':>11}{'each at 5 %: mean':>19}{'worst':>7}{'seeds':>7}"
          f"{'spent: mean':>13}{'worst':>7}{'seeds':>7}")  # fmt: skip
    for gain in (0.0, 0.05):
        rates: dict[str, list] = {name: [] for name in PATHS}
        for number, world in enumerate(all_worlds):
            a, b = world.accuracies
            grown = replace(world, num_seeds=(20, 20), accuracies=(a, b - gain))
            for name, rate in _looks(grown, repeats, number).items():
                rates[name].append(rate)
        for name, found in rates.items():
            plain, plain_seeds, spent, seeds = np.array(found).T
            print(f"{name:18}{100 * gain:11.0f}{100 * plain.mean():19.1f}{100 * plain.max():7.1f}"
                  f"{plain_seeds.mean():7.1f}{100 * spent.mean():13.1f}{100 * spent.max():7.1f}"
                  f"{seeds.mean():7.1f}")  # fmt: skip


def _looks(world: World, repeats: int, seed: int) -> dict[str, tuple]:
    """For each path: claims and mean number of seeds, with 5 % at each look and with it spent."""
    levels = {
        name: [Looks(count, tuple(path[:place])).level(0.05) for place, count in enumerate(path)]
        for name, path in PATHS.items()
    }
    rng = np.random.default_rng(seed)
    found: dict[str, list] = {name: [] for name in PATHS}
    for _ in range(repeats):
        a, b = world.draw(rng).values()
        p = {count: score_difference(a[:count], b[:count]).p_value() for count in range(3, 21)}
        for name, path in PATHS.items():
            rows = []
            for limits in ([0.05] * len(path), levels[name]):
                claims = [count for count, limit in zip(path, limits) if p[count] <= limit]
                rows += [bool(claims), claims[0] if claims else path[-1]]
            found[name].append(rows)
    return {name: tuple(np.mean(rows, axis=0)) for name, rows in found.items()}


def draw_held_out(
    rng: np.random.Generator, num_groups: int, rows: int, num_seeds: int, spread: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two equally good cells on held-out groups: each group suits one of the two better, by a
    normal score of deviation ``spread``. Returns the cells' results and each row's group."""
    groups = np.repeat(np.arange(num_groups), rows)
    difficulty = 1.0 * rng.standard_normal(num_groups)[groups] + rng.standard_normal(len(groups))
    cells = {}
    for name in ("a", "b"):
        own = spread * rng.standard_normal(num_groups)[groups]
        luck = 0.2 * rng.standard_normal((num_seeds, 1))
        rest = rng.standard_normal((num_seeds, len(groups)))
        cells[name] = 1.5 + difficulty + own + luck + rest > 0
    return cells, groups


def print_groups(repeats: int) -> None:
    """False claims about new groups where rows are judged, and where groups are."""
    rule = VerdictRule(margin=0.02)
    print("No difference over all groups: claims, per cent, with rows or groups as the unit")
    print(f"{'groups':>8}{'rows each':>11}{'spread':>8}{'rows':>8}{'groups':>8}")
    for seed, (num_groups, rows, spread) in enumerate(
        (groups, rows, spread)
        for groups in (3, 4, 6, 8, 20)
        for rows in (20, 100)
        for spread in (0.0, 0.3, 0.6)
    ):
        rng = np.random.default_rng(seed)
        by_row, by_group = [], []
        for _ in range(repeats):
            cells, groups = draw_held_out(rng, num_groups, rows, 3, spread)
            by_row += rule.judge(cells)
            by_group += rule.judge(cells, groups)
        print(
            f"{num_groups:8}{rows:11}{spread:8.1f}{100 * claim_rate(by_row):8.1f}"
            f"{100 * claim_rate(by_group):8.1f}"
        )


def draw_classes(
    rng: np.random.Generator, num_examples: int, num_seeds: int, rare: float, gain: float = 0.0
) -> dict[str, list[RunPredictions]]:
    """Predictions of two cells for two classes, one of fraction ``rare``; cell b hits it the
    less often by ``gain``."""
    labels = (rng.random(num_examples) < rare).astype(int)
    difficulty = rng.standard_normal(num_examples)
    cells = {}
    for name, less in (("a", 0.0), ("b", gain)):
        chance = np.where(labels == 1, 0.7 - less, 0.95)
        luck = 0.2 * rng.standard_normal((num_seeds, 1))
        scores = difficulty + luck + rng.standard_normal((num_seeds, num_examples))
        right = scores + ndtri(chance) * np.sqrt(2.04) > 0
        cells[name] = [RunPredictions(labels, np.where(one, labels, 1 - labels)) for one in right]
    return cells


def print_metrics(repeats: int) -> None:
    """Metrics that are no mean over rows: claims without a difference, power, coverage."""
    print("Two classes, 5 seeds: claims at the 5 % level; b finds the rare class equally or 30 "
          "points less often; coverage of a cell's interval")  # fmt: skip
    header = f"{'no difference':>15}{'difference':>12}{'coverage':>10}"
    print(f"{'metric':20}{'rows':>6}{'rare':>6}{header}")
    names = ("accuracy", "macro_f1", "balanced_accuracy", "recall:1")
    for num_examples, rare in ((100, 0.5), (100, 0.2), (400, 0.05), (400, 0.2)):
        many = draw_classes(np.random.default_rng(9), 200_000, 40, rare)
        for name in names:
            metric, rng, found = Metric(name), np.random.default_rng(1), []
            truth = score_cells(metric, {"a": many["a"]}, ("0", "1")).cells["a"].mean()
            for _ in range(repeats):
                claims = []
                for gain in (0.0, 0.3):
                    drawn = draw_classes(rng, num_examples, 5, rare, gain)
                    cells = score_cells(metric, drawn, ("0", "1")).cells
                    claims.append(score_difference(cells["a"], cells["b"]).p_value() <= 0.05)
                one = score_interval(cells["a"], 0.95)
                found.append([*claims, one.low <= truth <= one.high])
            null, power, covers = 100 * np.mean(found, axis=0)
            print(f"{name:20}{num_examples:6}{rare:6.2f}{null:15.1f}{power:12.1f}{covers:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("claims", "cells", "looks", "groups", "metrics"))
    parser.add_argument("repeats", type=int, nargs="?", default=400)
    parser.add_argument("--generator", type=int, default=0)
    parser.add_argument("--kept", action="store_true")
    given = parser.parse_args()
    found = list(worlds(given.generator))
    if given.kept:
        found = [world for generator in KEPT for world in worlds(generator, 3)]
    of_worlds = {"claims": print_claims, "cells": print_cells, "looks": print_looks}
    if given.what in of_worlds:
        of_worlds[given.what](found, given.repeats)
    else:
        {"groups": print_groups, "metrics": print_metrics}[given.what](given.repeats)


if __name__ == "__main__":
    main()
