"""The ``tuning`` section: the search space and its budget."""

import difflib
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, ValidationInfo, field_validator, model_validator

from seqbelt.errors import SettingsError
from seqbelt.models.model import Model
from seqbelt.settings import Count, Seed, Settings
from seqbelt.training.hyperparameters import Training

Number = int | float


class Trial(Protocol):
    """The part of an Optuna trial that suggests values."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


class Range(Settings):
    """Numbers between two bounds; integers if both bounds are integers."""

    low: Number
    """Smallest value."""
    high: Number
    """Largest value."""
    log: bool = False
    """Search on a logarithmic scale, as for learning rates."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "Range":
        if self.high <= self.low or (self.log and self.low <= 0):
            raise ValueError("low must be less than high, and above 0 where log is set")
        return self

    def suggest(self, trial: Trial, name: str) -> Number:
        """Let a trial suggest a value of this range."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def holds(self, value: object) -> bool:
        """Whether a value lies in this range."""
        return isinstance(value, Number) and self.low <= value <= self.high


Choices = Annotated[tuple[str | Number | bool | None, ...], Field(min_length=1)]
Space = dict[str, Range | Choices]

_IRRELEVANT_FOR = {
    "model.forget_bias": ("rnn", "none"),
    "model.nonlinearity": ("lstm", "gru", "none"),
    "model.recurrent_init": ("none",),
    "model.hidden_size": ("none",),
    "model.num_layers": ("none",),
}
"""Cells for which a setting has no effect and is not searched."""


class Tuning(Settings):
    """A search over settings, scored by ``training.monitor`` on validation rows."""

    num_trials: Count = 20
    """Trials per cell, pruned ones included."""
    num_workers: Count = 1
    """Trials at a time, in processes that share the CPU's threads. With more than one the order in
    which trials end, and so the next suggestions, is not reproducible."""
    pruning: bool = True
    """Stop a trial that, after a third of its epochs or later, is below the median of the
    others."""
    seed: Seed = 0
    """Seed of the search."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """No trial starts after this many minutes; null sets no limit."""
    training: Space = Field(
        default={
            "learning_rate": Range(low=3e-4, high=1e-2, log=True),
            "clip_norm": (0.25, 1.0, 5.0),
            "augmentation": ("auto", "none"),
        }
    )
    """Settings of ``training`` that are searched: ``{low, high, log}``, or a list of choices."""
    model: Space = Field(
        default={
            "stem": ("auto", "none"),
            "hidden_size": (64, 128, 256),
            "dropout": ("auto", 0.1, 0.3, 0.5),
            "pooling": ("attention_max", "mean", "concat"),
            "recurrent_init": ("orthogonal", "identity"),
            "forget_bias": (0.0, 1.0, "chrono"),
            "nonlinearity": ("tanh", "relu"),
        }
    )
    """Settings of ``model`` that are searched; those without effect for a cell are skipped."""

    @field_validator("training", "model")
    @classmethod
    def _names_are_settings(cls, space: Space, info: ValidationInfo) -> Space:
        known = (Training if info.field_name == "training" else Model).model_fields
        for name in space:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else ""
                raise ValueError(f"'{name}' is not a setting of {info.field_name}{hint}")
        return space

    def space(self, model: Model, fixed: frozenset[str] = frozenset()) -> Space:
        """The search space of a model by dotted names, without the settings in ``fixed``."""
        sections = {"training": self.training, "model": self.model}
        names = {
            f"{section}.{name}": values
            for section, space in sections.items()
            for name, values in space.items()
        }
        return {
            name: values
            for name, values in names.items()
            if model.cell not in _IRRELEVANT_FOR.get(name, ())
            and name.removeprefix("model.") not in fixed
        }


def suggest(space: Space, trial: Trial) -> dict[str, Any]:
    """One value for each setting of a space."""
    return {
        name: values.suggest(trial, name)
        if isinstance(values, Range)
        else trial.suggest_categorical(name, values)
        for name, values in space.items()
    }


def describe_values(values: Range | Choices) -> str:
    """The values searched for one setting, as text."""
    if isinstance(values, Range):
        return f"{values.low:g} to {values.high:g}{', log scale' if values.log else ''}"
    return ", ".join("null" if value is None else str(value) for value in values)


def given(space: Space, model: Model, training: Training) -> dict[str, Any]:
    """The current values of the settings in the space, where the space contains them."""
    values_given = {}
    for name, values in space.items():
        section, _, leaf = name.partition(".")
        value = getattr(model if section == "model" else training, leaf)
        if values.holds(value) if isinstance(values, Range) else value in values:
            values_given[name] = value
    return values_given


def with_values(model: Model, training: Training, values: dict[str, Any]) -> tuple[Model, Training]:
    """Model and training with dotted settings replaced. Raises SettingsError."""
    plain: dict[Literal["model", "training"], dict[str, Any]] = {
        "model": model.to_dict(), "training": training.to_dict(),
    }  # fmt: skip
    for name, value in values.items():
        section, leaf = name.split(".")
        plain[section][leaf] = value  # type: ignore[index]
    try:
        return Model.parse(plain["model"]), Training.parse(plain["training"])
    except SettingsError as error:
        raise SettingsError(
            f"tuning: the search space contains an invalid value: {error}"
        ) from None
