"""A network of several inputs: a recurrent branch for each, joined before the last layers."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.features.input_layout import InputLayout
from seqbelt.models.chunks import Chunks
from seqbelt.models.classifier import Branch, Model, SequenceNetwork
from seqbelt.models.device_transfer import upload
from seqbelt.models.recurrent import NoRecurrence, Recurrent


class JoinedNetwork(SequenceNetwork):
    """Packed items (``InputLayout``) in, logits out.

    Each input has a branch of its own, a ``SequenceNetwork`` up to its pooling. The pooled outputs
    and the cells of the columns go through one layer with ReLU, so that inputs can act on each
    other, and then through the last layer. Where an input is missing, a learned vector takes the
    place of its pooled output.
    """

    def __init__(self, settings: Model, layout: InputLayout, num_classes: int) -> None:
        nn.Module.__init__(self)
        self.settings, self.layout, self.is_tokens = settings, layout, False
        self._packing = layout  # never None here
        branches = []
        for size in layout.inputs:
            lengths = np.array([size.median_steps]) if size.median_steps else None
            resolved = settings.resolve(size.is_tokens, lengths)
            branch = SequenceNetwork(
                resolved, size.num_features, num_classes, size.is_tokens, lengths
            )
            branch.classify = nn.Identity()  # type: ignore[assignment]
            branches.append(branch)
        self.branch_list = nn.ModuleList(branches)
        widths = [branch.pool.output_size for branch in branches]
        self.absent = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in widths)
        self.join = nn.Linear(sum(widths) + layout.num_cells, settings.hidden_size)
        self.dropout = nn.Dropout(branches[0].settings.dropout_rates[0])
        self.classify = nn.Linear(settings.hidden_size, num_classes)

    @property
    def branches(self) -> tuple[SequenceNetwork, ...]:
        return tuple(branch for branch in self.branch_list if isinstance(branch, SequenceNetwork))

    def forward(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        """Logits ``(batch, classes)`` of packed items ``(batch, rows, width)``; ``lengths`` are not
        needed, since an item has its own."""
        counts, cells = self._header(inputs)
        pooled = [
            branch.pooled(steps, of, chunks)
            for branch, (steps, of) in zip(self.branches, self._inputs(inputs, counts), strict=True)
        ]
        return self._classify(pooled, counts, cells)

    def main_branch(self, inputs: Tensor, lengths: Tensor) -> Branch:
        """The branch of the first input; the others' outputs are constant."""
        counts, cells = self._header(inputs)
        parts = self._inputs(inputs, counts)
        with torch.no_grad():
            others = [
                branch.pooled(steps, of)
                for branch, (steps, of) in zip(self.branches[1:], parts[1:], strict=True)
            ]

        def classify(pooled: Tensor) -> Tensor:
            return self._classify([pooled, *others], counts, cells)

        return Branch(self.branches[0], *parts[0], classify)

    @property
    def recurrent(self) -> Recurrent | NoRecurrence:  # type: ignore[override]
        """The first branch's, for what is reported of a network."""
        return self.branches[0].recurrent

    @property
    def stem(self):  # type: ignore[override]
        return self.branches[0].stem

    @property
    def reduction(self) -> int:
        return self.branches[0].reduction

    @property
    def labels_steps(self) -> bool:
        return False

    def _header(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Steps of each input int64 ``(batch, inputs)`` on the CPU, as the recurrence needs them,
        and cells ``(batch, cells)``."""
        layout = self._packing
        header = inputs[:, : layout.num_header_rows].flatten(1)
        number = len(layout.inputs)
        return header[:, :number].round().long().cpu(), header[
            :, number : number + layout.num_cells
        ]

    def _inputs(self, inputs: Tensor, counts: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Padded steps and lengths of each input; a missing one has one step of zeros."""
        layout, flat = self._packing, inputs.flatten(1)
        starts = upload(torch.from_numpy(layout.starts(counts.numpy())), inputs.device)
        sequences = []
        for at, size in enumerate(layout.inputs):
            lengths = counts[:, at].clamp_min(1)
            values = torch.arange(int(lengths.max()) * size.width, device=inputs.device)
            is_padding = values >= upload(counts[:, at, None] * size.width, inputs.device)
            places = (starts[:, at, None] + values).clamp_max(flat.shape[1] - 1)
            steps = flat.gather(1, places).masked_fill(is_padding, 0)
            if size.is_tokens:
                sequences.append((steps.round().long(), lengths))
            else:
                sequences.append((steps.unflatten(1, (-1, size.width)), lengths))
        return sequences

    def _classify(self, pooled: Sequence[Tensor], counts: Tensor, cells: Tensor) -> Tensor:
        is_present = upload(counts > 0, cells.device)
        parts = [
            torch.where(is_present[:, at, None], branch, self.absent[at].to(branch.dtype))
            for at, branch in enumerate(pooled)
        ]
        joined = self.join(torch.cat([*parts, cells.to(parts[0].dtype)], dim=1)).relu()
        return self.classify(self.dropout(joined))
