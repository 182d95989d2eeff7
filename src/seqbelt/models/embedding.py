"""Token ids become vectors."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqbelt.errors import SettingsError

INITIAL_STD = 0.1
"""Of a random row. torch's is 1: a word that is seen a few times then keeps mostly noise, because
an optimizer step moves a number by about the learning rate."""


class Embedding(nn.Embedding):
    """A row of numbers for each token of the vocabulary.

    In training a share ``dropout`` of all tokens is zero, each wherever it stands in the batch, so
    that no answer hangs on one word (Gal & Ghahramani 2016, arXiv:1512.05287). ``frozen`` rows are
    no trainable numbers: they stay as ``start_from`` or loading left them.

    After ``compose`` a token's vector is the mean of two rows, which other tokens may share: those
    of a piece and of the word that it is part of.
    """

    parts: Tensor | None
    """Rows of each token, int64 ``(num_tokens, 2)``; None: each token has its own."""

    def __init__(
        self, num_tokens: int, size: int, dropout: float = 0.0, frozen: bool = False
    ) -> None:
        super().__init__(num_tokens, size)
        nn.init.normal_(self.weight, std=INITIAL_STD)
        self.weight.requires_grad_(not frozen)
        self.dropout = dropout
        self.register_buffer("parts", None)

    def compose(self, parts: np.ndarray) -> None:
        """Make each token the mean of the rows ``parts`` ``(num_tokens, 2)``."""
        self.parts = torch.from_numpy(parts).to(self.weight.device)

    def forward(self, input: Tensor) -> Tensor:
        """Vectors ``(batch, steps, size)`` of token ids ``(batch, steps)``."""
        rows = input if self.parts is None else self.parts[input]
        vectors = super().forward(rows)
        if self.training and self.dropout:
            kept = F.dropout(vectors.new_ones(self.num_embeddings), self.dropout)
            vectors = vectors * kept[rows].unsqueeze(-1)
        return vectors if self.parts is None else vectors.mean(2)

    def table(self) -> Tensor:
        """The vector of every token, ``(num_tokens, size)``."""
        return self.weight if self.parts is None else self.weight[self.parts].mean(1)

    def _load_from_state_dict(
        self, state_dict, prefix, metadata, strict, missing, unexpected, errors
    ) -> None:
        # Whether an embedding is composed is known from what was saved.
        parts = state_dict.get(prefix + "parts")
        self.parts = None if parts is None else torch.zeros_like(parts, device=self.weight.device)
        if parts is not None and (
            parts.shape != (self.num_embeddings, 2)
            or not bool(((parts >= 0) & (parts < self.num_embeddings)).all())
        ):
            errors.append(f"{prefix}parts: expected ({self.num_embeddings}, 2) numbers of rows")
            return
        super()._load_from_state_dict(
            state_dict, prefix, metadata, strict, missing, unexpected, errors
        )

    @torch.no_grad()
    def start_from(self, vectors: np.ndarray, is_found: np.ndarray) -> None:
        """Take over the rows of ``vectors`` float32 ``(tokens, size)`` where ``is_found``.

        The other tokens keep random rows, of the same spread as the vectors, so that neither kind
        drowns the other. Raises SettingsError if the vectors have another width.
        """
        width = vectors.shape[1]
        if width != self.embedding_dim:
            raise SettingsError(
                f"model.embedding_size: {self.embedding_dim}, but the vectors of "
                f"model.vectors.path have {width} dimensions; set model.embedding_size to {width}"
            )
        found = torch.from_numpy(is_found)
        rows = torch.from_numpy(vectors)[found]
        if len(rows):
            self.weight.mul_(rows.std(correction=0) / self.weight.std(correction=0))
            self.weight[found] = rows.to(self.weight.device)
