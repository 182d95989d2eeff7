"""What computes a bundle's network."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

EngineName = Literal["auto", "torch", "onnx", "ray"]
ProductPrecision = Literal["float32", "bf16"]


class Engine(Protocol):
    """Computes logits of encoded sequences, each of them ``(steps, features)`` or ``(steps,)``."""

    @property
    def is_on_cpu(self) -> bool: ...

    def logits(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Logits float32 ``(sequences, classes)``."""
        ...

    def step_logits(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Logits float32 ``(steps, classes)`` of each sequence, of a model that labels steps."""
        ...
