"""Answers to strangers' requests: contents are decoded where it can be ended, and bounded before.

A server process reads requests and keeps nothing else; a child has the model and decodes. When the
child dies, or an item takes too long, that item gets an error, and another child answers the rest.
Between the two go bytes and JSON, no pickle.
"""

import base64
import binascii
import json
import os
import select
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from seqbelt.errors import (
    CRASHED,
    EMPTY,
    TIMED_OUT,
    TOO_LONG,
    UNREADABLE,
    WRONG_TYPE,
    BadInput,
    SeqbeltError,
)
from seqbelt.features.crash_board import Board
from seqbelt.settings import Settings

COLUMNS = ("path", "text", "base64")
POLL_S = 0.05
START_S = 300.0
"""What a child may take to load the model."""
NETWORK_S = 60.0
"""What the network may take for a request, beside the decoders."""


class ServeLimits(Settings):
    """What a served model may read and use; the environment sets each field."""

    root: Path | None = None
    """``SEQBELT_SERVE_ROOT``: the folder below which rows may name files; without one, none may."""
    timeout_s: float = 5.0
    """``SEQBELT_SERVE_TIMEOUT_S``: seconds that decoding one row may take."""
    max_mb: float = 64.0
    """``SEQBELT_SERVE_MAX_MB``: size of a request, and of the content of one row."""
    memory_mb: float = 1024.0
    """``SEQBELT_SERVE_MEMORY_MB``: memory that answering may take beside the model (on Linux)."""

    @classmethod
    def from_environment(cls) -> "ServeLimits":
        """Raises SettingsError for a value that is no number."""
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
    """The content that a request's row names: a text, or the bytes of a file.

    An error names no other file and quotes nothing of one.
    """
    given = {name: row[name] for name in COLUMNS if isinstance(row.get(name), str)}
    if len(given) != 1:
        found = ", ".join(given) or "none of them"
        return BadInput(WRONG_TYPE, f"expected one of {', '.join(COLUMNS)}; found {found}")
    ((name, value),) = given.items()
    if len(value) > limits.max_bytes * (4 / 3 if name == "base64" else 1) + 4:
        return BadInput(TOO_LONG, f"more than {limits.max_mb:g} MB (SEQBELT_SERVE_MAX_MB)")
    if name == "path":
        return _read_below(value, limits)
    if name == "text":
        if reads_text:
            return value
        return BadInput(WRONG_TYPE, "this model takes files, not texts: give base64, or path")
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: letters outside of ASCII
        return BadInput(WRONG_TYPE, f"not base64: {error}")
    return content or BadInput(EMPTY, "the content has no bytes")


def _read_below(value: str, limits: ServeLimits) -> bytes | BadInput:
    """The content of a regular file below the root; links that leave it are refused."""
    if limits.root is None:
        return BadInput(
            WRONG_TYPE,
            "path: this server opens no files; send the content as base64 (whoever serves may set "
            "SEQBELT_SERVE_ROOT to a folder)",
        )
    try:
        root = limits.root.resolve(strict=True)
        file = (root / value).resolve()
        if not file.is_relative_to(root):
            return BadInput(WRONG_TYPE, "path: leads out of the folder that is served")
        # A pipe would wait for ever, even to be opened.
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(number, "rb") as opened:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                return BadInput(WRONG_TYPE, "path: no regular file")
            if status.st_size > limits.max_bytes:
                return BadInput(TOO_LONG, f"more than {limits.max_mb:g} MB (SEQBELT_SERVE_MAX_MB)")
            content = opened.read(limits.max_bytes + 1)
    except (OSError, ValueError, RuntimeError):  # what exactly is nobody's business
        return BadInput(UNREADABLE, "path: no such file in the folder that is served")
    return content or BadInput(EMPTY, "the file has no bytes")


