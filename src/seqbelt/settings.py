"""Strict, frozen settings read from YAML, with ``dotted.key=value`` overrides.

The class whose fields a YAML section sets also does the work of that section. A default is written
once, on the field.
"""

import difflib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias, get_args

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from seqbelt.errors import SettingsError

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
"""The range that numpy, torch and scikit-learn accept."""
Count: TypeAlias = Annotated[int, Field(ge=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
TAG_NAMES = ("kind", "reads")
"""Settings that choose the class of their section."""
logger = logging.getLogger(__name__)


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


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises SettingsError, with the line, if the file is missing, too large, invalid, not a mapping,
    or ambiguous: a duplicate key, or a number like ``010`` or ``1:30``.
    """
    return read_with_lines(path)[0]


def read_with_lines(path: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """As ``read_yaml``, with the line of each setting by dotted name."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # a device or a pipe may have no end
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; give the path of a YAML config") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise SettingsError(f"{path}: cannot be read as a YAML config ({error})") from None
    if len(content) > MAX_BYTES:
        raise SettingsError(
            f"{path}: longer than {MAX_BYTES >> 20} MB; give the path of a YAML config"
        )
    try:
        lines: dict[str, int] = {}
        values = parse_yaml(content.decode("utf-8"), lines)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: cannot be read as a YAML config ({error})") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {_message(error)}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected 'key: value' lines, found {type(values).__name__}")
    return values, lines


def override(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return ``values`` with each ``dotted.key=value`` set; the value is read as YAML.

    A part that is a number chooses an entry of a list, counted from 0.
    """
    values = json.loads(json.dumps(values, default=str))
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
            raise SettingsError(f"override '{_shortened(text)}': expected dotted.key=value")
        *parents, leaf = key.split(".")
        section: Any = values
        for parent in parents:
            section = _entry(section, parent)
            if not isinstance(section, dict | list):
                raise SettingsError(f"override '{_shortened(text)}': '{parent}' is not a section")
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
            f"override '{_shortened(text)}': '{name}' is not an index of this list: expected 0 to "
            f"{len(section) - 1}"
        )
    try:
        # One character may be YAML syntax.
        parsed = value if len(value) == 1 and not value.isalnum() else parse_yaml(value)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"override '{_shortened(text)}': the value is not valid YAML: {_message(error)}"
        ) from None
    key: Any = int(name) if isinstance(section, list) else name
    section[key] = parsed


def _is_index(entries: list[Any], name: str) -> bool:
    return name.isdecimal() and int(name) < len(entries)


def parse_yaml(text: str, lines: dict[str, int] | None = None) -> Any:
    """Parse one YAML document; ``lines`` is filled with each dotted key's line.

    Raises yaml.YAMLError for invalid YAML, for too deep or (with aliases expanded) too large
    documents, and for ambiguous values.
    """
    depth = 0
    for event in yaml.parse(text, _Loader):  # without recursion, unlike the construction
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {MAX_DEPTH} deep", problem_mark=event.start_mark
            )
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_aliases(node)
        if lines is not None:
            lines.update(_lines_of(node))
        return loader.construct_document(node)
    finally:
        loader.dispose()


MAX_BYTES = 1 << 20
"""Largest size of a config."""
MAX_DEPTH = 40
MAX_NODES = 100_000
"""Largest number of values in a config, with aliases expanded."""
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge", "value")
)
_OLD_OCTAL = re.compile(r"[-+]?0[0-9_]+")
"""Octal in YAML 1.1, decimal in YAML 1.2."""
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
"""Minutes and seconds in YAML 1.1: 1:30 is 90."""
_MAX_DIGITS = 40


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-3`` is a number (YAML 1.2), not a string, and dates are strings.

    Ambiguous values are errors.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _TAGS:
            raise _at(node, f"the tag {node.tag!r} is not allowed in a config; remove it")
        if isinstance(node, yaml.ScalarNode):
            self._check_scalar(node)
        elif isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        return super().construct_object(node, deep)

    def _check_scalar(self, node: yaml.ScalarNode) -> None:
        value = node.value
        if "\0" in value:
            raise _at(node, "a zero byte is not allowed")
        if node.tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            return
        if _SEXAGESIMAL.fullmatch(value):
            raise _at(node, f"{value} is a base-60 number in YAML 1.1: write a decimal number, or "
                            f'"{value}" in quotes for a string')  # fmt: skip
        if _OLD_OCTAL.fullmatch(value):
            raise _at(node, f"{value} is octal in YAML 1.1 and decimal in YAML 1.2: write "
                            f"{value.replace('_', '').lstrip('+-0') or '0'}, or "
                            f'"{value}" in quotes for a string')  # fmt: skip
        if len(value) > _MAX_DIGITS:
            raise _at(node, f"a number of {len(value)} characters ({_shortened(value)})")

    def _check_keys(self, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _at(key, "the name of a setting must be a string, not a list or a section")
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = key.value, key.start_mark.line + 1
            if name in first:
                raise _at(key, f"duplicate key '{key.value}', first in line {first[name]}; "
                               "remove one of them")  # fmt: skip
            first[name] = line


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)


def _check_aliases(root: yaml.Node) -> None:
    """Raise for an alias that contains itself, and for aliases that expand to too many values."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        known = sizes.get(id(node))
        if known == 0:
            raise _at(node, "this anchor contains itself")
        if known is None:
            sizes[id(node)] = 0  # in progress
            pairs = node.value if isinstance(node, yaml.MappingNode) else [(v,) for v in node.value]
            known = sizes[id(node)] = 1 + sum(size(part) for pair in pairs for part in pair)
            if known > MAX_NODES:
                raise _at(node, f"more than {MAX_NODES:,} values with aliases expanded")
        return known

    size(root)


def _lines_of(node: yaml.Node, prefix: str = "") -> Iterable[tuple[str, int]]:
    """The line of each key of a mapping and of each entry of a list, by dotted name."""
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(number), value, value) for number, value in enumerate(node.value)]
    else:
        return
    for name, key, value in pairs:
        if isinstance(name, str):
            yield f"{prefix}{name}", key.start_mark.line + 1
            yield from _lines_of(value, f"{prefix}{name}.")


def _at(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _message(error: yaml.YAMLError) -> str:
    """``line 3, column 5: problem``, if the error has a position."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    mark = error.problem_mark
    context = f" ({error.context})" if error.context else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}{context}"


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]} … {text[-20:]}"


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
    return f"{where}: {fault['msg']}; found {shown[:200]}"


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


def _is_tag(part: int | str, values: Any) -> bool:
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
