"""Write docs/reference/ from the code: settings, commands, and what each module does.

python docs/generate_reference.py
"""

import ast
import inspect
import itertools
import re
import types
import typing
from pathlib import Path

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from seqbelt.cli import app
from seqbelt.experiment import Experiment
from seqbelt.settings import display_name

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "src" / "seqbelt"
SETTINGS_HEAD = """# Settings

Every setting of a config, made from the code by `python docs/generate_reference.py`. Any of them
can be replaced on the command line: `seqbelt train CONFIG training.seed=1`.
"""
COMMANDS_HEAD = """# Commands

Made from the code by `python docs/generate_reference.py`. `MODEL` is `models:/name@champion`,
`models:/name/3`, `runs:/…` or a bundle folder. Exit codes: 0 done, 1 failed, 2 bad arguments or
settings, 3 done but some inputs were quarantined. Progress goes to standard error; `--json` prints
the result as the last line of standard output.
"""
MODULES_HEAD = """# Modules

What each file does, in its own words; made by `python docs/generate_reference.py`.
"""


def main() -> None:
    for name, page in pages().items():
        (DOCS / "reference" / name).write_text(page, encoding="utf-8")


def pages() -> dict[str, str]:
    """Every page of the reference by its file's name."""
    return {"settings.md": settings(), "commands.md": commands(), "modules.md": modules()}


def commands() -> str:
    """The page of the commands: what each does and takes."""
    parts = [COMMANDS_HEAD]
    for name, function in _functions(app, "seqbelt"):
        parts += [f"## `{name}`\n", _paragraph(inspect.getdoc(function) or ""), ""]
        hints = typing.get_type_hints(function, include_extras=True)
        rows = [_parameter(one, hints[one.name])
                for one in inspect.signature(function).parameters.values()]  # fmt: skip
        parts += ["| argument | default | |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join(parts).rstrip() + "\n"


def _functions(group: typer.Typer, name: str) -> list[tuple[str, typing.Any]]:
    """Every command's name and function, those of groups within included."""
    own = [(one.name or one.callback.__name__, one.callback)
           for one in group.registered_commands if one.callback]  # fmt: skip
    found = [(f"{name} {key}", function) for key, function in own]
    for one in group.registered_groups:
        found += _functions(one.typer_instance, f"{name} {one.name}")  # pyright: ignore
    return found


def _parameter(parameter: inspect.Parameter, hint: typing.Any) -> str:
    kind, info = typing.get_args(hint)[:2]
    is_option = isinstance(info, typer.models.OptionInfo)
    name = info.default if is_option else info.metavar  # beside Annotated the default is a name
    if is_option and not isinstance(name, str):
        name = f"--{parameter.name.replace('_', '-')}"
    literals = (one for one in (kind, *typing.get_args(kind))
                if typing.get_origin(one) is typing.Literal)  # fmt: skip
    choices = itertools.chain.from_iterable(map(typing.get_args, literals))
    name = f"{name or parameter.name.upper()} {'|'.join(choices)}".strip()
    value = parameter.default
    default = "*required*" if value is inspect.Parameter.empty else ""
    if value not in (inspect.Parameter.empty, None, False):
        default = f"`{value}`"
    return f"| `{_cell(name)}` | {default} | {_cell(_paragraph(info.help or ''))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def modules() -> str:
    """The page of the modules: the tree, with the first line of each file."""
    parts = [MODULES_HEAD]
    folders = sorted({path.parent for path in PACKAGE.rglob("*.py")})
    for folder in folders:
        parts += [f"## `{folder.relative_to(PACKAGE.parent)}/`\n"]
        parts += ["| module | |", "|---|---|"]
        for path in sorted(folder.glob("*.py")):
            about = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0]
            if path.name != "__init__.py" or about:
                name = "" if path.name == "__init__.py" else f"`{path.name}`"
                parts.append(f"| {name} | {_cell(_paragraph(about))} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def settings() -> str:
    """The page of the settings."""
    parts = [SETTINGS_HEAD, *_section("", "The file", Experiment)]
    for name, field in Experiment.model_fields.items():
        classes = _classes(field.annotation)
        if name == "features":
            for one in classes:
                kind = one.model_fields["kind"].default
                kind = kind if isinstance(kind, str) else typing.get_args(
                    one.model_fields["kind"].annotation)[0]  # fmt: skip
                reads = one.model_fields.get("reads")
                reads = f", reads `{typing.get_args(reads.annotation)[0]}`" if reads else ""
                parts += _section("features.", f"`features`, kind `{kind}`{reads}", one)
        elif classes:
            parts += _section(f"{name}.", f"`{name}`", classes[0])
    return "\n".join(parts).rstrip() + "\n"


def _section(prefix: str, title: str, cls: type[BaseModel]) -> list[str]:
    """A heading, what the class says of itself, and a row a field; sections within follow."""
    lines = [f"## {title}\n", _paragraph(cls.__doc__ or ""), ""]
    lines += ["| setting | values | default | |", "|---|---|---|---|"]
    within: list[str] = []
    docstrings = _docstrings_of_fields(cls)
    for name, field in cls.model_fields.items():
        if name in ("kind", "reads"):  # the heading says it
            continue
        if name in getattr(cls, "FOLLOWING", ()):  # not set
            continue
        classes = _classes(field.annotation)
        about = _cell(_paragraph(docstrings.get(name, "")))
        name = display_name(name, field)
        values = "a section" if classes else _values(field)
        default = "" if classes and not prefix else _default(field)
        lines.append(f"| `{prefix}{name}` | {values} | {default} | {about} |")
        if classes and prefix:
            within += _section(f"{prefix}{name}.", f"`{prefix}{name}`", classes[0])
    return [*lines, "", *within]


def _docstrings_of_fields(cls: type) -> dict[str, str]:
    """The strings below the fields in the source of a class and of its bases.

    Pydantic could keep them (``use_attribute_docstrings``), but then every process would read the
    source of every class.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[: cls.__mro__.index(BaseModel)]):
        body = ast.parse(inspect.getsource(base)).body[0].body
        for field, text in itertools.pairwise(body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(docstring))),
                ):
                    found[name] = inspect.cleandoc(docstring)
    return found


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
    return _cell(", ".join([_type(field.annotation), *said]))


def _type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if one is type(None) else _type(one) for one in arguments)
    if origin is typing.Annotated:
        return "sections" if len(_classes(annotation)) > 1 else _type(arguments[0])
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
