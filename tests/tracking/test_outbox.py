"""A tracking server that goes away: nothing is lost, nothing waits for long."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from seqbelt.commands.train import train
from seqbelt.errors import SeqbeltError
from seqbelt.experiment import Experiment
from seqbelt.tracking import outbox
from seqbelt.tracking.outbox import Outbox, flush_pending, is_unavailable, retry_while_unavailable
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.interrupts import stop_signals_raised


class Server:
    """Keeps what a client says, unless it is away."""

    def __init__(self):
        self.is_unavailable, self.heard, self.num_tries = False, [], 0

    def __getattr__(self, name):
        def answer(*arguments, **options):
            self.num_tries += 1
            if self.is_unavailable:
                raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)
            self.heard.append((name, arguments, options))

        return answer

    def metrics(self):
        found = [options.get("metrics", []) for _, _, options in self.heard]
        return [(metric.key, metric.value, metric.step) for some in found for metric in some]


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    return Server()


def test_what_is_said_while_the_server_is_away_is_sent_later_in_order(server):
    box = Outbox(server, "run")
    box.batch(metrics={"loss": 3.0}, step=1)
    server.is_unavailable = True
    box.batch(metrics={"loss": 2.0}, step=2)
    box.artifact("pictures/curve.png", b"a picture")
    box.status("FINISHED")
    assert not box.is_empty
    server.is_unavailable = False
    assert box.flush()
    assert server.metrics() == [("loss", 3.0, 1), ("loss", 2.0, 2)]
    assert [name for name, *_ in server.heard[-2:]] == ["log_artifact", "set_terminated"]
    assert box.is_empty and not box.folder.exists()


def test_a_training_does_not_wait_for_a_server_at_every_message(server):
    box = Outbox(server, "run")
    server.is_unavailable = True
    for step in range(50):
        box.batch(metrics={"loss": 1.0}, step=step)
    assert server.num_tries <= 2
    server.is_unavailable = False
    box.batch(metrics={"loss": 1.0}, step=50)  # the pause is not over
    assert box.flush()
    assert [step for *_, step in server.metrics()] == list(range(51))


def test_messages_outlive_the_process(server):
    server.is_unavailable = True
    Outbox(server, "run").batch(metrics={"loss": 2.0}, params={"a": "1"}, tags={"b": "c"}, step=7)
    server.is_unavailable = False
    flush_pending(server)
    assert server.metrics() == [("loss", 2.0, 7)]
    assert Outbox(server, "run").is_empty


def test_messages_for_another_server_stay(server, monkeypatch):
    server.is_unavailable = True
    Outbox(server, "run").batch(metrics={"loss": 2.0})
    server.is_unavailable = False
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:1")
    flush_pending(server)
    assert not server.heard and not Outbox(server, "run").is_empty


def test_a_refusal_is_an_error_and_is_not_kept(server):
    def refuse(*arguments, **options):
        raise MlflowException("no such run", INVALID_PARAMETER_VALUE)

    server.log_batch = refuse
    box = Outbox(server, "run")
    with pytest.raises(SeqbeltError, match="returned an error"):
        box.batch(metrics={"loss": 2.0})
    assert box.is_empty


def test_numbers_that_are_none_are_kept_too(server):
    server.is_unavailable = True
    box = Outbox(server, "run")
    box.batch(metrics={"loss": float("nan")})
    server.is_unavailable = False
    assert box.flush()
    assert np.isnan(server.metrics()[0][1])


@pytest.mark.parametrize(("address", "is_whole"), [("sqlite:///a.db", True), ("http://a", False)])
def test_an_interrupt_leaves_no_half_of_a_transaction(monkeypatch, address, is_whole):
    """It would keep the database locked, also for the end of the run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    done = []

    class Database:
        def log_batch(self, *arguments, **options):
            os.kill(os.getpid(), signal.SIGINT)
            done.append("committed")

    with pytest.raises(KeyboardInterrupt), stop_signals_raised():
        Outbox(Database(), "run").batch(metrics={"loss": 1.0})
    assert bool(done) == is_whole


def test_which_errors_mean_that_the_server_is_away():
    assert is_unavailable(MlflowException("locked", TEMPORARILY_UNAVAILABLE))
    assert is_unavailable(ConnectionRefusedError())
    assert not is_unavailable(MlflowException("bad", INVALID_PARAMETER_VALUE))
    assert not is_unavailable(PermissionError())


def test_a_question_is_asked_again(monkeypatch):
    monkeypatch.setattr(outbox.time, "sleep", lambda seconds: None)
    answers = [ConnectionResetError(), ConnectionResetError(), 7]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry_while_unavailable(ask) == 7
    with pytest.raises(ConnectionResetError):
        retry_while_unavailable(lambda: (_ for _ in ()).throw(ConnectionResetError()), patience_s=0)


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_of_a_training(tmp_path, wav_folder, monkeypatch):
    """A real server is killed after an epoch and comes back before the end: nothing is missing."""
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    running = [serve(tmp_path, port)]
    experiment = Experiment.parse(
        {
            "name": "tones",
            "data": {"source": str(wav_folder)},
            "features": {"kind": "log_mel", "sample_rate": 8000},
            "model": {"hidden_size": 4},
            "training": {"num_epochs": 6, "device": "cpu"},
        },
        origin="test",
    )
    log_epoch = TrackedRun.log_epoch

    def kill_and_restart(run, epoch):
        if epoch.number == 2:
            stop(running.pop())
        if epoch.number == 5:
            running.append(serve(tmp_path, port))
        log_epoch(run, epoch)

    monkeypatch.setattr(TrackedRun, "log_epoch", kill_and_restart)
    try:
        result = train(experiment).result
        client = MlflowClient(uri)
        run = client.get_run(result["run_id"])
        history = client.get_metric_history(result["run_id"], "train/loss")
        assert run.info.status == "FINISHED"
        assert [metric.step for metric in history] == [1, 2, 3, 4, 5, 6]
        assert result["model_uri"] == "models:/tones/1"
        assert not list((tmp_path / "mlruns" / "outbox").glob("*/*.json"))
    finally:
        for process in running:
            stop(process)


def serve(folder, port):
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder}/server.db",
         "--artifacts-destination", str(folder / "artifacts")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            return process
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not start")


def stop(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
