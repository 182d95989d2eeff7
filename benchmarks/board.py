"""What do three lines of YAML give, on 26 sets that the defaults should suit all alike?

    python benchmarks/board.py DATA [--half choose|report|all] [--sets NAME,...] [--jobs 2]
    python benchmarks/board.py DATA --label no-dropout --settings model.dropout=0   # one part less

DATA is the folder of the packed sets (fsdd/, nsmc/, …, board/). The sets are laid out, prepared and
trained below --work; every set gets its config there, WORK/configs/NAME.yaml, with nothing in it
but name, source, kind of features, and what it could not be read or split without.

Trained are LSTMs with seeds 0, 1, …, an RNN with seed 0, and the controls of a comparison; all
are scored on the test part. Each result is kept in --results when it is there, so the same command
goes on after an interruption, and takes again only what other settings or other data have changed.
Seed 0 of every set comes first, small sets before large ones. The table is written between the
markers of --page. Under --settings only LSTMs are trained, and a second table says what a label
gains or loses against the default, over the sets.
"""

import argparse
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from board_layout import BoardSet, lay_out, read_sets
from board_table import tables, write_between
from filelock import FileLock

from seqbelt.data.store.parts import write_json
from seqbelt.data.store.store import SequenceStore
from seqbelt.experiment import Experiment
from seqbelt.settings import override

ROOT = Path(__file__).parents[1]
DEFAULT = "default"

# Drawn once: kinds in the order of their names, in each kind the sets in the order of theirs,
# shuffled by one random.Random(0) for all kinds; then every other set of the joined list.
CHOOSE = (
    "arabic_commands10", "fsdd", "mad_lab_3d", "ering", "basic_motions", "japanese_vowels",
    "epilepsy", "utd_mhad", "kor_3i4k", "kor_curse", "tweet_emotion", "sst2", "movie_reviews_long",
)  # fmt: skip
"""The half by which defaults are chosen."""
REPORT = (
    "urdu_emotion", "articulary_words", "libras", "gesture_pebble_z2", "cwru_bearing_12k",
    "large_kitchen_appliances", "all_gesture_wiimote_x", "shrec2019_hand", "nsmc", "subj",
    "banking77", "kor_chatbot_topic", "ut_interaction",
)  # fmt: skip
"""The half that no default is chosen by."""

SETTING_FREE_CONTROLS = frozenset(
    ("majority", "length", "statistics", "spectrum", "convolutions", "bag-of-words")
)
"""Controls in which neither `model` nor `training` plays a part beyond the crop: they hold whatever
the defaults become. Any other control is taken again when the settings change."""


def half_of(one: BoardSet) -> str:
    """``choose`` or ``report``; an extra row is in the half of the set that it looks at."""
    return "choose" if one.base in CHOOSE else "report"


@dataclass(frozen=True)
class Job:
    """One training, or one control."""

    label: str
    one: BoardSet
    config: dict[str, Any]
    what: str
    """A cell, or ``control-`` and its key."""
    seed: int = 0
    fold: int | None = None
    store: SequenceStore | None = None
    """Of a fold that is prepared already: the results hang on what is in it."""

    @property
    def key(self) -> str:
        """The name of its result."""
        parts = [self.label, self.one.name, self.what]
        if not self.is_control:
            parts.append(f"s{self.seed}")
        return "/".join(parts if self.fold is None else [*parts, f"fold{self.fold}"])

    @property
    def is_control(self) -> bool:
        return self.what.startswith("control-")

    @property
    def is_setting_free(self) -> bool:
        return self.what.removeprefix("control-") in SETTING_FREE_CONTROLS

    @cached_property
    def digest(self) -> str:
        """Changes with whatever the result hangs on, as far as settings and data tell."""
        experiment = Experiment.parse(self.config)
        settings = experiment.to_dict()
        wanted: Any = [settings["model"], settings["training"]]
        if self.is_setting_free:
            wanted = [experiment.model.max_steps, experiment.model.crop]
        fingerprint = self.store.fingerprint if self.store else ""
        text = json.dumps([wanted, fingerprint], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


class Results:
    """Results by key, in one JSON file that several boards may add to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        self._read()

    def _read(self) -> None:
        if self.path.exists():
            self.entries = json.loads(self.path.read_text("utf-8"))

    def has(self, job: Job) -> bool:
        """Whether a job has its result, of these settings and data; a failure is none."""
        entry = self.entries.get(job.key, {"error": ""})
        return "error" not in entry and entry["digest"] == job.digest

    def add(self, job: Job, result: dict[str, Any]) -> None:
        """Keep a result at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(self.path.name + ".lock")):
            self._read()
            self.entries[job.key] = {"digest": job.digest, **result}
            write_json(self.path, self.entries)


