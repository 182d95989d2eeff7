"""The networks that the ``model`` section describes, of one input or several."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.features.input_layout import InputLayout
from seqbelt.models.chunks import Chunks, run_in_chunks
from seqbelt.models.device_transfer import upload
from seqbelt.models.embedding import Embedding
from seqbelt.models.initialization import initialize
from seqbelt.models.model import Model
from seqbelt.models.pooling import Pooling
from seqbelt.models.recurrent import NoRecurrence, Recurrent
from seqbelt.models.standardize import Standardize
from seqbelt.models.stem import Stem
from seqbelt.models.stem_layers import StemLayers


def build_network(
    model: Model,
    num_features: int,
    num_classes: int,
    is_tokens: bool,
    lengths: np.ndarray | None = None,
    layout: InputLayout | None = None,
) -> "SequenceNetwork":
    """The network of a ``model`` section, initialised from torch's current random state; of several
    inputs where items have a ``layout``.

    ``lengths`` ``(sequences,)`` of the training rows, in steps, are needed for ``stem: auto`` and
    ``forget_bias: chrono``; not for a network whose weights are loaded.
    """
    if layout is not None:
        return JoinedNetwork(model, layout, num_classes)
    resolved = model.resolve(is_tokens, lengths)
    return SingleNetwork(resolved, num_features, num_classes, is_tokens, lengths)


class Branch(NamedTuple):
    """The layers that read one input of a batch, and what follows them."""

    network: "SingleNetwork"
    inputs: Tensor
    lengths: Tensor
    classify: Callable[[Tensor], Tensor]
    """Pooled outputs ``(batch, width)`` to logits."""


class SequenceNetwork(nn.Module):
    """Sequences in, logits out: what networks of one input and of several have in common."""

    dropout: nn.Dropout
    classify: nn.Linear
    """The last layer."""

    def __init__(self, settings: Model, is_tokens: bool, layout: InputLayout | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.is_tokens = is_tokens
        self.layout = layout
        """Where the inputs of an item are, if it has several."""

    def forward(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        """Logits ``(batch, classes)``, or ``(batch, steps, classes)`` without pooling.

        Inputs are padded ``(batch, steps, features)`` or token ids ``(batch, steps)``; ``lengths``
        int64 ``(batch,)`` as in ``Recurrent.forward``. ``chunks`` save memory in training and need
        the lengths on the CPU.
        """
        raise NotImplementedError

    def main_branch(self, inputs: Tensor, lengths: Tensor) -> Branch:
        """The layers of the first or only input."""
        raise NotImplementedError

    def classify_spans(self, inputs: Tensor, lengths: Tensor, num_steps: int) -> Tensor:
        """Logits ``(batch, steps, classes)`` of the ``num_steps`` outputs around each output, of
        the only input.

        The recurrence reads the complete sequence, only the pooling is local. ``steps`` are those
        after the stem; ``inputs`` and ``lengths`` are as in ``forward``. Raises ValueError for a
        pooling that needs the complete sequence.
        """
        raise NotImplementedError

    @property
    def branches(self) -> tuple["SingleNetwork", ...]:
        """The network of each input: this one, unless it has several."""
        raise NotImplementedError

    @property
    def main(self) -> "SingleNetwork":
        """The network of the first or only input."""
        return self.branches[0]

    @property
    def networks(self) -> tuple["SequenceNetwork", ...]:
        """This network alone, the counterpart of ``Ensemble.networks``."""
        return (self,)

    @property
    def reduction(self) -> int:
        """Input steps for each step that the recurrence of the first input reads."""
        stem = self.main.stem
        return 1 if stem is None else stem.reduction

    @property
    def labels_steps(self) -> bool:
        """Whether every step is classified instead of the sequence."""
        return self.settings.labels_steps

    def split(self, logits: Tensor, lengths: Tensor) -> list[Tensor]:
        """Split logits from ``forward`` into ``(1 or steps, classes)`` for each sequence."""
        if not self.labels_steps:
            return list(logits[:, None])
        return [row[:length] for row, length in zip(logits, lengths.tolist(), strict=True)]

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class SingleNetwork(SequenceNetwork):
    """The network of one input: normalise (or embed), stem, recurrence, pool, classify.

    ``settings`` are resolved, without ``auto``.
    """

    def __init__(
        self,
        settings: Model,
        num_features: int,
        num_classes: int,
        is_tokens: bool,
        lengths: np.ndarray | None = None,
    ) -> None:
        super().__init__(settings, is_tokens)
        dropout, input_dropout, embedding_dropout = settings.dropout_rates
        if is_tokens:
            frozen = settings.vectors is not None and settings.vectors.frozen
            self.embed = Embedding(num_features, settings.embedding_size, embedding_dropout, frozen)
        else:
            self.normalize = Standardize(
                num_features, settings.scaling == "rows_and_sequence", bool(settings.differences)
            )
        width = settings.embedding_size if is_tokens else self.normalize.output_size
        self.stem: StemLayers | None = None
        if isinstance(settings.stem, Stem):
            self.stem = StemLayers(settings.stem, width, causal=not settings.bidirectional)
            width = self.stem.output_size
            lengths = None if lengths is None else (lengths - 1) // self.stem.reduction + 1
        self.recurrent: Recurrent | NoRecurrence
        if settings.cell == "none":
            self.recurrent = NoRecurrence(width)
        else:
            self.recurrent = Recurrent(
                settings.cell,
                width,
                settings.hidden_size,
                settings.num_layers,
                settings.bidirectional,
                dropout,
                settings.nonlinearity,
                settings.layout,
            )
            initialize(self.recurrent, settings.recurrent_init, settings.forget_bias, lengths)
        self.pool = Pooling(settings.pooling, self.recurrent.output_size)
        self.input_dropout = nn.Dropout(input_dropout)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(self.pool.output_size, num_classes)

    def forward(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        return self.classify(self.dropout(self.pooled(inputs, lengths, chunks)))

    def pooled(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        """What is classified: ``(batch, width)``, or ``(batch, steps, width)`` without pooling;
        the arguments are those of ``forward``."""
        steps = self.input_dropout(self.first_steps(inputs, lengths))
        if self.stem is not None:
            steps, lengths = self.stem(steps, lengths)
        if chunks is None or isinstance(self.recurrent, NoRecurrence):
            outputs, state = self.recurrent(steps, lengths)
        else:
            outputs, state = run_in_chunks(self.recurrent, steps, lengths, chunks)
        final = self.recurrent.final(state)
        return self.pool(outputs, final, lengths)

    def classify_spans(self, inputs: Tensor, lengths: Tensor, num_steps: int) -> Tensor:
        steps = self.first_steps(inputs, lengths)
        if self.stem is not None:
            steps, lengths = self.stem(steps, lengths)
        outputs, _ = self.recurrent(steps, lengths)
        return self.classify(self.pool.around_steps(outputs, lengths, num_steps))

    def first_steps(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Embedded tokens, or standardised steps: ``(batch, steps, width)``."""
        return self.embed(inputs) if self.is_tokens else self.normalize(inputs, lengths)

    def main_branch(self, inputs: Tensor, lengths: Tensor) -> Branch:
        return Branch(self, inputs, lengths, self.classify)

    @property
    def branches(self) -> tuple["SingleNetwork", ...]:
        return (self,)


