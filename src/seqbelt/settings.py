"""Strict, frozen settings read from YAML, with ``dotted.key=value`` overrides.

The class whose fields a YAML section sets also does the work of that section. A default is written
once, on the field.
"""

import difflib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias, get_args

import yaml
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from seqbelt.errors import SettingsError
from seqbelt.yaml_reading import clip_text, parse_yaml, read_with_lines, yaml_message

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
"""The range that numpy, torch and scikit-learn accept."""
Count: TypeAlias = Annotated[int, Field(ge=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
MAX_INTEGER = 2**60
"""Larger numbers overflow in sums of what they count."""
TAG_NAMES = ("kind", "reads")
"""Settings that choose the class of their section."""
logger = logging.getLogger(__name__)


def refuse_address(path: Any) -> Any:
    """``path`` as it is. Raises ValueError for an address such as ``s3://…``, which a path would
    turn into a local folder of that name."""
    if isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise ValueError(f"'{path}' is an address; expected a file or folder of this machine")
    return path


LocalPath: TypeAlias = Annotated[Path, BeforeValidator(refuse_address)]


def renamed(new_name: str, old_name: str) -> AliasChoices:
    """``validation_alias`` of a field that configs call ``new_name``.

    ``old_name`` is the field's name: still accepted, and kept in stored settings.
    """
    return AliasChoices(new_name, old_name)


class Settings(BaseModel):
    """Base of every settings class: unknown keys are errors, types are not converted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @classmethod
    def parse(
        cls,
        values: Mapping[str, Any],
        origin: str = "settings",
        lines: Mapping[str, int] | None = None,
    ) -> Self:
        """Build the settings from plain values.

        ``origin`` names the file in messages, ``lines`` has the line of a dotted setting in it.
        Raises SettingsError with every fault: the dotted setting, its value, what was expected.
        """
        spelled = cls.spell_out(values)
        if huge := [name for name, value in _flatten(spelled, "") if _is_huge(value)]:
            raise SettingsError(
                f"{origin}: invalid settings\n  {huge[0]}: expected a number up to 2^60; a name of "
                "digits stands in quotes"
            )
        try:
            # Through JSON, because strict JSON accepts a string for a path and a list for a tuple,
            # but not "3" for 3.
            return cls.model_validate_json(json.dumps(spelled, default=str))
        except ValidationError as error:
            # Locations are in the spelled values, but what a list stands for is shown as the list.
            values = {
                name: spelled.get(name, value) if isinstance(value, Mapping) else value
                for name, value in values.items()
            }
            faults = "\n".join(
                f"  {_describe(fault, cls, values)}{_line_of(fault, values, lines or {})}"
                for fault in error.errors()
            )
            raise SettingsError(f"{origin}: invalid settings\n{faults}") from None

    @classmethod
    def spell_out(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values with what is written short in a config as the fields have it."""
        return values

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a YAML file, apply ``dotted.key=value`` overrides, and validate."""
        values, lines = read_with_lines(path)
        overrides = list(overrides)
        replaced = {text.partition("=")[0] for text in overrides}
        lines = {
            name: line
            for name, line in lines.items()
            if not any(name == key or name.startswith(f"{key}.") for key in replaced)
        }
        values = override(values, overrides)
        for old, new in _rename(cls, values, replaced):
            logger.warning("%s: the setting %s is now called %s", path, old, new)
            if old in lines:
                lines[new] = lines.pop(old)
        return cls.parse(values, str(path), lines)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-serialisable values, the inverse of ``parse``."""
        return self.model_dump(mode="json")

    def replace(self, **changes: Any) -> Self:
        """A copy with other values, validated as if they were read from a file.

        ``model_fields_set`` is kept. Raises SettingsError.
        """
        values = {
            name: value.to_dict() if isinstance(value, Settings) else value
            for name, value in changes.items()
        }
        valid = self.parse({**self.to_dict(), **values}, origin=type(self).__name__)
        return self.model_copy(
            update={
                name: value if isinstance(value, Settings) else getattr(valid, name)
                for name, value in changes.items()
            }
        )

    def flat(self, prefix: str = "") -> dict[str, Any]:
        """The settings by dotted name, for a tracker."""
        return dict(_flatten(self.to_dict(), prefix))


def override(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return ``values`` with each ``dotted.key=value`` set; the value is read as YAML.

    A part that is a number chooses an entry of a list, counted from 0.
    """
    values = json.loads(json.dumps(values, default=str))
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
            raise SettingsError(f"override '{clip_text(text)}': expected dotted.key=value")
        *parents, leaf = key.split(".")
        section: Any = values
        for parent in parents:
            section = _entry(section, parent)
            if not isinstance(section, dict | list):
                raise SettingsError(f"override '{clip_text(text)}': '{parent}' is not a section")
        _set_entry(section, leaf, value, text)
    return values


def _entry(section: Any, name: str) -> Any:
    """A section within a section, made where there is none, or an entry of a list; None where the
    list has none such."""
    if not isinstance(section, list):
        return section.setdefault(name, {})
    return section[int(name)] if _is_index(section, name) else None


def _set_entry(section: Any, name: str, value: str, text: str) -> None:
    """Set one value of a section or a list; ``text`` is the override for messages."""
    if isinstance(section, list) and not _is_index(section, name):
        raise SettingsError(
            f"override '{clip_text(text)}': '{name}' is not an index of this list: expected 0 "
            f"to {len(section) - 1}"
        )
    try:
        # One character may be YAML syntax, and a value is no comment.
        is_plain = value.startswith("#") or (len(value) == 1 and not value.isalnum())
        parsed = value if is_plain else parse_yaml(value)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"override '{clip_text(text)}': the value is not valid YAML: {yaml_message(error)}"
        ) from None
    key: Any = int(name) if isinstance(section, list) else name
    section[key] = parsed


def _is_index(entries: Sequence[object], name: str) -> bool:
    return name.isdecimal() and int(name) < len(entries)


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and abs(value) > MAX_INTEGER


def _flatten(values: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from _flatten(value, name)
        else:
            yield name, value


def _describe(fault: Any, cls: type[BaseModel], values: Mapping[str, Any]) -> str:
    """One fault in one line: setting, expected, found, remedy."""
    where = _dotted(fault["loc"], values) or "(top level)"
    if fault["type"].startswith("union_tag"):
        context = fault["ctx"]
        where = f"{where}.{context['discriminator']}".replace("'", "")
        if "tag" not in context:
            return f"{where}: required, but not given"
        return f'{where}: expected {context["expected_tags"]}; found "{context["tag"]}"'
    if fault["type"] == "extra_forbidden":
        known = _known_keys(cls, fault["loc"][:-1])
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = (
            f"did you mean '{close[0]}'?" if close else f"valid settings here: {', '.join(known)}"
        )
        return f"{where}: no such setting; {hint}"
    if fault["type"] == "missing":
        return f"{where}: required, but not given"
    shown = json.dumps(fault["input"], default=str, ensure_ascii=False)
    hint = ""
    if fault["type"] == "string_type" and isinstance(fault["input"], bool | int | float):
        hint = "; write it in quotes: YAML reads no, yes, on, off and numbers as such"
    return f"{where}: {fault['msg']}; found {shown[:200]}{hint}"


def _line_of(fault: Any, values: Mapping[str, Any], lines: Mapping[str, int]) -> str:
    """The line of the faulty setting, or of its section."""
    parts = _dotted(fault["loc"], values).split(".")
    if fault["type"].startswith("union_tag") and "tag" in fault["ctx"]:
        parts.append(fault["ctx"]["discriminator"].replace("'", ""))
    # A missing setting gets the line of its section; an overridden one has no line.
    is_absent = fault["type"] in ("missing", "union_tag_not_found")
    for count in range(len(parts), 0 if is_absent else len(parts) - 1, -1):
        if line := lines.get(".".join(parts[:count])):
            return f" (line {line})"
    return ""


def _dotted(location: tuple[int | str, ...], values: Any) -> str:
    """The setting's dotted name, without the tag that a union adds to the location."""
    names = []
    for part in location:
        if _is_tag(part, values):
            continue
        names.append(str(part))
        try:
            values = values[part]
        except (LookupError, TypeError):
            values = None
    return ".".join(names)


def _is_tag(part: int | str, values: object) -> bool:
    """Whether a part of a location is no setting but what chose the class of a union: a tag, or
    what a list stands for."""
    if isinstance(values, list):
        return not isinstance(part, int)
    if not isinstance(values, Mapping) or part in values:
        return False
    return any(values.get(name) == part for name in TAG_NAMES)


def _rename(
    cls: type[BaseModel], values: Any, replaced: set[str], prefix: str = ""
) -> Iterable[tuple[str, str]]:
    """Replace old names of settings in ``values``; yields the dotted old and new names.

    Where both are given, an override wins over the file.
    """
    if not isinstance(values, dict):
        return
    for name, field in cls.model_fields.items():
        new = display_name(name, field)
        if new != name and name in values:
            old_value = values.pop(name)
            if new not in values or f"{prefix}{name}" in replaced:
                values[new] = old_value
            yield f"{prefix}{name}", f"{prefix}{new}"
        models = _models_in(field.annotation)
        section = values.get(new)
        if len(models) > 1 and isinstance(section, dict):
            models = [model for model in models if _has_tags(model, section)]
        for model in models:
            yield from _rename(model, section, replaced, f"{prefix}{new}.")


def _has_tags(model: type[BaseModel], section: Mapping[str, Any]) -> bool:
    """Whether the section's tags choose this class."""
    return "kind" in model.model_fields and all(
        section.get(name) in get_args(model.model_fields[name].annotation)
        for name in TAG_NAMES
        if name in model.model_fields
    )


def display_name(name: str, field: FieldInfo) -> str:
    """The name of a field in configs."""
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name


def _known_keys(cls: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The setting names allowed at a location, which may include a union's tag."""
    candidates: list[type[BaseModel]] = [cls]
    for part in location:
        below = [
            model
            for candidate in candidates
            if part in candidate.model_fields
            for model in _models_in(candidate.model_fields[str(part)].annotation)
        ]
        tagged = [
            model
            for model in candidates
            if any(
                part in get_args(getattr(model.model_fields.get(name), "annotation", None))
                for name in TAG_NAMES
            )
        ]
        named = [
            model
            for candidate in candidates
            for model in _models_in(candidate.__annotations__.get("__pydantic_extra__"))
        ]
        candidates = below or tagged or named or candidates
    return sorted(
        {
            display_name(name, field)
            for model in candidates
            for name, field in model.model_fields.items()
        }
    )


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
