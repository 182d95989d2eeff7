"""``seqbelt tune``: search the settings of one model, and write the best as a config."""

from typing import TYPE_CHECKING, Any

import yaml

from seqbelt.evaluation.contestants import contestant_of, label
from seqbelt.experiment import Experiment
from seqbelt.stages.prepare import prepare_data
from seqbelt.stages.progress import say
from seqbelt.stages.search import Found, Search
from seqbelt.stages.study_pictures import study_pictures
from seqbelt.stages.train import split_tags
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.tuning import describe_values

if TYPE_CHECKING:
    import optuna

SUMMARY = "summary_run_id"
"""Under this name a search remembers its run on the tracking server."""


def tune(experiment: Experiment) -> dict[str, Any]:
    """The stage: make the trials that are missing, show them, write the best settings."""
    store = prepare_data(experiment).store
    search = Search(experiment, store, experiment.tuning.num_trials)
    study = search.run(experiment.tuning.num_workers)
    found = search.found(study)
    path = experiment.output / experiment.name / f"tuned-{contestant_of(experiment.model)}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_as_yaml(found.experiment), encoding="utf-8")
    summary = log_search(search, study)
    if sentence := compare_with_given(found):
        say(sentence.strip())
    say(f"best settings: {path}; train with them: seqbelt train {path}")
    return {
        "config": str(path),
        "summary_run_id": summary,
        "monitor": experiment.training.monitor,
        "best_score": found.score,
        "best": found.best,
        "num_trials": len(found.trials),
        "num_pruned": found.num_pruned,
    }


def log_search(search: Search, study: "optuna.Study") -> str:
    """One run that shows a whole search, made once and brought up to date; returns its id."""
    experiment = search.experiment
    monitor, found = experiment.training.monitor, search.found(study)
    name = f"best {label(contestant_of(experiment.model))}: {monitor} {found.score:.4g}"
    known = study.user_attrs.get(SUMMARY)
    if known is None:
        tags = {"tuning.study": study.study_name, "tuning.summary": "true"}
        run = TrackedRun.start(search.folder.name, name, tags | split_tags(experiment.data))
        run.log_cell(contestant_of(experiment.model))
        study.set_user_attr(SUMMARY, run.run_id)
    else:
        run = TrackedRun.attach(known)
        run.log_tags({"mlflow.runName": name})
    run.describe(describe_search(search, found))
    run.log_metrics({"tuning/score": found.score, "tuning/num_trials": len(found.trials)})
    run.log_text(_as_yaml(found.experiment), "best.yaml")
    for picture, figure in study_pictures(study, found.trials, monitor).items():
        run.log_figure(figure, f"pictures/{picture}.png")
    run.finish()
    return run.run_id


def describe_search(search: Search, found: Found) -> str:
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


def compare_with_given(found: Found) -> str:
    """Whether the best settings beat those that the search began with, in words."""
    if found.given_score is None:
        return ""
    if found.given_score == found.score:
        return f" No trial beat the settings as given ({found.given_score:.4g})."
    return f" The settings as given scored {found.given_score:.4g}."


def _as_yaml(experiment: Experiment) -> str:
    return yaml.safe_dump(experiment.plain(), sort_keys=False, allow_unicode=True)
