"""Every figure of docs/results.md again, by one command.

    python benchmarks/everything.py [--only WORD] [--list] [NAME=VALUE ...]

Runs the commands of the page's ``sh`` blocks, in the page's order, and keeps what each prints in
build/results/, one file a command. Words in capitals in a command (CLIPS, FOLDER) are what differs
from machine to machine: NAME=VALUE fills them in, and a command with one that is not given is
skipped and named, as is one that needs a GPU where there is none. It takes about a night on two
cores; ``--only`` takes the commands that contain a word.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
TARGET = ROOT / "build" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--list", action="store_true", help="name the commands, run none")
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE")
    arguments = parser.parse_args()
    values = dict(value.split("=", 1) for value in arguments.values)
    TARGET.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, command in enumerate(commands(PAGE.read_text("utf-8"))):
        if arguments.only not in command:
            continue
        filled, missing = fill(command, values)
        if "gpu_" in command and not torch.cuda.is_available():
            missing.append("a GPU")
        if missing or arguments.list:
            print(
                f"{'skipped, needs ' + ', '.join(missing) if missing else 'would run'}: {command}"
            )
            continue
        print(f"{filled} ...", end=" ", flush=True)
        seconds, status = run(filled, TARGET / f"{number:02}.txt")
        print(f"{seconds:.0f} s{'' if status in (0, 3) else f', exit code {status}'}")
        failed += [] if status in (0, 3) else [command]
    if failed:
        raise SystemExit("failed: " + "; ".join(failed))


def commands(page: str) -> list[str]:
    """The commands of a page, comments left out, each once."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    lines = (re.sub(r"\s+#.*$", "", line).strip() for block in blocks for line in block.split("\n"))
    return list(dict.fromkeys(line for line in lines if line))


def fill(command: str, values: dict[str, str]) -> tuple[str, list[str]]:
    """The command with its capitals filled in, and those that nothing was given for."""
    words, missing = [], []
    for word in shlex.split(command):
        if re.fullmatch(r"[A-Z]{3,}", word):
            missing += [] if word in values else [word]
            word = values.get(word, word)
        words.append(word)
    return shlex.join(words), missing


def run(command: str, output: Path) -> tuple[float, int]:
    """Seconds and exit code of a command, whose output goes to a file."""
    began = time.perf_counter()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with output.open("w", encoding="utf-8") as file:
        file.write(f"$ {command}\n")
        file.flush()
        done = subprocess.run(
            command, shell=True, cwd=ROOT, env={**os.environ, "PATH": path}, stdout=file,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    return time.perf_counter() - began, done.returncode


if __name__ == "__main__":
    main()
