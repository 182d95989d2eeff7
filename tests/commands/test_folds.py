"""Cross-validation over groups: every row is tested once, by a model that never saw its group."""

import json

import numpy as np
import pytest
import soundfile

from seqbelt.cli import main
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError
from seqbelt.tracking.connection import connect

CONFIG = """
name: tones
data: {source: manifest.csv, folds: group}
features: {kind: log_mel, sample_rate: 8000, num_bands: 8}
model: {hidden_size: 6}
training: {num_epochs: 1, batch_size: 16, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0, 1]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Three speakers, two tones, six takes."""
    folder = tmp_path_factory.mktemp("project")
    random, lines = np.random.default_rng(0), ["path,label,group"]
    for speaker in "abc":
        for label, pitch in (("low", 200), ("high", 900)):
            for take in range(6):
                wave = np.sin(2 * np.pi * pitch * np.arange(1600 + 100 * take) / 8000)
                name = f"{speaker}{label}{take}.wav"
                soundfile.write(
                    folder / name, 0.3 * wave + 0.01 * random.normal(size=len(wave)), 8000
                )
                lines.append(f"{name},{label},{speaker}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    (folder / "tones.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def test_each_group_is_the_test_part_once(project):
    tested = []
    for data in Data(source="manifest.csv", folds="group").each_fold():
        manifest = data.load()
        split, group = manifest.column("split"), manifest.column("group")
        (name,) = set(group[split == "test"])
        assert name not in set(group[split != "test"])
        tested.append(name)
    assert tested == ["a", "b", "c"]


def test_numbered_folds_test_each_row_once_and_keep_groups_whole(project):
    tested = np.zeros(36, int)
    for data in Data(source="manifest.csv", folds=3, split_seed=4).each_fold():
        manifest = data.load()
        split, group = manifest.column("split"), manifest.column("group")
        tested += split == "test"
        assert not set(group[split == "test"]) & set(group[split == "train"])
    assert (tested == 1).all()


def test_a_fold_that_does_not_exist_is_refused(project):
    with pytest.raises(SettingsError, match="3 folds"):
        Data(source="manifest.csv", folds="group", fold=3).load()


@pytest.mark.slow
def test_compare_judges_all_folds_together(project, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare", "tones.yaml", "--json"])
    assert stop.value.code == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert len(result["cells"]["lstm"]["runs"]) == 6  # two seeds, three folds
    assert "36 test examples of 3 groups not trained on" in result["verdict"]
    (verdict,) = result["verdicts"]
    assert verdict["pair"] == ["lstm", "rnn"]
    assert (verdict["unit"], verdict["num_units"]) == ("group", 3)
    # What is registered was trained on all rows, and its page says what stands for it.
    client = connect()
    version = client.get_model_version("tones", result["model_uri"].rpartition("/")[2])
    assert "refitted on the rows of all folds" in version.description
    assert "Mean test accuracy of" in version.description
    run = client.get_run(version.run_id)
    assert run.data.tags["fold"] == "all" and "test/accuracy" not in run.data.metrics


def test_no_fold_is_all_rows_in_training(project):
    split = Data(source="manifest.csv", folds="group", fold=None).load().column("split")
    assert set(split) <= {"train", "validation"} and len(split) == 36