def remaining(jobs: Iterable[Job], results: Results) -> list[Job]:
    """The jobs that have no result yet, in their order."""
    return [job for job in jobs if not results.has(job)]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--half", choices=("choose", "report", "all"), default="all")
    arguments = parser.parse_args()
    sets = chosen_sets(read_sets(), arguments.sets, arguments.half)
    os.environ["SEQBELT_DATA_MIRROR"] = str(arguments.data.resolve())
    results = run(sets, arguments, lambda one: lay_out(one, arguments.data, arguments.work))
    write_tables(results, arguments.page, read_sets())


def argument_parser(about: str | None, data: bool = True) -> argparse.ArgumentParser:
    """What this board and the archive's are told alike; ``data`` adds the folder of packed sets."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if data:
        parser.add_argument("data", type=Path, metavar="DATA", help="folder of the packed sets")
    parser.add_argument("--sets", default="", metavar="NAME,...", help="these sets only")
    parser.add_argument("--work", type=Path, default=Path("build/board"))
    parser.add_argument("--results", type=Path, help="WORK/results.json unless given")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument(
        "--take",
        default="",
        metavar="WHAT,...",
        help="lstm, gru, rnn, rnn_relu, controls, prepare or table (the results as they are); "
        "lstm,rnn,controls unless given, lstm under --settings",
    )
    parser.add_argument("--seeds", type=int, metavar="COUNT", help="LSTMs of each set; 3")
    parser.add_argument("--jobs", type=int, default=2, help="trainings beside each other")
    parser.add_argument(
        "--time-limit-min", type=float, help="begin nothing after so many minutes; what runs ends"
    )
    parser.add_argument("--settings", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--label", default=DEFAULT, help="the name of the results under --settings")
    return parser


def chosen_sets(sets: dict[str, BoardSet], names: str, half: str) -> list[BoardSet]:
    """The named sets, or those of the halves and the extra rows that are always there."""
    wanted = [name for name in names.split(",") if name]
    if unknown := sorted(set(wanted) - set(sets)):
        raise SystemExit(f"--sets: no such set {unknown}; there are: {', '.join(sets)}")
    if wanted:
        return [sets[name] for name in wanted]
    board = [one for one in sets.values() if one.extra != "on demand"]
    return [one for one in board if half in ("all", half_of(one))]


def run(sets: Sequence[BoardSet], arguments: argparse.Namespace, configure: Any) -> Results:
    """Prepare the sets, do what is not done yet, and return all results.

    ``configure`` is told a set and returns the path of its config.
    """
    from seqbelt.workflow.workers import run_in_workers

    if bool(arguments.settings) != (arguments.label != DEFAULT):
        raise SystemExit("--settings and --label go together: other settings, another name")
    work = arguments.work = arguments.work.resolve()
    results = Results((arguments.results or work / "results.json").resolve())
    take = arguments.take or ("lstm" if arguments.settings else "lstm,rnn,controls")
    wanted = take.split(",")
    if wanted == ["table"]:
        return results
    deadline = time.time() + 60 * (arguments.time_limit_min or 1e6)
    # Workers that wait must not spin on the core that another one computes on.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    work.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{work / 'mlflow.db'}"
    jobs = []
    paths = [configure(one) for one in sets]
    here = Path.cwd()
    os.chdir(work)  # sets and stores are named relative to the work folder
    try:
        for one, path in zip(sets, paths, strict=True):
            jobs.append(jobs_of_set(one, path, arguments, wanted))
    finally:
        os.chdir(here)
    jobs = in_rounds(jobs)
    left = remaining(jobs, results)
    print(f"{len(jobs)} results wanted, {len(jobs) - len(left)} there", flush=True)
    plain = [(str(work), job.config, job.what, job.label, deadline) for job in left]
    try:
        for number, result in run_in_workers(work_on, plain, arguments.jobs):
            if result is not None:
                results.add(left[number], result)
                print(f"{left[number].key}: {describe(result)}", flush=True)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on", flush=True)
    if left := remaining(jobs, results):
        print(f"{len(left)} results are missing: {', '.join(job.key for job in left[:10])} …")
    return results


def jobs_of_set(
    one: BoardSet, path: Path, arguments: argparse.Namespace, wanted: Sequence[str]
) -> list[Job]:
    """Prepare a set, in the work folder, and list what is to be done on it; small sets first."""
    from seqbelt.comparison.baselines.fitted import fitted_baselines
    from seqbelt.yaml_reading import read_yaml

    values = override(read_yaml(path), arguments.settings)
    folds = folds_of(values)
    stores = [prepared(fold) for fold in folds]
    experiment = Experiment.parse(values)
    keys = [c.key for c in fitted_baselines(stores[0], experiment.model, experiment.training)]
    num_seeds = arguments.seeds or one.seeds or 3
    jobs = []
    for what in wanted:
        if what == "controls":
            jobs += [
                Job(arguments.label, one, values, f"control-{key}", store=stores[0]) for key in keys
            ]
        elif what not in ("prepare", "table"):
            for fold, config in enumerate(folds):
                number = fold if len(folds) > 1 else None
                for seed in range(num_seeds if what == "lstm" else 1):
                    full = with_training(config, what, seed)
                    jobs.append(Job(arguments.label, one, full, what, seed, number, stores[fold]))
    return jobs


def in_rounds(of_sets: Iterable[Sequence[Job]]) -> list[Job]:
    """Seed 0 and quick controls of every set, then trained controls, then seed 1, …; the sets with
    the fewest steps first."""

    def place(job: Job) -> tuple[int, bool, int]:
        num_steps = job.store.about["num_steps"] if job.store else 0
        return job.seed, job.is_control and not job.is_setting_free, num_steps

    return sorted((job for jobs in of_sets for job in jobs), key=place)


def folds_of(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The config of each fold, with a store of its own so that folds can train side by side."""
    data = Experiment.parse(values).data
    if data.folds is None:
        return [values]
    folder = f"data/prepared/{values['name']}"
    return [
        override(values, [f"data.fold={one.fold}", f"data.prepared={folder}-fold{one.fold}"])
        for one in data.each_fold()
    ]


