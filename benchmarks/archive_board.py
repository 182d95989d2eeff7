"""Three lines of YAML beside aeon's MultiRocketHydra, on eight sets of the UCR and UEA archives.

    python -m venv build/aeon && build/aeon/bin/pip install aeon torch
    python benchmarks/archive_board.py --aeon-python build/aeon/bin/python [--sets NAME,...]

aeon's wheel carries the sets; the interpreter that has aeon copies them below WORK/raw/archive and
fits MultiRocketHydra (benchmarks/multi_rocket_hydra.py). aeon stays in an environment of its own,
because it holds other versions. The rest, and what is kept and gone on with, is that of
benchmarks/board.py. Unequal lengths are left as they are for Seqbelt, and are equal by the archive
for MultiRocketHydra, which refuses them otherwise.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
from board import DEFAULT, Results, argument_parser, run
from board_layout import BoardSet, write_config
from board_table import markdown, mean_of, named, number, row_of, signed, spread, write_between

NAMES = (
    "GunPoint", "ArrowHead", "OSULeaf", "ACSF1", "ItalyPowerDemand", "PickupGestureWiimoteZ",
    "BasicMotions", "JapaneseVowels",
)  # fmt: skip
SETS = {
    name: BoardSet(
        name, "signals", {"features.kind": "channels"}, f"raw/archive/{name}/{name}_TRAIN.ts"
    )
    for name in NAMES
}
RIVALS = "multi_rocket_hydra.json"


def main() -> None:
    parser = argument_parser(__doc__, data=False)
    parser.add_argument(
        "--aeon-python", type=Path, metavar="PATH", help="needed until WORK has all that it makes"
    )
    arguments = parser.parse_args()
    names = [name for name in arguments.sets.split(",") if name] or list(NAMES)
    if unknown := sorted(set(names) - set(NAMES)):
        raise SystemExit(f"--sets: no such set {unknown}; there are: {', '.join(NAMES)}")
    work = arguments.work.resolve()
    rivals = work / RIVALS
    if arguments.aeon_python:
        fetch(arguments.aeon_python, work, names)
    missing = [name for name in names if not (work / SETS[name].source).exists()]
    if missing:
        raise SystemExit(f"{work}: no files of {', '.join(missing)}; give --aeon-python")
    results = run(
        [SETS[name] for name in names], arguments, lambda one: write_config(one, arguments.work)
    )
    found = json.loads(rivals.read_text("utf-8")) if rivals.exists() else {}
    write_between(arguments.page, "archive board", table(results, found, arguments.label))
    print(f"wrote {arguments.page}")


def fetch(python: Path, work: Path, names: list[str]) -> None:
    """The sets' files and MultiRocketHydra's figures, by the interpreter that has aeon."""
    script = Path(__file__).with_name("multi_rocket_hydra.py")
    folder = work / "raw" / "archive"
    folder.mkdir(parents=True, exist_ok=True)
    # Not resolved: a virtual environment's interpreter is a link to one without its packages.
    command = [str(python.absolute()), str(script), str(folder), str(work / RIVALS), *names]
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, env=environment)


def table(results: Results, rivals: dict[str, dict[str, float]], label: str = DEFAULT) -> str:
    """One row a set, and the means over those that have both."""
    lines, both = [], []
    for name, one in SETS.items():
        row = row_of(results.entries, one, "", label)
        rival = rivals.get(name)
        theirs = 100 * rival["accuracy"] if rival else None
        mean = row.mean if row else None
        if mean is not None and theirs is not None:
            both.append((mean, theirs))
        lines.append(
            (
                f"`{name}`",
                ", ".join(f"{count:,}" for count in row.rows.values()) if row else number(None),
                spread(row.lstm if row else ()),
                number(float(np.ptp(row.lstm)) if row and len(row.lstm) > 1 else None),
                number(row.rnn if row else None),
                named(row.best() if row else None),
                number(theirs),
                signed([] if mean is None or theirs is None else mean - theirs),
                number(row.minutes if row else None),
                number(rival["seconds"] / 60 if rival else None),
            )
        )
    if both:
        ours, theirs = mean_of(m for m, _ in both), mean_of(t for _, t in both)
        means = (f"**{ours:.1f}**", "", "", "", f"{theirs:.1f}", signed(ours - theirs), "", "")
        lines.append((f"mean of {len(both)}", "", *means))
    return markdown(
        (
            "set", "rows: train, validation, test", "LSTM (by seed)", "seeds apart", "RNN",
            "best control", "MultiRocketHydra", "LSTM less it", "minutes a model",
            "its minutes",
        ),
        lines,
    )  # fmt: skip


if __name__ == "__main__":
    main()
