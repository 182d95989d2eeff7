"""Settings of each variant of a comparison under its protocol."""

from pathlib import Path
from typing import Any

from seqbelt.comparison.protocol import describe, match
from seqbelt.comparison.variants import OVERRIDES, apply_variant, label
from seqbelt.data.store.store import SequenceStore
from seqbelt.experiment import Experiment
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.models.model import Model
from seqbelt.texts import Text, join, text
from seqbelt.workflow.search import Search
from seqbelt.workflow.search_report import log_search
from seqbelt.workflow.workers import run_in_workers


def build_variants(
    experiment: Experiment, store: SequenceStore
) -> tuple[dict[str, Experiment], Text]:
    """The experiment of each variant, and a sentence that describes the protocol."""
    comparison = experiment.comparison
    entries = {
        name: experiment.with_model(apply_variant(experiment.model, name))
        for name in comparison.cells
    }
    if comparison.protocol == "as_given":
        return entries, text("protocol_as_given")
    if comparison.protocol == "equal_tuning":
        return _tune(entries, store)

    def build(model: Model) -> SequenceNetwork:
        num_classes = len(store.classes)
        return build_network(
            model, store.num_features, num_classes, store.is_tokens, layout=store.layout
        )

    models = {
        name: match(comparison.protocol, experiment.model, entry.model, build)
        for name, entry in entries.items()
    }
    matched = {name: experiment.with_model(model) for name, model in models.items()}
    return matched, describe(comparison.protocol, models, build)


def _tune(
    entries: dict[str, Experiment], store: SequenceStore
) -> tuple[dict[str, Experiment], Text]:
    """Tune each variant; the searches run in parallel, the trials of one search do not."""
    searches = {name: _search(name, entry, store) for name, entry in entries.items()}
    num_workers = next(iter(entries.values())).comparison.num_workers
    if num_workers > 1:
        jobs = [(name, entry.to_dict(), store.folder) for name, entry in entries.items()]
        for _ in run_in_workers(_search_in_worker, jobs, num_workers):
            pass
    tuned, settings_by_cell = {}, []
    for name, search in searches.items():
        study = search.run()
        log_search(search, study)
        result = search.result(study)
        tuned[name] = result.experiment
        best = ", ".join(f"{setting.split('.')[1]} {_short(value)}"
                         for setting, value in result.best.items())  # fmt: skip
        settings_by_cell.append(join([label(name), best], ": "))
    num_trials = next(iter(searches.values())).num_trials
    return tuned, text("protocol_tuned", count=num_trials, settings=join(settings_by_cell, "; "))


def _search(name: str, entry: Experiment, store: SequenceStore) -> Search:
    num_trials = entry.comparison.num_trials or entry.tuning.num_trials
    return Search(entry, store, num_trials, frozenset(OVERRIDES[name]))


def _search_in_worker(name: str, settings: dict[str, Any], store_folder: Path) -> None:
    _search(name, Experiment.parse(settings), SequenceStore(store_folder)).run()


def _short(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
