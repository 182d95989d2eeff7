"""Reviews per second through `seqbelt predict`, from a table to a file of labels.

    python benchmarks/review_prediction.py MODEL TABLE.tsv [data.KEY=VALUE ...] [--rounds 3]

MODEL is a bundle folder or an MLflow URI; the settings tell how the table is read. Each round is
the whole command in a process of its own, with nothing answered before. Printed are the rate of the
whole command and the rate once the model is loaded, which is from the `predict_s` that it reports.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("inputs", nargs="+", metavar="TABLE [KEY=VALUE]")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds = [predict(arguments.model, arguments.inputs) for _ in range(arguments.rounds)]
    for name, rates in zip(("whole command", "loaded"), zip(*rounds)):
        told = ", ".join(f"{rate:,.0f}" for rate in rates)
        print(f"{name}: {statistics.median(rates):,.0f} reviews/s ({told})")


def predict(model: str, inputs: list[str]) -> tuple[float, float]:
    """Reviews per second of the whole command, and of its work once the model is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "seqbelt", "predict", model, *inputs]
        command += ["--output", str(Path(folder, "labels.parquet")), "--json"]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode not in (0, 3):
            raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    count = found["num_predicted"] + found["num_quarantined"]
    return count / seconds, count / found["predict_s"]


if __name__ == "__main__":
    main()
