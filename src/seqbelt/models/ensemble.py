"""An ensemble: the averaged class probabilities of networks with the same settings.

Networks trained from different seeds make different errors; their mean is more accurate than one
network on average, and better calibrated (Lakshminarayanan et al. 2017, arXiv:1612.01474).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqbelt.models.chunks import Chunks
from seqbelt.models.classifier import SequenceNetwork, SingleNetwork
from seqbelt.models.model import Model


def average_logits(logits: Sequence[Tensor]) -> Tensor:
    """Log of the mean probabilities of several networks' logits ``(..., classes)``.

    The logits of one network are returned as they are. Probabilities are averaged, not logits: by
    Jensen's inequality the cross-entropy of the mean is then at most the mean cross-entropy.
    """
    if len(logits) == 1:
        return logits[0]
    stacked = torch.stack([network_logits.float().log_softmax(-1) for network_logits in logits])
    return stacked.logsumexp(0) - math.log(len(logits))


class Ensemble(nn.Module):
    """The average of networks, with the prediction interface of a ``SequenceNetwork``.

    Raises ValueError for networks that differ in settings or sizes, or where there are fewer than
    two.
    """

    def __init__(self, networks: Sequence[SequenceNetwork]) -> None:
        super().__init__()
        if len(networks) < 2:
            raise ValueError(f"an ensemble averages two networks or more, got {len(networks)}")
        shapes = [{k: v.shape for k, v in network.state_dict().items()} for network in networks]
        if any(network.settings != networks[0].settings for network in networks) or any(
            shape != shapes[0] for shape in shapes
        ):
            raise ValueError("the networks of an ensemble must have equal settings and sizes")
        self.members = nn.ModuleList(networks)

    @property
    def networks(self) -> tuple[SequenceNetwork, ...]:
        """The networks that are averaged."""
        return tuple(member for member in self.members if isinstance(member, SequenceNetwork))

    def forward(self, inputs: Tensor, lengths: Tensor, chunks: Chunks | None = None) -> Tensor:
        """Log of the mean probabilities ``(batch, classes)``, or ``(batch, steps, classes)``
        without pooling; the arguments are those of ``SequenceNetwork.forward``."""
        return average_logits([network(inputs, lengths, chunks) for network in self.networks])

    def classify_spans(self, inputs: Tensor, lengths: Tensor, num_steps: int) -> Tensor:
        """Log of the mean probabilities of ``SequenceNetwork.classify_spans``."""
        return average_logits(
            [network.classify_spans(inputs, lengths, num_steps) for network in self.networks]
        )

    @property
    def settings(self) -> Model:
        """The settings that all networks have in common."""
        return self.networks[0].settings

    @property
    def is_tokens(self) -> bool:
        return self.networks[0].is_tokens

    @property
    def main(self) -> SingleNetwork:
        """The first network's, of its first or only input, for its sizes."""
        return self.networks[0].main

    @property
    def classify(self) -> nn.Linear:
        """The first network's last layer, for its sizes."""
        return self.networks[0].classify

    @property
    def reduction(self) -> int:
        """Input steps for each step that the recurrences read."""
        return self.networks[0].reduction

    @property
    def labels_steps(self) -> bool:
        """Whether every step is classified instead of the sequence."""
        return self.networks[0].labels_steps

    def split(self, logits: Tensor, lengths: Tensor) -> list[Tensor]:
        """As ``SequenceNetwork.split``."""
        return self.networks[0].split(logits, lengths)

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters of all networks together."""
        return sum(network.num_parameters for network in self.networks)


Network = SequenceNetwork | Ensemble
"""One network, or the average of several."""
