"""The scikit-learn estimator: its rules, sequences of any lengths, and the command's bundle."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from toys import SMALL_CLASSIFIER as SMALL
from toys import toy_sequences as sequences

import seqbelt
from seqbelt.cli import main
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.estimator import SequenceClassifier
from seqbelt.features.arrays.channels import Channels
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Predictor
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training

SHORT = SMALL | {"num_epochs": 2}
"""For laws that hold whatever was learned."""


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
    model = SequenceClassifier(**SHORT, bidirectional=True).fit(X, y)
    together = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba([one]) for one in X])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_equal_lengths_may_be_one_array():
    X, y = sequences()
    equal = np.stack([one[:2] for one in X])
    as_array = SequenceClassifier(**SHORT).fit(equal, y)
    as_list = SequenceClassifier(**SHORT).fit(list(equal), y)
    np.testing.assert_array_equal(as_array.predict_proba(equal), as_list.predict_proba(equal))


def test_defaults_are_those_of_the_settings():
    found = SequenceClassifier().get_params()
    for section in (Model, Training):
        for name in section.model_fields.keys() & found.keys():
            assert found[name] == section.model_fields[name].default
    assert {"cell", "hidden_size", "num_epochs", "seed"} <= found.keys()


def test_searches_and_cross_validation_see_the_settings():
    X, y = sequences(40)
    search = GridSearchCV(SequenceClassifier(**SHORT), {"cell": ["lstm", "rnn"]}, cv=2).fit(X, y)
    assert search.best_params_["cell"] in ("lstm", "rnn")
    assert len(cross_val_score(SequenceClassifier(**SHORT), X, y, cv=2)) == 2


def test_validation_chooses_the_epoch():
    X, y = sequences()
    model = SequenceClassifier(**SHORT, validation_fraction=0.25).fit(X, y)
    assert all(epoch.validation is not None for epoch in model.history_.epochs)


def test_a_pickled_copy_answers_alike():
    X, y = sequences(20)
    model = SequenceClassifier(**SHORT).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))


def test_a_saved_model_serves_the_command(tmp_path, capsys):
    X, y = sequences(20)
    model = SequenceClassifier(**SHORT).fit(X, y)
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
        ([np.ones((3, 2)), np.full((2, 2), 1e300)], r"1 has values beyond 3\.4e\+38"),
        ([np.ones((3, 2)), np.ones((2, 2), complex)], "1: Complex data not supported"),
        ([np.ones((3, 2)), np.full((2, 2), "a")], "sequence 1 is not made of numbers"),
        ([np.ones((3, 5)), np.ones((3, 7))], r"channels, steps\), pass \[x\.T for x in X\]"),
        ([], "no sequences"),
        (np.ones((2, 3, 4, 5)), "steps, features"),
    ],
)
def test_unusable_sequences_are_refused_with_a_reason(X, words):
    with pytest.raises(ValueError, match=words):
        SequenceClassifier(**SHORT).fit(X, ["a", "b"])


def test_settings_are_checked_when_it_is_fitted():
    with pytest.raises(SettingsError, match="hidden_size"):
        SequenceClassifier(hidden_size=0).fit(*sequences(8))
    with pytest.raises(TypeError, match="hiden_size"):
        SequenceClassifier(hiden_size=3)


def test_another_width_is_refused():
    X, y = sequences(20)
    model = SequenceClassifier(**SHORT).fit(X, y)
    with pytest.raises(ValueError, match="expecting 3 features"):
        model.predict([np.ones((4, 2))])


def test_what_was_fitted_decides_how_one_dimensional_sequences_are_read():
    X = [np.sin(np.arange(length) * (1 + length % 2)) for length in (5, 6, 7, 8, 9, 10)]
    model = SequenceClassifier(**SHORT).fit(X, [1, 0, 1, 0, 1, 0])
    expected = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba([one]) for one in X])
    np.testing.assert_allclose(alone, expected, atol=1e-6)
    twice = model.predict_proba(np.stack([X[0], X[0]]))  # a matrix: one sequence per row
    np.testing.assert_allclose(twice, expected[[0, 0]], atol=1e-6)
    of_matrix = SequenceClassifier(**SHORT).fit(np.stack([X[0], X[0] + 1]), [0, 1])
    as_list = of_matrix.predict_proba([X[0], X[0] + 1])
    np.testing.assert_array_equal(as_list, of_matrix.predict_proba(np.stack([X[0], X[0] + 1])))
    with pytest.raises(ValueError, match="matrix with 5 steps in each row"):
        of_matrix.predict([X[1]])


def test_a_single_sequence_without_its_list_is_refused():
    X, y = sequences(12)
    model = SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X, y)
    with pytest.raises(ValueError, match=r"pass \[X\] for a single sequence"):
        model.predict(X[0])


def test_tensors_and_frames_are_read_as_arrays_are():
    X, y = sequences(12)
    equal = np.stack([one[:2] for one in X])
    model = SequenceClassifier(**SHORT).fit(equal, y)
    expected = model.predict_proba(equal)
    nested = pd.DataFrame({
        f"dim_{k}": [pd.Series(one[:, k]) for one in equal] for k in range(3)
    })  # fmt: skip
    index = pd.MultiIndex.from_product([range(12), range(2)])
    indexed = pd.DataFrame(equal.reshape(24, 3), index=index)
    column = pd.Series([*equal])
    for other in (torch.tensor(equal), [*map(torch.tensor, equal)], nested, indexed, column):
        np.testing.assert_array_equal(model.predict_proba(other), expected)
    nested.at[3, "dim_1"] = pd.Series([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"row 3 of the frame.*\[2, 3\] steps"):
        model.predict(nested)


def test_random_state_replaces_the_seed():
    X, y = sequences(12)
    short = SMALL | {"num_epochs": 1}

    def trained(**parameters):
        return SequenceClassifier(**short, **parameters).fit(X, y).predict_proba(X)

    np.testing.assert_array_equal(trained(random_state=3), trained(seed=3))
    drawn = trained(random_state=np.random.RandomState(5))
    np.testing.assert_array_equal(drawn, trained(random_state=np.random.RandomState(5)))
    assert np.abs(drawn - trained(seed=3)).max() > 1e-4
    bagging = BaggingClassifier(SequenceClassifier(**short), n_estimators=2, random_state=0)
    matrix = np.stack([one[:2, 0] for one in X])
    members = bagging.fit(matrix, y).estimators_
    assert members[0].random_state != members[1].random_state


def test_fit_neither_moves_torch_s_random_state_nor_depends_on_the_order_of_rows():
    X, y = sequences(12)
    state = torch.get_rng_state()
    model = SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X, y)
    assert torch.equal(torch.get_rng_state(), state)
    turned = SequenceClassifier(**SMALL | {"num_epochs": 1}).fit(X[::-1], y[::-1])
    np.testing.assert_array_equal(turned.predict_proba(X), model.predict_proba(X))


def test_sample_weights_repeat_and_remove_rows():
    X, y = sequences(12)
    short = SHORT
    weights = np.array([0, 2, 1] * 4)
    weighted = SequenceClassifier(**short).fit(X, y, sample_weight=weights)
    rows = np.repeat(np.arange(12), weights)
    repeated = SequenceClassifier(**short).fit([X[row] for row in rows], y[rows])
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))
    fractions = SequenceClassifier(**short).fit(X, y, sample_weight=weights / 7)
    assert np.abs(fractions.predict_proba(X) - weighted.predict_proba(X)).max() < 0.3
    with pytest.raises(ValueError, match="Negative"):
        SequenceClassifier(**short).fit(X, y, sample_weight=-weights)
    with pytest.raises(SettingsError, match="only one of them"):
        SequenceClassifier(**short, sampling="balanced").fit(X, y, sample_weight=weights)


def test_class_weight_has_scikit_learn_s_values():
    X, y = sequences(12)
    short = SHORT
    doubled = SequenceClassifier(**short, class_weight={"no": 1, "yes": 2}).fit(X, y)
    by_rows = SequenceClassifier(**short).fit(X, y, sample_weight=np.where(y == "yes", 2, 1))
    np.testing.assert_array_equal(doubled.predict_proba(X), by_rows.predict_proba(X))
    balanced = SequenceClassifier(**short, class_weight="balanced").fit(X, y)
    setting = SequenceClassifier(**short, class_weights="balanced").fit(X, y)
    np.testing.assert_array_equal(balanced.predict_proba(X), setting.predict_proba(X))
    with pytest.raises(ValueError, match="'balanced' and a dict"):
        SequenceClassifier(**short, class_weight="equal").fit(X, y)


def test_sections_are_given_as_dicts_and_verbose_prints_epochs(capsys):
    X, y = sequences(12)
    model = SequenceClassifier(
        **SHORT,
        stem="none",
        augmentation={"noise_std": 0.1},
        validation_fraction=0.25,
        verbose=True,
    )
    cast(SequenceClassifier, clone(model)).fit(X, y)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and printed[1].startswith("epoch 2: loss ")
    assert "validation accuracy" in printed[0]


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
    model = SequenceClassifier(**SHORT, bidirectional=True, pooling="mean").fit(X, y)
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


def test_the_package_exports_these_names_and_imports_them_on_use():
    assert set(seqbelt.__all__) == {"SequenceClassifier", "compare", "load", "__version__"}
    assert set(seqbelt.__all__) <= set(dir(seqbelt))
    assert all(hasattr(seqbelt, name) for name in seqbelt.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = seqbelt.predict
    code = "import sys, seqbelt; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