def with_training(values: dict[str, Any], cell: str, seed: int) -> dict[str, Any]:
    """The config with one cell and seed."""
    from seqbelt.comparison.variants import OVERRIDES

    lines = [f"model.{name}={value}" for name, value in OVERRIDES[cell].items()]
    return override(values, [*lines, f"training.seed={seed}"])


def prepared(values: dict[str, Any]) -> SequenceStore:
    from seqbelt.workflow.prepared_data import LONGEST_PREPARATION_S, prepare_data

    return prepare_data(Experiment.parse(values), LONGEST_PREPARATION_S).store


def describe(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"failed ({result['error']})"
    return f"test {100 * result['test']['accuracy']:.1f} %, {result['seconds']:.0f} s"


def work_on(
    work: str, config: dict[str, Any], what: str, label: str, deadline: float
) -> dict[str, Any] | None:
    """Do one job in a worker; None where there was no time for it, or it was interrupted."""
    if time.time() > deadline:
        return None

    os.chdir(work)
    try:
        if what.startswith("control-"):
            return measure_control(config, what.removeprefix("control-"))
        return measure_training(override(config, [f"output=outputs/{label}"]))
    except Exception as error:  # of one set: the others go on
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:500]}


def measure_training(config: dict[str, Any]) -> dict[str, Any] | None:
    """Train one model as ``seqbelt train`` does, unregistered; its files are removed again.

    ``seconds`` are those of the training, also of what an interrupted one did before; ``whole_s``
    adds imports, scoring, pictures and the run's bookkeeping.
    """
    import torch

    from seqbelt.workflow.run_folders import CHECKPOINT, read_part, run_folder
    from seqbelt.workflow.training_run import train_model

    began = time.perf_counter()
    experiment = Experiment.parse(config)
    store = prepared(config)
    resume = (run_folder(experiment, store) / CHECKPOINT).exists()
    trained = train_model(experiment, store, resume=resume)
    if trained.history.interrupted:
        return None
    trained.run.finish()
    history, test = trained.history, trained.test
    assert test is not None
    shuffled = {
        key: answer(trained, read_part(experiment, store, "test"))
        for key, answer in CELL_CONTROLS.items()
    }
    shutil.rmtree(trained.folder)
    return {
        "test": test.to_dict(),
        "validation": trained.validation and trained.validation.to_dict(),
        "cell_controls": shuffled,
        "seconds": round(history.train_s, 2),
        "whole_s": round(time.perf_counter() - began, 2),
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "num_parameters": trained.bundle.network.num_parameters,
        "threads": torch.get_num_threads(),
        **about_store(store),
    }


