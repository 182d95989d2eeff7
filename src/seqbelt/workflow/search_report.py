"""One MLflow run that shows a whole search, and the best settings as YAML."""

from typing import TYPE_CHECKING

import yaml

from seqbelt.comparison.variants import label, variant_of
from seqbelt.experiment import Experiment
from seqbelt.plots.fonts import to_png
from seqbelt.plots.search_history import search_figures
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.tuning import describe_values
from seqbelt.workflow.search import Search, SearchResult
from seqbelt.workflow.training_run import split_tags

if TYPE_CHECKING:
    import optuna

SUMMARY = "summary_run_id"
"""Under this name a search remembers its run on the tracking server."""


def log_search(search: Search, study: "optuna.Study") -> str:
    """One run that shows a whole search, made once and brought up to date; returns its id."""
    experiment = search.experiment
    monitor, found = experiment.training.monitor, search.result(study)
    name = f"best {label(variant_of(experiment.model))}: {monitor} {found.score:.4g}"
    known = study.user_attrs.get(SUMMARY)
    if known is None:
        tags = {"tuning.study": study.study_name, "tuning.summary": "true"}
        run = TrackedRun.start(search.folder.name, name, tags | split_tags(experiment.data))
        run.log_cell(variant_of(experiment.model))
        study.set_user_attr(SUMMARY, run.run_id)
    else:
        run = TrackedRun.attach(known)
        run.log_tags({"mlflow.runName": name})
    run.describe(describe_search(search, found))
    run.log_metrics({"tuning/score": found.score, "tuning/num_trials": len(found.trials)})
    run.log_text(to_yaml(found.experiment), "best.yaml")
    for picture, figure in search_figures(study, found.trials, monitor).items():
        run.log_artifact(f"pictures/{picture}.png", to_png(figure))
    run.finish()
    return run.run_id


def describe_search(search: Search, found: SearchResult) -> str:
    """What was searched, and the best that was found, in Markdown."""
    lines = [
        f"**Best validation {search.experiment.training.monitor}: {found.score:.4g}** after "
        f"{len(found.trials)} trials, of which {found.num_pruned} were given up early."
        f"{compare_with_given(found)}",
        "",
        "| setting | best | searched |",
        "|---|---|---|",
    ]
    for setting, values in search.space.items():
        best = found.best[setting]
        shown = f"{best:.3g}" if isinstance(best, float) else str(best)
        lines.append(f"| {setting} | {shown} | {describe_values(values)} |")
    return "\n".join(lines)


def compare_with_given(found: SearchResult) -> str:
    """Whether the best settings beat those that the search began with, in words."""
    if found.given_score is None:
        return ""
    if found.given_score == found.score:
        return f" No trial beat the settings as given ({found.given_score:.4g})."
    return f" The settings as given scored {found.given_score:.4g}."


def to_yaml(experiment: Experiment) -> str:
    return yaml.safe_dump(experiment.to_dict(), sort_keys=False, allow_unicode=True)
