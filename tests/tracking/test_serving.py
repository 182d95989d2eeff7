"""The registered model behind MLflow's own server: strict JSON, and an error in its own row."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from seqbelt.cli import main
from seqbelt.data.generated.demo_data import DemoData
from seqbelt.tracking.environment import model_requirements

CONFIG = """
name: {kind}
data: {{source: {source}}}
features: {features}
model: {{hidden_size: 8}}
training: {{num_epochs: 1, batch_size: 16, device: cpu}}
"""
WAIT_S = 300


def test_requirements_are_exact_and_name_what_the_features_need():
    plain, frames = model_requirements("log_mel"), model_requirements("frames")
    assert all("==" in line and "+" not in line for line in frames)
    assert set(frames) - set(plain) <= {line for line in frames if line.startswith("torchvision")}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """``served(kind, features)`` trains a model and returns its data and what asks its server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("SEQBELT_SERVE_ROOT", str(tmp_path))
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    servers = []

    def serve(kind, features):
        source = DemoData(kind=kind, num_per_class=8).write(tmp_path / "data")
        Path("config.yaml").write_text(CONFIG.format(kind=kind, source=source, features=features))
        with pytest.raises(SystemExit) as stop:
            main(["train", "config.yaml"])
        assert stop.value.code == 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "models",
            "serve",
            "-m",
            f"models:/{kind}@champion",
            "--env-manager",
            "local",
            "--port",
            str(port),
            "--workers",
            "1",
        ]
        servers.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        return source, lambda rows: ask(servers[-1], port, rows)

    yield serve
    for server in servers:
        server.terminate()
        server.wait(30)


def ask(server: subprocess.Popen, port: int, rows: list[dict]) -> list[dict]:
    """The answers of the server, once it is up; no JSON that another language could not read."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps({"dataframe_records": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    until = time.monotonic() + WAIT_S
    while True:
        assert server.poll() is None and time.monotonic() < until, "the server did not come up"
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read(), parse_constant=pytest.fail)["predictions"]
        except urllib.error.HTTPError as error:
            pytest.fail(error.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)


@pytest.mark.slow
def test_paths_and_base64_over_http(served):
    source, ask = served("audio", "{kind: log_mel, sample_rate: 8000, num_bands: 8}")
    path = next(Path(source, "test").rglob("*.wav")).resolve()
    content = base64.b64encode(path.read_bytes()).decode()
    rows = [{"path": str(path)}, {"path": "nowhere.wav"}, {"base64": content}, {"base64": "%"}, {}]
    answers = ask([{"path": None, "base64": None} | row for row in rows])
    assert [answer["error"] and answer["error"].split(":")[0] for answer in answers] == [
        None, "unreadable", None, "wrong type", "wrong type",
    ]  # fmt: skip
    assert answers[0] == answers[2] and answers[0]["label"] in {"a", "i", "u"}
    assert answers[1]["label"] is answers[1]["confidence"] is None


@pytest.mark.slow
def test_texts_over_http(served):
    _, ask = served("text", "{kind: character, min_count: 1}")
    good, empty = ask([{"text": "the food was good"}, {"text": "  "}])
    assert good["error"] is None and 0 < good["confidence"] <= 1
    assert empty["label"] is None and empty["error"].startswith("empty")
