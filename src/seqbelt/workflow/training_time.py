"""How long a training will take on this machine, from the first steps on a few rows."""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.errors import SeqbeltError
from seqbelt.experiment import Experiment

NUM_ROWS = 16
"""Rows that are prepared and read again and again."""
MAX_BYTES = 100 << 20
"""Largest total size of those rows' files; preparing more would take longer than is worth it."""
WARM_UP, MEASURED = 2, 6
"""Steps."""


def measure_training_s(experiment: Experiment, manifest: Manifest) -> float | None:
    """Seconds that training on the rows of ``manifest`` would take; None where it cannot be told
    from a few rows: they are large, or cannot be prepared or trained on."""
    from seqbelt.training.loop import Loop
    from seqbelt.workflow.networks import network_builder

    rows = np.flatnonzero(manifest.column("split") == "train")
    if not len(rows):
        return None
    few = manifest.take(rows[np.linspace(0, len(rows) - 1, NUM_ROWS).astype(int)])
    files = [source for source in few.sources() if isinstance(source, Path)]
    if sum(file.stat().st_size for file in files if file.exists()) > MAX_BYTES:
        return None
    try:
        with tempfile.TemporaryDirectory() as folder:
            labelling = experiment.data.labelling(experiment.features)
            store = prepare(few, experiment.features, Path(folder), {}, labelling=labelling).store
            train = store.split("train")
            train = train.take(np.resize(np.arange(len(train)), len(rows)))
            experiment = experiment.resolve(store.is_tokens, train)
            plan, times = experiment.training.plan(len(rows)), list[float]()
            train = train.take(np.arange((WARM_UP + MEASURED) * plan.batch_size) % len(train))
            loop = Loop(
                experiment.training.replace(num_epochs=1, distillation=0.0),
                network_builder(experiment, store, train, None),
                train,
                None,
                on_step=lambda: times.append(perf_counter()),
            )
            _, history = loop.run()
    except SeqbeltError:
        return None
    if history.interrupted:
        raise KeyboardInterrupt
    step_s = (times[-1] - times[WARM_UP - 1]) / (len(times) - WARM_UP)
    return step_s * plan.num_updates * plan.num_networks
