"""Each piece of advice comes with its cause, goes without it, and names settings that exist."""

import re
from dataclasses import replace

import numpy as np
import pytest

from seqbelt.data.sources.dataset import Data
from seqbelt.features.arrays.channels import Channels
from seqbelt.models.model import Model
from seqbelt.training.advice import Advice, TrainingOutcome, advise
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.history import Epoch, History
from seqbelt.training.hyperparameters import Training
from seqbelt.training.scoring import Scores

COUNTS = np.array([50, 50])
FINE = TrainingOutcome(
    classes=("cat", "dog"),
    train_counts=10 * COUNTS,
    validation_counts=COUNTS,
    predicted_counts=np.array([48, 52]),
    scores=Scores(0.9, 0.9, 0.3),
    unread=0.0,
    is_tokens=False,
    can_standardize=True,
)
RISING = [0.6, 0.7, 0.8, 0.85, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]


def history_of(accuracies=RISING, last_loss=0.05, clipped=0.1) -> History:
    losses = np.linspace(0.69, last_loss, len(accuracies))
    return History(
        epochs=[
            Epoch(n + 1, float(loss), 1e-3, 4.0, clipped, 1.0,
                  None if accuracy is None else Scores(accuracy, accuracy, 0.5))
            for n, (loss, accuracy) in enumerate(zip(losses, accuracies))
        ],
        best_epoch=1,
    )  # fmt: skip


PLAIN = {"label_smoothing": 0.0, "augmentation": "none"}


def only(history=None, outcome=FINE, **training) -> Advice:
    (advice,) = advise(history or history_of(), outcome, Training(**PLAIN | training))
    return advice


def test_a_training_that_went_well_needs_no_advice():
    assert advise(history_of(), FINE, Training()) == []
    assert advise(History(), FINE, Training()) == []


def test_best_at_the_last_epoch_trains_longer():
    found = only(history_of([*RISING[:-1], 0.95]))
    assert "last epoch of 10" in found.finding and "95.0 %" in found.finding
    assert found.setting == "training.num_updates"


@pytest.mark.parametrize(
    ("is_tokens", "setting"), [(True, "model.embedding_dropout"), (False, "training.augmentation")]
)
def test_best_at_the_first_epoch_is_learned_by_heart(is_tokens, setting):
    falling = [0.8, *np.linspace(0.78, 0.7, 9)]
    found = only(history_of(falling), replace(FINE, is_tokens=is_tokens))
    assert "after epoch 1 of 10 (80.0 %, 70.0 % at the end)" in found.finding
    assert setting in found.setting and "model.dropout" in found.setting


def test_an_early_best_without_a_falling_loss_is_not_learned_by_heart():
    falling = [0.8, *np.linspace(0.78, 0.7, 9)]
    assert all("overfits" not in one.finding
               for one in advise(history_of(falling, last_loss=0.5), FINE, Training()))  # fmt: skip


def test_clipping_counts_in_the_later_half_only():
    history = history_of()
    for share, is_said in ((0.95, True), (0.85, False)):
        later = [replace(epoch, clipped=share if epoch.number > 5 else 0.0)
                 for epoch in history.epochs]  # fmt: skip
        found = advise(replace(history, epochs=later), FINE, Training())
        assert [one.setting for one in found] == (
            ["training.clip_norm, training.learning_rate"] if is_said else []
        )
    clipped = history_of(clipped=1.0)
    assert "clipped to a norm of 2; the mean norm was 4" in only(clipped, clip_norm=2.0).finding
    assert advise(clipped, FINE, Training(clip_norm=None)) == []


def test_a_class_that_is_never_answered_is_named():
    outcome = replace(FINE, predicted_counts=np.array([100, 0]), scores=Scores(0.5, 0.33, 0.7))
    found = only(outcome=outcome)
    assert "'dog' (50 of 100 rows)" in found.finding and "class_weights" in found.setting


def test_macro_f1_far_below_accuracy_is_said():
    found = only(outcome=replace(FINE, scores=Scores(0.9, 0.7, 0.3)))
    assert "macro-F1 (70.0 %) is far below accuracy (90.0 %)" in found.finding
    assert advise(history_of(), replace(FINE, scores=Scores(0.9, 0.8, 0.3)), Training()) == []


