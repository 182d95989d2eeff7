"""Advice after a training, from its history and its validation predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.texts import Text, list_first, text
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.history import Epoch, History
from seqbelt.training.hyperparameters import Training
from seqbelt.training.losses import chance_loss, least_loss
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
    def sentence(self) -> Text:
        """Finding and remedy."""
        return text("advice", finding=self.finding, remedy=self.remedy, setting=self.setting)


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
    minimum = history.least_loss
    if minimum is None:
        num_choices = 2 if outcome.target.is_several else num_classes
        minimum = least_loss(np.eye(num_choices)[0], settings.label_smoothing)
    if chance <= minimum:
        return
    remaining = (loss - minimum) / (chance - minimum)
    if remaining >= 0.9:
        yield Advice(
            text("finding_chance", loss=f"{loss:.2f}", chance=f"{chance:.2f}"),
            f"training.learning_rate, training.batch_size, {LONGER}"
            + (", features.standardize" if outcome.can_standardize else ""),
            text("remedy_chance_scaled" if outcome.can_standardize else "remedy_chance"),
        )
    elif remaining >= 0.5 and not settings.augmentation.mixup_alpha:  # mixup keeps the loss up
        yield Advice(
            text("finding_half", loss=f"{loss:.2f}", chance=f"{chance:.2f}"),
            f"{LONGER}, training.batch_size, model.hidden_size",
            text("remedy_half"),
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
            text("finding_last_best", last=last, accuracy=percent(accuracy)),
            LONGER,
            text("remedy_longer"),
        )
    losses = [epoch.train_loss for epoch in history.epochs]
    early = best <= max(1, len(accuracies) // 10)
    if early and accuracy > at_end and losses[-1] < losses[0] / 2:
        yield Advice(
            text(
                "finding_overfits",
                best=best,
                last=last,
                accuracy=percent(accuracy),
                at_end=percent(at_end),
                first_loss=f"{losses[0]:.2f}",
                last_loss=f"{losses[-1]:.2f}",
            ),
            "model.dropout, training.label_smoothing, "
            + ("model.embedding_dropout" if outcome.is_tokens else "training.augmentation"),
            text("remedy_overfits"),
        )


def _clipping(history: History, training: Training) -> Iterator[Advice]:
    later: list[Epoch] = history.epochs[len(history.epochs) // 2 :]
    clipped = float(np.mean([epoch.clipped for epoch in later]))
    if training.clip_norm is not None and clipped >= MANY_CLIPPED:
        norm = float(np.mean([epoch.gradient_norm for epoch in later]))
        yield Advice(
            text(
                "finding_clipped",
                clipped=percent(clipped, 0),
                limit=f"{training.clip_norm:g}",
                norm=f"{norm:{'.2g' if norm < 10 else ',.0f'}}",
            ),
            "training.clip_norm, training.learning_rate",
            text("remedy_clipped"),
        )


def _classes(outcome: TrainingOutcome) -> Iterator[Advice]:
    counts, predicted = outcome.validation_counts, outcome.predicted_counts
    never = np.flatnonzero((counts > 0) & (predicted == 0))
    weights = "training.class_weights, training.sampling"
    if len(never):
        names = list_first([f"'{outcome.classes[n]}'" for n in never.tolist()], MAX_NAMES)
        count, total = counts[never].sum(), outcome.num_validation
        yield Advice(
            text("finding_never", names=names, count=count, total=total),
            weights,
            text("remedy_never"),
        )
    elif outcome.target.is_several:
        return  # macro-F1 of labels does not compare with the accuracy of whole sets
    elif outcome.scores and outcome.scores.accuracy - outcome.scores.macro_f1 > LARGE_GAP:
        yield Advice(
            text(
                "finding_neglected",
                macro_f1=percent(outcome.scores.macro_f1),
                accuracy=percent(outcome.scores.accuracy),
            ),
            weights,
            text("remedy_neglected"),
        )


def _unread(outcome: TrainingOutcome) -> Iterator[Advice]:
    if outcome.unread > 0.5:
        yield Advice(
            text("finding_unread", share=percent(outcome.unread, 0)),
            "model.crop_steps, model.crop",
            text("remedy_unread"),
        )


def _validation_rows(outcome: TrainingOutcome, training: Training) -> Iterator[Advice]:
    counts, num_rows = outcome.validation_counts, outcome.num_validation
    missing = int(((counts == 0) & (outcome.train_counts > 0)).sum())
    if not training.wants_best or (not num_rows and training.keep != "best"):
        return  # the last epoch is kept, as intended, also where all rows train
    if not num_rows:
        finding = text("finding_no_validation")
    elif num_rows < FEW_ROWS:
        finding = text("finding_few_validation", count=num_rows)
    elif missing:
        finding = text("finding_lacking", missing=missing, count=len(counts))
    else:
        return
    yield Advice(
        finding,
        "data.validation_fraction, data.whole_groups",
        text("remedy_validation"),
    )
