"""What ``auto`` stands for in a training, and how long it takes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.models.kind_defaults import NUMBERS, TOKENS, defaults_for
from seqbelt.training import hyperparameters
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.hyperparameters import MAX_EPOCHS, Training, TrainingPlan

TABLE = {
    False: replace(NUMBERS, num_passes=40, min_updates=1500, max_updates=2500),
    True: replace(TOKENS, num_passes=10, min_updates=1000, max_updates=6000),
}
"""Budgets of numbers and of tokens, fixed: the figures below are worked out by hand for them."""


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(hyperparameters, "defaults_for", TABLE.__getitem__)


@pytest.mark.parametrize(
    ("is_tokens", "num_rows", "num_updates", "plan"),
    [
        # The floor, in epochs of several passes: 375 passes in 29 epochs of 13.
        (False, 30, 750, TrainingPlan(8, 4, 7, 27, 3)),
        (False, 431, 750, TrainingPlan(32, 14, 2, 27, 3)),
        (False, 500, 1500, TrainingPlan(32, 16, 4, 24)),
        # The ceiling: 40 passes of 313 batches would be 12,520.
        (False, 10_000, 2500, TrainingPlan(32, 313, 1, 8)),
        # Three passes, although they are more than the ceiling.
        (False, 150_000, 14_064, TrainingPlan(32, 4688, 1, 3)),
        (True, 30, 1000, TrainingPlan(8, 4, 9, 28)),
        (True, 431, 1000, TrainingPlan(32, 14, 3, 24)),
        # Ten passes, between the bounds.
        (True, 10_000, 3130, TrainingPlan(32, 313, 1, 10)),
        (True, 150_000, 14_064, TrainingPlan(32, 4688, 1, 3)),
    ],
)
def test_a_budget_in_updates_follows_the_number_of_rows(
    table, is_tokens, num_rows, num_updates, plan
):
    resolved = Training().resolve(num_rows, is_tokens)
    assert resolved.num_updates == num_updates
    assert resolved.plan(num_rows) == plan
    half_a_pass_too_many = plan.num_batches * (plan.passes_per_epoch + 1) / 2
    assert abs(plan.num_updates - num_updates) <= half_a_pass_too_many


@pytest.mark.parametrize(
    ("mean_steps", "batch_size"), [(1, 32), (100, 32), (400, 10), (1000, 4), (60_000, 4)]
)
def test_labels_for_steps_take_fewer_long_sequences_in_a_batch(mean_steps, batch_size):
    assert Training().resolve(5000, False, True, mean_steps=mean_steps).batch_size == batch_size
    assert Training().resolve(5000, False, False, mean_steps=mean_steps).batch_size == 32
    assert Training(batch_size=7).resolve(5000, False, True, mean_steps=1000).batch_size == 7


def test_signals_that_cannot_be_interpolated_are_not_stretched():
    smooth = Training().resolve(1000, False)
    rough = Training().resolve(1000, False, is_interpolable=False)
    assert smooth.moves_in_time and not rough.moves_in_time
    without = {"time_stretch": 0.0, "time_warp": 0.0}
    assert rough.augmentation == smooth.augmentation.replace(**without)
    asked = Training(augmentation=Augmentation(time_warp=0.2))
    assert asked.resolve(1000, False, is_interpolable=False).moves_in_time


def test_the_plan_in_words():
    assert TrainingPlan(8, 4, 13, 29).sentence == (
        "1,508 updates of 8 sequences, in 29 epochs (each reads all rows 13 times)"
    )
    assert TrainingPlan(8, 4, 7, 27, 3).sentence == (
        "3 networks to average, each by 756 updates of 8 sequences, in 27 epochs (each reads all "
        "rows 7 times)"
    )
    assert TrainingPlan(32, 313, 1, 8).sentence == "2,504 updates of 32 sequences, in 8 epochs"
    assert TrainingPlan(1, 1, 1, 1).sentence == "1 update of 1 sequence, in 1 epoch"


@given(num_rows=st.integers(1, 300_000), num_updates=st.integers(1, 50_000))
def test_a_plan_keeps_to_the_updates_that_are_asked_for(num_rows, num_updates):
    plan = Training(num_updates=num_updates).resolve(num_rows, False).plan(num_rows)
    assert 1 <= plan.num_epochs <= MAX_EPOCHS and plan.passes_per_epoch >= 1
    assert (plan.num_batches - 1) * plan.batch_size < num_rows
    assert num_rows <= plan.num_batches * plan.batch_size
    nearest = plan.num_batches * (plan.passes_per_epoch + 1) / 2
    assert abs(plan.num_updates - num_updates) <= max(nearest, plan.num_batches)


@pytest.mark.parametrize(
    ("num_rows", "batch_size"), [(1, 8), (30, 8), (40, 10), (100, 25), (128, 32), (10_000, 32)]
)
def test_few_rows_make_small_batches(num_rows, batch_size):
    assert Training().resolve(num_rows, False).batch_size == batch_size
    assert Training(batch_size=3).resolve(num_rows, False).batch_size == 3


def test_few_rows_train_several_networks_where_the_updates_are_not_given():
    assert Training().resolve(100, False).num_networks > 1
    assert Training().resolve(100, False, is_ordered=True).num_networks > 1
    for one in (
        Training().resolve(500, False),
        Training().resolve(100, True),
        Training().resolve(100, False, is_several=True),
        Training().resolve(100, False, labels_steps=True),
        Training(num_updates=700).resolve(100, False),
        Training(num_epochs=7).resolve(100, False),
    ):
        assert one.num_networks == 1
    assert Training(num_networks=1).resolve(100, False).num_updates == 1500
    assert Training(num_networks=2).resolve(100, False).num_networks == 2


def test_epochs_that_are_given_are_passes():
    resolved = Training(num_epochs=7, num_updates=10).resolve(431, False)
    assert resolved.plan(431) == TrainingPlan(32, 14, 1, 7)


@pytest.mark.parametrize("is_tokens", [False, True])
def test_auto_takes_the_kind_s_own_regularisation(is_tokens):
    defaults, resolved = defaults_for(is_tokens), Training().resolve(100, is_tokens)
    assert resolved.label_smoothing == defaults.label_smoothing
    assert resolved.distillation == defaults.distillation
    expected = {} if is_tokens else {**defaults.augmentation, **defaults.few_rows_augmentation}
    assert resolved.augmentation == Augmentation(**expected)
    assert resolved.augmentation.is_on is not is_tokens


def test_labelled_steps_are_not_mixed():
    assert Training().resolve(100, False).augmentation.mixup_alpha > 0
    resolved = Training().resolve(100, False, labels_steps=True).augmentation
    assert resolved.mixup_alpha == 0 and resolved.is_on


@pytest.mark.parametrize("is_tokens", [False, True])
def test_what_is_given_stays_and_resolved_settings_have_no_auto_left(is_tokens):
    given = Training(
        batch_size=5,
        num_updates=77,
        num_networks=2,
        label_smoothing=0.0,
        distillation=0.0,
        augmentation=Augmentation(shift=0.1),
    )
    assert given.resolve(100, is_tokens) == given
    assert not Training(augmentation="none").resolve(100, is_tokens).augmentation.is_on
    resolved = Training().resolve(100, is_tokens)
    assert {name for name, value in resolved.to_dict().items() if value == "auto"} == {
        "keep",
        "device",
    }
    assert resolved.resolve(100_000, not is_tokens) == resolved


@pytest.mark.parametrize("kind", ["labels_steps", "is_several", "is_ordered"])
def test_only_texts_with_one_label_of_equal_classes_learn_from_a_bag_of_words(kind):
    assert Training().resolve(100, True).distillation > 0
    assert Training().resolve(100, True, **{kind: True}).distillation == 0
