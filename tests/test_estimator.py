"""The scikit-learn estimator: its rules, sequences of any lengths, and the command's bundle."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import seqbelt
from seqbelt.cli import main
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.estimator import SequenceClassifier
from seqbelt.features.arrays.channels import Channels
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import Model
from seqbelt.training.hyperparameters import Training

SMALL = {
    "hidden_size": 8,
    "num_epochs": 12,
    "learning_rate": 0.02,
    "batch_size": 16,
    "device": "cpu",
}


def sequences(count=60, seed=0):
    """Of 2 to 12 steps; the first step's sign tells the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    X = [random.normal(size=(random.integers(2, 13), 3)) for _ in labels]
    for one, label in zip(X, labels):
        one[0] += 3 * (2 * label - 1)
    return X, np.array(["no", "yes"])[labels]


# scikit-learn's own checks, one test each; what they need of arrays API is not installed.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([SequenceClassifier(**SMALL | {"hidden_size": 16})])
def test_scikit_learn_s_rules(estimator, check):
    check(estimator)


def test_it_learns_from_sequences_of_any_lengths():
    X, y = sequences()
    model = seqbelt.SequenceClassifier(**SMALL).fit(X, y)
    held_out, truth = sequences(seed=1)
    assert model.score(held_out, truth) > 0.9
    shares = model.predict_proba(held_out)
    assert shares.shape == (60, 2) and np.allclose(shares.sum(1), 1)
    assert list(model.classes_) == ["no", "yes"] and len(model.history_.epochs) == 12


def test_an_answer_does_not_depend_on_its_neighbours():
    X, y = sequences()
    model = SequenceClassifier(**SMALL, bidirectional=True).fit(X, y)
    together = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba([one]) for one in X])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_equal_lengths_may_be_one_array():
    X, y = sequences()
    equal = np.stack([one[:2] for one in X])
    as_array = SequenceClassifier(**SMALL).fit(equal, y)
    as_list = SequenceClassifier(**SMALL).fit(list(equal), y)
    np.testing.assert_array_equal(as_array.predict_proba(equal), as_list.predict_proba(equal))


def test_defaults_are_those_of_the_settings():
    found = SequenceClassifier().get_params()
    for section in (Model, Training):
        for name in section.model_fields.keys() & found.keys():
            assert found[name] == section.model_fields[name].default
    assert {"cell", "hidden_size", "num_epochs", "seed"} <= found.keys()


def test_searches_and_cross_validation_see_the_settings():
    X, y = sequences(40)
    search = GridSearchCV(SequenceClassifier(**SMALL), {"cell": ["lstm", "rnn"]}, cv=2).fit(X, y)
    assert search.best_params_["cell"] in ("lstm", "rnn")
    assert len(cross_val_score(SequenceClassifier(**SMALL), X, y, cv=2)) == 2


def test_validation_chooses_the_epoch():
    X, y = sequences()
    model = SequenceClassifier(**SMALL, validation_fraction=0.25).fit(X, y)
    assert all(epoch.validation is not None for epoch in model.history_.epochs)


def test_a_pickled_copy_answers_alike():
    X, y = sequences(20)
    model = SequenceClassifier(**SMALL).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))


def test_a_saved_model_serves_the_command(tmp_path, capsys):
    X, y = sequences(20)
    model = SequenceClassifier(**SMALL).fit(X, y)
    model.save(tmp_path / "signs")
    (tmp_path / "new").mkdir()
    for number, one in enumerate(X):
        np.save(tmp_path / "new" / f"{number:02}.npy", one.astype(np.float32))
    output = tmp_path / "answers.jsonl"
    arguments = [str(tmp_path / "signs"), str(tmp_path / "new"), "--output", str(output), "--json"]
    with pytest.raises(SystemExit) as stop:
        main(["predict", *arguments])
    assert stop.value.code == 0, capsys.readouterr().err
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["label"] for row in rows] == list(model.predict(X))


def test_a_saved_model_keeps_the_strides_that_its_training_rows_asked_for(tmp_path):
    random = np.random.default_rng(0)
    X = [random.normal(size=(random.integers(250, 270), 2)) for _ in range(8)]
    model = SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X, ["a", "b"] * 4)
    assert model.network_.reduction == 4
    model.save(tmp_path / "long")
    bundle = Bundle.load(tmp_path / "long")
    assert bundle.network.reduction == 4
    found = Predictor(bundle, "cpu").probabilities([one.astype(np.float32) for one in X])
    np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([np.ones((3, 2)), np.ones((2, 3))], "one width"),
        ([np.ones((3, 2)), np.ones((0, 2))], "no steps"),
        ([np.ones((3, 2)), np.full((2, 2), np.nan)], "NaN"),
        (np.ones((2, 3, 4, 5)), "steps, features"),
    ],
)
def test_unusable_sequences_are_refused_with_a_reason(X, words):
    with pytest.raises(ValueError, match=words):
        SequenceClassifier(**SMALL).fit(X, ["a", "b"])


