"""What a training must survive: `kill -9` at random moments, again and again.

    python benchmarks/faults/training.py CONFIG [KEY=VALUE ...] [--kills 20]

Every disturbed training is started again with `--resume` until it ends by itself; then its weights
must be those of the undisturbed training, bit for bit, and its MLflow run must hold the same
numbers at the same epochs (what was told just before a kill may be told again). Prints one line a
training; exits with 1 at the first difference.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient


class Outcome(NamedTuple):
    """What a training leaves behind."""

    weights: bytes
    scores: dict[str, list[tuple[int, float]]]
    """By name: epochs and values, as MLflow keeps them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="+", metavar="CONFIG [KEY=VALUE]")
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(arguments.config, Path(name))
        num_killed, dice = 0, random.Random(0)
        while num_killed < arguments.kills:
            num_killed += trial.disturb(dice, arguments.kills - num_killed)
        print(f"{num_killed} kill -9: the same weights and scores every time")


class Trial:
    """One config, and what an undisturbed training of it gives."""

    def __init__(self, config: list[str], folder: Path) -> None:
        self.output, self.store = folder / "outputs", folder / "mlflow.db"
        self.command = [sys.executable, "-m", "seqbelt", "train", *config]
        self.command += [f"output={self.output}", "--resume", "--json"]
        self.outcome(self.start())  # prepares the data
        self.clear()
        began = time.monotonic()
        self.expected = self.outcome(self.start())
        self.calm_s = time.monotonic() - began
        self.clear()
        print(f"undisturbed: {self.calm_s:.1f} s, {len(self.expected.scores)} scores", flush=True)

    def disturb(self, dice: random.Random, most: int) -> int:
        """Kill a training at most so often and let it end; returns how often it was killed."""
        num_killed = 0
        while num_killed < most:
            process = self.start()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(dice.uniform(0.3, 1.0) * self.calm_s)
            process.send_signal(signal.SIGKILL)
            if process.wait() == 0:
                found = self.outcome(process)
                break
            num_killed += 1
        else:
            found = self.outcome(self.start())
        assert found.weights == self.expected.weights, "other weights"
        for name, expected in self.expected.scores.items():
            assert found.scores.get(name) == expected, (name, found.scores.get(name), expected)
        print(f"killed {num_killed} times: the same weights and scores", flush=True)
        self.clear()
        return num_killed

    def start(self) -> subprocess.Popen:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{self.store}"}
        return subprocess.Popen(
            self.command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def outcome(self, process: subprocess.Popen) -> Outcome:
        printed, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"the command ended with {process.returncode}")
        told = json.loads(printed)
        weights = Path(told["bundle"], "weights.safetensors").read_bytes()
        client = MlflowClient(f"sqlite:///{self.store}")
        run = client.get_run(told["run_id"])
        assert run.info.status == "FINISHED", run.info.status
        scores = {}
        for name in run.data.metrics:
            if name.startswith(("train/", "val/")) and name != "train/epoch_s":
                history = client.get_metric_history(run.info.run_id, name)
                scores[name] = sorted({(point.step, point.value) for point in history})
        return Outcome(weights, scores)

    def clear(self) -> None:
        shutil.rmtree(self.output)


if __name__ == "__main__":
    main()
