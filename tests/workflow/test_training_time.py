"""The time of a training, from its first steps."""

import pytest
from toys import write_tones

from seqbelt.experiment import Experiment
from seqbelt.workflow import training_time
from seqbelt.workflow.training_time import measure_training_s

CONFIG = {
    "name": "tones",
    "data": {"source": "tones"},
    "features": {"kind": "log_mel", "sample_rate": 8000, "num_bands": 8},
    "model": {"hidden_size": 4, "stem": "none"},
    "training": {"num_networks": 3, "num_epochs": 5, "batch_size": 2, "device": "cpu"},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tones(tmp_path / "tones")
    return tmp_path


def listed(**sections):
    experiment = Experiment.parse({**CONFIG, **sections})
    return experiment, experiment.data.load(experiment.features)


def test_the_time_is_that_of_a_step_times_all_steps_of_all_networks(project, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(training_time, "perf_counter", lambda: float(next(clock)))
    experiment, manifest = listed()
    num_rows = int((manifest.column("split") == "train").sum())
    plan = experiment.training.resolve(num_rows, False).plan(num_rows)
    assert measure_training_s(experiment, manifest) == 3 * plan.num_updates
    assert not (project / "data").exists() and not (project / "outputs").exists()


def test_texts_are_measured_without_their_bag_of_words(project):
    (project / "texts.csv").write_text(
        "text,label\n" + "".join(f"it is number {n},{'ab'[n % 2]}\n" for n in range(40))
    )
    sections = {"data": {"source": "texts.csv"}, "features": {"kind": "word"}}
    assert measure_training_s(*listed(**sections, training={"device": "cpu"})) > 0


def test_it_is_not_told_where_a_few_rows_are_large_or_unreadable(project, monkeypatch):
    monkeypatch.setattr(training_time, "MAX_BYTES", 1000)
    assert measure_training_s(*listed()) is None
    monkeypatch.undo()
    monkeypatch.chdir(project)
    experiment, manifest = listed()
    for file in (project / "tones").rglob("*.wav"):
        file.write_bytes(b"no sound")
    assert measure_training_s(experiment, manifest) is None
