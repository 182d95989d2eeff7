"""Encoding of arrays whose steps are shaped as the training rows' were: by names or by position."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seqbelt.errors import WRONG_SHAPE, BadInput
from seqbelt.features.arrays.channel_transforms import hold

if TYPE_CHECKING:
    from seqbelt.features.arrays.array_features import ArrayFeatures


class AsideColumn(NamedTuple):
    """A column of a table that is no channel, unless a model was trained on it."""

    place: int
    """Among all columns."""
    name: str | None
    values: np.ndarray
    why: str
    seconds: np.ndarray | None = None
    """The times in seconds, of all columns that give them together; None where unknown."""
    is_time: bool = True
    """False for numbers of the rows."""


class Steps(NamedTuple):
    """One decoded item: float32 ``(steps, *shape of a step)`` and its channels' names, if any.

    NaN is a missing value. For a table with names, ``problems`` has the channels that cannot be
    used and why; that matters where they are needed.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    """How the source was read, where that was not evident."""
    asides: tuple[AsideColumn, ...] = ()
    problems: Mapping[str, BadInput] = {}
    names_are_a_comment: bool = False


class ArrayEncoder:
    """Encodes items whose steps are shaped as the training rows' were."""

    def __init__(
        self,
        settings: "ArrayFeatures",
        step_shape: Sequence[int],
        names: Sequence[str] | None,
        means: Sequence[float] | None = None,
    ) -> None:
        self.settings = settings
        self.step_shape = tuple(step_shape)
        self.names = tuple(names) if names is not None else None
        self.means = None if means is None else np.array(means, np.float32)
        """Value of a channel before its first one, ``(channels,)``; None unless gaps are held."""
        self.num_features = settings.num_features(self.step_shape)

    def encode(self, raws: Sequence[Steps]) -> list[np.ndarray]:
        """Float32 ``(steps, num_features)`` each. Raises BadInput if one has another width."""
        encoded = []
        for raw in raws:
            values = self.select(raw)
            if self.means is not None and np.isnan(values).any():
                values = hold(values, self.means)
            encoded.append(np.ascontiguousarray(self.settings.transform(values), dtype=np.float32))
        return encoded

    def select(self, raw: Steps) -> np.ndarray:
        """The channels that the training rows had, ``(steps, *step_shape)``: by their names where
        both have names, else by position. Raises BadInput where one is missing or of no use."""
        values = raw.values
        if self._goes_by_name(raw):
            values = self._by_name(raw)
        elif raw.problems:
            raise next(iter(raw.problems.values()))
        elif raw.asides and (values.shape[1] + len(raw.asides),) == self.step_shape:
            # A model that was trained when these still were channels.
            columns = list(values.T)
            for aside in raw.asides:
                columns.insert(aside.place, aside.values)
            values = np.stack(columns, axis=1)
        shape = values.shape[1:]
        if shape != self.step_shape:
            raise BadInput(
                WRONG_SHAPE,
                f"expected {_shape_text(self.step_shape)} in a step as in the training rows, "
                f"found {_shape_text(shape)}; {self.settings.LONG_AXIS_HINT}",
            )
        return values

    def remarks(self, raw: Steps) -> tuple[str, ...]:
        """How a source was read, where that was not evident."""
        notes = list(raw.notes)
        by_name = self._goes_by_name(raw)
        used = set(self.names or ()) if by_name else set()
        notes += [aside.why for aside in raw.asides if aside.name not in used]
        if by_name and raw.names is not None and self.names is not None:
            extra = [name for name in raw.names if name not in used]
            notes += [f"column '{name}' is none of the training rows': ignored" for name in extra]
            if tuple(name for name in raw.names if name in used) != self.names:
                notes.append("columns in another order than in training: taken by their names")
        elif raw.names and not self.names and not raw.names_are_a_comment:
            notes.append("the training rows had no names of columns: taken in their order")
        elif self.names and raw.names is None and self.step_shape == raw.values.shape[1:]:
            notes.append("no names of columns: taken in the order of training")
        if self.means is not None and np.isnan(raw.values).all(axis=0).any():
            notes.append("a channel without any value: the mean of the training rows is used")
        return tuple(dict.fromkeys(notes))

    def _goes_by_name(self, raw: Steps) -> bool:
        """Names that come from a comment may be none: they count where they are the known ones."""
        if not self.names or not raw.names:
            return False
        return not raw.names_are_a_comment or set(self.names) <= set(raw.names)

    def _by_name(self, raw: Steps) -> np.ndarray:
        assert self.names is not None and raw.names is not None
        if raw.names == self.names and not raw.problems:
            return raw.values
        asides = {aside.name: aside.values for aside in raw.asides}
        if missing := [n for n in self.names if n not in raw.names and n not in asides]:
            names = ", ".join([*raw.names, *(name for name in asides if name)])
            raise BadInput(
                WRONG_SHAPE,
                f"no column {', '.join(map(repr, missing))}; found {names}; the training rows had "
                f"{', '.join(self.names)}",
            )
        for name in self.names:
            if name in raw.problems:
                raise raw.problems[name]
        indices = {name: index for index, name in enumerate(raw.names)}
        columns = [
            raw.values[:, indices[name]] if name in indices else asides[name] for name in self.names
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def _shape_text(step_shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, step_shape)) + " values" if step_shape else "1 value"
