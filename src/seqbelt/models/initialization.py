"""Initial weights that give each cell a fair start.

torch's default (uniform within 1/sqrt(hidden)) lets the gradient vanish within a few steps for
every cell. An LSTM keeps its memory when the forget gate starts open (Gers et al. 2000,
doi:10.1162/089976600300015015; Jozefowicz et al. 2015); an RNN when its recurrent matrix starts
orthogonal (Saxe et al. 2014, arXiv:1312.6120) or, with ReLU, as the identity (Le et al. 2015,
arXiv:1504.00941).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from seqbelt.models.recurrent import Recurrent

RecurrentInit = Literal["orthogonal", "identity", "uniform"]

_NUM_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@torch.no_grad()
def initialize(recurrent: Recurrent, recurrent_init: RecurrentInit, forget_bias: float) -> None:
    """Set the initial weights in place; ``uniform`` leaves torch's own."""
    if recurrent_init == "uniform":
        return
    num_gates = _NUM_GATES[recurrent.cell]
    for name, parameter in recurrent.weights.named_parameters():
        if name.startswith("weight_ih"):
            for gate in parameter.chunk(num_gates):
                nn.init.xavier_uniform_(gate)
        elif name.startswith("weight_hh"):
            for gate in parameter.chunk(num_gates):
                _square(gate, recurrent_init)
        else:
            parameter.zero_()
            if recurrent.cell == "lstm" and name.startswith("bias_ih"):
                # torch adds two biases; only one of them may carry the forget gate's.
                parameter.chunk(num_gates)[1].fill_(forget_bias)


def _square(gate: Tensor, recurrent_init: RecurrentInit) -> None:
    if recurrent_init == "identity":
        nn.init.eye_(gate)
    else:
        nn.init.orthogonal_(gate)
