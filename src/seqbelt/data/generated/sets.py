"""The generated sets: named memory tasks, written as files on first use."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from seqbelt.data.generated.memory_tasks import (
    Adding,
    Copy,
    MemoryTask,
    SequentialDigits,
    TemporalOrder,
)
from seqbelt.data.sources.catalogue import RAW
from seqbelt.data.store.parts import write_json
from seqbelt.errors import SettingsError

ABOUT = "about.json"
"""Written last, so a folder with it is complete; contains the task's settings."""


@dataclass(frozen=True)
class GeneratedSet:
    """A named memory task, whose settings ``data.make`` can replace."""

    name: str
    about: str
    task: MemoryTask

    def with_options(self, options: Mapping[str, object]) -> MemoryTask:
        """The task with some options replaced. Raises SettingsError for an unknown option."""
        fixed = self.task.model_fields_set  # these define the set
        if refused := sorted(fixed & options.keys()):
            raise SettingsError(f"data.make.{refused[0]}: is fixed for '{self.name}'; remove it")
        values = {**self.task.to_dict(), **options}
        return type(self.task).parse(values, origin=f"generated set {self.name}")

    def folder(self, task: MemoryTask) -> Path:
        """The folder of the task's files; options that differ from the set's are in the name."""
        ours, values = self.task.to_dict(), task.to_dict()
        other = [f"-{key}_{value}" for key, value in values.items() if value != ours[key]]
        return RAW / "".join([self.name, *other])


GENERATED_SETS = {
    one.name: one
    for one in (
        GeneratedSet(
            "adding",
            "Adding problem in two classes: do two marked values, far apart, sum to more than 1?",
            Adding(kind="adding"),
        ),
        GeneratedSet(
            "temporal_order",
            "Temporal order, task 6a of Hochreiter & Schmidhuber 1997: two symbols among noise",
            TemporalOrder(kind="temporal_order", num_relevant=2),
        ),
        GeneratedSet(
            "temporal_order_b",
            "Temporal order, task 6b: three symbols among noise, eight classes",
            TemporalOrder(kind="temporal_order", num_relevant=3),
        ),
        GeneratedSet(
            "copy",
            "Copying in eight classes: ten symbols, a long blank, then which was the j-th?",
            Copy(kind="copy"),
        ),
        GeneratedSet(
            "sequential_digits",
            "1,797 handwritten digits of scikit-learn, read row by row or pixel by pixel",
            SequentialDigits(kind="sequential_digits"),
        ),
    )
}


def find_generated_set(name: str, options: Mapping[str, object]) -> Path:
    """The folder of a generated set with these options, written first if it does not exist.

    Raises SettingsError for an option that the set does not have.
    """
    generated = GENERATED_SETS[name]
    task = generated.with_options(options)
    folder = generated.folder(task)
    write_task(task, folder)
    return folder


def write_task(
    task: MemoryTask, folder: Path, progress: Callable[[int], object] = lambda done: None
) -> None:
    """Write every sequence as ``folder/SPLIT/CLASS/NUMBER.npy``, float32 ``(steps, features)``.

    Does nothing if the folder already contains this task. The folder is created atomically. Raises
    SettingsError if it contains anything else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        about = folder / ABOUT
        if about.exists() and json.loads(about.read_text("utf-8")) == task.to_dict():
            return
        if folder.exists() and any(folder.iterdir()):
            raise SettingsError(
                f"{folder}: contains other files; choose another folder, or delete this one"
            )
        unfinished = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        for number, (split, steps, label) in enumerate(task.generate()):
            path = unfinished / split / label / f"{number:06d}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, steps)
            progress(1)
        write_json(unfinished / ABOUT, task.to_dict())
        unfinished.rename(folder)
