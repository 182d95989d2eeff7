"""Put the recurrent kernel, compiled for every kind of x86-64 processor, into a wheel.

Only where ``SEQBELT_BUILD_AHEAD=1`` is set (``make wheel``): it takes a minute, and whoever
installs from the sources gets the one library that they need compiled on its first use.
"""

import importlib.util
import os
import platform
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FUSED = Path("src/seqbelt/models/fused")


class KernelHook(BuildHookInterface):
    """Adds the libraries and the platform that they are for to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is packed."""
        if os.environ.get("SEQBELT_BUILD_AHEAD") != "1" or version == "editable":
            return
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise RuntimeError("SEQBELT_BUILD_AHEAD=1: libraries are compiled on x86-64 Linux only")
        compiler = _compiler(Path(self.root))
        self._folder = tempfile.TemporaryDirectory()
        glibc = 17  # of manylinux2014, the oldest that torch's wheels run on
        for instructions in compiler.INSTRUCTIONS:
            path = Path(self._folder.name, compiler.library_name(instructions))
            compiler.compile_kernel(instructions, path)
            glibc = max(glibc, *(int(n) for n in re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())))
            build_data["force_include"][str(path)] = f"seqbelt/models/fused/libraries/{path.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_2_{glibc}_x86_64"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled."""
        if folder := getattr(self, "_folder", None):
            folder.cleanup()


def _compiler(root: Path) -> ModuleType:
    """``seqbelt.models.fused.compiler``, without the package and torch."""
    spec = importlib.util.spec_from_file_location("compiler", root / FUSED / "compiler.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
