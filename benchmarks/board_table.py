"""The tables of a board, from its results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from board_layout import BoardSet

DEFAULT = "default"
ORDER_FREE = frozenset(("majority", "length", "statistics", "embeddings"))
"""Controls that know nothing of the order of the steps."""
MISSING = "–"

Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """What one set gave; all figures in per cent."""

    one: BoardSet
    half: str
    rows: Mapping[str, int]
    lstm: tuple[float, ...] = ()
    """Test accuracy by seed, of folds their mean."""
    macro_f1: tuple[float, ...] = ()
    rnn: float | None = None
    shuffled: float | None = None
    """The LSTMs' accuracy on shuffled steps."""
    minutes: float | None = None
    controls: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Name and accuracy by key."""

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.lstm)) if self.lstm else None

    def best(self, keys: Iterable[str] | None = None) -> tuple[str, float] | None:
        """The best control, of some keys only if given."""
        found = [c for key, c in self.controls.items() if keys is None or key in keys]
        return max(found, key=lambda control: control[1], default=None)

    def published(self, which: str) -> tuple[float, float] | None:
        """Ours beside the published figure, where both answer the same question."""
        figure = self.one.published.get(which)
        if figure is None or "note" in figure or not self.lstm:
            return None
        ours = self.mean if "accuracy" in figure else float(np.mean(self.macro_f1))
        assert ours is not None
        return ours, figure.get("accuracy", figure.get("macro_f1"))


def row_of(entries: Entries, one: BoardSet, half: str, label: str = DEFAULT) -> Row | None:
    """What the results hold of a set under a label; None where they hold nothing."""
    prefix = f"{label}/{one.name}/"
    # A failure is no result.
    found = {
        tuple(key.removeprefix(prefix).split("/")): entry
        for key, entry in entries.items()
        if key.startswith(prefix) and "error" not in entry
    }
    if not found:
        return None
    lstm = [entry for (what, *_), entry in found.items() if what == "lstm"]
    rnn = [entry for (what, *_), entry in found.items() if what == "rnn"]
    shuffled = [e["cell_controls"]["shuffled"] for e in lstm if "shuffled" in e["cell_controls"]]
    return Row(
        one,
        half,
        next(iter(found.values()))["rows"],
        by_seed(found, "lstm", "accuracy"),
        by_seed(found, "lstm", "macro_f1"),
        100 * mean_of(entry["test"]["accuracy"] for entry in rnn) if rnn else None,
        100 * mean_of(shuffled) if shuffled else None,
        mean_of(entry["seconds"] for entry in lstm) / 60 if lstm else None,
        {
            what.removeprefix("control-"): (entry["name"], 100 * entry["test"]["accuracy"])
            for (what, *_), entry in found.items()
            if what.startswith("control-")
        },
    )


def by_seed(found: Mapping[tuple[str, ...], Any], cell: str, score: str) -> tuple[float, ...]:
    """A score of each seed, in per cent; the mean over the folds of a seed that has them."""
    scores: dict[str, list[float]] = {}
    for (what, *place), entry in sorted(found.items()):
        if what == cell:
            scores.setdefault(place[0], []).append(100 * entry["test"][score])
    return tuple(float(np.mean(one)) for one in scores.values())


def mean_of(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


def tables(
    entries: Entries, sets: Mapping[str, BoardSet], half_of: Callable[[BoardSet], str]
) -> str:
    """All tables as Markdown: the sets, what they come to, and the labels against the default."""
    found = [row_of(entries, one, half_of(one)) for one in sets.values()]
    rows = sorted(
        (row for row in found if row is not None),
        key=lambda row: (bool(row.one.extra), row.half, row.one.kind, row.one.name),
    )
    parts = [main_table(rows), summary_table([row for row in rows if not row.one.extra])]
    labels = list(dict.fromkeys(key.split("/")[0] for key in entries))
    if others := [label for label in labels if label != DEFAULT]:
        of_label = {
            label: [row_of(entries, row.one, row.half, label) for row in rows] for label in others
        }
        parts.append(label_table(rows, of_label))
    return "\n\n".join(parts)


def main_table(rows: Sequence[Row]) -> str:
    return markdown(
        (
            "set", "half", "rows: train, validation, test", "LSTM (by seed)", "macro-F1", "RNN",
            "best control", "best order-free control", "LSTM, steps shuffled",
            "published recurrent", "published best", "minutes a model",
        ),
        [
            (
                f"`{row.one.name}`",
                row.half,
                ", ".join(f"{count:,}" for count in row.rows.values()),
                spread(row.lstm),
                number(row.macro_f1 and float(np.mean(row.macro_f1))),
                number(row.rnn),
                named(row.best()),
                named(row.best(ORDER_FREE)),
                number(row.shuffled),
                figure(row.one.published.get("recurrent")),
                figure(row.one.published.get("best")),
                number(row.minutes),
            )
            for row in rows
        ],
    )  # fmt: skip


def summary_table(rows: Sequence[Row]) -> str:
    """What the sets come to, by halves; a set counts where it has LSTM and controls."""
    groups = {half: [row for row in rows if row.half == half] for half in ("choose", "report")}
    groups["all"] = list(rows)
    lines = []
    for half, members in groups.items():
        whole = [(row, row.mean, row.best(), row.best(ORDER_FREE)) for row in members]
        pairs = [(row, m, b[1], f[1]) for row, m, b, f in whole if None not in (m, b, f)]  # type: ignore[index]
        recurrent = [pair for row, *_ in pairs if (pair := row.published("recurrent"))]
        best = [pair for row, *_ in pairs if (pair := row.published("best"))]
        lines.append(
            (
                half,
                f"{len(pairs)} of {len(members)}",
                number(pairs and mean_of(m for _, m, _, _ in pairs)),
                number(pairs and mean_of(b for _, _, b, _ in pairs)),
                signed(pairs and mean_of(m - b for _, m, b, _ in pairs)),
                share([m >= f for _, m, _, f in pairs]),
                share([m >= b - 1 for _, m, b, _ in pairs]),
                share([ours >= theirs for ours, theirs in recurrent]),
                share([ours >= theirs for ours, theirs in best]),
            )
        )
    return markdown(
        (
            "half", "sets done", "LSTM, mean", "best control, mean", "LSTM − best control",
            "≥ order-free control", "≥ best control − 1", "≥ published recurrent",
            "≥ published best",
        ),
        lines,
    )  # fmt: skip


def label_table(rows: Sequence[Row], of_label: Mapping[str, Sequence[Row | None]]) -> str:
    """Each label's LSTM less the default's, with the seeds that both have, over the sets."""
    lines = []
    for label, others in of_label.items():
        differences: dict[str, list[float]] = {"choose": [], "report": []}
        worst: list[tuple[float, str]] = []
        for row, other in zip(rows, others, strict=True):
            if row.one.extra or other is None or not (row.lstm and other.lstm):
                continue
            count = min(len(row.lstm), len(other.lstm))
            difference = mean_of(other.lstm[:count]) - mean_of(row.lstm[:count])
            differences[row.half].append(difference)
            worst.append((difference, row.one.name))
        both = [*differences["choose"], *differences["report"]]
        ends = (min(worst), max(worst)) if worst else ()
        lines.append(
            (
                f"`{label}`",
                str(len(both)),
                *(signed(some and mean_of(some)) for some in (*differences.values(), both)),
                *([f"{signed(points)} {name}" for points, name in ends] or [MISSING] * 2),
            )
        )
    return markdown(
        ("LSTM under this label less default, points", "sets", "choose", "report", "all",
         "lowest", "highest"),
        lines,
    )  # fmt: skip


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: Any) -> str:
    """One decimal; a dash where there is nothing (None or an empty sequence)."""
    return MISSING if value is None or value == () or value == [] else f"{value:.1f}"


def signed(value: Any) -> str:
    return MISSING if value == [] else f"{value:+.1f}"


def share(passed: Sequence[bool]) -> str:
    return f"{sum(passed)} of {len(passed)}" if passed else MISSING


def spread(values: Sequence[float]) -> str:
    if not values:
        return MISSING
    by_seed = f" ({', '.join(f'{value:.1f}' for value in values)})" if len(values) > 1 else ""
    return f"**{np.mean(values):.1f}**{by_seed}"


def named(control: tuple[str, float] | None) -> str:
    return MISSING if control is None else f"{control[1]:.1f} {control[0]}"


def figure(published: Mapping[str, Any] | None) -> str:
    if published is None:
        return ""
    score = f"F1 {published['macro_f1']}" if "macro_f1" in published else published["accuracy"]
    note = f" ({published['note']})" if "note" in published else ""
    return f"{score} {published['method']}{note}"


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

    Raises SystemExit where there is no page, or it lacks the markers.
    """
    if not page.is_file():
        raise SystemExit(f"{page}: no such page (--page)")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page}: no lines '{begin}' and '{end}' to write between")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
