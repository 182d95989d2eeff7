"""Initial weights of the recurrent layers.

torch's default (uniform within 1/sqrt(hidden)) lets the gradient vanish within a few steps for
every cell. An LSTM keeps its memory when the forget gate starts open (Gers et al. 2000,
doi:10.1162/089976600300015015; Jozefowicz et al. 2015), and keeps it as long as the data needs
when the biases are drawn from the data's lengths (chrono: Tallec & Ollivier 2018,
arXiv:1804.11188); an RNN when its recurrent matrix starts orthogonal (Saxe et al. 2014,
arXiv:1312.6120) or, with ReLU, as the identity (Le et al. 2015, arXiv:1504.00941).
"""

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.models.model import NUM_GATES, Cell, ForgetBias, RecurrentInit
from seqbelt.models.recurrent import Recurrent


@torch.no_grad()
def initialize(
    recurrent: Recurrent,
    recurrent_init: RecurrentInit,
    forget_bias: ForgetBias,
    lengths: np.ndarray | None = None,
) -> None:
    """Set the initial weights in place; ``uniform`` keeps torch's.

    ``lengths`` ``(sequences,)`` of the training rows, in steps, are used by ``chrono``; without
    them its biases are 0.
    """
    if recurrent_init == "uniform":
        return
    num_gates = NUM_GATES[recurrent.cell]
    for name, parameter in recurrent.weights.named_parameters():
        if name.startswith("weight_ih"):
            for gate in parameter.chunk(num_gates):
                nn.init.xavier_uniform_(gate)
        elif name.startswith("weight_hh"):
            initialize_gate = nn.init.eye_ if recurrent_init == "identity" else nn.init.orthogonal_
            for gate in parameter.chunk(num_gates):
                initialize_gate(gate)
        else:
            parameter.zero_()
            if name.startswith("bias_ih"):
                # torch adds two bias vectors; only one may contain the gates' biases.
                _initialize_gate_biases(
                    recurrent.cell, parameter.chunk(num_gates), forget_bias, lengths
                )


def _initialize_gate_biases(
    cell: Cell, gates: tuple[Tensor, ...], forget_bias: ForgetBias, lengths: np.ndarray | None
) -> None:
    """Set the biases that decide how long a unit remembers; an RNN has none."""
    if forget_bias != "chrono":
        if cell == "lstm":
            gates[1].fill_(forget_bias)
    elif cell == "lstm":
        gates[1].copy_(_chrono(gates[1], lengths))
        gates[0].copy_(-gates[1])  # input gate: 1 - forget gate
    elif cell == "gru":
        gates[1].copy_(_chrono(gates[1], lengths))  # torch's update gate is the fraction kept


def _chrono(like: Tensor, lengths: np.ndarray | None) -> Tensor:
    """Biases ``log u`` with which each unit remembers about ``u`` steps.

    The paper draws u uniformly from 1 to T - 1 for one T. Here each unit takes the length of a
    random training sequence as its T: the same where all lengths are equal, and a single long
    recording does not affect every unit.
    """
    if lengths is None or not len(lengths):
        return torch.zeros_like(like)
    chosen = torch.from_numpy(lengths)[torch.randint(len(lengths), like.shape)]
    longest = (chosen - 1).clamp_min(1).to(like.dtype)
    return torch.log(1 + torch.rand(like.shape, dtype=like.dtype) * (longest - 1))
