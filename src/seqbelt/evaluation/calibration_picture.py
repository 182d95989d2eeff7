"""Confidence against accuracy, before and after temperature scaling, as a picture."""

from matplotlib.figure import Figure

from seqbelt.evaluation.calibration import Reliability


def reliability_picture(before: Reliability, after: Reliability, temperature: float) -> Figure:
    """On the diagonal a confidence of 80 % is right in 80 % of the cases; below it, less often."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
    for found, line, colour, when in (
        (before, ":", "#999999", "before"),
        (after, "-", "#1f77b4", f"at temperature {temperature:.2f}"),
    ):
        error = f"{when}: expected calibration error {100 * found.expected_error:.1f} %"
        confidence, accuracy = 100 * found.confidence, 100 * found.accuracy
        axes.plot(confidence, accuracy, f"o{line}", color=colour, label=error)
    axes.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 102), ylim=(0, 102))
    axes.set_title(f"{after.count.sum():,} examples in bins of about {after.count.max():,}")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
