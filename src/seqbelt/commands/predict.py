"""``seqbelt predict`` in a process of its own: what a decoder may do costs one input.

Light on purpose: this is what waits while the other process works.
"""

from pathlib import Path
from typing import Any

from seqbelt.inference.isolation import ChildContext, serve, supervise


def predict_apart(
    model: str, inputs: list[str], output: Path, timeout_s: float, **options: Any
) -> dict[str, Any]:
    """``predict`` with the same results and errors; ``timeout_s`` is what one input may take."""
    arguments = {"model": model, "inputs": inputs, "output": str(output), **options}
    return supervise(__name__, arguments, timeout_s)


def _work(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    from seqbelt.workflow.prediction_run import predict

    output = Path(arguments.pop("output"))
    if arguments.get("audacity") is not None:
        arguments["audacity"] = Path(arguments["audacity"])
    return predict(output=output, context=context, **arguments)


if __name__ == "__main__":
    serve(_work)
