"""Recurrent layers over sequences of different lengths, without padding, on the CPU.

A small C++ kernel, from the wheel or compiled on first use, replaces packed ``torch.nn.LSTM``,
``GRU`` and ``RNN`` layers. It is optional: where :func:`is_available` is false, use torch's layers.
"""

from seqbelt.models.fused.layer import Plan, fused_layer
from seqbelt.models.fused.library import is_available, why_unavailable

__all__ = ["Plan", "fused_layer", "is_available", "why_unavailable"]