class JoinedNetwork(SequenceNetwork):
    """Packed items (``InputLayout``) in, logits out.

    Each input has a branch of its own, a ``SingleNetwork`` up to its pooling. The pooled outputs
    and the cells of the columns go through one layer with ReLU, so that inputs can act on each
    other, and then through the last layer. Where an input is missing, a learned vector takes the
    place of its pooled output.
    """

    def __init__(self, settings: Model, layout: InputLayout, num_classes: int) -> None:
        super().__init__(settings, False, layout)
        self._packing = layout  # never None here
        branches: list[SingleNetwork] = []
        for size in layout.inputs:
            lengths = np.array([size.median_steps]) if size.median_steps else None
            resolved = settings.resolve(size.is_tokens, lengths)
            branch = SingleNetwork(
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
    def branches(self) -> tuple[SingleNetwork, ...]:
        return tuple(branch for branch in self.branch_list if isinstance(branch, SingleNetwork))

    def forward(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        """Logits ``(batch, classes)`` of packed items ``(batch, rows, width)``; ``lengths`` are not
        needed, since an item has its own."""
        counts, cells = self._header(inputs)
        pooled = [
            branch.pooled(steps, its_lengths, chunks)
            for branch, (steps, its_lengths) in zip(
                self.branches, self._unpack(inputs, counts), strict=True
            )
        ]
        return self._classify(pooled, counts, cells)

    def main_branch(self, inputs: Tensor, lengths: Tensor) -> Branch:
        """The branch of the first input; the others' outputs are constant."""
        counts, cells = self._header(inputs)
        parts = self._unpack(inputs, counts)
        with torch.no_grad():
            others = [
                branch.pooled(steps, its_lengths)
                for branch, (steps, its_lengths) in zip(self.branches[1:], parts[1:], strict=True)
            ]

        def classify(pooled: Tensor) -> Tensor:
            return self._classify([pooled, *others], counts, cells)

        return Branch(self.main, *parts[0], classify)

    @property
    def labels_steps(self) -> bool:
        return False

    def _header(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Steps of each input int64 ``(batch, inputs)`` on the CPU, as the recurrence needs them,
        and cells ``(batch, cells)``."""
        layout = self._packing
        sizes = (len(layout.inputs), layout.num_cells)
        header = inputs[:, : layout.num_header_rows].flatten(1)[:, : sum(sizes)]
        counts, cells = header.split(sizes, dim=1)
        return counts.round().long().cpu(), cells

    def _unpack(self, inputs: Tensor, counts: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Padded steps and lengths of each input; a missing one has one step of zeros."""
        layout, flat = self._packing, inputs.flatten(1)
        starts = upload(torch.from_numpy(layout.starts(counts.numpy())), inputs.device)
        sequences = []
        for index, size in enumerate(layout.inputs):
            lengths = counts[:, index].clamp_min(1)
            values = torch.arange(int(lengths.max()) * size.width, device=inputs.device)
            is_padding = values >= upload(counts[:, index, None] * size.width, inputs.device)
            positions = (starts[:, index, None] + values).clamp_max(flat.shape[1] - 1)
            steps = flat.gather(1, positions).masked_fill(is_padding, 0)
            if size.is_tokens:
                sequences.append((steps.round().long(), lengths))
            else:
                sequences.append((steps.unflatten(1, (-1, size.width)), lengths))
        return sequences

    def _classify(self, pooled: Sequence[Tensor], counts: Tensor, cells: Tensor) -> Tensor:
        is_present = upload(counts > 0, cells.device)
        parts = [
            torch.where(is_present[:, index, None], branch, self.absent[index].to(branch.dtype))
            for index, branch in enumerate(pooled)
        ]
        joined = self.join(torch.cat([*parts, cells.to(parts[0].dtype)], dim=1)).relu()
        return self.classify(self.dropout(joined))
