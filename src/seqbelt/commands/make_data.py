"""``seqbelt data make``: write a generated set as files."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqbelt.data.generated.sets import GENERATED_SETS, write_task
from seqbelt.errors import SettingsError
from seqbelt.workflow.console import bar
from seqbelt.workflow.outcome import Outcome


def make_data(name: str, folder: Path | None, options: Mapping[str, Any]) -> Outcome:
    """Write the set to a folder; by default to the one where configs look for it."""
    if name not in GENERATED_SETS:
        raise SettingsError(
            f"no generated set '{name}'; choose one of: {', '.join(GENERATED_SETS)}. "
            "To download a known set: seqbelt data get NAME"
        )
    began = time.perf_counter()
    generated = GENERATED_SETS[name]
    task = generated.with_options(options)
    folder = folder or generated.folder(task)
    num_sequences = task.num_train + task.num_validation + task.num_test
    with bar(f"generating {name}", num_sequences) as progress:
        write_task(task, folder, progress)
    result = {
        "name": name,
        "source": str(folder),
        "num_sequences": num_sequences,
        "options": task.to_dict(),
        "make_s": round(time.perf_counter() - began, 3),
    }
    return Outcome(result)
