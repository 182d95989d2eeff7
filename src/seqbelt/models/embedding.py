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
