"""``seqbelt tune``: search the settings of one model, and write the best as a config."""

from seqbelt.comparison.variants import variant_of
from seqbelt.experiment import Experiment
from seqbelt.workflow.console import echo
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.workflow.search import Search
from seqbelt.workflow.search_report import compare_with_given, log_search, to_yaml


def tune(experiment: Experiment) -> Outcome:
    """Run the remaining trials, report them, write the best settings."""
    store = prepare_data(experiment).store
    search = Search(experiment, store, experiment.tuning.num_trials)
    study = search.run(experiment.tuning.num_workers)
    search_result = search.result(study)
    path = experiment.output / experiment.name / f"tuned-{variant_of(experiment.model)}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml(search_result.experiment), encoding="utf-8")
    summary = log_search(search, study)
    if sentence := compare_with_given(search_result):
        echo(sentence.strip())
    echo(f"best settings: {path}; train with them: seqbelt train {path}")
    result = {
        "config": str(path),
        "summary_run_id": summary,
        "monitor": experiment.training.monitor,
        "best_score": search_result.score,
        "best": search_result.best,
        "num_trials": len(search_result.trials),
        "num_pruned": search_result.num_pruned,
    }
    return Outcome(result)
