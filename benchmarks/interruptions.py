"""Kills and signals at random moments: is the result that of an undisturbed run?

    python benchmarks/interruptions.py --commands prepare train predict --num 10
    python benchmarks/interruptions.py --signals SIGINT SIGTERM SIGHUP --num 10
    python benchmarks/interruptions.py --full-disk --num 10

Each command is run once undisturbed, then ``--num`` times in a fresh project: it is ended at a
moment between 1 s and the undisturbed run's end, and run again (``train`` with ``--resume``). The
result must be the same, no MLflow run may stay RUNNING, and nothing may print a traceback.

With ``--full-disk`` the project is on a disk of its own (a tmpfs: mounting it needs root) that has
room for a random part of what the command writes; before the second run it is made larger.
"""

import argparse
import hashlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

CONFIG = """
name: p
data: {source: signals, validation_fraction: 0.2}
features: {kind: channels}
model: {hidden_size: 8}
training: {num_epochs: 6, batch_size: 8, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0, 1]}
tuning: {num_trials: 3}
"""
COMMANDS = {
    "prepare": ["prepare", "c.yaml"],
    "train": ["train", "c.yaml", "--json"],
    "compare": ["compare", "c.yaml", "--json"],
    "tune": ["tune", "c.yaml", "--json"],
    "predict": ["predict", "model", "signals", "--output", "o.csv"],
}
AGAIN = {"train": ["--resume"]}
CHANGING = ("summary_run_id", "num_pruned")
"""Of a search: what is of its run, and what depends on how fast trials are."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--signals", nargs="+", default=["SIGKILL"])
    parser.add_argument("--full-disk", action="store_true")
    parser.add_argument("--num", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("interruptions"))
    arguments = parser.parse_args()
    draw, faults = random.Random(arguments.seed), 0
    start = (arguments.folder / "start").absolute()
    make_project(start)
    for command in arguments.commands:
        calm = fresh(start, start.with_name(f"calm-{command}"))
        began = time.monotonic()
        code, said = run(calm, COMMANDS[command])
        length_s = time.monotonic() - began
        assert code == 0, said[-2000:]
        expected = result_of(calm, command, said)
        print(f"{command}: {length_s:.1f} s undisturbed", flush=True)
        again = [*COMMANDS[command], *AGAIN.get(command, ())]
        for number in range(arguments.num):
            project = start.with_name("try")
            if arguments.full_disk:
                room = draw.random()
                with small_disk(start, project, room * (size_of(calm) - size_of(start))) as enlarge:
                    ended, first = run(project, COMMANDS[command])
                    left_open = running(project)
                    enlarge()
                    code, second = run(project, again)
                    problems = problems_of(project, command, first, code, second, expected)
                if ended != 0 and "disk is full" not in first:
                    problems.append(f"no word of the full disk: {first[-300:]}")
                if left_open and "stays RUNNING" not in first:
                    problems.append(f"no word of {left_open}, which stay RUNNING")
                happened = f"room for {room:.0%} of what is written"
            else:
                name = arguments.signals[number % len(arguments.signals)]
                moment = draw.uniform(min(1.0, length_s / 2), length_s)
                fresh(start, project)
                ended, first = run(project, COMMANDS[command], moment, name)
                code, second = run(project, again)
                problems = problems_of(project, command, first, code, second, expected)
                happened = f"{name} at {moment:.1f} s"
            faults += bool(problems)
            last = next((line for line in reversed(first.splitlines()) if line.strip()), "")
            print(
                f"  {happened} (exit code {ended}): {'; '.join(problems) or 'the same'} | {last}",
                flush=True,
            )
    print(f"{faults} faults")
    sys.exit(1 if faults else 0)


def problems_of(
    project: Path, command: str, first: str, code: int, second: str, expected: object
) -> list[str]:
    """What is wrong after an interrupted run and a second one, which ended with ``code``."""
    problems = []
    if code != 0:
        problems.append(f"exit code {code} of the second run: {second[-300:]}")
    elif (found := result_of(project, command, second)) != expected:
        problems.append(f"result {found} instead of {expected}")
    problems += [f"run {one} stays RUNNING" for one in running(project)]
    return problems + [
        f"traceback: {said[said.index('Traceback') :][-400:]}"
        for said in (first, second)
        if "Traceback" in said
    ]


@contextmanager
def small_disk(start: Path, project: Path, room: float) -> Iterator[Callable[[], object]]:
    """A copy of a project on a disk that has ``room`` more bytes; gives what enlarges it."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size_of(start) + int(room)}", "tmpfs", project]
    subprocess.run(["mount", *options], check=True)
    try:
        shutil.copytree(start, project, dirs_exist_ok=True)
        yield lambda: subprocess.run(["mount", "-o", "remount,size=1g", project], check=True)
    finally:
        subprocess.run(["umount", "--lazy", project], check=True)


def size_of(folder: Path) -> int:
    """Bytes that a folder's files take in whole pages."""
    sizes = (file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
    return sum(-4096 * (-size // 4096) for size in sizes)


def make_project(folder: Path) -> None:
    """A small set of signals, a config, and a model of it."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, slope in (("up", 1), ("down", -1)):
        (folder / "signals" / name).mkdir(parents=True)
        for number in range(60):
            steps = slope * np.linspace(0, 1, 30 + number % 20) + number / 100
            np.save(folder / "signals" / name / f"{number}.npy", steps[:, None].astype("f4"))
    (folder / "c.yaml").write_text(CONFIG)
    trained = fresh(folder, folder.with_name("trained"))
    code, said = run(trained, COMMANDS["train"])
    assert code == 0, said[-2000:]
    shutil.copytree(next((trained / "outputs/p").glob("*/bundle")), folder / "model")


def fresh(start: Path, folder: Path) -> Path:
    """A copy of the project, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)
    return folder


def run(
    folder: Path, command: list[str], moment: float | None = None, name: str = ""
) -> tuple[int, str]:
    """Exit code and output of a command, which a signal may end at a moment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "seqbelt", *command], cwd=folder, text=True, process_group=0,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(getattr(signal, name))
        said, _ = process.communicate(timeout=600)
    return process.returncode, said


def result_of(folder: Path, command: str, said: str) -> object:
    """What must not depend on whether the command was interrupted."""
    if command == "prepare":
        return json.loads((folder / "data/prepared/p/store.json").read_text())["fingerprint"]
    if command == "predict":
        return hashlib.sha256((folder / "o.csv").read_bytes()).hexdigest()
    found = json.loads([line for line in said.splitlines() if line.startswith("{")][-1])
    if command == "train":
        weights = next((folder / "outputs/p").glob("*/bundle/weights.safetensors"))
        return [found["epochs"], found["test"], hashlib.sha256(weights.read_bytes()).hexdigest()]
    if command == "compare":
        cells = found["cells"].items()
        return [found["verdict"], {name: cell["test_accuracy"] for name, cell in cells}]
    return {key: value for key, value in found.items() if key not in CHANGING}


def running(folder: Path) -> list[str]:
    """Ids of MLflow runs that are said to be under way."""
    database = folder / "mlruns/mlflow.db"
    if not database.exists():
        return []
    with sqlite3.connect(database) as stored:
        rows = stored.execute("SELECT run_uuid FROM runs WHERE status = 'RUNNING'").fetchall()
    return [row[0] for row in rows]


if __name__ == "__main__":
    main()
