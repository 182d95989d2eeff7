"""``seqbelt predict``: run the prediction in a supervised child process.

When a file crashes or hangs its decoder, the child is restarted without that input. This module
imports nothing heavy, since the parent only waits; the work is in
``workflow.prediction_run.predict``.
"""

import logging
from pathlib import Path
from typing import Any

from seqbelt.inference.isolation import ChildContext, serve, supervise
from seqbelt.workflow.outcome import DONE, QUARANTINED, Outcome


def predict_in_child(
    model: str, inputs: list[str], output: str, timeout_s: float, **options: Any
) -> Outcome:
    """Run ``prediction_run.predict`` in a child process; same results, same errors.

    ``timeout_s`` bounds the time for one input; ``options`` are the other arguments of ``predict``.
    """
    arguments = {"model": model, "inputs": inputs, "output": output, **options}
    arguments["log_level"] = logging.getLogger("seqbelt").getEffectiveLevel()
    result = supervise(__name__, arguments, timeout_s)
    return Outcome(result, QUARANTINED if result["num_quarantined"] else DONE)


def _work(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    from seqbelt.workflow.console import log_to_stderr
    from seqbelt.workflow.prediction_run import predict

    for name in ("audacity", "raven", "report", "project"):
        if arguments.get(name) is not None:
            arguments[name] = Path(arguments[name])
    with log_to_stderr(arguments.pop("log_level", logging.INFO)):
        return predict(context=context, **arguments)


if __name__ == "__main__":
    serve(_work)
