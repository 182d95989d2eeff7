"""Whether an encoder's output depends on what it must not: padding, batch mates, earlier runs.

Attention without a mask, normalisation over the batch or over time, and dropout that was left on
make the features of one item depend on others, so that a prediction would differ from training.
Measured on generated inputs before anything is encoded.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from seqbelt.errors import SettingsError

CERTIFICATE_FILE = "certificate.json"
"""Name in ``Learned``: what was measured."""
TOLERANCE = 1e-4
"""Largest difference, of the largest output, that is rounding."""
Batching: TypeAlias = Literal["padded", "equal", "alone"]
"""Which inputs are run together: of any lengths, of equal length, none."""


def relative_difference(encoded: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference, as a fraction of the largest expected value."""
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-12)
    return float(np.abs(encoded - expected).max(initial=0.0)) / scale


def largest_difference(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """The largest ``relative_difference`` of pairs of found and expected outputs."""
    return max(relative_difference(encoded, expected) for encoded, expected in pairs)


def refuse_randomness(difference: float, name: str) -> None:
    """Raise SettingsError if the same input gave another output at a second run."""
    if not difference <= TOLERANCE:
        raise SettingsError(
            f"features.file: {name}: the same input gives another output at a second run "
            f"(difference {difference:.2g} of the largest value): it has random operators, such as "
            "dropout; export it in evaluation mode (model.eval())"
        )


def refuse_batch_mates(difference: float, number: int, name: str) -> None:
    """Raise SettingsError if a graph of a fixed batch mixes its rows."""
    if not difference <= TOLERANCE:
        raise SettingsError(
            f"features.file: {name} takes {number} inputs at once, and an output depends on the "
            f"others (difference {difference:.2g} of the largest value); export it with a free "
            "batch axis or for one input"
        )


def decide_batching(equal: float | None, padded: float | None) -> Batching:
    """How inputs may be batched, by the measured differences; None where it was not measured."""
    if equal is None or not equal <= TOLERANCE:
        return "alone"
    return "padded" if padded is not None and padded <= TOLERANCE else "equal"


def describe_batching(equal: float | None, padded: float | None) -> str:
    """The measured differences and the decision in a sentence."""
    if equal is None:
        return "the file takes one input at a time"
    if not equal <= TOLERANCE:
        return (
            f"run one input at a time: in a batch an output depends on the others (difference "
            f"{equal:.2g} of the largest value, {TOLERANCE:g} allowed)"
        )
    if padded is None:
        return f"run in batches (largest difference from alone {equal:.1g})"
    if not padded <= TOLERANCE:
        return (
            f"run without padding: an output depends on it (difference {padded:.2g} of the largest "
            f"value, {TOLERANCE:g} allowed)"
        )
    return f"run in padded batches (largest difference from alone {max(equal, padded):.1g})"


def to_file(notes: Iterable[str], figures: Mapping[str, float | None]) -> bytes:
    """The content of ``CERTIFICATE_FILE``."""
    about: dict[str, Any] = {"notes": list(notes), "differences": dict(figures)}
    return json.dumps(about, ensure_ascii=False).encode()


def notes_of(learned: Mapping[str, bytes]) -> tuple[str, ...]:
    """The sentences of a certificate; none without one."""
    if CERTIFICATE_FILE not in learned:
        return ()
    return tuple(json.loads(learned[CERTIFICATE_FILE])["notes"])
