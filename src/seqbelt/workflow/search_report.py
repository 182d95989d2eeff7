"""One MLflow run that summarises a search, and the best settings as YAML."""

from typing import TYPE_CHECKING

import yaml

from seqbelt.comparison.variants import label, variant_of
from seqbelt.experiment import Experiment
from seqbelt.markdown import markdown_table
from seqbelt.plots.fonts import to_png
from seqbelt.plots.search_history import search_figures
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.tuning import describe_values
from seqbelt.workflow.run_folders import split_tags
from seqbelt.workflow.search import Search, SearchResult

if TYPE_CHECKING:
    import optuna

SUMMARY = "summary_run_id"
"""Study attribute with the id of the search's run."""


def log_search(search: Search, study: "optuna.Study") -> str:
    """Create or update the run that summarises a search; returns its id."""
    experiment = search.experiment
    monitor, result = experiment.training.monitor, search.result(study)
    name = f"best {label(variant_of(experiment.model))}: {monitor} {result.score:.4g}"
    run_id = study.user_attrs.get(SUMMARY)
    if run_id is None:
        tags = {"tuning.study": study.study_name, "tuning.summary": "true"}
        run = TrackedRun.start(search.folder.name, name, tags | split_tags(experiment.data))
        run.log_cell(variant_of(experiment.model))
        study.set_user_attr(SUMMARY, run.run_id)
    else:
        run = TrackedRun.attach(run_id)
        run.log_tags({"mlflow.runName": name})
    run.describe(describe_search(search, result))
    run.log_metrics({"tuning/score": result.score, "tuning/num_trials": len(result.trials)})
    run.log_text(to_yaml(result.experiment), "best.yaml")
    for figure_name, figure in search_figures(study, result.trials, monitor).items():
        run.log_artifact(f"pictures/{figure_name}.png", to_png(figure))
    run.finish()
    return run.run_id


def describe_search(search: Search, result: SearchResult) -> str:
    """The search space and the best settings, as Markdown."""
    rows = []
    for setting, values in search.space.items():
        best = result.best[setting]
        shown = f"{best:.3g}" if isinstance(best, float) else str(best)
        rows.append((setting, shown, describe_values(values)))
    return (
        f"**Best validation {search.experiment.training.monitor}: {result.score:.4g}** after "
        f"{len(result.trials)} trials, {result.num_pruned} of them pruned."
        f"{compare_with_given(result)}\n\n"
        f"{markdown_table(('setting', 'best', 'searched'), rows)}"
    )


def compare_with_given(result: SearchResult) -> str:
    """A sentence that compares the best settings with the config's."""
    if result.given_score is None:
        return ""
    if result.given_score == result.score:
        return f" No trial was better than the config's settings ({result.given_score:.4g})."
    return f" The config's settings scored {result.given_score:.4g}."


def to_yaml(experiment: Experiment) -> str:
    return yaml.safe_dump(experiment.to_dict(), sort_keys=False, allow_unicode=True)