def _on_shuffled_steps(trained: Any, test: Any) -> float:
    from seqbelt.comparison.baselines.signal_baselines import predict_shuffled

    answers = predict_shuffled(trained.bundle.network, test, trained.seed)
    return float((answers == test.labels).mean())


CELL_CONTROLS = {"shuffled": _on_shuffled_steps}
"""Controls that ask a trained cell: its model and its test rows to an accuracy."""


def measure_control(config: dict[str, Any], key: str) -> dict[str, Any]:
    """One control of a comparison, over all folds."""
    from seqbelt.comparison.baselines.fitted import fitted_baselines
    from seqbelt.training.history import History
    from seqbelt.workflow.baselines import _fold
    from seqbelt.workflow.training_run import Trained

    folds = []
    for values in folds_of(config):
        experiment, store = Experiment.parse(values), prepared(values)
        # A comparison reads the rows of a control as those of a model that it has trained.
        nothing: Any = None
        folds.append(
            _fold(Trained(experiment, store, nothing, Path(), nothing, History(), None, None))
        )
    experiment, store = Experiment.parse(config), folds[0].train.store
    controls = fitted_baselines(store, experiment.model, experiment.training)
    result = next(control for control in controls if control.key == key).run(folds)
    if result.error is not None:
        return {"error": result.error}
    return {
        "name": result.baseline.name,
        "test": {"accuracy": result.test_accuracy, "macro_f1": result.macro_f1},
        "seconds": round(result.seconds, 2),
        **about_store(store),
    }


def about_store(store: SequenceStore) -> dict[str, Any]:
    rows = {part: len(store.split(part)) for part in ("train", "validation", "test")}
    return {"rows": rows, "classes": len(store.classes)}


def write_tables(results: Results, page: Path, sets: dict[str, BoardSet]) -> None:
    """Put the tables of all results between the page's markers."""
    write_between(page, "board", tables(results.entries, sets, half_of))
    print(f"wrote {page}")


if __name__ == "__main__":
    main()
