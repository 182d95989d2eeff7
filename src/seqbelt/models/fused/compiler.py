"""Compile the kernel: a small C++ library that needs neither torch's headers nor Python's.

Imports nothing of this package, so that ``hatch_build.py`` can use it when a wheel is built.
"""

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = [
    Path(__file__).with_name(name)
    for name in ("kernel.cpp", "recurrence.h", "cells.h", "products.h", "tiles.h", "vectors.h")
]

# Named instruction sets instead of -march=native: home folders are shared between processors.
_AVX2 = ["-mavx2", "-mfma"]
_AVX512 = [*_AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
_AVX512_BF16 = [*_AVX512, "-mavx512bf16"]
INSTRUCTIONS = {
    "default": [],
    "avx2": _AVX2,
    "avx512": _AVX512,
    "avx512_bf16": _AVX512_BF16,
    "amx_bf16": [*_AVX512_BF16, "-mamx-tile", "-mamx-bf16"],
}
"""The compiler's options for each set of instructions."""

_FLAGS = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]


def library_name(instructions: str) -> str:
    """File name of the library, made of all that it is compiled from."""
    content = b"".join(source.read_bytes() for source in SOURCES)
    content += repr(_FLAGS + INSTRUCTIONS[instructions]).encode()
    return f"seqbelt_fused-{instructions}-{hashlib.sha256(content).hexdigest()[:12]}.so"


def compiler_command() -> list[str]:
    """The C++ compiler: the environment variable ``CXX``, or the first of the usual names."""
    if given := os.environ.get("CXX"):
        return shlex.split(given)
    return [next(filter(shutil.which, ("c++", "g++", "clang++")), "c++")]


def compiler_problem() -> str | None:
    """One sentence on why nothing can be compiled here, or ``None``."""
    if sys.platform == "win32":
        return "Fused recurrent layers need GCC or Clang, which are not looked for on Windows."
    if not _version():
        name = shlex.join(compiler_command())
        return f"Fused recurrent layers need a C++ compiler, and '{name}' does not run."
    return None


def compile_kernel(instructions: str, path: Path) -> None:
    """Compile the library for a set of instructions and write it to ``path``, whole or not at all.

    Raises:
        RuntimeError: with the compiler's first error.
    """
    flags = ["-std=c++17", "-fPIC", "-fvisibility=hidden", *_FLAGS, *INSTRUCTIONS[instructions]]
    # GCC's code uses the OpenMP runtime that torch has loaded; it is not linked, which could load a
    # second one. Clang's would need that, whose threads would compete, so it runs in one thread.
    if "Free Software Foundation" in _version():
        flags.append("-fopenmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".compiling-") as folder:
        compiled, linked = Path(folder, "kernel.o"), Path(folder, path.name)
        _run([*flags, "-c", str(SOURCES[0]), "-o", str(compiled)])
        _run(["-shared", str(compiled), "-o", str(linked)])
        linked.replace(path)


def _version() -> str:
    """What the compiler says of itself; empty where it does not run."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output(
            [*compiler_command(), "--version"], text=True, stderr=subprocess.STDOUT
        )
    return ""


def _run(arguments: list[str]) -> None:
    run = subprocess.run([*compiler_command(), *arguments], capture_output=True, text=True)
    if run.returncode:
        lines = run.stderr.splitlines() or [f"the compiler ended with status {run.returncode}"]
        raise RuntimeError(next((line for line in lines if "error" in line), lines[0]))
