"""Several kinds of sound features side by side, each step holding what stands at its time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from seqbelt.features.audio.audio import AudioFeatures, LogMel, Mfcc, Waveform
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.audio.spectral import Spectral
from seqbelt.features.base import Encoder, Learned, Source
from seqbelt.features.pretrained.encoded_sound import EncodedSound
from seqbelt.features.sections import Sections

AnySound: TypeAlias = Annotated[
    LogMel | Mfcc | Spectral | Waveform | EncodedSound, Field(discriminator="kind")
]


class SoundSections(Sections, AudioFeatures):
    """Several kinds of sound features of one recording, concatenated: ``features: [{…}, {…}]``.

    Steps are those of the section with the shortest hop; a slower section's last step so far is
    repeated.
    """

    kind: Literal["sections"]
    sections: tuple[AnySound, ...]
    """The kinds, in the order of their features; in a config, ``features`` is the list itself."""
    FOLLOWING: ClassVar[frozenset[str]] = frozenset(AudioFeatures.model_fields)
    """Settings that follow from those of the sections and are not written."""

    @model_validator(mode="after")
    def _follow_sections(self) -> "SoundSections":
        """Take the framing of the fastest section, and the limits of all."""
        self.refuse_single()
        given = self.model_fields_set & self.FOLLOWING - {"max_duration_s"}
        if given:
            raise ValueError(f"{', '.join(sorted(given))}: set in each section, not beside them")
        for name in ("trim_silence_db", "signal_version"):
            if len({getattr(section, name) for section in self.sections}) > 1:
                raise ValueError(f"{name} must be the same in every section, to align their steps")
        followed: dict[str, Any] = {
            name: getattr(self.fastest, name)
            for name in ("sample_rate", "window_ms", "hop_ms", "trim_silence_db", "signal_version")
        }
        if "max_duration_s" not in self.model_fields_set:
            followed["max_duration_s"] = min(section.max_duration_s for section in self.sections)
        for name, value in followed.items():
            object.__setattr__(self, name, value)  # settings are frozen
        return self

    @property
    def fastest(self) -> AudioFeatures:
        """The section whose steps are taken."""
        return min(self.sections, key=lambda section: section.step_s())

    @property
    def hop(self) -> int:
        return self.fastest.hop

    @property
    def window(self) -> int:
        return self.fastest.window

    def notes(self, learned: Learned) -> tuple[str, ...]:
        """What the sections found, and how unequal steps are aligned."""
        notes = [*super().notes(learned)]
        fastest = self.fastest.step_s()
        for number, section in enumerate(self.sections):
            if section.step_s() > fastest:
                notes.append(
                    f"features[{number}] ({section.to_dict()['kind']}) has a step every "
                    f"{1000 * section.step_s():g} ms: its last step is repeated at the steps of "
                    f"every {1000 * fastest:g} ms"
                )
        return tuple(notes)

    def read(self, source: Source) -> Audio:
        audio = super().read(source)
        for section in self.sections:
            if isinstance(section, EncodedSound):
                section.check_duration(audio)
        return audio

    def comparable(self, sequence: np.ndarray) -> np.ndarray:
        """The first section, unless it is an encoder's."""
        first = self.sections[0]
        if isinstance(first, EncodedSound):
            return sequence
        return first.comparable(sequence[:, : first.num_features])

    def encoder(self, learned: Learned) -> "SectionsEncoder":  # type: ignore[override]
        return SectionsEncoder(self, tuple(self.encoders_of(learned)))

    def remarks(self, raw: Audio, encoder: Encoder) -> tuple[str, ...]:
        assert isinstance(encoder, SectionsEncoder)
        remarks = [
            remark
            for section, own in zip(self.sections, encoder.encoders, strict=True)
            for remark in section.remarks(raw, own)
        ]
        return tuple(dict.fromkeys(remarks))


@dataclass(frozen=True)
class SectionsEncoder:
    """Encodes recordings by every section."""

    features: SoundSections
    encoders: tuple[Encoder, ...]

    @property
    def num_features(self) -> int:
        return sum(encoder.num_features for encoder in self.encoders)

    def encode(self, raws: Sequence[Audio]) -> list[np.ndarray]:
        """Encode recordings: float32 ``(num_steps, num_features)`` each."""
        encoded = [encoder.encode(raws) for encoder in self.encoders]
        return [
            self.align(rows, [0] * len(rows), range(len(rows[self.fastest])))
            for rows in zip(*encoded, strict=True)
        ]

    @property
    def fastest(self) -> int:
        """Index of the section whose steps are taken."""
        return self.features.sections.index(self.features.fastest)

    def align(self, rows: Sequence[np.ndarray], first: Sequence[int], steps: range) -> np.ndarray:
        """Steps ``(steps, num_features)`` of the rows of sections, which begin with the section's
        row ``first``; what is missing at the end is the last row."""
        parts = []
        for number, section_rows in enumerate(rows):
            indices = self._row_at(number, np.arange(steps.start, steps.stop)) - first[number]
            parts.append(section_rows[indices.clip(max=len(section_rows) - 1)])
        return np.concatenate(parts, axis=1)

    def row_at(self, number: int, step: int) -> int:
        """The last row of a section that stands at or before a step."""
        return int(self._row_at(number, np.array(step)))

    def num_steps_of(self, number: int, num_rows: int) -> int:
        """Steps that so many rows of a section are enough for."""
        rows, steps = self._rates(number)
        return -(-num_rows * steps // rows)

    def _row_at(self, number: int, steps: np.ndarray) -> np.ndarray:
        rows, per_steps = self._rates(number)
        return steps * rows // per_steps

    def _rates(self, number: int) -> tuple[int, int]:
        """Rows of a section for how many steps: whole numbers, since quotients of times would miss
        rows that stand at the same time."""
        section, fastest = self.features.sections[number], self.features.fastest
        return fastest.hop * section.sample_rate, fastest.sample_rate * section.hop
