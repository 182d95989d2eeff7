"""The advice on all models of a comparison, one line for what they have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from seqbelt.comparison.variants import label
from seqbelt.training.advice import Advice
from seqbelt.words import count_of

UNADVISED = {
    True: "more or less regularisation and another width (model.dropout, "
    "model.embedding_dropout, training.label_smoothing, model.hidden_size), or seqbelt tune",
    False: "longer training, smaller batches, another stem and other augmentation "
    "(training.num_updates, training.batch_size, model.stem, training.augmentation), or seqbelt "
    "tune",
}
"""What to try where no model of a cell shows a fault of its own: of tokens, of numbers."""


@dataclass(frozen=True)
class AdviceByCell:
    """For each cell the advice on each of its models."""

    models: Mapping[str, Sequence[Sequence[Advice]]]
    is_tokens: bool

    def markdown(self) -> str:
        """A list, the cells in their order; empty where there is no advice."""
        lines = [
            f"- **{label(cell)}**, {count}: {advice.finding}: {advice.remedy} (`{advice.setting}`)."
            for cell, count, advice in self._shared()
        ]
        return "\n".join(["### Advice", "", *lines]) if lines else ""

    def sentences(self) -> list[str]:
        """The same as plain sentences."""
        return [
            f"{label(cell)}, {count}: {advice.sentence}" for cell, count, advice in self._shared()
        ]

    def _shared(self) -> Iterator[tuple[str, str, Advice]]:
        """Cell, how many of its models have an advice, and the first of those."""
        for cell, of in self.models.items():
            for shared in _alike(of):
                yield cell, f"{len(shared)} of {count_of(len(of), 'model')}", shared[0]

    def remedy(self, cell: str) -> str:
        """One sentence: what to try, by what at least half of the cell's models show."""
        of = self.models[cell]
        shared = [group[0] for group in _alike(of) if 2 * len(group) >= len(of)]
        tries = [f"{group.remedy} ({group.setting})" for group in shared]
        return f"Try this: {'; '.join(tries) or UNADVISED[self.is_tokens]}."


def _alike(models: Sequence[Sequence[Advice]]) -> list[list[Advice]]:
    """The advice of several models, that with the same settings and remedy together."""
    groups: dict[tuple[str, str], list[Advice]] = {}
    for advice in chain.from_iterable(models):
        groups.setdefault((advice.setting, advice.remedy), []).append(advice)
    return list(groups.values())