class AnsweringChild:
    """A process with a model, started when it is first asked and again when it had to be ended."""

    def __init__(self, bundle: Path, limits: ServeLimits) -> None:
        self._bundle, self._limits = bundle, limits
        self._scratch = tempfile.TemporaryDirectory(prefix="seqbelt-serve-")
        self._board = Board(Path(self._scratch.name, "board"))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._is_ready = False

    def answer(self, sources: Sequence[str | bytes]) -> list[dict[str, Any]]:
        """For each source ``{"values": [...]}``, or ``{"error": text}``.

        Raises SeqbeltError where the model itself cannot be loaded.
        """
        with self._lock:
            rows: list[dict[str, Any] | None] = [None] * len(sources)
            pending = list(range(len(sources)))
            while pending:
                found, busy = self._ask([sources[index] for index in pending])
                if found is not None:
                    for index, row in zip(pending, found, strict=True):
                        rows[index] = row
                    break
                for suspect in [pending[place] for place in busy] or list(pending):
                    alone, _ = self._ask([sources[suspect]])
                    rows[suspect] = {"error": self._why} if alone is None else alone[0]
                    pending.remove(suspect)
            return [row or {"error": self._why} for row in rows]

    def close(self) -> None:
        """End the child for good."""
        self._end()
        self._scratch.cleanup()

    def __del__(self) -> None:
        try:  # noqa: SIM105 - at the interpreter's end even ``suppress`` may be gone
            self.close()
        except Exception:
            pass

    def _end(self) -> None:
        process, self._process, self._is_ready = self._process, None, False
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin:
                with suppress(OSError):
                    process.stdin.close()
            os.close(self._answers)

    def _start(self) -> None:
        answers, written = os.pipe()
        # The model may have been logged with a copy of this package: the child takes the same.
        places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
        self._board.clear()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "seqbelt.inference.serving", str(self._bundle),
             str(Path(self._scratch.name, "board")), str(written), str(self._limits.memory_mb)],
            stdin=subprocess.PIPE, stdout=sys.stderr.fileno() if _has_stderr() else None,
            pass_fds=(written,), env=environment, process_group=0,
        )  # fmt: skip
        os.close(written)
        self._answers = answers

    def _ask(self, sources: Sequence[str | bytes]) -> tuple[list[dict[str, Any]] | None, list[int]]:
        """The answers; or None, and the places of the sources that the child was at."""
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        if not self._is_ready:
            hello = self._receive(time.monotonic() + START_S)
            if hello is None or "error" in hello:
                self._end()
                raise SeqbeltError((hello or {}).get("error", "the model cannot be loaded"))
            self._is_ready = True
        contents = [one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one
                    for one in sources]  # fmt: skip
        head = [[isinstance(one, str), len(content)] for one, content in zip(sources, contents)]
        wait_s = self._limits.timeout_s * len(sources) + NETWORK_S
        try:
            _send(self._process.stdin.fileno(), json.dumps(head).encode(), *contents)
            answer = self._receive(time.monotonic() + wait_s)
        except OSError:  # it died while it was asked
            answer = None
        if answer is not None:
            return answer["rows"], []
        busy = sorted({index for slot in self._board.busy() for index in slot.indices})
        self._end()
        self._start()  # while it loads, others wait
        return None, [place for place in busy if place < len(sources)]

    def _receive(self, deadline: float) -> dict[str, Any] | None:
        """What the child says; None where it died, or an item takes too long."""
        assert self._process is not None
        content, needed = b"", 8
        self._why = str(BadInput(CRASHED, "decoding it ended the process"))
        while True:
            if select.select([self._answers], [], [], POLL_S)[0]:
                part = os.read(self._answers, 1 << 20)
                if not part:
                    return None
                content += part
                if len(content) >= 8:
                    needed = 8 + struct.unpack("<Q", content[:8])[0]
                if len(content) >= needed:
                    return json.loads(content[8:needed])
            elif self._is_late() or time.monotonic() > deadline:
                self._why = str(
                    BadInput(TIMED_OUT, f"no answer within {self._limits.timeout_s:g} s "
                                        "(SEQBELT_SERVE_TIMEOUT_S)")
                )  # fmt: skip
                return None

    def _is_late(self) -> bool:
        limit = self._limits.timeout_s
        return self._is_ready and any(
            slot.busy_s > limit * len(slot.indices) for slot in self._board.busy()
        )


def _has_stderr() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False


def _send(number: int, *parts: bytes) -> None:
    """The parts, with the length of the first before all."""
    for part in (struct.pack("<Q", len(parts[0])), *parts):
        view = memoryview(part)
        while view:
            view = view[os.write(number, view) :]


def _receive_exactly(size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        part = os.read(0, min(size - len(content), 1 << 20))
        if not part:
            os._exit(0)  # the server is gone
        content += part
    return bytes(content)


def _serve(bundle: str, board: str, answers: str, memory_mb: str) -> None:
    """The child's side: load the model, say so, answer until the server is gone."""
    from seqbelt.features.base import Source
    from seqbelt.inference.bundle import Bundle
    from seqbelt.inference.predictor import Prediction, Predictor

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_server, args=(os.getppid(),), daemon=True).start()
    number = int(answers)
    try:
        predictor = Predictor(Bundle.load(Path(bundle)))
    except SeqbeltError as error:
        _send(number, json.dumps({"error": str(error)}).encode())
        return
    if predictor.device.type == "cpu":
        _bound_memory(int(float(memory_mb) * (1 << 20)))
    watched = Board(Path(board))
    _send(number, b"{}")
    while True:
        (size,) = struct.unpack("<Q", _receive_exactly(8))
        head = json.loads(_receive_exactly(size))
        contents = [(is_text, _receive_exactly(length)) for is_text, length in head]
        sources: list[Source] = [
            content.decode("utf-8", "surrogatepass") if is_text else content
            for is_text, content in contents
        ]
        rows: list[dict[str, Any]] = [{}] * len(sources)
        for found in predictor.predict(enumerate(sources), board=watched):
            assert isinstance(found, Prediction)
            values = found.probabilities
            rows[found.index] = (
                {"error": str(values), "reason": values.reason}
                if isinstance(values, BadInput)
                else {"values": values.tolist()}
            )
        _send(number, json.dumps({"rows": rows}).encode())


def _bound_memory(num_bytes: int) -> None:
    """Let this process take so much more; a decoder that wants all then fails by itself."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                limit = (int(line.split()[1]) << 10) + num_bytes
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _end_with_server(parent: int) -> None:
    """A decoder that hangs must not outlive who asked."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
