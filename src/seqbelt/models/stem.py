"""The stem: convolutions over the valid steps, before the recurrence.

A recurrent network reads one step at a time, and one step of a raw signal has little information. A
few convolutions with strides make fewer steps with more information each (LSTM-FCN: Karim et al.
2018, doi:10.1109/ACCESS.2017.2779939; ResNet for series: Wang et al. 2017, arXiv:1611.06455). Each
step is normalised separately (layer normalisation, Ba et al. 2016, arXiv:1607.06450), so that no
value depends on the batch or the padding.
"""

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from seqbelt.settings import Count, Settings

MIN_STEPS = 64
"""Steps that the strides of ``auto`` leave at least in a training sequence of median length."""


class Stem(Settings):
    """Convolutional blocks, one for each entry: convolution, layer normalisation, ReLU.

    A block that changes neither the number of channels nor of steps adds its input to its output
    (He et al. 2016, arXiv:1512.03385).
    """

    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (64, 128, 128)
    """Output channels of each block."""
    kernel_sizes: tuple[Count, ...] = (7, 5, 3)
    """Kernel size of each block's convolution in steps; odd."""
    strides: tuple[Count, ...] = (1, 1, 1)
    """Stride of each block; the recurrence reads fewer steps by their product."""

    @model_validator(mode="after")
    def _check_entries(self) -> Self:
        counts = {len(self.channels), len(self.kernel_sizes), len(self.strides)}
        if len(counts) > 1:
            raise ValueError(
                f"channels has {len(self.channels)} entries, kernel_sizes "
                f"{len(self.kernel_sizes)}, strides {len(self.strides)}; give one for each block"
            )
        if any(size % 2 == 0 for size in self.kernel_sizes):
            raise ValueError(f"kernel_sizes {self.kernel_sizes} must be odd")
        return self

    @property
    def reduction(self) -> int:
        """Input steps for each output step."""
        return int(np.prod(self.strides))

    @classmethod
    def for_tokens(cls, embedding_size: int) -> "Stem":
        """One block of kernel size 3 that keeps the embedding's width and every step."""
        return cls(channels=(embedding_size,), kernel_sizes=(3,), strides=(1,))

    @classmethod
    def for_lengths(cls, lengths: np.ndarray | None) -> "Stem":
        """Blocks for sequences of numbers, ``lengths`` ``(sequences,)`` of the training rows.

        The last blocks get the strides, so that the first ones read every step.
        """
        stem = cls()
        strides = list(stem.strides)
        median = 0.0 if lengths is None or not len(lengths) else float(np.median(lengths))
        block = len(strides) - 1
        while median / (2 * int(np.prod(strides))) >= MIN_STEPS:
            strides[block] *= 2
            block = block - 1 if block else len(strides) - 1
        return stem.replace(strides=tuple(strides))