def test_most_steps_unread_is_said():
    assert only(outcome=replace(FINE, unread=0.6)).setting == "model.crop_steps, model.crop"
    assert advise(history_of(), replace(FINE, unread=0.4), Training()) == []


def test_a_loss_at_chance_has_learned_nothing():
    found = only(history_of(last_loss=0.68))
    assert "0.68, where chance is 0.69" in found.finding
    assert "features.standardize" in found.setting
    plain = only(history_of(last_loss=0.68), replace(FINE, can_standardize=False))
    assert "features.standardize" not in plain.setting


def test_chance_is_that_of_the_classes_shares():
    """Nine to one: a loss of 0.33 is what the shares alone give, 0.69 were they weighed equally."""
    skewed = replace(FINE, train_counts=np.array([900, 100]))
    assert "hardly fitted" in only(history_of(last_loss=0.32), skewed).finding
    assert advise(history_of(last_loss=0.32), skewed, Training(class_weights="balanced")) == []


def test_smoothed_labels_and_mixed_rows_keep_the_loss_up():
    high = history_of(last_loss=0.42)
    assert "more than half of chance" in only(high).finding
    assert (
        advise(high, FINE, Training(**PLAIN | {"label_smoothing": 0.2})) == []
    )  # 0.33 is the least it can be
    assert (
        advise(high, FINE, Training(**PLAIN | {"augmentation": Augmentation(mixup_alpha=0.2)}))
        == []
    )


def test_targets_of_another_classifier_keep_the_loss_up():
    high = replace(history_of(last_loss=0.42), least_loss=0.33)
    assert advise(high, FINE, Training(**PLAIN)) == []
    stuck = replace(history_of(last_loss=0.68), least_loss=0.33)
    assert "hardly fitted" in only(stuck).finding


def test_too_few_validation_rows_do_not_choose_and_tell_nothing_of_epochs():
    few = replace(FINE, validation_counts=COUNTS // 10, predicted_counts=COUNTS // 10)
    assert advise(history_of(), few, Training(**PLAIN)) == []  # the last is kept, not chosen
    for asked in ({"keep": "best"}, {"schedule": "constant"}):
        found = only(history_of([*RISING[:-1], 0.95]), few, **asked)
        assert found.finding == "10 validation rows are too few to choose the best epoch by"
    none = replace(FINE, validation_counts=0 * COUNTS, predicted_counts=0 * COUNTS, scores=None)
    assert advise(history_of([None] * 10), none, Training(**PLAIN)) == []  # the last is kept
    asked = only(history_of([None] * 10), none, keep="best")
    assert "without validation rows" in asked.finding


def test_a_validation_part_that_lacks_a_class_is_said():
    lacking = replace(
        FINE, validation_counts=np.array([100, 0]), predicted_counts=np.array([90, 10])
    )
    assert "lack 1 of 2 classes" in only(outcome=lacking, keep="best").finding


def test_every_setting_that_is_named_exists():
    never = replace(FINE, predicted_counts=np.array([100, 0]), unread=0.9)
    falling = [0.8, *np.linspace(0.78, 0.7, 9)]
    cases = [
        (history_of([*RISING[:-1], 0.95], last_loss=0.69, clipped=1.0), never),
        (history_of([*RISING[:-1], 0.95], last_loss=0.4), never),
        (history_of(falling), replace(FINE, is_tokens=True, scores=Scores(0.9, 0.5, 1.0))),
        (history_of(falling), replace(FINE, validation_counts=COUNTS // 10)),
        (history_of(falling), FINE),
    ]
    sections = {"training": Training, "model": Model, "data": Data, "features": Channels}
    named = {
        name
        for history, outcome in cases
        for one in advise(history, outcome, Training())
        for name in re.findall(r"\w+\.\w+", one.sentence)
        if not name[0].isdigit()
    }
    assert len(named) > 10
    for name in named:
        section, field = name.split(".")
        fields = sections[section].model_fields
        aliases = {str(one.validation_alias) for one in fields.values() if one.validation_alias}
        assert field in fields or any(f"'{field}'" in alias for alias in aliases), name
