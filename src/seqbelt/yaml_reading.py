"""YAML as settings are written: exact scalars, no key twice, bounded aliases, lines of keys."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from seqbelt.errors import SettingsError

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
_BARE_SIGN = re.compile(r"[ \t]*(#(?:[^\s#]\S*)?)(?=[ \t]*(?:[\r\n]|$)|[ \t]+#)")
"""What is rather a value than a comment: one word, without a blank behind its sign."""
_MAX_DIGITS = 40


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
        raise SettingsError(f"{path}: not valid YAML: {yaml_message(error)}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected 'key: value' lines, found {type(values).__name__}")
    return values, lines


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
        value, mark = node.value, node.start_mark
        if "\0" in value:
            raise _at(node, "a zero byte is not allowed")
        if _is_nothing(node) and (found := _BARE_SIGN.match(mark.buffer or "", mark.pointer)):
            raise _at(node, f"{found[1]} begins a comment, so there is no value: write "
                            f"'{found[1]}' in quotes for a value, or null for none")  # fmt: skip
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
            raise _at(node, f"a number of {len(value)} characters ({clip_text(value)})")

    def _check_keys(self, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _at(key, "the name of a setting must be a string, not a list or a section")
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"):
                raise _at(key, f"YAML reads {key.value} as {key.tag[18:]}: write "
                               f'"{key.value}" in quotes for a name')  # fmt: skip
            name, line = key.value, key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:float" and float(name.replace("_", "")) % 1 == 0:
                raise _at(key, f'write "{name}" in quotes for a name: 1.0 and 1 are one number')
            if name in first:
                raise _at(key, f"duplicate key '{key.value}', first in line {first[name]}; "
                               "remove one of them")  # fmt: skip
            first[name] = line
            if node.flow_style and _is_nothing(value):
                raise _at(key, f"'{name}' has no value: a comma in braces ends a value (write "
                               f'{name}: "," if it is one), a blank must follow a colon, and none '
                               f"is written {name}: null")  # fmt: skip


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)


def _is_nothing(node: yaml.Node) -> bool:
    """Whether nothing is written where a value stands."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and not node.value


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


def yaml_message(error: yaml.YAMLError) -> str:
    """``line 3, column 5: problem``, if the error has a position."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    mark = error.problem_mark
    context = f" ({error.context})" if error.context else ""
    if str(error.problem).endswith("found ','"):
        context += '; a comma that is a value stands in quotes: ","'
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}{context}"


def clip_text(text: str) -> str:
    """A value of a config as messages show it."""
    return text if len(text) <= 200 else f"{text[:100]} … {text[-20:]}"
