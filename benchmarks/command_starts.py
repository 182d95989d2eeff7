"""What each command takes before and beside its work, worst first.

    python benchmarks/command_starts.py FOLDER [--rounds 5] [--before SRC]

FOLDER gets a project of generated recordings, trained for one epoch. Every command then has ten
files or nothing to do; `python -c "import torch"` is the reference. Seconds by the clock and of the
processor, with those of child processes; medians over rounds in which all commands take turns, as
ratios to the reference of the same round. ``--before`` is another version's `src` folder, measured
in the same rounds.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

CONFIG = """
name: words
data: {source: words}
features: {kind: log_mel, sample_rate: 8000, num_bands: 16}
model: {hidden_size: 12, bidirectional: false, pooling: last}
training: {num_epochs: 1, batch_size: 16, device: cpu}
"""
MODEL = "models:/words@champion"
COMMANDS = {
    "predict, ten files": ("predict", MODEL, "ten", "--output", "ten.csv"),
    "predict, all in the journal": ("predict", MODEL, "words/test", "--output", "again.csv"),
    "explain, one file": ("explain", MODEL, "ten/0.wav", "--output", "explained"),
    "evaluate, 16 rows": ("evaluate", MODEL, "words.yaml"),
    "stream, one file": ("stream", MODEL, "ten/0.wav"),
    "prepare, nothing to do": ("prepare", "words.yaml"),
    "--help": ("--help",),
}
REFERENCE = "import torch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="src of another version")
    arguments = parser.parse_args()
    make_project(arguments.folder)
    os.chdir(arguments.folder)
    versions = {"now": None} | ({"before": arguments.before.resolve()} if arguments.before else {})
    ratios: dict[tuple[str, str], list[tuple[float, float]]] = {}
    seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    references = []
    for _ in range(arguments.rounds):
        reference = measure(["-c", REFERENCE], None)
        references.append(reference)
        for name, command in COMMANDS.items():
            for version, source in versions.items():
                Path("ten.csv").unlink(missing_ok=True)
                for journal in Path.cwd().glob("ten.csv*"):
                    journal.unlink()
                took = measure(["-m", "seqbelt", *command], source)
                seconds.setdefault((name, version), []).append(took)
                ratios.setdefault((name, version), []).append(
                    (took[0] / reference[0], took[1] / reference[1])
                )
    print("command, version: clock s (ratio to the import of torch), processor s (ratio)")
    print(f"{REFERENCE}: {median(references, 0):.2f}, {median(references, 1):.2f}")
    for key in sorted(seconds, key=lambda key: -median(seconds[key], 0)):
        clock, processor = (
            f"{median(seconds[key], i):.2f} ({median(ratios[key], i):.2f})" for i in (0, 1)
        )
        print(f"{', '.join(key)}: {clock}, {processor}")


def make_project(folder: Path) -> None:
    """Recordings, a config and a registered model; kept for the next run."""
    from seqbelt.data.generated.demo_data import DemoData

    if (folder / "mlruns").exists():
        return
    DemoData(kind="audio", num_per_class=16).write(folder / "words")
    (folder / "words.yaml").write_text(CONFIG)
    (folder / "ten").mkdir()
    for number, path in enumerate(sorted((folder / "words").rglob("*.wav"))[:10]):
        shutil.copy(path, folder / "ten" / f"{number}.wav")
    for command in (("train", "words.yaml"), COMMANDS["predict, all in the journal"]):
        subprocess.run([sys.executable, "-m", "seqbelt", *command], cwd=folder, check=True)


def measure(command: list[str], source: Path | None) -> tuple[float, float]:
    """Seconds by the clock, and of the processor with those of child processes."""
    environment = os.environ | ({"PYTHONPATH": str(source)} if source else {})
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)
    clock, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median(values: list[tuple[float, float]], index: int) -> float:
    return statistics.median(value[index] for value in values)


if __name__ == "__main__":
    main()
