"""The formats of ``seqbelt export``: what each needs, and the files that it makes of a bundle."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.c_library import CLibrary, find_compiler
from seqbelt.inference.c_source import c_name, write_c
from seqbelt.workflow.export_check import EXTRA, missing_packages


@dataclass(frozen=True)
class Built:
    """The files of an export, in memory, and the module that computes with them."""

    files: dict[str, bytes]
    """Content by the ending of its name; the first is the output that was asked for."""
    network: nn.Module
    quantized: list[str] = field(default_factory=list)
    """What has int8 weights."""
    crop: str | None = None
    """What the caller must cut off sequences beforehand; None where the file does so itself."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else the command's result has."""


@dataclass(frozen=True)
class Format:
    """One format, without its variant of int8 weights."""

    build: Callable[[Bundle, Path, bool, bool], Built]
    """Of a bundle, the output's path, whether the features are in it, whether weights are int8."""
    endings: tuple[str, ...]
    """Endings of its files' names; the output has the first."""
    has_int8: bool = True
    has_raw: bool = True
    is_stepwise: bool = False
    """Whether it reads step by step and has an answer at every cut."""


def _build_onnx(bundle: Bundle, output: Path, raw: bool, int8: bool) -> Built:
    # Imported here, because the extra may be missing.
    from seqbelt.inference.onnx_export import (
        crop_rule,
        export_bytes,
        export_raw_bytes,
        quantize,
        run_file,
    )

    content, operators = export_bytes(bundle), []
    if int8:
        content, operators = quantize(content)
    if raw:
        content = export_raw_bytes(bundle, content)
    rule = None if raw else crop_rule(bundle)
    return Built({".onnx": content}, run_file(bundle, content), operators, rule)


def _build_stream(bundle: Bundle, output: Path, raw: bool, int8: bool) -> Built:
    from seqbelt.inference.onnx_stream import OnnxStream, export_stream_bytes

    content = export_stream_bytes(bundle)
    return Built({".onnx": content}, OnnxStream(content))


def _build_c(bundle: Bundle, output: Path, raw: bool, int8: bool) -> Built:
    name = c_name(output.stem)
    if name != output.stem:
        raise SettingsError(
            f"--output {output}: every public name of the file begins with the output's, which C "
            f"cannot read; give {output.with_stem(name)}, for example"
        )
    files = write_c(bundle, name, raw, int8)
    library = CLibrary(files, name, len(bundle.classes))
    facts = {"header": str(output.with_suffix(".h")), "state_bytes": library.state_bytes}
    return Built(
        {".c": files.source.encode(), ".h": files.header.encode()},
        library,
        ["all matrices"] if int8 else [],
        facts=facts,
    )


def _build_executorch(bundle: Bundle, output: Path, raw: bool, int8: bool) -> Built:
    from seqbelt.inference.executorch_export import ExecutorchStream, export_executorch_bytes
    from seqbelt.inference.torch_step import StepNetwork

    content = export_executorch_bytes(bundle)
    network = ExecutorchStream(content, StepNetwork(bundle).example())
    return Built({".pte": content}, network)


FORMATS = {
    "onnx": Format(_build_onnx, (".onnx",)),
    "onnx-stream": Format(
        _build_stream, (".onnx",), has_int8=False, has_raw=False, is_stepwise=True
    ),
    "executorch": Format(
        _build_executorch, (".pte",), has_int8=False, has_raw=False, is_stepwise=True
    ),
    "c": Format(_build_c, (".c", ".h"), is_stepwise=True),
}
NAMES = [
    name
    for format, about in FORMATS.items()
    for name in ((format, f"{format}-int8") if about.has_int8 else (format,))
]


def find_format(name: str, raw: bool) -> tuple[Format, bool]:
    """A format by its name, and whether its weights are int8.

    Raises SettingsError for an unknown name or one without ``--raw``, SeqbeltError where something
    that it needs is not installed.
    """
    if name == "litert":
        raise SettingsError(
            "--format litert: is not written, since no such file was compared with a model yet; "
            "--format c, onnx-stream and executorch run on devices"
        )
    if name not in NAMES:
        raise SettingsError(f"--format {name}: expected one of {', '.join(NAMES)}")
    format = FORMATS[name.removesuffix("-int8")]
    if raw and not format.has_raw:
        raise SettingsError(f"--raw: --format {name} reads rows of features; remove --raw")
    if name.startswith("onnx") and missing_packages():
        raise SeqbeltError(
            f"--format {name} needs the packages {' and '.join(EXTRA)}; "
            f"{' and '.join(missing_packages())} cannot be imported; pip install 'seqbelt[onnx]'"
        )
    if name == "executorch" and find_spec("executorch") is None:
        raise SeqbeltError(
            "--format executorch needs the package executorch, which cannot be imported; "
            "pip install 'seqbelt[executorch]'"
        )
    if name.startswith("c"):
        find_compiler()
    return format, name.endswith("-int8")
