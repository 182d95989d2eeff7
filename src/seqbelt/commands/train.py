"""``seqbelt train``: one model, one MLflow run, one registered version."""

from seqbelt.data.audit import audit_index, leak_sentence
from seqbelt.data.cropped_sequences import lost_steps
from seqbelt.evaluation.report import format_scores
from seqbelt.experiment import Experiment
from seqbelt.words import count_of
from seqbelt.workflow.console import echo
from seqbelt.workflow.outcome import DONE, FAILED, Outcome
from seqbelt.workflow.prepared_data import LONGEST_PREPARATION_S, prepare_data
from seqbelt.workflow.publishing import register
from seqbelt.workflow.run_folders import read_part
from seqbelt.workflow.training_run import train_model


def train(experiment: Experiment, resume: bool = False) -> Outcome:
    """Prepare the data if necessary, train, evaluate and register."""
    store = prepare_data(experiment, LONGEST_PREPARATION_S).store
    leaks = audit_index(store).leaks
    if leaks:
        echo(leak_sentence(leaks))
    trained = train_model(experiment, store, resume=resume)
    for part, report in (("validation", trained.validation), ("test", trained.test)):
        if report is not None:
            rows = count_of(len(report.sequences), "row")
            echo(f"{trained.name}: {part} accuracy {format_scores(report.scores)}, {rows}")
    model_uri = None
    if not trained.history.interrupted:
        model_uri = register(trained, leak_sentence(leaks))
    trained.run.finish("KILLED" if trained.history.interrupted else "FINISHED")
    if trained.history.interrupted:
        echo("run the same command with --resume to continue")
    result = {
        "run_id": trained.run.run_id,
        "model_uri": model_uri,
        "bundle": str(trained.bundle_folder) if trained.history.epochs else None,
        "cell": experiment.model.cell,
        "seed": trained.seed,
        "epochs": len(trained.history.epochs),
        "num_parameters": trained.bundle.network.num_parameters,
        "train_s": round(trained.history.train_s, 3),
        "validation": trained.validation and trained.validation.to_dict(),
        "test": trained.test and trained.test.to_dict(),
        "lost_steps": lost_steps(read_part(experiment, store, "train")),
        "leaks": list(leaks),
        "interrupted": trained.history.interrupted,
    }
    return Outcome(result, FAILED if trained.history.interrupted else DONE)
