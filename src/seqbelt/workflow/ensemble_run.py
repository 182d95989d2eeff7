"""The ensemble of a comparison's networks of one cell, as a model with a separate run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from seqbelt.comparison.variants import label
from seqbelt.evaluation.step_report import report_on
from seqbelt.models.ensemble import Ensemble
from seqbelt.texts import Text, text
from seqbelt.words import percent
from seqbelt.workflow.comparison_run import CompareJournal
from seqbelt.workflow.console import echo
from seqbelt.workflow.run_folders import RUN, open_run, read_part
from seqbelt.workflow.trained_bundle import make_bundle, shortest_predicted_segment
from seqbelt.workflow.training_run import Trained, log_reports


@dataclass(frozen=True)
class EnsembleResult:
    """The ensemble as a trained model, and its members."""

    trained: Trained
    members: Sequence[Trained]

    def to_dict(self) -> dict[str, Any]:
        """For the JSON of ``compare``; scores are None where a part has no rows."""
        accuracies = {
            part: [getattr(member, part).scores.accuracy for member in self.members]
            for part in ("validation", "test")
            if getattr(self.trained, part) is not None
        }
        return {
            "cell": self.trained.cell,
            "num_networks": len(self.trained.bundle.network.networks),
            "seeds": [member.seed for member in self.members],
            "run_id": self.trained.run.run_id,
            "num_parameters": self.trained.bundle.network.num_parameters,
            **{
                f"{part}_accuracy": {
                    "average": getattr(self.trained, part).scores.accuracy,
                    "members_mean": float(np.mean(accuracies[part])),
                    "members": accuracies[part],
                }
                if part in accuracies
                else None
                for part in ("validation", "test")
            },
        }

    @property
    def sentence(self) -> Text:
        """The members, the test accuracies of ensemble and members, and the cost."""
        result = self.to_dict()
        return text(
            "average_of",
            number=result["num_networks"],
            cell=label(self.trained.cell),
            seeds=", ".join(map(str, result["seeds"])),
            average=percent(result["test_accuracy"]["average"], 2),
            members=percent(result["test_accuracy"]["members_mean"], 2),
        )


def average_networks(
    best: Trained, trained: Sequence[Trained], journal: CompareJournal
) -> EnsembleResult:
    """Average the networks of the best model's cell over all seeds, on the best model's fold.

    The ensemble is calibrated and scored, saved as a bundle, and logged as a separate run.
    """
    fold = best.experiment.data.fold
    members = [
        member
        for member in trained
        if (member.cell, member.experiment.data.fold) == (best.cell, fold)
    ]
    networks = [network for member in members for network in member.bundle.network.networks]
    folder = best.folder.with_name(f"{best.folder.name}-ensemble")
    run = open_run(
        best.experiment,
        best.store,
        folder,
        resume=journal.begin(folder) and (folder / RUN).exists(),
        tags={"compare.id": journal.compare_id, "model.num_networks": str(len(networks))},
        name=f"{best.name}-ensemble",
    )
    network = Ensemble(networks).eval()
    device = torch.device(best.history.device)
    parts = {name: read_part(best.experiment, best.store, name) for name in ("validation", "test")}
    min_steps = shortest_predicted_segment(best.experiment, best.store)
    reports = report_on(network.to(device), parts, min_steps)
    network.cpu()
    bundle = make_bundle(best.experiment, best.store, network, reports, run.run_id, min_steps)
    bundle.about["seeds"] = [member.seed for member in members]
    bundle.save(folder / "bundle")
    log_reports(run, reports)
    averaged = replace(
        best,
        run=run,
        folder=folder,
        bundle=bundle,
        validation=reports.get("validation"),
        test=reports.get("test"),
    )
    result = EnsembleResult(averaged, members)
    run.describe(result.sentence)
    run.finish()
    echo(result.sentence)
    return result
