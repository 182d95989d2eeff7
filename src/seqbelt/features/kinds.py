"""All kinds of features. The tagged union is the registry: ``kind`` chooses the class."""

from typing import Annotated, TypeAlias

from pydantic import Field

from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.audio.spectral import Spectral
from seqbelt.features.text.text import Character, Jamo, Subword, Word
from seqbelt.features.video.video import FrameDifferences, Frames

AnyFeatures: TypeAlias = Annotated[
    LogMel | Mfcc | Spectral | Waveform
    | Subword | Character | Word | Jamo
    | FrameDifferences | Frames
    | Vectors | Channels,
    Field(discriminator="kind"),
]  # fmt: skip
