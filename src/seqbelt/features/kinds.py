"""All kinds of features. The tagged union is the registry: ``kind`` chooses the class."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.audio.spectral import Spectral
from seqbelt.features.clip_sections import ClipSections
from seqbelt.features.pretrained.frame_encoder import EncodedFrames
from seqbelt.features.pretrained.sound_encoder import EncodedSound
from seqbelt.features.pretrained.token_encoder import EncodedText
from seqbelt.features.sound_sections import SoundSections
from seqbelt.features.text.morpheme import Morpheme
from seqbelt.features.text.text import Character, Jamo, Subword, Word
from seqbelt.features.video.video import FrameDifferences, Frames

AnyEncoded: TypeAlias = Annotated[
    EncodedSound | EncodedFrames | EncodedText, Field(discriminator="reads")
]
AnyFeatures: TypeAlias = Annotated[
    LogMel | Mfcc | Spectral | Waveform
    | Subword | Character | Word | Jamo | Morpheme
    | FrameDifferences | Frames
    | Vectors | Channels
    | AnyEncoded | SoundSections | ClipSections,
    Field(discriminator="kind"),
]  # fmt: skip


VIDEO_KINDS = ("frame_differences", "frames")


def name_sections(sections: list[Any]) -> dict[str, Any]:
    """The kind of features that a list of sections in a config stands for."""
    first = sections[0] if sections and isinstance(sections[0], Mapping) else {}
    is_video = first.get("kind") in VIDEO_KINDS or first.get("reads") == "frames"
    return {"kind": "clip_sections" if is_video else "sections", "sections": sections}


def parse_stored(values: Mapping[str, Any]) -> AnyFeatures:
    """The features that a bundle or a file has stored; what it does not name is as it was then.

    Raises pydantic.ValidationError.
    """
    if "sections" in values:
        sections = [parse_stored(section).to_dict() for section in values["sections"]]
        values = {**values, "sections": sections}
    adapter = TypeAdapter[AnyFeatures](AnyFeatures)
    found = adapter.validate_json(json.dumps(values))
    missing = {name: value for name, value in found.before.items() if name not in values}
    return adapter.validate_json(json.dumps({**values, **missing})) if missing else found
