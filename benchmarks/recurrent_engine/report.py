"""The measurements as Markdown tables."""

import statistics
from dataclasses import dataclass

from recurrent_engine.contenders import REFERENCE, Contender
from recurrent_engine.products import PRODUCTS, PRODUCTS_IN_BLOCKS
from recurrent_engine.timing import Errors, Timed

RUNS = ("training", "inference")
MEASURES = (PRODUCTS, PRODUCTS_IN_BLOCKS)
"""No contenders: what the machine could give."""


@dataclass(frozen=True)
class Result:
    """One workload and cell, trained or inferred."""

    workload: str
    cell: str
    run: str
    timed: dict[str, Timed]

    def ratios(self, name: str) -> list[float]:
        """Speed relative to the reference in each round, by valid steps a second."""
        pairs = zip(self.timed[name].steps_per_s, self.timed[REFERENCE].steps_per_s)
        return [own / reference for own, reference in pairs]

    def sequences_per_s(self, name: str) -> float:
        """Median over the rounds, in sequences of average length."""
        timed, all_steps = self.timed[name], self.timed[self.fullest]
        per_step = all_steps.num_sequences / all_steps.num_steps
        return statistics.median(timed.steps_per_s) * per_step

    def gflop_per_s(self, name: str) -> list[float]:
        """Useful work in each round."""
        timed = self.timed[name]
        return [timed.useful_gflop / seconds for seconds in timed.seconds]

    @property
    def fullest(self) -> str:
        """A contender that runs every batch."""
        return max(self.timed, key=lambda name: self.timed[name].num_batches)


def spread(values: list[float], digits: int = 1) -> str:
    """Median, and smallest to largest where there are several."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speed_table(results: list[Result], run: str) -> str:
    """Speed of every contender relative to the reference, whose sequences a second are given."""
    chosen = [result for result in results if result.run == run]
    names = list(dict.fromkeys(name for result in chosen for name in result.timed))
    names = [name for name in names if name not in (REFERENCE, *MEASURES)]
    rows = [
        [
            result.workload,
            result.cell.upper(),
            f"{result.sequences_per_s(REFERENCE):,.0f}/s",
            *(spread(result.ratios(n)) if n in result.timed else "–" for n in names),
        ]
        for result in chosen
    ]
    header = ["workload", "cell", f"{REFERENCE} (sequences)", *names]
    return f"Speed in {run}, {REFERENCE} = 1:\n\n" + table(header, rows)


def rate_table(results: list[Result], own: str, bests: list[str]) -> str:
    """Useful GFLOP/s of the contender ``own``, and its share of what each of ``bests`` reaches."""

    def share(result: Result, best: str) -> str:
        pairs = zip(result.gflop_per_s(own), result.gflop_per_s(best))
        return spread([100 * mine / most for mine, most in pairs], 0)

    header = ["workload", "cell", "run", "sequences/s", "batches/s", f"{own}, GFLOP/s"]
    for best in bests:
        header += [f"{best}, GFLOP/s", "share, %"]
    rows = []
    for result in results:
        row = [
            result.workload,
            result.cell.upper(),
            result.run,
            f"{result.sequences_per_s(own):,.0f}",
            f"{statistics.median(result.timed[own].batches_per_s):,.1f}",
            spread(result.gflop_per_s(own), 0),
        ]
        for best in bests:
            row += [spread(result.gflop_per_s(best), 0), share(result, best)]
        rows.append(row)
    return table(header, rows)


def error_table(errors: dict[tuple[str, str], dict[str, Errors]]) -> str:
    """Differences from the packed layer in float32: final state, and gradient of the weights."""
    names = list(dict.fromkeys(name for of in errors.values() for name in of))

    def cell(found: Errors | None) -> str:
        if found is None:
            return "–"
        gradient = "" if found.gradient is None else f" / {found.gradient:.0e}"
        return f"{found.final:.0e}{gradient}"

    rows = [
        [workload, kind.upper(), *(cell(of.get(name)) for name in names)]
        for (workload, kind), of in errors.items()
    ]
    return table(["workload", "cell", *names], rows)


def shortened(results: list[Result]) -> str:
    """Which contenders ran fewer batches than the others, in words."""
    notes: dict[str, list[str]] = {}
    for result in results:
        most = result.timed[result.fullest].num_batches
        for name, timed in result.timed.items():
            if timed.num_batches < most:
                note = f"{result.workload} {timed.num_batches} of {most}"
                note += "" if name != REFERENCE else f" ({result.run})"
                notes.setdefault(name, []).append(note)
    parts = [f"{name}: {', '.join(dict.fromkeys(of))}" for name, of in notes.items()]
    return "; ".join(parts) or "none"


def measured_best(device_type: str, contenders: list[Contender]) -> tuple[str, list[str]]:
    """Our contender of the rate table, and what it is measured against."""
    if device_type == "cuda":
        return "seqbelt packed", [contender.name for contender in contenders if contender.is_bare]
    names = [contender.name for contender in contenders]
    own = "seqbelt fused" if "seqbelt fused" in names else "seqbelt padded"
    return own, [PRODUCTS, PRODUCTS_IN_BLOCKS]