def test_settings_are_checked_when_it_is_fitted():
    with pytest.raises(SettingsError, match="hidden_size"):
        SequenceClassifier(hidden_size=0).fit(*sequences(8))
    with pytest.raises(TypeError, match="hiden_size"):
        SequenceClassifier(hiden_size=3)


def test_another_width_is_refused():
    X, y = sequences(20)
    model = SequenceClassifier(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="expecting 3 features"):
        model.predict([np.ones((4, 2))])


def test_an_array_in_aeon_s_order_is_not_read_in_silence():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(20, 3, 40)), np.arange(20) % 2
    with pytest.warns(UserWarning, match=r"3 steps of 40 features.*transpose\(0, 2, 1\)"):
        SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X, y)
    model = SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X.transpose(0, 2, 1), y)
    with pytest.raises(ValueError, match=r"has 40 features.*pass X\.transpose\(0, 2, 1\)"):
        model.predict(X)


def test_a_loaded_model_predicts_as_the_saved_one_did(tmp_path):
    X, y = sequences(20)
    model = SequenceClassifier(**SMALL, bidirectional=True, pooling="mean").fit(X, y)
    model.save(tmp_path / "signs")
    loaded = SequenceClassifier.load(tmp_path / "signs")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert list(loaded.predict(X)) == list(model.predict(X))
    parameters = loaded.get_params()
    assert parameters["bidirectional"] is True and parameters["pooling"] == "mean"
    assert loaded.set_params(**SMALL).fit(X, y).score(X, y) > 0.5  # can be trained again


def test_only_models_of_arrays_are_loaded_as_an_estimator(tmp_path):
    X, y = sequences(20)
    SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X, y).save(tmp_path / "signs")
    bundle = Bundle.load(tmp_path / "signs")
    replace(bundle, features=Channels(kind="channels")).save(tmp_path / "channels")
    with pytest.raises(SettingsError, match=r"use seqbelt\.load"):
        SequenceClassifier.load(tmp_path / "channels")


def test_load_opens_a_bundle_folder_for_prediction(tmp_path):
    X, y = sequences(20)
    model = SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X, y)
    model.save(tmp_path / "signs")
    predictor = seqbelt.load(tmp_path / "signs", device="cpu")
    arrays = [one.astype(np.float32) for one in X]
    np.testing.assert_allclose(
        predictor.probabilities(arrays), model.predict_proba(X), rtol=1e-4, atol=1e-6
    )
    found = list(predictor.predict(enumerate(arrays)))
    assert [one.index for one in found] == list(range(20))
    assert predictor.bundle.classes == ("no", "yes")
    with pytest.raises(SeqbeltError, match="neither a bundle folder"):
        seqbelt.load(tmp_path / "nothing")


def test_compare_judges_cells_on_arrays():
    X, y = sequences(40)
    X_test, y_test = sequences(30, seed=1)
    classifier = SequenceClassifier(**SMALL)
    cells = ("lstm", "rnn_relu")
    found = seqbelt.compare(
        X, y, X_test, y_test, classifier=classifier, cells=cells, seeds=(3, 4), margin=0.2
    )
    model = SequenceClassifier(**SMALL, seed=4).fit(X, y)
    correct = found.runs["lstm"][1].answers.correct
    np.testing.assert_array_equal(correct, model.predict(X_test) == y_test)
    assert found.cells()["lstm"]["accuracies"][1] == model.score(X_test, y_test)
    assert found.verdict is not None and found.verdict.margin == 0.2
    assert (found.verdict.cell, found.verdict.other) == cells
    assert "2 seeds, 30 test examples" in found.sentence and "RNN (ReLU)" in found.markdown()
    assert classifier.get_params() == SequenceClassifier(**SMALL).get_params()  # untouched


def test_compare_refuses_what_it_does_not_do():
    X, y = sequences(8)
    with pytest.raises(SettingsError, match="no such setting: num_workers"):
        seqbelt.compare(X, y, X, y, num_workers=2)
    with pytest.raises(SettingsError, match="seeds"):
        seqbelt.compare(X, y, X, y, seeds=(1, 1))
    one_epoch = SequenceClassifier(**SMALL | {"num_epochs": 1})
    with pytest.raises(ValueError, match="8 test sequences, but 7 test labels"):
        seqbelt.compare(X, y, X, y[:7], classifier=one_epoch, seeds=(0,))


def test_the_package_exports_these_names_and_imports_them_on_use():
    assert set(seqbelt.__all__) == {"SequenceClassifier", "compare", "load", "__version__"}
    assert set(seqbelt.__all__) <= set(dir(seqbelt))
    assert all(hasattr(seqbelt, name) for name in seqbelt.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = seqbelt.predict
    code = "import sys, seqbelt; assert 'torch' not in sys.modules; seqbelt.load"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
