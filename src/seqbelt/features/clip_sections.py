"""Several kinds of video features side by side, a step for each frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from seqbelt.features.base import Encoder, Learned, Source
from seqbelt.features.pretrained.frame_encoder import EncodedFrames
from seqbelt.features.sections import Sections
from seqbelt.features.video.video import FrameDifferences, Frames, VideoFeatures

AnyVideo: TypeAlias = Annotated[
    FrameDifferences | Frames | EncodedFrames, Field(discriminator="kind")
]


class ClipSections(Sections, VideoFeatures):
    """Several kinds of video features of one clip, concatenated: ``features: [{…}, {…}]``. All
    describe the same frames, so ``frame_rate`` is the same in each."""

    kind: Literal["clip_sections"]
    sections: tuple[AnyVideo, ...]
    """The kinds, in the order of their features; in a config, ``features`` is the list itself."""
    FOLLOWING: ClassVar[frozenset[str]] = frozenset(VideoFeatures.model_fields)
    """Settings that follow from those of the sections and are not written."""

    @model_validator(mode="after")
    def _follow_sections(self) -> "ClipSections":
        """Take the frames of the sections, and the limits of all."""
        self.refuse_single()
        if given := self.model_fields_set & self.FOLLOWING:
            raise ValueError(f"{', '.join(sorted(given))}: set in each section, not beside them")
        if len({section.frame_rate for section in self.sections}) > 1:
            raise ValueError("frame_rate must be the same in every section")
        shortest = min(section.max_duration_s for section in self.sections)
        object.__setattr__(self, "frame_rate", self.sections[0].frame_rate)  # settings are frozen
        object.__setattr__(self, "max_duration_s", shortest)
        return self

    def read(self, source: Source) -> tuple[Any, ...]:  # type: ignore[override]
        """What each section reads. Raises BadInput."""
        return tuple(section.read(source) for section in self.sections)

    def remarks(self, raw: tuple[Any, ...], encoder: Encoder) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for part in raw for note in part.notes))

    def encoder(self, learned: Learned) -> "ClipSectionsEncoder":  # type: ignore[override]
        return ClipSectionsEncoder(tuple(self.encoders_of(learned)))


@dataclass(frozen=True)
class ClipSectionsEncoder:
    """Encodes clips by every section."""

    encoders: tuple[Encoder, ...]

    @property
    def num_features(self) -> int:
        return sum(encoder.num_features for encoder in self.encoders)

    def encode(self, raws: Sequence[tuple[Any, ...]]) -> list[np.ndarray]:
        """Encode clips: float32 ``(steps, num_features)`` each. Raises BadInput."""
        columns = zip(*raws, strict=True)
        encoded = [
            encoder.encode(column) for encoder, column in zip(self.encoders, columns, strict=True)
        ]
        return [np.concatenate(parts, axis=1) for parts in zip(*encoded, strict=True)]
