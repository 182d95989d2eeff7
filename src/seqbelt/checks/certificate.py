"""Common parts of the certificates that compare logits."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from seqbelt.data.labels.targets import Target

TOLERANCE = 1e-5
"""Largest allowed difference of float32 logits; where logits exceed 1, relative to the largest."""


@dataclass(frozen=True)
class LogitCertificate:
    """Logits computed in one way against those computed in another."""

    passed: bool
    max_difference: float | None
    """None if a logit is not finite."""
    num_flips: int
    """Sequences (or files) with another predicted label."""
    num_sequences: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def shown_difference(self) -> str:
        """The largest difference, formatted for messages."""
        return "nan" if self.max_difference is None else f"{self.max_difference:.1e}"


def finite_or_none(value: float) -> float | None:
    """The value, or None if JSON cannot represent it."""
    return value if np.isfinite(value) else None


def tolerance_for(largest_logit: float) -> float:
    """The allowed difference of logits up to ``largest_logit`` in absolute value."""
    return TOLERANCE * max(1.0, largest_logit)


def find_flips(target: Target, logits: Tensor, expected: Tensor) -> np.ndarray:
    """Whether predictions of ``logits`` differ from those of ``expected``, both ``(examples,
    classes)``: bool ``(examples,)``."""
    predicted, expected_labels = (
        target.predict(values.cpu().numpy()) for values in (logits, expected)
    )
    return ~target.are_correct(predicted, expected_labels)
