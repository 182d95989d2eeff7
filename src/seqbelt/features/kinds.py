"""All kinds of features. The tagged union is the registry: ``kind`` chooses the class."""

from typing import Annotated, TypeAlias

from pydantic import Field

from seqbelt.features.audio import LogMel, Mfcc, Spectral, Waveform

AnyFeatures: TypeAlias = Annotated[
    LogMel | Mfcc | Spectral | Waveform,
    Field(discriminator="kind"),
]
