"""Classify sequences with recurrent networks, and see what recurrence buys you."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqbelt.estimator import SequenceClassifier

__version__ = "0.1.0"
__all__ = ["SequenceClassifier", "__version__"]


def __getattr__(name: str) -> Any:
    """The estimator, imported when it is asked for: the command line starts without torch."""
    if name == "SequenceClassifier":
        from seqbelt.estimator import SequenceClassifier

        return SequenceClassifier
    raise AttributeError(f"module 'seqbelt' has no attribute '{name}'")
