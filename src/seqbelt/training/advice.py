"""Advice after a training, from its history and its validation predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.history import Epoch, History
from seqbelt.training.hyperparameters import Training
from seqbelt.training.losses import chance_loss
from seqbelt.training.scoring import Scores
from seqbelt.words import percent

FEW_ROWS = 50
"""With fewer rows the standard error of an accuracy is seven points or more."""
MANY_CLIPPED = 0.9
LARGE_GAP = 0.15
"""Accuracy minus macro-F1 from which rare classes count as neglected."""
MAX_NAMES = 5
LONGER = "training.num_updates"


@dataclass(frozen=True)
class Advice:
    """A finding and what may help."""

    finding: str
    setting: str
    """The settings to change, by their dotted names."""
    remedy: str
    """One sentence: how to change them. The same for every training with this finding."""

    @property
    def sentence(self) -> str:
        """Finding and remedy."""
        return f"{self.finding}: {self.remedy} ({self.setting})."


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training is judged by, beside its history."""

    classes: Sequence[str]
    train_counts: np.ndarray
    """Training rows (or labelled steps) of each class, ``(classes,)``."""
    validation_counts: np.ndarray
    """Validation rows of each class, ``(classes,)``; all 0 without a validation part."""
    predicted_counts: np.ndarray
    """Validation rows predicted as each class, ``(classes,)``."""
    scores: Scores | None
    """Validation scores of the kept weights; None without a validation part."""
    unread: float
    """Fraction of the training steps, 0..1, that training never reads."""
    is_tokens: bool
    can_standardize: bool
    """Whether the features have ``features.standardize``."""
    target: Target = TARGETS["per_sequence"]
    num_rows: tuple[int, int] | None = None
    """Training and validation rows, where those are not the sums of the counts."""

    @property
    def num_train(self) -> int:
        return int(self.train_counts.sum()) if self.num_rows is None else self.num_rows[0]

    @property
    def num_validation(self) -> int:
        return int(self.validation_counts.sum()) if self.num_rows is None else self.num_rows[1]


def advise(history: History, outcome: TrainingOutcome, training: Training) -> list[Advice]:
    """What to change, the most important first; empty where nothing stands out."""
    if not history.epochs:
        return []
    return [
        *_unlearned(history, outcome, training),
        *_course(history, outcome),
        *_clipping(history, training),
        *_classes(outcome),
        *_unread(outcome),
        *_validation_rows(outcome, training),
    ]


