"""What several kinds of features of one source share, whose steps are put side by side."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import model_serializer

from seqbelt.features.base import Encoder, Features, Learned


class Sections(Features):
    """Base of features that are a list of ``sections``; the files that a section learned begin with
    its number."""

    learns: ClassVar[bool] = True
    before: ClassVar[Mapping[str, Any]] = {}
    has_one_unit: ClassVar[bool] = False

    @property
    def _parts(self) -> tuple[Features, ...]:
        return getattr(self, "sections")  # noqa: B009  # a field of each class, of its own type

    def refuse_single(self) -> None:
        """Raise ValueError for fewer than two sections."""
        if len(self._parts) < 2:
            raise ValueError("a list needs two sections at least; write one as a mapping")

    @model_serializer
    def _write(self) -> dict[str, Any]:
        kind = getattr(self, "kind")  # noqa: B009
        return {"kind": kind, "sections": [section.to_dict() for section in self._parts]}

    def identity(self) -> dict[str, Any]:
        sections = [{**section.identity(), "version": section.version} for section in self._parts]
        return {"kind": self.to_dict()["kind"], "sections": sections}

    def files_stamp(self) -> str:
        return "".join(section.files_stamp() for section in self._parts)

    def identifying(self, learned: Learned) -> Learned:
        return _join(
            section.identifying(own) if own else {} for section, own in self._with_own(learned)
        )

    def notes(self, learned: Learned) -> tuple[str, ...]:
        return tuple(
            note for section, own in self._with_own(learned) for note in section.notes(own)
        )

    def learn(self, raws: Iterable[Any]) -> Learned:
        """What the sections learn; none reads a row. Raises SettingsError."""
        return _join(section.learn(()) for section in self._parts)

    def section_widths(self, encoder: Encoder) -> tuple[tuple[str, int], ...]:
        encoders: tuple[Encoder, ...] = getattr(encoder, "encoders")  # noqa: B009
        return tuple(
            (section.to_dict()["kind"], own.num_features)
            for section, own in zip(self._parts, encoders, strict=True)
        )

    def encoders_of(self, learned: Learned) -> Iterator[Encoder]:
        """The encoder of each section."""
        return (section.encoder(own) for section, own in self._with_own(learned))

    def _with_own(self, learned: Learned) -> Iterator[tuple[Features, Learned]]:
        """Each section with the files that it learned."""
        for number, section in enumerate(self._parts):
            start = f"{number}-"
            yield (
                section,
                {
                    name.removeprefix(start): content
                    for name, content in learned.items()
                    if name.startswith(start)
                },
            )


def _join(parts: Iterable[Learned]) -> Learned:
    return {
        f"{number}-{name}": content
        for number, part in enumerate(parts)
        for name, content in part.items()
    }
