"""The ``model`` section: the settings of a network, which are read without torch."""

from typing import Annotated, Literal, Self, cast

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from seqbelt.cropping import Crop, Cropping
from seqbelt.errors import SettingsError
from seqbelt.features.text.word_vectors import WordVectors
from seqbelt.models.kind_defaults import defaults_for
from seqbelt.models.stem import Stem
from seqbelt.settings import Count, Fraction, Settings, renamed

Cell = Literal["lstm", "gru", "rnn", "none"]
Layout = Literal["auto", "padded", "packed", "fused"]
RecurrentInit = Literal["orthogonal", "identity", "uniform"]
ForgetBias = Annotated[Literal["chrono"] | float, Field(union_mode="left_to_right")]
PoolingName = Literal["last", "mean", "max", "attention", "attention_max", "concat", "none"]
ATTENDING = ("attention", "attention_max")
"""Poolings that weight the steps by a learned score."""
LOCAL: tuple[PoolingName, ...] = ("mean", "max", "attention", "attention_max")
"""Poolings that can also pool the neighbourhood of each step."""
ATTENTION_WIDTH = 64
"""Values from which a score is computed."""
NUM_GATES: dict[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}
"""Gates of a cell, each with ``hidden_size`` rows of the weights."""
POOLED_PARTS: dict[PoolingName, int] = {"concat": 3, "attention_max": 2}
"""Vectors that a pooling concatenates; the others give one."""
NEGLIGIBLE_SPREAD = 1e-6
"""Spread of a sequence, in training standard deviations, below which it counts as constant."""
AutoFraction = Literal["auto"] | Fraction


class Model(Settings):
    """A recurrent classifier; all cells share the other settings."""

    cell: Cell = "lstm"
    """Recurrent cell; none omits the recurrence, for comparison."""
    stem: Literal["auto", "none"] | Stem = "auto"
    """Convolutions before the recurrence; auto fits their strides to the training sequences."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """The RNN's activation; the other cells ignore it."""
    hidden_size: Count = 128
    """Width of the hidden state of one direction."""
    num_layers: Count = 1
    """Recurrent layers on top of each other."""
    bidirectional: bool = True
    """Also run from the end to the beginning with a second set of weights. A model that streams
    must be unidirectional."""
    dropout: AutoFraction = "auto"
    """Fraction of values dropped between layers and before the linear layer; auto takes the default
    of the kind of sequence, as in the two settings below."""
    input_dropout: AutoFraction = "auto"
    """Fraction of input values (or embedding values) dropped."""
    pooling: PoolingName = "attention_max"
    """How the outputs of the valid steps become one vector; none classifies every step, which
    ``data.labels: per_step`` requires."""
    embedding_size: Count = 128
    """Width of a token's embedding; only for token ids."""
    embedding_dropout: AutoFraction = "auto"
    """Fraction of the vocabulary's tokens whose vectors are zero in a training step."""
    vectors: WordVectors | None = None
    """Word vectors that initialise the embedding; null draws it at random. The file is needed to
    train, not to predict."""
    scaling: Literal["auto", "rows", "rows_and_sequence"] = "auto"
    """Features are standardised by all training rows; rows_and_sequence appends them standardised
    over each sequence, for recordings of different levels. auto does so for bidirectional networks
    that give a sequence one label."""
    differences: Literal["auto"] | bool = "auto"
    """Append each feature's difference from the step before, standardised over the training rows;
    auto does so for numeric features with a stem."""
    layout: Layout = "auto"
    """How the recurrence is computed; the results are the same, the speed differs."""
    recurrent_init: RecurrentInit = "orthogonal"
    """Initial recurrent weights; identity is meant for an RNN with ReLU."""
    forget_bias: ForgetBias = 1.0
    """Initial bias of the LSTM's forget gate; chrono draws the biases of the LSTM's and the GRU's
    gates so that the units remember for as long as the training sequences last."""
    max_steps: Count | None = Field(
        default=None, validation_alias=renamed("crop_steps", "max_steps")
    )
    """Largest number of steps that the network reads of a sequence; null reads all."""
    crop: Crop = "head"
    """Which steps of a longer sequence are read: the first (head), the last (tail) or, in training,
    another random window in every epoch. Predictions then use the first steps (random) or average
    the probabilities of the windows that cover the sequence (windows)."""

    @model_validator(mode="after")
    def _check_scaling_and_strides(self) -> Self:
        if self.scaling == "rows_and_sequence" and not self.bidirectional:
            raise ValueError(
                "scaling: rows_and_sequence needs the complete sequence before its first "
                "step; set bidirectional: true, or scaling: rows"
            )
        if self.labels_steps and isinstance(self.stem, Stem) and self.stem.reduction > 1:
            raise ValueError(
                f"stem.strides {self.stem.strides}: classifying every step "
                "(pooling none) needs every step; set all strides to 1"
            )
        return self

    @field_validator("forget_bias")
    @classmethod
    def _check_chrono(cls, value: ForgetBias, info: ValidationInfo) -> ForgetBias:
        if value == "chrono" and info.data.get("recurrent_init") == "uniform":
            raise ValueError(
                "chrono needs recurrent_init orthogonal or identity: uniform keeps torch's biases"
            )
        return value

    def resolve(self, is_tokens: bool, lengths: np.ndarray | None) -> Self:
        """The settings with every ``auto`` replaced by its value.

        ``lengths`` ``(sequences,)`` of the training rows, in steps, determine the strides of the
        stem. Where every step is classified, all strides are 1.
        """
        defaults, changes = defaults_for(is_tokens), {}
        for name in ("dropout", "input_dropout", "embedding_dropout"):
            if getattr(self, name) == "auto":
                changes[name] = getattr(defaults, name)
        if self.scaling == "auto":
            by_sequence = self.bidirectional and not (self.labels_steps or is_tokens)
            changes["scaling"] = "rows_and_sequence" if by_sequence else "rows"
        if self.differences is True and is_tokens:
            raise SettingsError("model.differences: token ids have no differences; set it to false")
        if self.differences == "auto":
            changes["differences"] = self.stem != "none" and not is_tokens
        if self.stem == "auto" and is_tokens:
            changes["stem"] = Stem.for_tokens(self.embedding_size).to_dict()
        elif self.stem == "auto":
            known_lengths = None if self.labels_steps else lengths
            changes["stem"] = Stem.for_lengths(known_lengths).to_dict()
        return self.replace(**changes) if changes else self

    @property
    def labels_steps(self) -> bool:
        """Whether every step is classified instead of the sequence."""
        return self.pooling == "none"

    @property
    def cropping(self) -> Cropping:
        """What the network reads of a sequence."""
        return Cropping(self.max_steps, self.crop)

    @property
    def dropout_rates(self) -> tuple[float, float, float]:
        """``dropout``, ``input_dropout`` and ``embedding_dropout`` of resolved settings."""
        rates = self.dropout, self.input_dropout, self.embedding_dropout
        assert "auto" not in rates, "resolve() comes first"
        return cast(tuple[float, float, float], rates)
