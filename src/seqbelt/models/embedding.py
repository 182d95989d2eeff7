"""Token embedding."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqbelt.errors import SettingsError
from seqbelt.models.numpy_network import check_embedding_parts

INITIAL_STD = 0.1
"""Standard deviation of a random row. With torch's 1 the vector of a rare word stays mostly noise,
because an optimizer step changes a weight by about the learning rate."""


class Embedding(nn.Embedding):
    """One vector for each token of the vocabulary.

    In training a fraction ``dropout`` of the tokens is zero at all their positions in the batch, so
    that no prediction depends on a single word (Gal & Ghahramani 2016, arXiv:1512.05287).
    ``frozen`` vectors are not trained.

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
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        # Whether an embedding is composed is known from what was saved.
        parts = state_dict.get(prefix + "parts")
        self.parts = None if parts is None else torch.zeros_like(parts, device=self.weight.device)
        if parts is not None:
            try:
                check_embedding_parts(prefix + "parts", parts.cpu().numpy(), self.num_embeddings)
            except ValueError as error:
                error_msgs.append(str(error))
                return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @torch.no_grad()
    def start_from(self, vectors: np.ndarray, is_found: np.ndarray) -> None:
        """Copy the rows of ``vectors`` float32 ``(tokens, size)`` where ``is_found`` ``(tokens,)``.

        The other tokens keep random rows, scaled to the standard deviation of the vectors. Raises
        SettingsError if the vectors have another width.
        """
        width = vectors.shape[1]
        if width != self.embedding_dim:
            raise SettingsError(
                f"model.embedding_size: {self.embedding_dim}, but the vectors of "
                f"model.vectors.path have {width} dimensions; set model.embedding_size to {width}"
            )
        mask = torch.from_numpy(is_found)
        rows = torch.from_numpy(vectors)[mask]
        if len(rows):
            self.weight.mul_(rows.std(correction=0) / self.weight.std(correction=0))
            self.weight[mask] = rows.to(self.weight.device)
