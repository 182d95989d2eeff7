"""Several networks of the same settings, of which the class probabilities are averaged.

Networks that differ by their seed alone make different errors; their mean is more accurate than
they are on average, and better calibrated (Lakshminarayanan et al. 2017, arXiv:1612.01474).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqbelt.models.chunks import Chunks
from seqbelt.models.classifier import Model, SequenceNetwork, Standardize
from seqbelt.models.embedding import Embedding


def average_logits(logits: Sequence[Tensor]) -> Tensor:
    """Logs of the mean probabilities that several networks' logits ``(..., classes)`` give.

    The logits of one network are returned as they are. Probabilities are averaged, not logits: by
    Jensen's inequality the cross-entropy of the mean is then at most the mean cross-entropy.
    """
    if len(logits) == 1:
        return logits[0]
    stacked = torch.stack([one.float().log_softmax(-1) for one in logits])
    return stacked.logsumexp(0) - math.log(len(logits))


class Ensemble(nn.Module):
    """The average of networks, with the interface of one ``SequenceNetwork`` for prediction.

    Raises ValueError for networks that differ in settings or sizes, or where there are fewer than
    two.
    """

    def __init__(self, networks: Sequence[SequenceNetwork]) -> None:
        super().__init__()
        if len(networks) < 2:
            raise ValueError(f"an ensemble averages two networks or more, got {len(networks)}")
        shapes = [{k: v.shape for k, v in one.state_dict().items()} for one in networks]
        if any(one.settings != networks[0].settings for one in networks) or any(
            shape != shapes[0] for shape in shapes
        ):
            raise ValueError("the networks of an ensemble must have equal settings and sizes")
        self.members = nn.ModuleList(networks)

    @property
    def networks(self) -> tuple[SequenceNetwork, ...]:
        """The networks that are averaged."""
        return tuple(one for one in self.members if isinstance(one, SequenceNetwork))

    def forward(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        """Logs of the mean probabilities ``(batch, classes)``, or ``(batch, steps, classes)``
        without pooling; the arguments are those of ``SequenceNetwork.forward``."""
        return average_logits([one(inputs, lengths, chunks) for one in self.networks])

    @property
    def settings(self) -> Model:
        """The settings that all of them have."""
        return self.networks[0].settings

    @property
    def is_tokens(self) -> bool:
        return self.networks[0].is_tokens

    @property
    def embed(self) -> Embedding:
        """The first network's embedding, which has the sizes of all."""
        return self.networks[0].embed

    @property
    def normalize(self) -> Standardize:
        """The first network's standardisation, which has the sizes of all."""
        return self.networks[0].normalize

    @property
    def classify(self) -> nn.Linear:
        """The first network's last layer, which has the sizes of all."""
        return self.networks[0].classify

    @property
    def reduction(self) -> int:
        """Input steps for each step that the recurrences read."""
        return self.networks[0].reduction

    @property
    def labels_steps(self) -> bool:
        """Whether every step is classified, and not the sequence."""
        return self.networks[0].labels_steps

    def split(self, logits: Tensor, lengths: Tensor) -> list[Tensor]:
        """As ``SequenceNetwork.split``."""
        return self.networks[0].split(logits, lengths)

    @property
    def num_parameters(self) -> int:
        """Trainable numbers of all networks together."""
        return sum(one.num_parameters for one in self.networks)


Network = SequenceNetwork | Ensemble
"""What predicts: one network, or the average of several."""
