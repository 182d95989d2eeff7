"""All kinds of features. The tagged union is the registry: ``kind`` chooses the class."""

from typing import Annotated, TypeAlias

from pydantic import Field

from seqbelt.features.audio import LogMel, Mfcc, Waveform
from seqbelt.features.signal import Channels
from seqbelt.features.spectral import Spectral
from seqbelt.features.text import Character, Jamo, Subword, Word
from seqbelt.features.vectors import Vectors
from seqbelt.features.video import FrameDifferences, Frames

AnyFeatures: TypeAlias = Annotated[
    LogMel | Mfcc | Spectral | Waveform
    | Subword | Character | Word | Jamo
    | FrameDifferences | Frames
    | Vectors | Channels,
    Field(discriminator="kind"),
]  # fmt: skip
