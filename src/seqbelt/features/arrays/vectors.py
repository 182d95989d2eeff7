"""Ready features: arrays that another program made, one vector or skeleton in each step."""

import math
from typing import Literal

import numpy as np
from pydantic import model_validator

from seqbelt.errors import WRONG_SHAPE, WRONG_TYPE, BadInput
from seqbelt.features.arrays.array import Array
from seqbelt.features.arrays.array_encoder import Steps
from seqbelt.features.arrays.array_features import ArrayFeatures
from seqbelt.features.arrays.skeleton import Skeleton


class Vectors(ArrayFeatures):
    """Features that another program made: one vector, or joints with coordinates, in each step."""

    kind: Literal["vectors"]
    LONG_AXIS_HINT = "features.layout names the axes in their order"

    layout: str = "steps features"
    """The axes of the array in their order, each with a name of your choice; one is ``steps``.
    The others are flattened in their order: ``joints coordinates steps`` gives
    joints x coordinates features."""
    skeleton: Skeleton | None = None
    """Normalisation of skeletons; the layout then names ``joints`` and ``coordinates``."""

    @property
    def axes(self) -> list[str]:
        return self.layout.split()

    @model_validator(mode="after")
    def _check_layout(self) -> "Vectors":
        if len(set(self.axes)) != len(self.axes) or "steps" not in self.axes:
            raise ValueError(f"layout '{self.layout}' must name every axis once, one of them steps")
        if self.skeleton and sorted(self.axes) != ["coordinates", "joints", "steps"]:
            raise ValueError("a skeleton's layout names steps, joints and coordinates")
        return self

    def num_features(self, step_shape: tuple[int, ...]) -> int:
        doubled = self.skeleton is not None and self.skeleton.velocities
        return math.prod(step_shape) * (2 if doubled else 1)

    def transform(self, values: np.ndarray) -> np.ndarray:
        if self.skeleton is not None:
            values = self.skeleton.normalize(values)
        return values.reshape(len(values), -1)

    def _arrange(self, array: Array) -> Steps:
        if array.is_table and self.skeleton is None and len(self.axes) == 2:
            if self.axes[0] == "steps":
                return self._from_table(array)
            raise BadInput(
                WRONG_SHAPE,
                f"features.layout is '{self.layout}', and the rows of a table are steps",
            )
        values = array.values
        if array.not_numbers:
            word, place = next(iter(array.not_numbers.values()))
            raise BadInput(WRONG_TYPE, f"a column holds {word} in ", place, ", not a number")
        if self._check(values).any():
            raise self._refused(values, array, array.names)
        if values.ndim != len(self.axes):
            raise BadInput(
                WRONG_SHAPE, f"features.layout is '{self.layout}', found shape {values.shape}"
            )
        order = ["steps", *(axis for axis in self.axes if axis != "steps")]
        if self.skeleton is not None:
            order = ["steps", "joints", "coordinates"]
            misfit = self.skeleton.misfit(values.shape[self.axes.index("joints")])
            if misfit:
                raise BadInput(WRONG_SHAPE, misfit)
        return Steps(values.transpose([self.axes.index(axis) for axis in order]))
