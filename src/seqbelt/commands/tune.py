"""``seqbelt tune``: search the settings of one model, and write the best as a config."""

from typing import TYPE_CHECKING

from seqbelt.comparison.variants import variant_of
from seqbelt.experiment import Experiment
from seqbelt.workflow.console import echo
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.workflow.search import Search
from seqbelt.workflow.search_report import compare_with_given, log_search, to_yaml

if TYPE_CHECKING:
    pass


def tune(experiment: Experiment) -> Outcome:
    """Make the trials that are missing, show them, write the best settings."""
    store = prepare_data(experiment).store
    search = Search(experiment, store, experiment.tuning.num_trials)
    study = search.run(experiment.tuning.num_workers)
    found = search.result(study)
    path = experiment.output / experiment.name / f"tuned-{variant_of(experiment.model)}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml(found.experiment), encoding="utf-8")
    summary = log_search(search, study)
    if sentence := compare_with_given(found):
        echo(sentence.strip())
    echo(f"best settings: {path}; train with them: seqbelt train {path}")
    result = {
        "config": str(path),
        "summary_run_id": summary,
        "monitor": experiment.training.monitor,
        "best_score": found.score,
        "best": found.best,
        "num_trials": len(found.trials),
        "num_pruned": found.num_pruned,
    }
    return Outcome(result)
