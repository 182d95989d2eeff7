"""A C file under construction: its constants, the fields of its state, its functions."""

import re
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from seqbelt.errors import SettingsError
from seqbelt.inference import c_templates as templates

VALUES_PER_LINE = 12


class CUnit:
    """A C file under construction: constants, fields of the state, functions."""

    def __init__(self, name: str, int8: bool) -> None:
        self.name, self.int8 = name, int8
        self._arrays: list[str] = []
        self._fields: list[str] = []
        self._functions: list[str] = []
        self._helpers: set[str] = set()
        self._scratch: dict[str, int] = {}

    def array(self, name: str, values: Tensor | np.ndarray, kind: str = "float") -> str:
        """Add a constant array; returns its name."""
        flat = as_numpy(values).ravel()
        if not np.isfinite(flat).all():
            raise SettingsError(f"--format c: {name} holds NaN or infinite values")
        texts = [f"{value:d}" if kind == "int8_t" else c_number(value, kind) for value in flat]
        lines = [
            "    " + ", ".join(texts[start : start + VALUES_PER_LINE])
            for start in range(0, len(texts), VALUES_PER_LINE)
        ]
        body = ",\n".join(lines)
        self._arrays.append(f"static const {kind} {name}[{len(flat)}] = {{\n{body}\n}};")
        return name

    def rows(self, name: str, weights: Tensor | np.ndarray) -> tuple[str, str]:
        """Add a matrix; returns the names of its values and of its rows' scales (int8 only)."""
        matrix = as_numpy(weights)
        if not self.int8:
            return self.array(name, matrix), ""
        scales = np.abs(matrix).max(axis=1) / 127
        whole = np.rint(matrix / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
        return self.array(name, whole, "int8_t"), self.array(f"{name}_scales", scales)

    def product(
        self, name: str, weights: Tensor | np.ndarray, bias: Tensor | None, x: str, y: str
    ) -> str:
        """A statement: ``y`` is the matrix times ``x`` plus the bias."""
        self._helpers.add("multiply")
        values, scales = self.rows(name, weights)
        added = "NULL" if bias is None else self.array(f"{name}_bias", bias)
        num_rows, num_columns = weights.shape
        given = ", ".join(filter(None, (values, scales, added)))
        return f"multiply({given}, {x}, {num_rows}, {num_columns}, {y});"

    def field(self, name: str, size: int, kind: str = "float") -> str:
        """Add an array to the state; returns the expression for it."""
        self._fields.append(f"{kind} {name}[{size}];")
        return f"state->{name}"

    def counter(self, name: str) -> str:
        """Add a 64-bit count to the state; returns the expression for it."""
        self._fields.append(f"int64_t {name};")
        return f"state->{name}"

    def scratch(self, name: str, size: int) -> str:
        """Memory that is free again after a step; returns the expression for it."""
        self._scratch[name] = max(size, self._scratch.get(name, 0))
        return f"state->{name}"

    def helper(self, name: str) -> str:
        """Add one of ``c_templates.helpers``, once; returns its name."""
        self._helpers.add(name)
        return name

    def function(self, text: str) -> None:
        """Add a function."""
        self._functions.append(text)

    @property
    def real(self) -> str:
        """The type of sums: double, unless the file is compiled otherwise."""
        return f"{self.name.upper()}_REAL"

    @property
    def fields(self) -> str:
        """The declarations in the struct of the state."""
        scratch = [f"float {name}[{size}];" for name, size in self._scratch.items()]
        return "\n".join(f"    {field}" for field in [*self._fields, *scratch])

    def text(self, classes: Sequence[str], comment: str) -> str:
        """The source file."""
        names = ", ".join(_string(label) for label in classes)
        helpers = [
            text.replace("REAL", self.real)
            for name, text in templates.helpers(self.int8).items()
            if name in self._helpers
        ]
        parts = [
            f"/* {comment} */",
            f'#include "{self.name}.h"\n\n#include <string.h>\n#include <tgmath.h>',
            f"const char *const {self.name}_classes[{len(classes)}] = {{{names}}};",
            *self._arrays, *helpers, *self._functions,
        ]  # fmt: skip
        return "\n\n".join(parts) + "\n"


def c_number(value: float, kind: str = "float") -> str:
    """A number as C writes it, of a type ``float``, ``double`` or ``int8_t``."""
    if kind.startswith("int"):
        return f"{int(value)}"
    digits, suffix = (9, "f") if kind == "float" else (17, "")
    text = f"{float(value):.{digits}g}"
    return (text if re.search(r"[.e]", text) else f"{text}.0") + suffix


def as_numpy(values: Tensor | np.ndarray) -> np.ndarray:
    """A tensor or an array as an array."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _string(text: str) -> str:
    """A C string of UTF-8; octal escapes end after three digits, unlike hexadecimal ones."""
    plain = re.compile(r"[ !#-\[\]-~]")
    escaped = "".join(
        chr(byte) if plain.match(chr(byte)) and chr(byte) != "?" else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{escaped}"'