def advice_markdown(advice: Sequence[Advice]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {item.finding}: {item.remedy} (`{item.setting}`)." for item in advice)


def _unlearned(history: History, outcome: TrainingOutcome, training: Training) -> Iterator[Advice]:
    """Advice where the training loss stayed near chance."""
    loss = history.epochs[-1].train_loss
    num_train, num_classes = outcome.num_train, len(outcome.train_counts)
    frequencies = outcome.train_counts / max(num_train, 1)
    if training.class_weights or training.sampling:
        frequencies = np.full(num_classes, 0.5 if outcome.target.is_several else 1 / num_classes)
    chance = chance_loss(outcome.target, frequencies)
    settings = training.resolve(num_train, outcome.is_tokens, is_several=outcome.target.is_several)
    assert settings.label_smoothing != "auto" and isinstance(settings.augmentation, Augmentation)
    num_choices = 2 if outcome.target.is_several else num_classes
    spread = settings.label_smoothing / num_choices
    smoothed = np.array([1 - spread * (num_choices - 1), *[spread] * (num_choices - 1)])
    minimum = float(entr(smoothed).sum())
    if chance <= minimum:
        return
    remaining = (loss - minimum) / (chance - minimum)
    if remaining >= 0.9:
        yield Advice(
            f"the training loss ended at {loss:.2f}, where chance is {chance:.2f}: the network "
            "has hardly fitted the training rows",
            f"training.learning_rate, training.batch_size, {LONGER}"
            + (", features.standardize" if outcome.can_standardize else ""),
            "try another learning rate, smaller batches and more updates"
            + (", and scale each sequence" if outcome.can_standardize else ""),
        )
    elif remaining >= 0.5 and not settings.augmentation.mixup_alpha:  # mixup keeps the loss up
        yield Advice(
            f"the training loss ended at {loss:.2f}, more than half of chance ({chance:.2f}): the "
            "training rows are not fitted",
            f"{LONGER}, training.batch_size, model.hidden_size",
            "train longer, with smaller batches, or take a wider network",
        )


def _course(history: History, outcome: TrainingOutcome) -> Iterator[Advice]:
    """Advice from when the validation accuracy was best, whichever epoch was kept."""
    accuracies = [
        (epoch.number, epoch.validation.accuracy) for epoch in history.epochs if epoch.validation
    ]
    if len(accuracies) < 3 or outcome.validation_counts.sum() < FEW_ROWS:
        return
    (best, accuracy), (last, at_end) = max(accuracies, key=lambda pair: pair[1]), accuracies[-1]
    if best == last:
        yield Advice(
            f"the last epoch of {last} was the best on validation ({percent(accuracy)})",
            LONGER,
            "train longer",
        )
    losses = [epoch.train_loss for epoch in history.epochs]
    early = best <= max(1, len(accuracies) // 10)
    if early and accuracy > at_end and losses[-1] < losses[0] / 2:
        yield Advice(
            f"validation was best after epoch {best} of {last} ({percent(accuracy)}, "
            f"{percent(at_end)} at the end) while the training loss fell from {losses[0]:.2f} to "
            f"{losses[-1]:.2f}: it overfits",
            "model.dropout, training.label_smoothing, "
            + ("model.embedding_dropout" if outcome.is_tokens else "training.augmentation"),
            "regularise it, or add training rows",
        )


def _clipping(history: History, training: Training) -> Iterator[Advice]:
    later: list[Epoch] = history.epochs[len(history.epochs) // 2 :]
    clipped = float(np.mean([epoch.clipped for epoch in later]))
    if training.clip_norm is not None and clipped >= MANY_CLIPPED:
        norm = float(np.mean([epoch.gradient_norm for epoch in later]))
        yield Advice(
            f"{percent(clipped, 0)} of the later updates were clipped to a norm of "
            f"{training.clip_norm:g}; the mean norm was {norm:{'.2g' if norm < 10 else ',.0f'}}",
            "training.clip_norm, training.learning_rate",
            "clip at the mean norm or above it, or lower the learning rate",
        )


def _classes(outcome: TrainingOutcome) -> Iterator[Advice]:
    counts, predicted = outcome.validation_counts, outcome.predicted_counts
    never = np.flatnonzero((counts > 0) & (predicted == 0))
    weights = "training.class_weights, training.sampling"
    if len(never):
        names = ", ".join(f"'{outcome.classes[n]}'" for n in never[:MAX_NAMES])
        more = f" and {len(never) - MAX_NAMES} more" if len(never) > MAX_NAMES else ""
        yield Advice(
            f"never predicted on validation: {names}{more} ({counts[never].sum():,} of "
            f"{outcome.num_validation:,} rows)",
            weights,
            "weigh the classes equally, or add rows of these",
        )
    elif outcome.target.is_several:
        return  # macro-F1 of labels does not compare with the accuracy of whole sets
    elif outcome.scores and outcome.scores.accuracy - outcome.scores.macro_f1 > LARGE_GAP:
        yield Advice(
            f"macro-F1 ({percent(outcome.scores.macro_f1)}) is far below accuracy "
            f"({percent(outcome.scores.accuracy)}) on validation: rare classes are neglected",
            weights,
            "weigh the classes equally",
        )


def _unread(outcome: TrainingOutcome) -> Iterator[Advice]:
    if outcome.unread > 0.5:
        yield Advice(
            f"{percent(outcome.unread, 0)} of the training steps are never read",
            "model.crop_steps, model.crop",
            "read more steps, or other ones in every epoch (windows)",
        )


def _validation_rows(outcome: TrainingOutcome, training: Training) -> Iterator[Advice]:
    counts, num_rows = outcome.validation_counts, outcome.num_validation
    missing = int(((counts == 0) & (outcome.train_counts > 0)).sum())
    if not num_rows and training.keep != "best":
        return  # the last epoch is kept, as intended where all rows train
    if not num_rows:
        finding = "without validation rows the best epoch cannot be chosen"
    elif num_rows < FEW_ROWS:
        finding = f"{num_rows} validation rows are too few to choose by"
    elif missing:
        finding = f"the validation rows lack {missing} of {len(counts)} classes"
    else:
        return
    yield Advice(
        finding,
        "data.validation_fraction, data.whole_groups",
        "take more validation rows, or look at the test with folds (data.folds) only",
    )
