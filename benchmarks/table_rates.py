"""How fast clean tables are prepared, against another checkout: does careful reading cost much?

    git worktree add /tmp/before fe94da4
    python benchmarks/table_rates.py --before /tmp/before/src

Two generated sets: reviews in one .csv, and logs of numbers, a .csv each. Both checkouts prepare
each set in turn, ``--rounds`` times; the ratio is that of the rates in the same round, by the
processor time of all processes, which other work on the machine changes least.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

SETS = {
    "reviews": "data: {source: reviews.csv}\nfeatures: {kind: word}\n",
    "logs": "data: {source: logs}\nfeatures: {kind: channels}\n",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="src folder of the other one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--num-reviews", type=int, default=50_000)
    parser.add_argument("--num-logs", type=int, default=500)
    parser.add_argument("--num-rows", type=int, default=15_000)
    parser.add_argument("--folder", type=Path, default=Path("table_rates"))
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_reviews(folder / "reviews.csv", arguments.num_reviews)
    write_logs(folder / "logs", arguments.num_logs, arguments.num_rows)
    before, now = arguments.before.absolute(), Path(__file__).absolute().parents[1] / "src"
    for name, config in SETS.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{config}")
        ratios = []
        for number in range(arguments.rounds):
            order = (before, now) if number % 2 else (now, before)
            taken = {source: prepare(folder, name, source) for source in order}
            ratios.append(taken[before] / taken[now])
            print(f"{name}: {taken[before]:.1f} s before, {taken[now]:.1f} s now", flush=True)
        low, high = min(ratios), max(ratios)
        print(f"{name}: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}) of the rate")


def prepare(folder: Path, name: str, source: Path) -> float:
    """Processor seconds that a checkout takes to prepare a set anew."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "seqbelt", "prepare", f"{name}.yaml"],
        cwd=folder, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )  # fmt: skip
    after = os.times()
    if done.returncode:
        sys.exit(f"{source}: {done.stderr[-2000:]}")
    return (
        after.children_user
        + after.children_system
        - (before.children_user + before.children_system)
    )


def write_reviews(path: Path, num: int) -> None:
    """Texts of 50 to 400 words; those of one label have some words that the other has not."""
    draw = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(draw.choice(letters, draw.integers(2, 10))) for _ in range(20_000)])
    with path.open("w") as file:
        file.write("text,label\n")
        for number in range(num):
            places = np.minimum(draw.zipf(1.3, draw.integers(50, 400)), len(words)) - 1
            text = " ".join(words[places])
            file.write(f'"{text}, and ""{words[number % 7]}"".",{"neg" if number % 2 else "pos"}\n')


def write_logs(folder: Path, num: int, num_rows: int) -> None:
    """Recordings of six channels with four decimals, names above them."""
    draw = np.random.default_rng(0)
    for number in range(num):
        path = folder / ("walk" if number % 2 else "rest") / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = draw.normal(size=(num_rows, 6)) * 5
        names = "acc_x,acc_y,acc_z,gyr_x,gyr_y,gyr_z"
        np.savetxt(path, values, "%.4f", ",", header=names, comments="")


if __name__ == "__main__":
    main()
