"""How often does the verdict claim a difference that is not there, and do its intervals cover?

    python benchmarks/verdict_simulation.py [REPEATS]           (400 repeats: about 3 minutes)
    python benchmarks/verdict_simulation.py [REPEATS] coverage  (only that: half a minute)
    python benchmarks/verdict_simulation.py [REPEATS] groups    (held-out speakers: a minute)

Two cells answer the same test examples. A model gets an example right when a normal score is
above a threshold; the score adds the example's difficulty (shared by all), the cell's own
difficulty with it, the seed's luck, and what is particular to seed and example. The threshold sets
each cell's accuracy over all seeds and examples exactly, so that the truth is known. In the rows
marked `collapse`, one seed in five does not learn at all. Prints per cent; `claims` is the share of
better or worse (5 allowed where the truth is no difference), `bootstrap` that of the plain
percentile bootstrap over seeds and examples.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from seqbelt.comparison.statistics import bootstrap_difference, mean_interval
from seqbelt.comparison.verdict import Verdict, VerdictRule


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


def judge_many(world: World, rule: VerdictRule, repeats: int, seed: int) -> list[Verdict]:
    rng = np.random.default_rng(seed)
    return [rule.judge(world.draw(rng))[0] for _ in range(repeats)]


def claim_rate(verdicts: list[Verdict]) -> float:
    return sum(verdict.word in ("better", "worse") for verdict in verdicts) / len(verdicts)


def coverage(verdicts: list[Verdict], truth: float) -> float:
    return sum(verdict.low <= truth <= verdict.high for verdict in verdicts) / len(verdicts)


def mean_coverage(world: World, repeats: int, seed: int) -> float:
    """How often the table's interval over seeds holds what the cell has on these test examples
    over all seeds; 4,000 further seeds stand for all."""
    rng = np.random.default_rng(seed)
    many = replace(world, num_seeds=(4000 + world.num_seeds[0], 1))
    hits = 0
    for _ in range(repeats // 10):
        accuracies = many.draw(rng)["a"].mean(axis=1)
        for start in range(0, 10 * world.num_seeds[0], world.num_seeds[0]):
            found = mean_interval(accuracies[start : start + world.num_seeds[0]], 0.95)
            hits += found.low <= accuracies.mean() <= found.high
    return hits / (repeats // 10 * 10)


def print_coverage(rule: VerdictRule, repeats: int) -> None:
    print("Coverage of the 95 % intervals, per cent; worst and mean over the scenarios")
    print(
        f"{'seeds':8}{'difference':>12}{'worst':>8}{'mean':>8}{'over seeds: worst':>20}{'mean':>8}"
    )
    for num_seeds in (2, 3, 5, 10):
        for accuracies in ((0.9, 0.9), (0.9, 0.88), (0.8, 0.6)):
            found, over_seeds = [], []
            for num_examples in (40, 100, 400):
                for number, spreads in enumerate(SPREADS):
                    world = World((num_seeds, num_seeds), num_examples, accuracies, spreads)
                    verdicts = judge_many(world, rule, repeats, number)
                    found.append(coverage(verdicts, accuracies[0] - accuracies[1]))
                    if spreads[0]:  # without luck all seeds are alike, and so is the interval
                        over_seeds.append(mean_coverage(world, repeats, number))
            print(
                f"{num_seeds:<8}{accuracies[0] - accuracies[1]:12.2f}{100 * min(found):8.1f}"
                f"{100 * np.mean(found):8.1f}{100 * min(over_seeds):20.1f}"
                f"{100 * np.mean(over_seeds):8.1f}"
            )


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


def print_groups(rule: VerdictRule, repeats: int) -> None:
    """False claims about new groups where rows are judged, and where groups are."""
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


def equivalence_rate(verdicts: list[Verdict]) -> float:
    return sum(verdict.word == "equivalent" for verdict in verdicts) / len(verdicts)


def bootstrap_rate(world: World, repeats: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    claims = 0
    for repeat in range(repeats):
        cells = world.draw(rng)
        found = bootstrap_difference(
            cells["a"], cells["b"], confidence=0.95, num_resamples=400, seed=repeat
        )
        claims += not found.low <= 0 <= found.high
    return claims / repeats


SPREADS = [(0.0, 0.0), (0.3, 0.3), (0.1, 0.4), (0.8, 0.8), (0.0, 0.8)]


def worlds(accuracy: float):
    for num_seeds in ((2, 2), (3, 3), (5, 5), (2, 5)):
        for num_examples in (40, 100, 400):
            for spreads in SPREADS:
                yield World(num_seeds, num_examples, (accuracy, accuracy), spreads)
            yield World(num_seeds, num_examples, (accuracy, accuracy), collapse=0.2)


def main(repeats: int, only: str) -> None:
    rule = VerdictRule(margin=0.02)
    if only:
        {"coverage": print_coverage, "groups": print_groups}[only](rule, repeats)
        return
    print("No difference: seeds, examples, accuracy, spread of seeds")
    print(f"{'':42}{'claims':>8}{'covers':>8}{'half width':>12}{'bootstrap':>11}")
    worst: dict[tuple[int, int], float] = {}
    for accuracy in (0.6, 0.9):
        for number, world in enumerate(worlds(accuracy)):
            verdicts = judge_many(world, rule, repeats, number)
            rate = claim_rate(verdicts)
            worst[world.num_seeds] = max(rate, worst.get(world.num_seeds, 0.0))
            half = np.median([verdict.high - verdict.difference for verdict in verdicts])
            bootstrap = bootstrap_rate(world, repeats, number)
            spreads = "collapse" if world.collapse else str(world.seed_spreads)
            print(
                f"{world.num_seeds!s:9}{world.num_examples:6}{accuracy:8.2f}   {spreads:16}"
                f"{100 * rate:8.1f}{100 * coverage(verdicts, 0.0):8.1f}"
                f"{100 * half:12.1f}{100 * bootstrap:11.1f}"
            )
    print("worst claims:", {seeds: f"{100 * rate:.1f}" for seeds, rate in worst.items()})
    print("\nA difference of 2 points, the margin itself: equivalent may be said 5 times in 100")
    for num_seeds in ((3, 3), (5, 5)):
        world = World(num_seeds, 2000, (0.90, 0.88), (0.05, 0.05))
        verdicts = judge_many(world, rule, repeats, 1)
        print(f"{num_seeds!s:9}  2000 examples: equivalent {100 * equivalence_rate(verdicts):.1f}")
    print("\nA difference of 10 points, and none (margin 2 points), 5 seeds: words said")
    for accuracies in ((0.9, 0.8), (0.9, 0.9)):
        for num_examples in (400, 2000, 10_000):
            world = World((5, 5), num_examples, accuracies, (0.05, 0.1))
            said = [verdict.word for verdict in judge_many(world, rule, repeats // 2, 2)]
            shares = {word: f"{said.count(word) / len(said):.0%}" for word in sorted(set(said))}
            print(f"{accuracies} {num_examples:6} examples: {shares}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400, sys.argv[2] if len(sys.argv) > 2 else "")
