"""All kinds of features. The tagged union is the registry: ``kind`` chooses the class."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from seqbelt.features.joined_inputs import KIND, SeveralInputs, are_inputs, name_inputs
from seqbelt.features.single_kinds import AnySingle

AnyFeatures: TypeAlias = Annotated[AnySingle | SeveralInputs, Field(discriminator="kind")]


VIDEO_KINDS = ("frame_differences", "frames")


def spell_features(features: Any) -> Any:
    """The section ``features`` of a config with what is written short as the classes have it: a
    list is a kind of its own, and so are several inputs and columns of the manifest."""
    if isinstance(features, list):
        return name_sections(features)
    if not isinstance(features, Mapping) or not are_inputs(features):
        return features
    named = name_inputs(features)
    return {
        name: name_sections(section)
        if isinstance(section, list) and name not in SeveralInputs.model_fields
        else section
        for name, section in named.items()
    }


def name_sections(sections: list[Any]) -> dict[str, Any]:
    """The kind of features that a list of sections in a config stands for."""
    first = sections[0] if sections and isinstance(sections[0], Mapping) else {}
    is_video = first.get("kind") in VIDEO_KINDS or first.get("reads") == "frames"
    return {"kind": "clip_sections" if is_video else "sections", "sections": sections}


def parse_stored(values: Mapping[str, Any]) -> AnyFeatures:
    """The features that a bundle or a file has stored; what it does not name is as it was then.

    Raises pydantic.ValidationError.
    """
    if values.get("kind") == KIND:
        return _parse_inputs(values)
    if "sections" in values:
        sections = [parse_stored(section).to_dict() for section in values["sections"]]
        values = {**values, "sections": sections}
    adapter = TypeAdapter[AnyFeatures](AnyFeatures)
    features = adapter.validate_json(json.dumps(values))
    missing = {name: value for name, value in features.before.items() if name not in values}
    return adapter.validate_json(json.dumps({**values, **missing})) if missing else features


def _parse_inputs(values: Mapping[str, Any]) -> SeveralInputs:
    """Stored features of several inputs, each of which may name less than today's."""
    values = SeveralInputs.spell_out(values)
    inputs = {
        name: section if name in SeveralInputs.model_fields else parse_stored(section).to_dict()
        for name, section in values.items()
    }
    return SeveralInputs.model_validate_json(json.dumps(inputs))
