"""Generated sets as sources: made on demand, the options decide, nothing of the user's is lost."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from seqbelt.data.generated.memory_tasks import TemporalOrder
from seqbelt.data.generated.sets import ABOUT, GENERATED_SETS, find_generated_set, write_task
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment

CONFIGS = Path(__file__).parents[2] / "pipelines/configs"
SIZES = {"num_train": 12, "num_validation": 4, "num_test": 6}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", GENERATED_SETS)
def test_a_name_is_a_source_with_the_task_s_own_parts(name):
    manifest = Data(source=name, make={**SIZES, "lag": 12}).load()
    assert Counter(manifest.column("split")) == {"train": 12, "validation": 4, "test": 6}
    expected = GENERATED_SETS[name].with_options({**SIZES, "lag": 12}).generate()
    found = {
        (split, np.load(source).tobytes(), label)
        for split, source, label in zip(
            manifest.column("split"), manifest.sources(), manifest.column("label")
        )
    }
    assert found == {(split, steps.tobytes(), label) for split, steps, label in expected}


def test_other_options_are_other_folders_and_the_same_are_made_once():
    default = GENERATED_SETS["copy"]
    a = find_generated_set("copy", {**SIZES, "lag": 3})
    made = (a / ABOUT).stat().st_mtime_ns
    b = find_generated_set("copy", {**SIZES, "lag": 4})
    assert len({a, b, default.folder(default.task)}) == 3
    assert "lag_3" in a.name
    assert find_generated_set("copy", {**SIZES, "lag": 3}) == a
    assert (a / ABOUT).stat().st_mtime_ns == made


def test_what_was_left_unfinished_is_made_again(monkeypatch):
    def stop(done):
        raise KeyboardInterrupt

    generated = GENERATED_SETS["adding"]
    task = generated.with_options(SIZES)
    with pytest.raises(KeyboardInterrupt):
        write_task(task, generated.folder(task), stop)
    assert not generated.folder(task).exists()
    folder = find_generated_set("adding", SIZES)
    assert len([*folder.rglob("*.npy")]) == 22


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    task = TemporalOrder(kind="temporal_order", **SIZES)
    with pytest.raises(SettingsError, match=r"mine.*another folder"):
        write_task(task, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    write_task(task, tmp_path / "new")
    with pytest.raises(SettingsError, match="another folder"):
        write_task(task.model_copy(update={"seed": 1}), tmp_path / "new")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("copy", {"lga": 3}, r"copy.*\n.*did you mean 'lag'"),
        ("copy", {"lag": "far"}, "lag"),
        ("temporal_order_b", {"num_relevant": 2}, r"data\.make\.num_relevant"),
        ("copy", {"kind": "adding"}, r"data\.make\.kind"),
        ("fsdd", {"lag": 3}, r"data\.make: 'fsdd' is not a generated set"),
    ],
)
def test_an_option_that_the_set_does_not_have_is_refused(source, options, message):
    with pytest.raises(SettingsError, match=message):
        Data(source=source, make=options).list_items()


def test_a_folder_of_the_same_name_goes_first(tmp_path):
    for label in "ab":
        (tmp_path / "copy" / label).mkdir(parents=True)
        np.save(tmp_path / "copy" / label / "x.npy", np.zeros((3, 1)))
    assert Data(source="copy").list_items().column("label").tolist() == ["a", "b"]


@pytest.mark.parametrize("name", GENERATED_SETS)
def test_every_set_has_a_config_that_reads_its_files(name):
    sizes = [f"data.make.{key}={value}" for key, value in SIZES.items()]
    experiment = Experiment.load(CONFIGS / f"{name}.yaml", sizes)
    assert experiment.data.source == name
    manifest = experiment.data.load()
    raws = [experiment.features.read(source) for source in manifest.sources()]
    assert len(raws) == 22
    encoder = experiment.features.encoder(experiment.features.learn(raws))
    expected = [steps for _, steps, _ in
                GENERATED_SETS[name].with_options(experiment.data.make).generate()]  # fmt: skip
    key = np.ndarray.tobytes
    assert sorted(map(key, encoder.encode(raws))) == sorted(map(key, expected))
