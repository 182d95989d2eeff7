"""Log what a comparison says to its summary run."""

import json
from collections.abc import Mapping
from typing import Any

from seqbelt.comparison.conclusion_page import Conclusion
from seqbelt.comparison.metrics import RECALL
from seqbelt.plots.fonts import to_png
from seqbelt.tracking.run import TrackedRun


def log_conclusion(
    summary: TrackedRun, conclusion: Conclusion, description: str, figures: Mapping[str, Any]
) -> None:
    """Log the description (Markdown) to the run and its experiment, the matplotlib figures, the
    verdicts (numbers as metrics, words as tags) and the intervals of each cell."""
    for name, figure in figures.items():
        summary.log_artifact(f"pictures/{name}.png", to_png(figure))
    summary.describe(description)
    summary.log_text(description, "comparison.md")
    summary.describe_experiment(description)
    for verdict in conclusion.verdicts:
        pair, values = f"verdict/{verdict.cell}_less_{verdict.other}", verdict.to_dict()
        if verdict.metric != conclusion.metric:  # judged beside the chosen one
            pair += f"_{verdict.metric.name}"
        numbers = {name: values[name] for name in ("difference", "low", "high", "p_adjusted")}
        summary.log_metrics({f"{pair}_{k}": v for k, v in numbers.items() if v is not None})
        words = {name: values[name] for name in ("word", "metric", "unit", "looks")}
        summary.log_tags({f"{pair}_{k}": str(v) for k, v in words.items() if v is not None})
    summary.log_text(json.dumps(conclusion.verdicts_as_dicts(), indent=1), "verdicts.json")
    metrics = [metric for metric in conclusion.estimates if not metric.name.startswith(RECALL)]
    for cell, scores in conclusion.cells().items():
        for name in (f"test_{metric.name}" for metric in metrics):
            bounds = {key: value for key, value in scores[name].items() if value is not None}
            summary.log_metrics({f"verdict/{cell}_{name}_{k}": v for k, v in bounds.items()})
