"""The same models judged by test rows, as until version 0.1.0, and by the groups held out.

    python benchmarks/held_out_units.py CONFIG [SETTING=VALUE ...]

Runs ``seqbelt compare`` in the current folder, whose test rows must be of speakers, subjects or
machines that are not trained on, and prints for each pair of cells: the verdict with rows as the
unit and the interval until version 0.1.0, with rows and today's interval, and what the command
prints. The first two are of one look, without correction for other pairs.
"""

import argparse
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

from verdict_simulation import half_width_before

from seqbelt.commands.compare import compare
from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.metric_scores import score_cells
from seqbelt.comparison.metrics import ACCURACY
from seqbelt.experiment import Experiment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE")
    given = parser.parse_args()
    with patch.object(Comparison, "conclude", autospec=True, side_effect=Comparison.conclude) as to:
        outcome = compare(Experiment.load(given.config, given.settings))
    comparison, runs, classes, *_ = to.call_args.args
    answers = {cell: [run.predictions for run in of] for cell, of in runs.items()}
    rows = score_cells(ACCURACY, answers, classes, None, "row")
    for a, b in combinations(rows.cells, 2):
        pair = {cell: rows.cells[cell] for cell in (a, b)}
        half = half_width_before(*pair.values())
        value = pair[a].mean() - pair[b].mean()
        word = "undecided" if abs(value) <= half else "better" if value > 0 else "worse"
        low, high = (100 * bound for bound in (value - half, value + half))
        print(f"rows, until 0.1.0: {a} against {b} {word}, {100 * value:+.1f} points, "
              f"{low:+.1f} to {high:+.1f}")  # fmt: skip
        print(f"rows, today's interval: {comparison.judge(pair)[0].sentence}")
    print(f"printed: {outcome.result['verdict']}")


if __name__ == "__main__":
    main()
