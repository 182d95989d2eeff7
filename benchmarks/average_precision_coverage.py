"""How often the interval of mean average precision holds the true value.

Labels have known rates; a model of a seed gives each row and label a score: the label's signal,
whose strength differs from seed to seed, noise of the row that all seeds share, and noise of its
own. The true value is the mean over many seeds on a large sample. Intervals are those of
``compare``: over new seeds and new test rows.

    python benchmarks/average_precision_coverage.py
"""

import argparse

import numpy as np

from seqbelt.comparison.metric_scores import left_out_precision, score_cells
from seqbelt.comparison.metrics import AVERAGE_PRECISION, MICRO_F1, Metric, RunPredictions
from seqbelt.comparison.statistics import score_interval

RATES = np.array([0.5, 0.3, 0.2, 0.1, 0.05])
SIGNAL, SHARED = 1.2, 0.8
LARGE, MANY_SEEDS = 20_000, 300


def draw(
    num_rows: int, num_seeds: int, seed_spread: float, random: np.random.Generator
) -> list[RunPredictions]:
    labels = random.random((num_rows, len(RATES))) < RATES
    shared = SHARED * random.standard_normal(labels.shape)
    models = []
    for _ in range(num_seeds):
        signal = SIGNAL + seed_spread * random.standard_normal()
        own = np.sqrt(1 - SHARED**2) * random.standard_normal(labels.shape)
        scores = signal * (2 * labels - 1.0) + shared + own
        models.append(RunPredictions(labels, scores > 0, scores=scores))
    return models


def true_value(metric: Metric, seed_spread: float, random: np.random.Generator) -> float:
    found = []
    for _ in range(MANY_SEEDS):
        (one,) = draw(LARGE, 1, seed_spread, random)
        if metric == MICRO_F1:
            both = one.labels.sum() + one.predicted.sum()
            found.append(2 * (one.labels & one.predicted).sum() / both)
        else:
            precisions = [left_out_precision(one.scores[:, k], one.labels[:, k])[0]
                          for k in range(len(RATES))]  # fmt: skip
            found.append(np.mean(precisions))
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 500, 2000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5])
    parser.add_argument(
        "--seed-spread", type=float, default=0.1, help="standard deviation of the signal"
    )
    parser.add_argument("--repeats", type=int, default=1000)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    print("| metric | rows | seeds | true value | mean of estimates | holds it | mean width |")
    print("|---|---|---|---|---|---|---|")
    for metric in (AVERAGE_PRECISION, MICRO_F1):
        truth = true_value(metric, options.seed_spread, random)
        for num_rows in options.rows:
            for num_seeds in options.seeds:
                found = []
                for _ in range(options.repeats):
                    cells = {"lstm": draw(num_rows, num_seeds, options.seed_spread, random)}
                    scores = score_cells(metric, cells, "abcde").cells["lstm"]
                    interval = score_interval(scores, 0.95, None, True)
                    found.append((interval.value, interval.low, interval.high))
                value, low, high = np.array(found).T
                holds = np.mean((low <= truth) & (truth <= high))
                print(
                    f"| {metric.label} | {num_rows:,} | {num_seeds} | {truth:.4f} "
                    f"| {value.mean():.4f} | {holds:.1%} | {np.mean(high - low):.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
