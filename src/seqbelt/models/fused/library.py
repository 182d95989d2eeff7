"""The kernel's library: found beside this file or in a cache, else compiled on first use.

Its functions are called with addresses of torch's tensors through :mod:`ctypes`, which releases
Python's lock meanwhile.
"""

import contextlib
import ctypes
import functools
import logging
import os
import threading
from ctypes import POINTER, c_bool, c_int64, c_void_p
from pathlib import Path

import torch
from filelock import FileLock

from seqbelt.models.fused.compiler import compile_kernel, compiler_problem, library_name

logger = logging.getLogger(__name__)

BUILT_AHEAD = Path(__file__).with_name("libraries")
"""Where a wheel has libraries that were compiled when it was made."""

_LONGEST_BUILD_S = 600
_LOADING = threading.Lock()


class Arguments(ctypes.Structure):
    """Sizes and addresses of a layer, as ``kernel.cpp`` declares and explains them."""

    _fields_ = [
        *((name, c_int64) for name in ("cell", "precision", "threads", "directions", "groups")),
        *((name, c_int64) for name in ("batch", "num_rows", "inputs", "hidden", "kept_rows")),
        *((name, c_void_p) for name in ("sequences", "rows", "initial_hidden", "initial_cell")),
        *((name, c_void_p) for name in ("final_hidden", "final_cell")),
        ("weights", POINTER(c_void_p)),
        *((name, c_void_p) for name in ("output", "kept", "grad_rows")),
        ("grad_weights", POINTER(c_void_p)),
    ]


def is_available() -> bool:
    """Whether :func:`~seqbelt.models.fused.fused_layer` can be used here.

    The first call of a process loads the kernel and, where no wheel brought it, compiles it the
    first time on a machine, which takes about a quarter of a minute. Never raises. The environment
    variable ``SEQBELT_FUSED=0`` switches the kernel off.
    """
    return why_unavailable() is None


def why_unavailable() -> str | None:
    """One sentence on why the fused layers cannot be used here, or ``None`` where they can.

    Calls the compiler at most once per process; the result is cached until the process ends.
    """
    if os.environ.get("SEQBELT_FUSED") == "0":
        return "Fused recurrent layers are switched off by SEQBELT_FUSED=0."
    loaded = _load()
    return loaded if isinstance(loaded, str) else None


def kernel() -> ctypes.CDLL:
    """The kernel's functions.

    Raises:
        RuntimeError: if it is not available, saying why.
    """
    if (reason := why_unavailable()) is not None:
        raise RuntimeError(reason)
    loaded = _load()
    assert not isinstance(loaded, str)
    return loaded


def start_build() -> None:
    """Compile the kernel, where it is not yet, in a thread: its users wait for it."""
    threading.Thread(target=why_unavailable, name="build-kernel").start()


def instructions() -> str:
    """The set of instructions that the kernel uses on this processor."""
    capability = torch.backends.cpu.get_cpu_capability().lower()
    flags = processor_flags()
    if capability == "avx512" and "avx512_bf16" in flags:
        return "amx_bf16" if {"amx_tile", "amx_bf16"} <= flags else "avx512_bf16"
    return capability if capability in ("avx2", "avx512") else "default"


@functools.cache
def processor_flags() -> frozenset[str]:
    """The processor's flags from /proc/cpuinfo; empty on other systems than Linux."""
    with contextlib.suppress(OSError):
        return frozenset(Path("/proc/cpuinfo").read_text().split())
    return frozenset()


def _load() -> ctypes.CDLL | str:
    """The library, or one sentence on why there is none."""
    with _LOADING:  # one thread compiles, the others wait
        return _load_once()


@functools.cache
def _load_once() -> ctypes.CDLL | str:
    try:
        name = library_name(instructions())
        path = BUILT_AHEAD / name
        if not path.exists():
            path = _cache() / name
        if not path.exists():
            if problem := compiler_problem():
                return problem
            _compile(path)
        return _with_types(ctypes.CDLL(str(path)))
    except Exception as error:  # the caller falls back on torch's layers
        logger.debug("Compiling or loading the fused layers failed.", exc_info=True)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"The kernel of the fused recurrent layers could not be built: {reason}"


def _cache() -> Path:
    """torch's folder for compiled extensions."""
    default = Path("~/.cache/torch_extensions").expanduser()
    return Path(os.environ.get("TORCH_EXTENSIONS_DIR") or default)


def _compile(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=_LONGEST_BUILD_S):
        if path.exists():  # another process has compiled it meanwhile
            return
        # A warning, so that it is shown by default: it takes long.
        logger.warning("Compiling the fused recurrent layers, once, for a quarter of a minute.")
        compile_kernel(instructions(), path)


def _with_types(library: ctypes.CDLL) -> ctypes.CDLL:
    library.seqbelt_kept_bytes.argtypes = [c_int64] * 3
    library.seqbelt_kept_bytes.restype = c_int64
    for function in (library.seqbelt_forward, library.seqbelt_backward):
        function.argtypes, function.restype = [POINTER(Arguments)], c_bool
    return library
