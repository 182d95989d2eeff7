"""Strict, frozen settings read from YAML, with ``dotted.key=value`` overrides.

A settings class *is* the thing it describes: the class whose fields one YAML section fills does
the work of that section. A default is written once, on the field.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from seqbelt.errors import SettingsError


class Settings(BaseModel):
    """Base of every settings class: unknown keys are errors, types are not guessed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any], origin: str = "settings") -> Self:
        """Build the settings from plain values.

        ``origin`` names the file in messages. Raises SettingsError with every fault found: the
        dotted setting, what stands there, what was expected.
        """
        try:
            # Through JSON, because strict JSON knows that a path is written as a string and a
            # tuple as a list, while it still refuses "3" for 3.
            return cls.model_validate_json(json.dumps(values, default=str))
        except ValidationError as error:
            faults = "\n".join(f"  {_describe(fault, cls, values)}" for fault in error.errors())
            raise SettingsError(f"{origin}: settings not understood\n{faults}") from None

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a YAML file, apply ``dotted.key=value`` overrides, and validate."""
        return cls.parse(override(read_yaml(path), overrides), origin=str(path))

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-ready values; ``parse`` reads them back."""
        return self.model_dump(mode="json")

    def replace(self, **changes: Any) -> Self:
        """The settings with other values, validated. Raises SettingsError."""
        return self.parse({**self.plain(), **changes}, origin=type(self).__name__)

    def flat(self, prefix: str = "") -> dict[str, Any]:
        """The settings under their dotted names, as a tracker wants them."""
        return dict(_flatten(self.plain(), prefix))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises SettingsError if the file is missing, broken or no mapping."""
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; give the path of a YAML config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as a YAML config ({error})") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected 'key: value' lines, found {type(values).__name__}")
    return values


def override(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return ``values`` with each ``dotted.key=value`` set; the value is read as YAML."""
    values = json.loads(json.dumps(values, default=str))
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
            raise SettingsError(f"override '{text}': expected dotted.key=value")
        *parents, leaf = key.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise SettingsError(f"override '{text}': '{parent}' is not a section")
        if len(value) == 1 and not value.isalnum():  # a sign, which YAML may take for its own
            section[leaf] = value
            continue
        try:
            section[leaf] = yaml.load(value, Loader=_Loader)
        except yaml.YAMLError as error:
            raise SettingsError(
                f"override '{text}': the value is not valid YAML: {error}"
            ) from None
    return values


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-3`` is a number (YAML 1.2), not a word, and dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)


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
        hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        return f"{where}: no such setting; {hint}"
    if fault["type"] == "missing":
        return f"{where}: required, but not given"
    found = json.dumps(fault["input"], default=str, ensure_ascii=False)
    return f"{where}: {fault['msg']}; found {found[:200]}"


def _dotted(location: tuple[int | str, ...], values: Any) -> str:
    """The setting's name as a user writes it: without the tag that a union adds to the place."""
    names = []
    for part in location:
        if isinstance(values, Mapping) and values.get("kind") == part and part not in values:
            continue
        names.append(str(part))
        try:
            values = values[part]
        except (LookupError, TypeError):
            values = None
    return ".".join(names)


def _known_keys(cls: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The setting names allowed at a dotted place; a union's tag is one part of the place."""
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
            if part in get_args(getattr(model.model_fields.get("kind"), "annotation", None))
        ]
        candidates = below or tagged or candidates
    return sorted({name for model in candidates for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
