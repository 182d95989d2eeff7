"""What a model reads of a sequence.

The settings ``model.crop_steps`` and ``model.crop`` are saved with the model, so training,
evaluation and prediction read the same steps. ``random`` and ``windows`` train on another random
window in every epoch. Predictions are deterministic: ``random`` uses the head, ``windows`` averages
the probabilities of evenly spaced windows that cover the sequence.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Crop = Literal["head", "tail", "random", "windows"]


@dataclass(frozen=True)
class Cropping:
    """Which steps of a sequence a prediction reads."""

    max_steps: int | None = None
    """Largest number of steps that the network reads at once; None reads all."""
    crop: Crop = "head"
    """Which steps of a longer sequence."""

    def __str__(self) -> str:
        return f"model.crop_steps: {self.max_steps}, crop: {self.crop}"

    @property
    def needs_end(self) -> bool:
        """Whether the steps that are read depend on where the sequence ends."""
        return self.max_steps is not None and self.crop in ("tail", "windows")

    @property
    def uses_windows(self) -> bool:
        """Whether a prediction is the mean over windows that cover the sequence."""
        return self.max_steps is not None and self.crop == "windows"

    def starts(self, num_steps: int) -> np.ndarray:
        """First step of each window that is read of ``num_steps`` steps, int64 ``(windows,)``."""
        if self.max_steps is None or num_steps <= self.max_steps:
            return np.zeros(1, np.int64)
        last = num_steps - self.max_steps
        if self.crop == "windows":
            num_windows = -(-num_steps // self.max_steps)
            return np.linspace(0, last, num_windows).round().astype(np.int64)
        return np.array([last if self.crop == "tail" else 0])

    def windows(self, sequence: np.ndarray) -> list[np.ndarray]:
        """The windows of one sequence ``(steps, ...)`` that are read, as views."""
        length = self.max_steps or len(sequence)
        return [sequence[start : start + length] for start in self.starts(len(sequence))]

    def fraction_read(self, num_steps: int) -> float:
        """The fraction, 0..1, of ``num_steps`` steps that is read."""
        if self.max_steps is None or self.uses_windows or num_steps <= self.max_steps:
            return 1.0
        return self.max_steps / num_steps


READ_ALL = Cropping()
