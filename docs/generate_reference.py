"""Write docs/reference/settings.md from the fields of the settings classes.

python docs/generate_reference.py
"""

import re
import types
import typing
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from seqbelt.experiment import Experiment

TARGET = Path(__file__).parent / "reference" / "settings.md"
HEAD = """# Settings

Every setting of a config, made from the code by `python docs/generate_reference.py`. Any of them
can be replaced on the command line: `seqbelt train CONFIG training.seed=1`.
"""


def main() -> None:
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(reference(), encoding="utf-8")


def reference() -> str:
    """The whole page."""
    parts = [HEAD, *_section("", "The file", Experiment)]
    for name, field in Experiment.model_fields.items():
        classes = _classes(field.annotation)
        if name == "features":
            for one in classes:
                kind = one.model_fields["kind"].default
                kind = kind if isinstance(kind, str) else typing.get_args(
                    one.model_fields["kind"].annotation)[0]  # fmt: skip
                parts += _section("features.", f"`features`, kind `{kind}`", one)
        elif classes:
            parts += _section(f"{name}.", f"`{name}`", classes[0])
    return "\n".join(parts).rstrip() + "\n"


def _section(prefix: str, title: str, cls: type[BaseModel]) -> list[str]:
    """A heading, what the class says of itself, and a row a field; sections within follow."""
    lines = [f"## {title}\n", _paragraph(cls.__doc__ or ""), ""]
    lines += ["| setting | values | default | |", "|---|---|---|---|"]
    within: list[str] = []
    for name, field in cls.model_fields.items():
        if name == "kind":  # the heading says it
            continue
        classes = _classes(field.annotation)
        about = _paragraph(field.description or "").replace("|", "\\|")
        values = "a section" if classes else _values(field)
        default = "" if classes and not prefix else _default(field)
        lines.append(f"| `{prefix}{name}` | {values} | {default} | {about} |")
        if classes and prefix:
            within += _section(f"{prefix}{name}.", f"`{prefix}{name}`", classes[0])
    return [*lines, "", *within]


def _classes(annotation: object) -> list[type[BaseModel]]:
    """The settings classes that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        found = [_classes(one) for one in typing.get_args(annotation)]
        return [cls for classes in found for cls in classes]
    return []


def _values(field: FieldInfo) -> str:
    bounds = [re.sub(r"[A-Za-z]+\(|\)", "", repr(bound)).replace("=", " ") for bound in
              field.metadata]  # fmt: skip
    signs = {"ge ": "≥ ", "gt ": "> ", "le ": "≤ ", "lt ": "< "}
    said = [sign + bound[3:] for bound in bounds for word, sign in signs.items()
            if bound.startswith(word)]  # fmt: skip
    return ", ".join([_type(field.annotation), *said]).replace("|", "\\|")


def _type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if one is type(None) else _type(one) for one in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is not None:
        names = {tuple: "list", list: "list", dict: "mapping"}
        inner = [_type(one) for one in arguments if one is not Ellipsis]
        return f"{names.get(origin, origin.__name__)} of {' and '.join(dict.fromkeys(inner))}"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true, false",
             "Path": "path", "Any": "any"}  # fmt: skip
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value == {}:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _paragraph(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


if __name__ == "__main__":
    main()
