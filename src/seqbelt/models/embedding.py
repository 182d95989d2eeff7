"""Token embedding."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqbelt.errors import SettingsError

INITIAL_STD = 0.1
"""Standard deviation of a random row. With torch's 1 the vector of a rare word stays mostly noise,
because an optimizer step changes a weight by about the learning rate."""


class Embedding(nn.Embedding):
    """One vector for each token of the vocabulary.

    In training a fraction ``dropout`` of the tokens is zero at all their positions in the batch, so
    that no prediction depends on a single word (Gal & Ghahramani 2016, arXiv:1512.05287).
    ``frozen`` vectors are not trained.
    """

    def __init__(
        self, num_tokens: int, size: int, dropout: float = 0.0, frozen: bool = False
    ) -> None:
        super().__init__(num_tokens, size)
        nn.init.normal_(self.weight, std=INITIAL_STD)
        self.weight.requires_grad_(not frozen)
        self.dropout = dropout

    def forward(self, input: Tensor) -> Tensor:
        """Vectors ``(batch, steps, size)`` of token ids ``(batch, steps)``."""
        steps = super().forward(input)
        if not self.training or not self.dropout:
            return steps
        kept = F.dropout(steps.new_ones(self.num_embeddings), self.dropout)
        return steps * kept[input][:, :, None]

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
