"""Do the fast tests pass with other versions of Python and of the dependencies?

    python benchmarks/version_matrix.py python3.12 python3.13 [--sets newest,locked,oldest]

Each interpreter gets a virtual environment for each set below --work, made by uv. *newest* are the
newest releases that pyproject.toml allows, *locked* those of constraints.txt, *oldest* those of
constraints-oldest.txt, with the engine's tests alone (torch 2.3 has wheels for Python 3.11 and 3.12
only). The committed code is copied first, so that tests may write. A table is printed, as Markdown;
the output of the installation or of the tests is in WORK/PYTHON-SET.log. Exits with 1 if either
failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).parent.parent
SHOWN = ("torch", "numpy", "scipy", "pandas", "librosa", "scikit-learn", "mlflow", "av")
ENGINE_TESTS = ("tests/models", "tests/training", "tests/inference", "tests/checks")


class DependencySet(NamedTuple):
    """Which versions are installed, and which tests are run with them."""

    constraints: str | None
    requirements: tuple[str, ...]
    tests: tuple[str, ...] = ()


SETS = {
    "newest": DependencySet(None, (".[dev,video]",)),
    "locked": DependencySet("constraints.txt", (".[dev,video]",)),
    "oldest": DependencySet(
        "constraints-oldest.txt",
        (".[torchtext,video,tune]", "pytest", "pytest-xdist", "hypothesis", "statsmodels"),
        ENGINE_TESTS,
    ),
}


class Outcome(NamedTuple):
    """One row of the table."""

    python: str
    set_name: str
    versions: dict[str, str]
    summary: str
    seconds: float
    has_passed: bool


def run_tests(python: str, set_name: str, work: Path, num_workers: int) -> Outcome:
    """Install one set for one interpreter and run its tests."""
    chosen, began = SETS[set_name], time.perf_counter()
    folder = work / f"{Path(python).name}-{set_name}"
    shutil.rmtree(folder, ignore_errors=True)
    code, interpreter = folder / "code", str(folder / "venv/bin/python")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(code)], check=True)
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    pins = ["--constraint", chosen.constraints] if chosen.constraints else []
    install = [uv, "pip", "install", "--quiet", "--python", interpreter, *pins, "--editable"]
    test = [interpreter, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider"]
    test += [f"--numprocesses={num_workers}", "--dist=loadfile", *chosen.tests]
    log = folder.with_name(f"{folder.name}.log")

    def outcome(summary: str, has_passed: bool, found: dict[str, str]) -> Outcome:
        took = time.perf_counter() - began
        return Outcome(python, set_name, found, summary, took, has_passed)

    with log.open("w", encoding="utf-8") as output:
        create = [uv, "venv", "--quiet", "--python", python, str(folder / "venv")]
        if not (run(create, code, output) and run([*install, *chosen.requirements], code, output)):
            return outcome("not installed", False, {})
    with log.open("w", encoding="utf-8") as output:
        has_passed = run(test, code, output)
    return outcome(summarize(log.read_text("utf-8")), has_passed, versions(interpreter))


def run(command: list[str], folder: Path, output: IO[str]) -> bool:
    """Run a command, its output into a file, and whether it succeeded."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
    )
    return done.returncode == 0


def versions(interpreter: str) -> dict[str, str]:
    """Versions of Python and of the packages shown, as the environment has them."""
    code = (
        "import platform, importlib.metadata as m\n"
        "print('python', platform.python_version())\n"
        f"for name in {SHOWN!r}:\n    print(name, m.version(name))"
    )
    shown = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    return dict(line.split() for line in shown.stdout.splitlines())


def summarize(log: str) -> str:
    """What pytest counts in its last lines, such as ``4,515 passed, 55 skipped``."""
    counts = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
    last = next((line for line in reversed(log.splitlines()) if counts.search(line)), "")
    return ", ".join(f"{int(number):,} {what}" for number, what in counts.findall(last)) or "none"


def format_table(outcomes: list[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    lines = ["| Python | set | " + " | ".join(SHOWN) + " | fast tests | minutes |"]
    lines.append("|" + " --- |" * (len(SHOWN) + 4))
    for one in outcomes:
        shown = [one.versions.get(name, "") for name in SHOWN]
        python = one.versions.get("python", Path(one.python).name)
        cells = [python, one.set_name, *shown, one.summary, f"{one.seconds / 60:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "pythons", nargs="+", metavar="PYTHON", help="interpreters, by name or path"
    )
    parser.add_argument("--sets", default="newest,locked", help="of newest, locked and oldest")
    parser.add_argument("--work", type=Path, default=Path("build/version_matrix"))
    parser.add_argument("--num-workers", type=int, default=2, help="tests beside each other")
    arguments = parser.parse_args()
    names = arguments.sets.split(",")
    if unknown := sorted(set(names) - set(SETS)):
        parser.error(f"--sets: no set {', '.join(unknown)}; there are {', '.join(SETS)}")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for python in arguments.pythons:
        for name in names:
            outcomes.append(run_tests(python, name, work, arguments.num_workers))
            print(format_table(outcomes[-1:]).splitlines()[-1], flush=True)
    print(f"\n{format_table(outcomes)}")
    return 0 if all(one.has_passed for one in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
