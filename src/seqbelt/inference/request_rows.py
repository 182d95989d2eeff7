"""The rows of untrusted requests: what each may contain, within the limits of a server."""

import base64
import binascii
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from seqbelt.errors import EMPTY, TOO_LONG, UNREADABLE, WRONG_TYPE, BadInput
from seqbelt.features.base import JoinedSource
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.settings import Settings

Content: TypeAlias = str | bytes | JoinedSource
"""What a row of a request holds: a text, the bytes of a file, or several inputs."""
COLUMNS = ("path", "text", "base64")


class ServeLimits(Settings):
    """Limits of a served model, set by environment variables."""

    root: Path | None = None
    """``SEQBELT_SERVE_ROOT``: folder that ``path`` rows may read from; without it none may."""
    timeout_s: float = 5.0
    """``SEQBELT_SERVE_TIMEOUT_S``: time limit for decoding one row, in seconds."""
    max_mb: float = 64.0
    """``SEQBELT_SERVE_MAX_MB``: largest size of a request and of the content of a row."""
    memory_mb: float = 1024.0
    """``SEQBELT_SERVE_MEMORY_MB``: memory for predictions, in addition to the model's (Linux
    only)."""

    @classmethod
    def from_environment(cls) -> "ServeLimits":
        """Read the limits from the environment. Raises SettingsError for an invalid number."""
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            text = os.environ.get(f"SEQBELT_SERVE_{name.upper()}")
            if text:
                with suppress(ValueError):
                    text = text if name == "root" else float(text)
                values[name] = text
        return cls.parse(values, origin="SEQBELT_SERVE_…")

    @property
    def max_bytes(self) -> int:
        return int(self.max_mb * (1 << 20))


def read_row(row: dict[str, Any], limits: ServeLimits, reads_text: bool) -> str | bytes | BadInput:
    """The content of a request's row: a text, or the bytes of a file; or the error.

    Errors do not reveal other files.
    """
    given = {name: row[name] for name in COLUMNS if isinstance(row.get(name), str)}
    if len(given) != 1:
        names = ", ".join(given) or "none of them"
        return BadInput(WRONG_TYPE, f"expected one of {', '.join(COLUMNS)}; found {names}")
    ((name, value),) = given.items()
    if len(value) > limits.max_bytes * (4 / 3 if name == "base64" else 1) + 4:
        return BadInput(TOO_LONG, f"more than {limits.max_mb:g} MB (SEQBELT_SERVE_MAX_MB)")
    if name == "path":
        return _read_below(value, limits)
    if name == "text":
        if reads_text:
            return value
        return BadInput(WRONG_TYPE, "this model reads files, not texts; send base64 or path")
    return _decode(value)


def _decode(value: str) -> bytes | BadInput:
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: characters that are not ASCII
        return BadInput(WRONG_TYPE, f"not base64: {error}")
    return content or BadInput(EMPTY, "the content has no bytes")


def read_joined_row(
    row: dict[str, Any], limits: ServeLimits, features: SeveralInputs
) -> JoinedSource | BadInput:
    """The inputs of a request's row, each in the column with its name: a text, or base64 of a
    file's bytes; and the cells of the columns, as text. What is not there is missing."""
    names = (*features.inputs, *features.columns)
    given = {name: row[name] for name in names if isinstance(row.get(name), str) and row[name]}
    if not given:
        return BadInput(WRONG_TYPE, f"expected one of {', '.join(names)} at least; found none")
    if sum(map(len, given.values())) > limits.max_bytes * 4 / 3 + 4:
        return BadInput(TOO_LONG, f"more than {limits.max_mb:g} MB (SEQBELT_SERVE_MAX_MB)")
    parts: list[str | bytes | None] = []
    for name, section in features.inputs.items():
        part = given.get(name)
        if part is not None and not section.reads_text:
            part = _decode(part)
        if isinstance(part, BadInput):
            return BadInput(part.reason, f"{name}: ", *part.message)
        parts.append(part)
    return JoinedSource(tuple(parts), tuple(given.get(name, "") for name in features.columns))


def _read_below(value: str, limits: ServeLimits) -> bytes | BadInput:
    """The content of a regular file below the root; links that leave it are rejected."""
    if limits.root is None:
        return BadInput(
            WRONG_TYPE,
            "path: this server does not read files; send the content as base64, or set "
            "SEQBELT_SERVE_ROOT to a folder on the server",
        )
    try:
        root = limits.root.resolve(strict=True)
        file = (root / value).resolve()
        if not file.is_relative_to(root):
            return BadInput(WRONG_TYPE, "path: outside the served folder")
        # Opening a pipe would block without O_NONBLOCK.
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(number, "rb") as opened:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                return BadInput(WRONG_TYPE, "path: not a regular file")
            if status.st_size > limits.max_bytes:
                return BadInput(TOO_LONG, f"more than {limits.max_mb:g} MB (SEQBELT_SERVE_MAX_MB)")
            content = opened.read(limits.max_bytes + 1)
    except (OSError, ValueError, RuntimeError):  # without details for the client
        return BadInput(UNREADABLE, "path: no such file in the served folder")
    return content or BadInput(EMPTY, "the file has no bytes")
