"""Skeletons: joints over time, freed of where a body stands and how large it is."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from seqbelt.settings import Settings

Joint = Annotated[int, Field(ge=0)]


class Skeleton(Settings):
    """Normalisation of ``(steps, joints, coordinates)``; joints are counted from 0."""

    root_joint: Joint
    """The joint that becomes the origin: usually the middle of the hips."""
    center: Literal["step", "start", "none"] = "step"
    """``step`` puts the root at the origin in every step; ``start`` only in the first, which
    keeps how the body travels; ``none`` leaves positions alone."""
    size_joints: tuple[Joint, Joint] | None = None
    """Two joints whose median distance over the sequence becomes 1, such as hips and neck:
    a part of the body that does not bend. Null leaves sizes alone."""
    velocities: bool = False
    """Append each coordinate's change since the previous step (0 in the first step)."""

    def misfit(self, num_joints: int) -> str | None:
        """Why these settings do not fit bodies of ``num_joints`` joints; None if they do."""
        highest = max((self.root_joint, *(self.size_joints or ())))
        if highest < num_joints:
            return None
        return f"features.skeleton names joint {highest}; the highest here is {num_joints - 1}"

    def normalize(self, joints: np.ndarray) -> np.ndarray:
        """``(steps, joints, coordinates)`` to the same, coordinates doubled by velocities.

        A body whose ``size_joints`` coincide keeps its size.
        """
        if self.center != "none":
            root = joints[:, self.root_joint, None]
            joints = joints - (root if self.center == "step" else root[:1])
        if self.size_joints is not None:
            first, second = self.size_joints
            lengths = np.linalg.norm(joints[:, first] - joints[:, second], axis=-1)
            joints = joints / (np.median(lengths) or 1.0)
        if self.velocities:
            steps = np.diff(joints, axis=0, prepend=joints[:1])
            joints = np.concatenate([joints, steps], axis=-1)
        return joints
