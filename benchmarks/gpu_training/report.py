"""Markdown tables of what was found."""

from statistics import median

from gpu_training.checks import Check
from gpu_training.kernels import COLUMNS, Kernel
from gpu_training.rates import EVERY_WAY, Fitted, Rate


def check_table(checks: list[Check]) -> str:
    rows = [
        [check.name, f"{check.found:.1e}", f"{check.allowed:.0e}", "yes" if check.passed else "NO"]
        for check in checks
    ]
    return table(["check", "found", "allowed", "passed"], rows)


def fit_table(fits: list[Fitted]) -> str:
    rows = [
        [
            fit.workload, fit.cell.upper(), fit.layout, f"{1000 * fit.epoch_s:.0f}",
            f"{1000 * fit.first_epochs_s:.0f}", f"{fit.wall_s:.1f} ({fit.num_epochs} epochs)",
            f"{fit.utilisation:.0f} %", f"{fit.megabytes:,.0f}", f"{100 * fit.accuracy:.1f} %",
        ]
        for fit in fits
    ]  # fmt: skip
    head = ["set", "cell", "layout", "ms an epoch", "first two, ms", "all, s", "utilisation",
            "memory, MB", "validation accuracy"]  # fmt: skip
    return table(head, rows)


def rate_table(rates: list[Rate]) -> str:
    """Every way with one cell on one set; ratios are of each round."""
    found = {(rate.way, rate.precision): rate for rate in rates}
    rows = []
    for way, precision in EVERY_WAY:
        rate = found.get((way, precision))
        if rate is None:
            rows.append([way, precision, "failed", "", "", "", ""])
            continue
        against = [
            ratio(rate, found.get((other, "float32")))
            for other in ("naive", "bare padded", "bare recorded")
        ]
        rows.append([way, precision, f"{median(rate.steps_per_s):.0f}", *against, _busy(rate)])
    name = f"{rates[0].workload}, {rates[0].cell.upper()}"
    head = [name, "precision", "steps/s", "of naive", "of bare padded", "of bare recorded",
            "utilisation"]  # fmt: skip
    return table(head, rows)


def main_table(rates: list[Rate]) -> str:
    """The product with every cell on every set, against the tutorials' loop and cuDNN alone."""
    found = {(r.workload, r.cell, r.way, r.precision): r for r in rates}
    rows = []
    for workload, cell in dict.fromkeys((rate.workload, rate.cell) for rate in rates):

        def of(way: str, precision: str = "float32") -> Rate | None:
            return found.get((workload, cell, way, precision))  # noqa: B023

        product = of("product")
        if product is None:
            continue
        bf16 = of("product", "bf16")
        rows.append([
            workload, cell.upper(), f"{median(product.steps_per_s):.0f}",
            f"{median(bf16.steps_per_s):.0f}" if bf16 else "failed", ratio(product, of("naive")),
            ratio(product, of("bare padded")), ratio(product, of("bare recorded")), _busy(product),
        ])  # fmt: skip
    head = ["set", "cell", "steps/s", "in bf16", "of naive", "of bare padded",
            "of bare recorded", "utilisation"]  # fmt: skip
    return table(head, rows)


def kernel_table(kernels: list[Kernel]) -> str:
    found = {(k.cell, k.hidden_size, k.precision, k.is_packed): k.microseconds for k in kernels}
    rows = []
    for cell, size in dict.fromkeys((kernel.cell, kernel.hidden_size) for kernel in kernels):
        times = [f"{found[cell, size, *column]:.1f}" for column in COLUMNS]
        rows.append([cell.upper(), str(size), *times])
    head = ["cell", "hidden size", "padded", "packed", "padded, TF32", "padded, bfloat16"]
    return table(head, rows)


def ratio(one: Rate, other: Rate | None) -> str:
    """Median (smallest to largest) of the rounds' ratios."""
    if other is None:
        return "–"
    found = sorted(a / b for a, b in zip(one.steps_per_s, other.steps_per_s, strict=True))
    return f"{median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def _busy(rate: Rate) -> str:
    return f"{median(rate.utilisation):.0f} %" if rate.utilisation else ""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
