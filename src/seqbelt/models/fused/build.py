"""Compile the kernel on first use and load it.

The library is kept in torch's folder for extensions (``TORCH_EXTENSIONS_DIR``, or a folder in the
user's cache), under a name made of all it depends on: once built, it loads without a compiler, and
another kernel, torch version or processor gets another library.
"""

import contextlib
import functools
import hashlib
import logging
import os
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch

logger = logging.getLogger(__name__)

_SOURCES = [
    Path(__file__).with_name(name)
    for name in ("kernel.cpp", "recurrence.h", "cells.h", "products.h", "tiles.h", "vectors.h")
]
_LIBRARY = "seqbelt_fused"
_LONGEST_BUILD_S = 600
_LOADING = threading.Lock()

# Named instruction sets instead of -march=native: home folders are shared between processors.
_INSTRUCTIONS = {
    "AVX512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma"],
    "AVX2": ["-mavx2", "-mfma"],
}
_FLAGS = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]


def is_available() -> bool:
    """Whether :func:`~seqbelt.models.fused.fused_layer` can be used here.

    The first call of a process loads the kernel and, the first time on a machine, compiles it,
    which takes about half a minute. Never raises. The environment variable ``SEQBELT_FUSED=0``
    switches the kernel off.
    """
    return why_unavailable() is None


def why_unavailable() -> str | None:
    """One sentence on why the fused layers cannot be used here, or ``None`` where they can.

    Calls the compiler at most once per process; the result is cached until the process ends.
    """
    if os.environ.get("SEQBELT_FUSED") == "0":
        return "Fused recurrent layers are switched off by SEQBELT_FUSED=0."
    return _load()


def start_build() -> None:
    """Compile the kernel, where it is not yet, in a thread: its users wait for it."""
    threading.Thread(target=why_unavailable, name="build-kernel").start()


def _load() -> str | None:
    with _LOADING:  # one thread compiles, the others wait
        return _load_once()


@functools.cache
def _load_once() -> str | None:
    try:
        directory = _directory()
        library = directory / f"{_LIBRARY}.so"
        # A library that is still being written has a lock file beside it.
        if library.exists() and not (directory / "lock").exists():
            torch.ops.load_library(str(library))
            return None
        with _scripts_on_path():
            return _toolchain_problem() or _build(directory)
    except Exception as error:  # the caller falls back on torch's layers
        logger.debug("Building or loading the fused layers failed.", exc_info=True)
        return f"The kernel of the fused recurrent layers could not be built: {_summary(error)}"


def _directory() -> Path:
    from torch.utils.cpp_extension import get_default_build_root

    capability = torch.backends.cpu.get_cpu_capability()
    content = b"".join(source.read_bytes() for source in _SOURCES) + repr(_flags()).encode()
    name = "-".join(
        (
            _LIBRARY,
            f"torch{torch.__version__}",
            str(sys.implementation.cache_tag),
            capability.replace(" ", "_").lower(),
            hashlib.sha256(content).hexdigest()[:12],
        )
    )
    return Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root()) / name


def _flags() -> list[str]:
    capability = torch.backends.cpu.get_cpu_capability()
    flags = _FLAGS + _INSTRUCTIONS.get(capability, [])
    features = processor_flags()
    if capability == "AVX512" and "avx512_bf16" in features:
        flags = [*flags, "-mavx512bf16"]
        if {"amx_tile", "amx_bf16"} <= features:
            flags += ["-mamx-tile", "-mamx-bf16"]
    return flags


@functools.cache
def processor_flags() -> frozenset[str]:
    """The processor's flags from /proc/cpuinfo; empty on other systems than Linux."""
    with contextlib.suppress(OSError):
        return frozenset(Path("/proc/cpuinfo").read_text().split())
    return frozenset()


def _toolchain_problem() -> str | None:
    from torch.utils.cpp_extension import get_cxx_compiler, is_ninja_available

    if sys.platform == "win32":
        return "Fused recurrent layers need GCC or Clang, which torch does not use on Windows."
    compiler = get_cxx_compiler()
    if _compiler_version(compiler) is None:
        return f"Fused recurrent layers need a C++ compiler, and '{compiler}' does not run."
    if not is_ninja_available():
        return "Fused recurrent layers need the build tool ninja: run 'pip install ninja'."
    return None


def _compiler_version(compiler: str) -> str | None:
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output([compiler, "--version"], text=True, stderr=subprocess.STDOUT)
    return None


def _build(directory: Path) -> None:
    from torch.utils.cpp_extension import get_cxx_compiler, load

    directory.mkdir(parents=True, exist_ok=True)
    # torch builds in one process while others wait for its lock, forever if that was killed.
    lock = directory / "lock"
    with contextlib.suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > _LONGEST_BUILD_S:
            lock.unlink()
    # A warning, so that it is shown by default: half a minute is long.
    logger.warning("Compiling the fused recurrent layers, once, for about half a minute.")
    # GCC's code uses the OpenMP runtime that torch has loaded. Clang's would need a second runtime,
    # whose threads would compete, so it runs in one thread.
    is_gcc = "Free Software Foundation" in (_compiler_version(get_cxx_compiler()) or "")
    load(
        _LIBRARY,
        [str(_SOURCES[0])],
        extra_cflags=_flags() + (["-fopenmp"] if is_gcc else []),
        build_directory=str(directory),
        is_python_module=False,
    )


@contextlib.contextmanager
def _scripts_on_path() -> Iterator[None]:
    """Put the environment's scripts on PATH, for ninja in an environment that is not activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join(filter(None, (before, sysconfig.get_path("scripts"))))
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _summary(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return next((line for line in lines if "error:" in line), lines[0])
