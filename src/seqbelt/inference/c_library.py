"""The C files of a model, compiled and run here, to compare them with the model."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.errors import SeqbeltError
from seqbelt.inference.c_source import CSource

COMPILERS = ("gcc", "clang")
FLAGS = ("-O2", "-Wall", "-Wextra", "-std=c99", "-pedantic", "-Werror")
CHUNKS = (1, 7, 50)
"""Numbers of inputs that are given together, in turns."""
MAX_SHOWN = 400
"""Characters of a compiler's message."""


def find_compiler() -> str:
    """The C compiler on the PATH. Raises SeqbeltError where there is none."""
    for name in COMPILERS:
        if path := shutil.which(name):
            return path
    raise SeqbeltError(
        f"--format c needs a C compiler to compare the file with the model; neither of "
        f"{', '.join(COMPILERS)} is on the PATH (Debian, Ubuntu: apt install gcc)"
    )


class CLibrary(nn.Module):
    """C files as a torch module, from padded inputs and lengths to logits.

    Raises SeqbeltError where there is no compiler, or where it has an error or a warning.
    """

    def __init__(
        self, files: CSource, name: str, num_classes: int, flags: tuple[str, ...] = FLAGS
    ) -> None:
        super().__init__()
        self._name, self._num_classes = name, num_classes
        with tempfile.TemporaryDirectory(prefix="seqbelt-c-") as temporary:
            folder = Path(temporary)
            (folder / f"{name}.h").write_text(files.header, "ascii")
            (folder / f"{name}.c").write_text(files.source, "ascii")
            shim = _SHIM.format(name=name, upper=name.upper())
            (folder / "shim.c").write_text(shim, "ascii")
            compile_c([*flags, "-shared", "-fPIC", "-o", "shim.so", "shim.c", "-lm"], folder)
            self._library = ctypes.CDLL(str(folder / "shim.so"))
        self.state_bytes = ctypes.c_size_t.in_dll(self._library, "shim_state_bytes").value
        """Bytes of the state."""
        self._state = ctypes.create_string_buffer(self.state_bytes)
        self._kind = np.int32 if re.search(r"int32_t \*tokens", files.header) else np.float32

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits float32 ``(batch, classes)``, as ``SequenceNetwork.forward``."""
        rows = [
            self.read(row[:length].numpy())
            for row, length in zip(inputs, lengths.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack(rows))

    def read(self, inputs: np.ndarray, chunks: tuple[int, ...] = CHUNKS) -> np.ndarray:
        """Logits float32 ``(classes,)`` of one sequence, given in ``chunks`` of inputs in turns."""
        values = np.ascontiguousarray(inputs, self._kind)
        logits = np.full(self._num_classes, np.nan, np.float32)
        sizes = np.array(chunks, np.uintp)
        self._library.shim_read(
            self._state, values.ctypes, ctypes.c_size_t(len(values)),
            sizes.ctypes, ctypes.c_size_t(len(sizes)), logits.ctypes,
        )  # fmt: skip
        return logits


def compile_c(arguments: list[str], folder: Path) -> None:
    """Run the compiler in a folder. Raises SeqbeltError with its message where it fails."""
    done = subprocess.run(
        [find_compiler(), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SeqbeltError(f"the C file does not compile: {done.stderr.strip()[:MAX_SHOWN]}")


_SHIM = """\
#include "{name}.c"

extern const size_t shim_state_bytes;
const size_t shim_state_bytes = sizeof({name}_state);

void shim_read({name}_state *state, const void *inputs, size_t count, const size_t *sizes,
               size_t num_sizes, float *logits);

void shim_read({name}_state *state, const void *inputs, size_t count, const size_t *sizes,
               size_t num_sizes, float *logits)
{{
    const char *next = inputs;
    float probabilities[sizeof {name}_classes / sizeof {name}_classes[0]];
    {name}_init(state);
    for (size_t chunk = 0; count > 0; chunk++) {{
        const size_t size = sizes[chunk % num_sizes] < count ? sizes[chunk % num_sizes] : count;
        {name}_step(state, (const void *)next, size);
        next += size * {upper}_INPUT_WIDTH * 4;
        count -= size;
    }}
    {name}_finish(state, probabilities);
    {name}_logits(state, logits);
}}
"""
