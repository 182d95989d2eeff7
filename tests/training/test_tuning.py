"""What is searched: names that exist, values that fit, nothing that means nothing."""

import pytest

from seqbelt.errors import SettingsError
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.tuning import Range, Tuning, given, suggest, with_values


class Middle:
    """Suggests the lowest number and the last choice."""

    def suggest_float(self, name, low, high, *, log):
        return low

    def suggest_int(self, name, low, high, *, log):
        assert isinstance(low, int)
        return low

    def suggest_categorical(self, name, choices):
        return choices[-1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": {"learning_rat": [1]}}, "did you mean 'learning_rate'"),
        ({"model": {"dropout": {"low": 0.5, "high": 0.1}}}, "low must be less"),
        ({"training": {"learning_rate": {"low": 0.0, "high": 0.1, "log": True}}}, "above 0"),
        ({"model": {"pooling": []}}, "tuning.model.pooling"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(values, message):
    from seqbelt.experiment import Experiment

    settings = {"name": "a", "data": {"source": "b"}, "features": {"kind": "channels"}}
    with pytest.raises(SettingsError, match=message):
        Experiment.parse({**settings, "tuning": values})


def test_what_means_nothing_to_a_cell_or_makes_it_what_it_is_is_not_searched():
    tuning = Tuning(model={"forget_bias": (0.0, 1.0), "recurrent_init": ("orthogonal", "identity")})
    assert "model.forget_bias" in tuning.space(Model(cell="lstm"))
    assert "model.forget_bias" not in tuning.space(Model(cell="rnn"))
    wide = tuning.replace(model={"hidden_size": [8, 16], "dropout": [0.0, 0.3]}, training={})
    assert list(wide.space(Model(cell="none"))) == ["model.dropout"]
    assert list(wide.space(Model(cell="rnn"))) == ["model.hidden_size", "model.dropout"]
    fixed = frozenset({"cell", "recurrent_init"})
    assert "model.recurrent_init" not in tuning.space(Model(cell="rnn"), fixed)


def test_suggestions_become_settings():
    tuning = Tuning(
        training={"learning_rate": Range(low=1e-3, high=1e-2)},
        model={"hidden_size": Range(low=8, high=64), "pooling": ("last", "mean")},
    )
    space = tuning.space(Model())
    model, training = with_values(Model(dropout=0.1), Training(seed=3), suggest(space, Middle()))
    assert model == Model(dropout=0.1, hidden_size=8, pooling="mean")
    assert training == Training(seed=3, learning_rate=1e-3)


def test_a_choice_that_is_no_setting_is_named():
    with pytest.raises(SettingsError, match="pooling"):
        with_values(Model(), Training(), {"model.pooling": "sum"})


def test_given_settings_are_tried_as_far_as_the_space_holds_them():
    space = Tuning(
        training={"learning_rate": Range(low=1e-3, high=1e-2), "clip_norm": (0.5, 5.0)}, model={}
    ).space(Model())
    found = given(space, Model(), Training(learning_rate=2e-3, clip_norm=1.0))
    assert found == {"training.learning_rate": 2e-3}
