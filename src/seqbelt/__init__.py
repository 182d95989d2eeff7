"""Classify sequences with recurrent networks, and compare LSTM with RNN.

``SequenceClassifier`` is a scikit-learn estimator; ``load`` opens a saved or registered model for
prediction; ``compare`` trains several cells with several seeds on arrays and tests the difference.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqbelt.estimator import SequenceClassifier
    from seqbelt.workflow.array_comparison import compare
    from seqbelt.workflow.models import load

__version__ = "0.1.0"
__all__ = ["SequenceClassifier", "__version__", "compare", "load"]
_MODULES = {
    "SequenceClassifier": "seqbelt.estimator",
    "compare": "seqbelt.workflow.array_comparison",
    "load": "seqbelt.workflow.models",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line starts without torch."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'seqbelt' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
