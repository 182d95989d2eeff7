"""``seqbelt certify``, and what a failed padding certificate keeps a model from."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mlflow.exceptions import MlflowException
from toys import run_json, write_tones

from seqbelt.cli import main
from seqbelt.features.streaming.steps import LocalTransform
from seqbelt.models.recurrent import Recurrent

CONFIG = """
name: words
data: {source: words, validation_fraction: 0.1}
features: {kind: log_mel, sample_rate: 8000, num_bands: 8}
model: {hidden_size: 8, bidirectional: false, pooling: last}
training: {num_epochs: 1, batch_size: 16, device: cpu}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with data, a config and a tracking store of its own."""
    folder = tmp_path_factory.mktemp("project")
    write_tones(folder / "words")
    (folder / "words.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # An address of its own: MLflow keeps a store open under its address, relative or not.
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield folder


def run(capsys, *arguments):
    """Exit code, the JSON of the last line of standard output, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.strip().splitlines()[-1]), err


@pytest.fixture(scope="module")
def trained(project):
    """The result of one ``train``."""
    return run_json("train", "words.yaml")


def drop_lengths(patch):
    exact = Recurrent.forward
    patch.setattr(
        Recurrent,
        "forward",
        lambda self, inputs, lengths, state=None: exact(
            self, inputs, torch.full_like(lengths, inputs.shape[1]), state
        ),
    )


def test_certificates_are_reported_and_stored_with_the_model(trained, capsys):
    from seqbelt.tracking.connection import connect

    client = connect()
    assert client.get_run(trained["run_id"]).data.metrics["train/gradient_reach_steps"] >= 1
    version = client.get_model_version_by_alias("words", "champion")
    assert version.tags["certificate.padding"] == "passed"

    code, found, err = run(capsys, "certify", "models:/words@champion", "words.yaml")
    assert code == 0 and "streaming certificate passed" in err
    assert list(found) == ["padding", "determinism", "streaming", "export"]
    assert found["padding"]["passed"] and found["determinism"]["passed"]
    assert found["padding"]["max_difference"] <= 1e-5 and found["padding"]["num_flips"] == 0
    assert found["streaming"]["passed"]
    assert found["streaming"]["num_signals"] == 4 and found["streaming"]["num_flips"] == 0
    assert 0 <= found["streaming"]["differences"]["inputs_1"] <= found["streaming"]["tolerance"]
    if find_spec("onnxruntime"):
        assert found["export"]["passed"] and found["export"]["num_flips"] == 0
        assert 0 < found["export"]["max_difference"] <= found["export"]["tolerance"]
    else:
        assert found["export"] is None
    stored = Path(client.download_artifacts(trained["run_id"], "certificates.json"))
    assert json.loads(stored.read_text("utf-8")) == found
    tags = client.get_model_version("words", version.version).tags
    assert tags["certificate.determinism"] == "passed"


def test_a_model_that_can_stream_is_tried_on_files_too(trained, capsys, monkeypatch):
    exact = LocalTransform.finish  # a file's end gets no zeros
    monkeypatch.setattr(LocalTransform, "finish", lambda self: exact(self)[:0])
    code, found, _ = run(capsys, "certify", trained["bundle"], "words.yaml")
    assert code == 1 and found["streaming"]["passed"] is False and found["padding"]["passed"]


def test_a_model_that_sees_padding_is_red_and_no_champion(project, capsys, monkeypatch):
    from seqbelt.tracking.connection import connect

    overrides = ["name=sees-padding", "model.max_steps=20", "model.crop=tail"]
    drop_lengths(monkeypatch)
    code, trained, err = run(capsys, "train", "words.yaml", *overrides)
    assert code == 0 and "padding certificate FAILED" in err
    assert 0 < trained["lost_steps"] < 1 and "of the training steps are not read" in err
    code, found, _ = run(capsys, "certify", trained["bundle"], "words.yaml", *overrides)
    assert code == 1 and found["padding"]["passed"] is False
    assert found["streaming"] is None
    client = connect()
    metrics = client.get_run(trained["run_id"]).data.metrics
    assert metrics["train/lost_steps"] == pytest.approx(trained["lost_steps"])
    assert client.get_model_version("sees-padding", "1").tags["certificate.padding"] == "failed"
    with pytest.raises(MlflowException):
        client.get_model_version_by_alias("sees-padding", "champion")
