"""Clips from files to predictions, through a torchvision backbone with weights from a file."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from seqbelt.cli import main
from seqbelt.errors import SeqbeltError
from seqbelt.features.video.descriptors import import_torchvision

CONFIG = """
name: clips
data: {source: clips, validation_fraction: 0, test_fraction: 0}
features: {kind: frames, backbone: mobilenet_v3_small, weights: weights.pth, size: 32}
model: {hidden_size: 4}
training: {num_epochs: 2, batch_size: 4, device: cpu}
"""


def write_clip(path: Path, seed: int, num_frames: int = 6) -> None:
    frames = np.random.default_rng(seed).integers(0, 255, (num_frames, 32, 32, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Eight clips of two classes, and five that are none."""
    try:
        torchvision = import_torchvision()
    except (SeqbeltError, RuntimeError, ImportError) as error:
        pytest.skip(f"torchvision cannot be imported here: {error}")
    folder = tmp_path_factory.mktemp("project")
    for number in range(8):
        write_clip(folder / "clips" / "ab"[number % 2] / f"{number}.avi", number)
    write_clip(folder / "clips/a/one_frame.avi", 99, num_frames=1)
    whole = (folder / "clips/a/0.avi").read_bytes()
    (folder / "clips/a/truncated.avi").write_bytes(whole[: len(whole) // 2])
    (folder / "clips/a/empty.mp4").write_bytes(b"")
    (folder / "clips/a/note.mp4").write_text("a note\n" * 99)
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v3_small(weights=None)
    torch.save(network.state_dict(), folder / "weights.pth")
    (folder / "clips.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.mark.slow
def test_a_backbone_from_a_file_end_to_end(project, capsys):
    def run(*arguments: str) -> tuple[int, dict]:
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--json"])
        return int(stop.value.code or 0), json.loads(capsys.readouterr().out.splitlines()[-1])

    code, trained = run("train", "clips.yaml")
    assert code in (0, 3) and trained["epochs"] == 2
    ledger = Path("data/prepared/clips/quarantine.csv").read_text("utf-8-sig")
    reasons = {row["id"]: row["reason"] for row in csv.DictReader(ledger.splitlines())}
    assert reasons == {
        "a/empty.mp4": "empty", "a/note.mp4": "wrong type", "a/truncated.avi": "truncated"
    }  # fmt: skip
    code, result = run("predict", trained["bundle"], "clips", "--output", "found.csv")
    assert (code, result["num_predicted"], result["num_quarantined"]) == (3, 9, 3)
    # The same weights under another name are the same features; others are refused.
    state = torch.load("weights.pth", weights_only=True)
    torch.save({name: value + 1 for name, value in state.items()}, "weights.pth")
    with pytest.raises(SystemExit) as stop:
        main(["predict", trained["bundle"], "clips", "--output", "other.csv"])
    assert stop.value.code != 0
