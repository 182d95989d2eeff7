"""A run on the tracking server."""

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
from seqbelt.data.store.part_summary import describe_schema
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError, first_line, in_words
from seqbelt.evaluation.report import Report
from seqbelt.tracking import run_locks
from seqbelt.tracking.connection import connect, experiment_id, is_unavailable, to_user_error
from seqbelt.tracking.environment import describe_environment
from seqbelt.tracking.outbox import (
    PATIENCE_S,
    Outbox,
    flush_pending,
    retry_while_unavailable,
    whole_transaction,
)
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.training.history import Epoch, History

logger = logging.getLogger(__name__)
HASTE_S = 2.0
"""Time that an interrupted process waits for an unavailable server."""


class TrackedRun:
    """Logs to one MLflow run by its id, independent of MLflow's global active run.

    Messages are queued on disk while the server is unavailable.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self.outbox = Outbox(client, run_id)
        self._tables: list[dict[str, str]] = []

    @classmethod
    def start(cls, experiment: str, name: str, tags: Mapping[str, str]) -> "TrackedRun":
        """Start a run; ``tags`` are added to those of machine and versions."""
        client = connect()
        all_tags = {**describe_environment(), "mlflow.source.name": "seqbelt", **tags}
        try:
            with whole_transaction():  # who stops the work closes the runs that are known as open
                run = retry_while_unavailable(
                    lambda: client.create_run(
                        experiment_id(client, experiment), run_name=name, tags=all_tags
                    )
                )
                opened = cls._opened(client, run.info.run_id)
        except (MlflowException, RequestException, OSError) as error:
            raise to_user_error(error, f"{name}: the run cannot be created") from None
        run_locks.hold(run.info.run_id)
        _close_abandoned(client)
        flush_pending(client)
        return opened

    @classmethod
    def _opened(cls, client: MlflowClient, run_id: str) -> "TrackedRun":
        run = cls(client, run_id)
        _open[run_id] = run
        return run

    @classmethod
    def attach(cls, run_id: str) -> "TrackedRun":
        """An existing run, to log more to it."""
        return cls(connect(), run_id)

    @classmethod
    def resume(cls, run_id: str) -> "TrackedRun | None":
        """Resume an interrupted run; None if it was deleted.

        Raises SeqbeltError if another process has it open.
        """
        client = connect()
        try:
            if client.get_run(run_id).info.lifecycle_stage == "deleted":
                return None
        except (MlflowException, RequestException, OSError) as error:
            if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            if not is_unavailable(error):
                raise to_user_error(error, f"run {run_id}") from None
        if not run_locks.hold(run_id):
            raise SeqbeltError(f"run {run_id}: in use by another process; wait until that ends")
        _close_abandoned(client)
        run = cls._opened(client, run_id)
        run.outbox.status("RUNNING")
        return run

    def log_settings(self, settings: Mapping[str, Any]) -> None:
        """Log every setting under its dotted name."""
        self.outbox.batch(params={name: str(value) for name, value in settings.items()})

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        self.outbox.batch(tags=tags)

    def log_cell(self, cell: str) -> None:
        """Set the tag and the colour of a cell."""
        self.log_tags({"model.cell": cell, "mlflow.runColor": COLOURS.get(cell, "#777777")})

    def log_data(self, store: SequenceStore, source: str) -> None:
        """Log the data set as an input of the run: name, fingerprint, counts; for texts also the
        fractions of truncated and unknown tokens."""
        about = store.about
        profile = {key: about[key] for key in ("num_sequences", "num_steps", "num_quarantined")}
        self.outbox.data_set(
            {
                "name": Path(source).stem or source,
                "digest": store.fingerprint[:32],
                "source_type": "local",
                "source": json.dumps({"uri": source}),
                "schema": json.dumps({"mlflow_colspec": describe_schema(store)}),
                "profile": json.dumps(profile),
            }
        )
        self.log_tags({f"data.{key}": str(value) for key, value in profile.items()})
        self.log_metrics(
            {
                f"data/{split}_{name}": fraction
                for split, counts in store.token_counts.items()
                for name, fraction in counts.fractions().items()
            }
        )
        quarantine = store.folder / "quarantine.csv"
        if about["num_quarantined"]:
            self.outbox.artifact("data/quarantine.csv", quarantine.read_bytes())

    def log_epoch(self, epoch: Epoch) -> None:
        """Log one epoch's metrics."""
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
        """Log metrics at one step."""
        self.outbox.batch(metrics=values, step=step)

    def log_history(self, history: History) -> None:
        """Log layout, device, cost and the gradient reach after each epoch."""
        self.log_tags({"layout": history.layout, "device": history.device})
        self.log_metrics(
            {
                "train/fill": history.fill,
                "train/gflop_per_epoch": history.flops / 1e9,
                "train/padded_gflop_per_epoch": history.padded_flops / 1e9,
                "train/train_s": history.train_s,
                "train/best_epoch": history.best_epoch,
            }
        )
        for number, curve in history.reaches:
            self.log_reach(GradientReach(np.array(curve)), number)

    def log_reach(self, reach: GradientReach, epoch: int) -> None:
        """Log the gradient reach after an epoch; 0 is before training."""
        values = {
            "train/gradient_reach_steps": reach.steps,
            "train/gradient_half_life_steps": reach.half_life,
        }
        self.log_metrics(values, epoch)

    def log_report(self, report: Report, part: str) -> None:
        """Log scores, report per class, worst errors and calibration of one part."""
        # MLflow's page sorts the sections by name; this puts the test part first.
        prefix = {"validation": "val_best"}.get(part, part)
        self.log_metrics({f"{prefix}/{k}": v for k, v in report.to_dict().items()})
        self._log_table(report.per_class(), f"tables/{part}_report_per_class.json")
        self._log_table(report.worst_errors(), f"tables/{part}_worst_errors.json")
        before, after = report.reliability(1.0), report.reliability(report.temperature)
        low, high = report.calibration_error_interval()
        self.log_metrics(
            {
                f"{prefix}/calibration_error_before": before.expected_error,
                f"{prefix}/calibration_error": after.expected_error,
                f"{prefix}/calibration_error_low": low,
                f"{prefix}/calibration_error_high": high,
                "train/temperature": report.temperature,
            }
        )

    def log_artifact(self, path: str, content: bytes) -> None:
        """Log a file to the run's artifacts."""
        self.outbox.artifact(path, content)

    def log_text(self, text: str, path: str) -> None:
        """Log a text to the run's artifacts."""
        self.outbox.artifact(path, text.encode())

    def _log_table(self, frame: DataFrame, path: str) -> None:
        """Log a table in the format and with the tag that MLflow's page needs."""
        content = frame.to_json(orient="split", index=False) or ""
        self.outbox.artifact(path, content.encode())
        self._tables.append({"path": path, "type": "table"})
        self.log_tags({"mlflow.loggedArtifacts": json.dumps(self._tables)})

    def describe(self, markdown: str) -> None:
        """Set the description of the run."""
        self.log_tags({"mlflow.note.content": markdown})

    def describe_experiment(self, markdown: str) -> None:
        """Set the description of the experiment."""

        def set_note() -> None:
            experiment = self.client.get_run(self.run_id).info.experiment_id
            self.client.set_experiment_tag(experiment, "mlflow.note.content", markdown)

        try:
            retry_while_unavailable(set_note)
        except (MlflowException, RequestException, OSError) as error:
            raise to_user_error(error, f"run {self.run_id}") from None

    def finish(self, status: str = "FINISHED", patience_s: float = PATIENCE_S) -> None:
        """End the run as FINISHED, FAILED or KILLED; waits up to ``patience_s`` for the server.

        Raises SeqbeltError if the server rejects that, and OSError if it can neither be sent nor
        queued: then the run's lock is left for a later command, which closes the run."""
        _open.pop(self.run_id, None)
        try:
            self.outbox.status(status)
            self.outbox.flush(patience_s)
        except OSError as error:
            logger.warning(
                "run %s: its end cannot be stored (%s); it stays RUNNING until the next command "
                "that starts a run closes it", self.run_id, in_words(error) or first_line(error),
            )  # fmt: skip
            raise
        except (SeqbeltError, MlflowException):
            run_locks.release(self.run_id)
            raise
        run_locks.release(self.run_id)


_open: dict[str, TrackedRun] = {}
"""Open runs of this process."""


def close_open_runs(status: str) -> None:
    """End the open runs of this process early, as FAILED or KILLED."""
    for run in list(_open.values()):
        # The error that ended the work is reported, not this one.
        with contextlib.suppress(SeqbeltError, MlflowException, OSError):
            run.finish(status, HASTE_S)


def _close_abandoned(client: MlflowClient) -> None:
    for run_id in run_locks.close_abandoned(client):
        logger.warning("run %s: its process has ended; the run is closed as KILLED", run_id)
