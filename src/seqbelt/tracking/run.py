"""One training run on the tracking server."""

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pandas import DataFrame
from requests import RequestException

from seqbelt.comparison.variants import COLOURS
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError
from seqbelt.evaluation.report import Report
from seqbelt.tracking import run_locks
from seqbelt.tracking.connection import connect, experiment_id, explained, is_away
from seqbelt.tracking.environment import describe_environment
from seqbelt.tracking.outbox import PATIENCE_S, Outbox, patiently, send_left_over
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.training.history import Epoch, History

logger = logging.getLogger(__name__)
HASTE_S = 2.0
"""How long a process that is told to end waits for a server that is away."""


class TrackedRun:
    """Writes to one MLflow run by its id, so that threads and processes do not mix them up.

    What is written waits on disk while the server is away.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self.outbox = Outbox(client, run_id)
        self._tables: list[dict[str, str]] = []

    @classmethod
    def start(cls, experiment: str, name: str, tags: Mapping[str, str]) -> "TrackedRun":
        """Begin a run; ``tags`` are added to the description of the machine and the versions."""
        client = connect()
        all_tags = {**describe_environment(), "mlflow.source.name": "seqbelt", **tags}
        try:
            run = patiently(
                lambda: client.create_run(
                    experiment_id(client, experiment), run_name=name, tags=all_tags
                )
            )
        except (MlflowException, RequestException, OSError) as error:
            raise explained(error, f"{name}: no run can be begun") from None
        run_locks.hold(run.info.run_id)
        _close_abandoned(client)
        send_left_over(client)
        return cls._opened(client, run.info.run_id)

    @classmethod
    def _opened(cls, client: MlflowClient, run_id: str) -> "TrackedRun":
        run = cls(client, run_id)
        _open[run_id] = run
        return run

    @classmethod
    def attach(cls, run_id: str) -> "TrackedRun":
        """A run as it is, to add to it."""
        return cls(connect(), run_id)

    @classmethod
    def resume(cls, run_id: str) -> "TrackedRun | None":
        """Go on with a run that was interrupted; None where it is there no more.

        Raises SeqbeltError where another process is at it.
        """
        client = connect()
        try:
            if client.get_run(run_id).info.lifecycle_stage == "deleted":
                return None
        except (MlflowException, RequestException, OSError) as error:
            if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            if not is_away(error):
                raise explained(error, f"run {run_id}") from None
        if not run_locks.hold(run_id):
            raise SeqbeltError(f"run {run_id}: another process is at it; wait until it is done")
        _close_abandoned(client)
        run = cls._opened(client, run_id)
        run.outbox.status("RUNNING")
        return run

    def log_settings(self, settings: Mapping[str, Any]) -> None:
        """Every setting under its dotted name."""
        self.outbox.batch(params={name: str(value) for name, value in settings.items()})

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Tags of the run."""
        self.outbox.batch(tags=tags)

    def log_cell(self, cell: str) -> None:
        """Colour and tag by which the page tells the cells apart."""
        self.log_tags({"model.cell": cell, "mlflow.runColor": COLOURS.get(cell, "#777777")})

    def log_data(self, store: SequenceStore, source: str) -> None:
        """The data set as an input of the run: name, fingerprint, counts; of texts also what the
        limits cut and the vocabulary does not know."""
        about = store.about
        profile = {key: about[key] for key in ("num_sequences", "num_steps", "num_quarantined")}
        self.outbox.data_set(
            {
                "name": Path(source).stem or source,
                "digest": store.fingerprint[:32],
                "source_type": "local",
                "source": json.dumps({"uri": source}),
                "profile": json.dumps(profile),
            }
        )
        self.log_tags({f"data.{key}": str(value) for key, value in profile.items()})
        self.log_metrics(
            {
                f"data/{split}_{name}": share
                for split, counts in store.token_counts.items()
                for name, share in counts.fractions().items()
            }
        )
        ledger = store.folder / "quarantine.csv"
        if about["num_quarantined"]:
            self.outbox.artifact("data/quarantine.csv", ledger.read_bytes())

    def log_epoch(self, epoch: Epoch) -> None:
        """One epoch's numbers in one batch."""
        values = {
            "train/loss": epoch.train_loss,
            "train/learning_rate": epoch.learning_rate,
            "train/gradient_norm": epoch.gradient_norm,
            "train/clipped": epoch.clipped,
            "train/epoch_s": epoch.train_s,
        }
        if epoch.validation is not None:
            values |= {f"val/{key}": value for key, value in epoch.validation.to_dict().items()}
        self.log_metrics(values, epoch.number)

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Numbers at one step, in one batch."""
        self.outbox.batch(metrics=values, step=step)

    def log_history(self, history: History) -> None:
        """How the training was computed, and how far the gradient reached after each epoch."""
        self.log_tags({"layout": history.layout, "device": history.device})
        self.log_metrics(
            {
                "training/fill": history.fill,
                "training/gflop_per_epoch": history.flops / 1e9,
                "training/padded_gflop_per_epoch": history.padded_flops / 1e9,
                "training/train_s": history.train_s,
                "training/best_epoch": history.best_epoch,
            }
        )
        for number, curve in history.reaches[1:]:  # the first is logged before training
            self.log_reach(GradientReach(np.array(curve)), number)

    def log_reach(self, reach: GradientReach, epoch: int) -> None:
        """How far the gradient reaches after an epoch; 0 is before training."""
        values = {
            "train/gradient_reach_steps": reach.steps,
            "train/gradient_half_life_steps": reach.half_life,
        }
        self.log_metrics(values, epoch)

    def log_report(self, report: Report, part: str) -> None:
        """Scores, report per class, worst errors and calibration of one part."""
        # MLflow's page draws the sections in the alphabet's order: the test comes first.
        prefix = {"validation": "val_best"}.get(part, part)
        self.log_metrics({f"{prefix}/{k}": v for k, v in report.to_dict().items()})
        self._log_table(report.per_class(), f"tables/{part}_report_per_class.json")
        self._log_table(report.worst_errors(), f"tables/{part}_worst_errors.json")
        before, after = report.reliability(1.0), report.reliability(report.temperature)
        self.log_metrics(
            {
                f"{prefix}/calibration_error_before": before.expected_error,
                f"{prefix}/calibration_error": after.expected_error,
                "training/temperature": report.temperature,
            }
        )

    def log_artifact(self, path: str, content: bytes) -> None:
        """A file among the run's artifacts."""
        self.outbox.artifact(path, content)

    def log_text(self, text: str, path: str) -> None:
        """A text among the run's artifacts."""
        self.outbox.artifact(path, text.encode())

    def _log_table(self, frame: DataFrame, path: str) -> None:
        """A table that MLflow's page can show: in its format, and named in its tag."""
        content = frame.to_json(orient="split", index=False) or ""
        self.outbox.artifact(path, content.encode())
        self._tables.append({"path": path, "type": "table"})
        self.log_tags({"mlflow.loggedArtifacts": json.dumps(self._tables)})

    def describe(self, markdown: str) -> None:
        """The description that the run's page shows first."""
        self.log_tags({"mlflow.note.content": markdown})

    def describe_experiment(self, markdown: str) -> None:
        """The experiment's note, whose first line is what its page shows unopened."""

        def tell() -> None:
            experiment = self.client.get_run(self.run_id).info.experiment_id
            self.client.set_experiment_tag(experiment, "mlflow.note.content", markdown)

        try:
            patiently(tell)
        except (MlflowException, RequestException, OSError) as error:
            raise explained(error, f"run {self.run_id}") from None

    def finish(self, status: str = "FINISHED", patience_s: float = PATIENCE_S) -> None:
        """End the run: FINISHED, FAILED or KILLED; waits so long for a server that is away."""
        _open.pop(self.run_id, None)
        try:
            self.outbox.status(status)
            self.outbox.flush(patience_s)
        finally:
            run_locks.release(self.run_id)


_open: dict[str, TrackedRun] = {}
"""The runs that this process has begun and not ended."""


def close_open_runs(status: str) -> None:
    """End what this process has begun, as its work ends early: FAILED or KILLED."""
    for run in list(_open.values()):
        # Whatever ended the work is what the user is told.
        with contextlib.suppress(SeqbeltError, MlflowException, RequestException, OSError):
            run.finish(status, HASTE_S)


def _close_abandoned(client: MlflowClient) -> None:
    for run_id in run_locks.close_abandoned(client):
        logger.warning("run %s: its process is gone; the run is closed as KILLED", run_id)
