"""The advice on all models of a comparison, one line for what they have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from seqbelt.comparison.variants import label
from seqbelt.texts import Text, join, text
from seqbelt.training.advice import Advice


@dataclass(frozen=True)
class AdviceByCell:
    """For each cell the advice on each of its models."""

    models: Mapping[str, Sequence[Sequence[Advice]]]
    is_tokens: bool

    def markdown(self) -> str:
        """A list, the cells in their order; empty where there is no advice."""
        lines = [
            text(
                "advice_line",
                cell=label(cell),
                count=count,
                finding=advice.finding,
                remedy=advice.remedy,
                setting=advice.setting,
            )
            for cell, count, advice in self._shared()
        ]
        return join([text("advice_heading"), join(lines, "\n")], "\n\n") if lines else ""

    def sentences(self) -> list[str]:
        """The same as plain sentences."""
        return [
            f"{label(cell)}, {count}: {advice.sentence}" for cell, count, advice in self._shared()
        ]

    def _shared(self) -> Iterator[tuple[str, Text, Advice]]:
        """Cell, how many of its models have an advice, and the first of those."""
        for cell, of in self.models.items():
            for shared in _alike(of):
                key = "of_model" if len(of) == 1 else "of_models"
                yield cell, text(key, some=len(shared), count=len(of)), shared[0]

    def remedy(self, cell: str) -> Text:
        """One sentence: what to try, by what at least half of the cell's models show."""
        of = self.models[cell]
        shared = [group[0] for group in _alike(of) if 2 * len(group) >= len(of)]
        tries = [
            text("remedy_of", remedy=advice.remedy, setting=advice.setting) for advice in shared
        ]
        # No model of the cell shows a fault of its own.
        unadvised = text("unadvised_tokens" if self.is_tokens else "unadvised_numbers")
        return text("try_this", remedies=join(tries, "; ") if tries else unadvised)


def _alike(models: Sequence[Sequence[Advice]]) -> list[list[Advice]]:
    """The advice of several models, that with the same settings and remedy together."""
    groups: dict[tuple[str, str], list[Advice]] = {}
    for advice in chain.from_iterable(models):
        groups.setdefault((advice.setting, advice.remedy), []).append(advice)
    return list(groups.values())
