"""The kinds of features that one input of an item can have."""

from typing import Annotated, TypeAlias

from pydantic import Field

from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.audio.spectral import Spectral
from seqbelt.features.clip_sections import ClipSections
from seqbelt.features.pretrained.encoded_sound import EncodedSound
from seqbelt.features.pretrained.frame_encoder import EncodedFrames
from seqbelt.features.pretrained.token_encoder import EncodedText
from seqbelt.features.sound_sections import SoundSections
from seqbelt.features.text.morpheme import Morpheme
from seqbelt.features.text.text import Character, Jamo, Subword, Word
from seqbelt.features.video.video import FrameDifferences, Frames

AnyEncoded: TypeAlias = Annotated[
    EncodedSound | EncodedFrames | EncodedText, Field(discriminator="reads")
]
AnySingle: TypeAlias = Annotated[
    LogMel | Mfcc | Spectral | Waveform
    | Subword | Character | Word | Jamo | Morpheme
    | FrameDifferences | Frames
    | Vectors | Channels
    | AnyEncoded | SoundSections | ClipSections,
    Field(discriminator="kind"),
]  # fmt: skip
