"""Predictions for untrusted requests, decoded in a child process with limits on size and time.

The server process reads requests; a child process has the model and decodes. When the child dies,
or an item takes too long, that item gets an error, and another child predicts the rest. The two
exchange bytes and JSON, no pickle.
"""

import base64
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from seqbelt.errors import CRASHED, TIMED_OUT, BadInput, SeqbeltError
from seqbelt.features.base import JoinedSource
from seqbelt.features.crash_board import Board
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Prediction, Predictor

# The code of older logged models imports all of these from here.
from seqbelt.inference.request_rows import COLUMNS as COLUMNS
from seqbelt.inference.request_rows import Content, ServeLimits
from seqbelt.inference.request_rows import read_joined_row as read_joined_row
from seqbelt.inference.request_rows import read_row as read_row

POLL_S = 0.05
START_S = 300.0
"""Time limit for a child to load the model."""
NETWORK_S = 60.0
"""Time limit for the network per request, in addition to the decoders."""


_IN_THIS_PROCESS: ContextVar[bool] = ContextVar("in_this_process", default=False)


@contextmanager
def in_this_process() -> Iterator[None]:
    """Meanwhile a ``ModelProcess`` predicts in the process that asks it, for sources that are
    known to be harmless: a child needs seconds to start."""
    token = _IN_THIS_PROCESS.set(True)
    try:
        yield
    finally:
        _IN_THIS_PROCESS.reset(token)


class ModelProcess:
    """A child process with a model, started on the first request and after it was killed."""

    def __init__(self, bundle: Path, limits: ServeLimits) -> None:
        self._bundle, self._limits = bundle, limits
        # It has no name, so that nothing is left of it however the server ends.
        self._shared = tempfile.TemporaryFile()  # noqa: SIM115
        self._board = Board(self._shared.fileno())
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._replies = -1
        self._is_ready = False

    def predict(self, sources: Sequence[Content]) -> list[dict[str, Any]]:
        """For each source ``{"values": [...]}``, or ``{"error": text}``.

        Raises SeqbeltError if the model cannot be loaded.
        """
        if _IN_THIS_PROCESS.get():
            return _reply(Predictor(Bundle.load(self._bundle)), sources)
        with self._lock:
            rows: list[dict[str, Any] | None] = [None] * len(sources)
            pending = list(range(len(sources)))
            while pending:
                replies, busy = self._request([sources[index] for index in pending])
                if replies is not None:
                    for index, row in zip(pending, replies, strict=True):
                        rows[index] = row
                    break
                for candidate in [pending[position] for position in busy] or list(pending):
                    alone, _ = self._request([sources[candidate]])
                    rows[candidate] = {"error": self._why} if alone is None else alone[0]
                    pending.remove(candidate)
            return [row or {"error": self._why} for row in rows]

    def close(self) -> None:
        """Stop the child."""
        self._stop()
        self._shared.close()

    def __del__(self) -> None:
        try:  # noqa: SIM105 - at exit ``suppress`` may be unavailable
            self.close()
        except Exception:
            pass

    def _stop(self) -> None:
        process, self._process, self._is_ready = self._process, None, False
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin:
                with suppress(OSError):
                    process.stdin.close()
            os.close(self._replies)

    def _start(self) -> None:
        reader, writer = os.pipe()
        # The model may be logged with a copy of this package; the child uses the same copy.
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._board.clear()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "seqbelt.inference.serving", str(self._bundle),
             str(self._shared.fileno()), str(writer), str(self._limits.memory_mb)],
            stdin=subprocess.PIPE, stdout=sys.stderr.fileno() if _has_stderr() else None,
            pass_fds=(self._shared.fileno(), writer), env=environment, process_group=0,
        )  # fmt: skip
        os.close(writer)
        self._replies = reader

    def _request(self, sources: Sequence[Content]) -> tuple[list[dict[str, Any]] | None, list[int]]:
        """The replies; or None, and the positions of the sources being decoded when the child
        failed."""
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        if not self._is_ready:
            greeting = self._receive_reply(time.monotonic() + START_S)
            if greeting is None or "error" in greeting:
                self._stop()
                raise SeqbeltError((greeting or {}).get("error", "the model cannot be loaded"))
            self._is_ready = True
        contents = [_pack(source) for source in sources]
        head = [[type(source).__name__, len(content)] for source, content in zip(sources, contents)]
        wait_s = self._limits.timeout_s * len(sources) + NETWORK_S
        try:
            _write_message(self._process.stdin.fileno(), json.dumps(head).encode(), *contents)
            reply = self._receive_reply(time.monotonic() + wait_s)
        except OSError:  # the child died
            reply = None
        if reply is not None:
            return reply["rows"], []
        busy = sorted({index for slot in self._board.busy() for index in slot.indices})
        self._stop()
        self._start()  # loads while other requests wait
        return None, [position for position in busy if position < len(sources)]

    def _receive_reply(self, deadline: float) -> dict[str, Any] | None:
        """The child's next message; None if it died or an item takes too long."""
        assert self._process is not None
        content, needed = b"", 8
        self._why = str(BadInput(CRASHED, "decoding it crashed the process"))
        while True:
            if select.select([self._replies], [], [], POLL_S)[0]:
                part = os.read(self._replies, 1 << 20)
                if not part:
                    return None
                content += part
                if len(content) >= 8:
                    needed = 8 + struct.unpack("<Q", content[:8])[0]
                if len(content) >= needed:
                    return json.loads(content[8:needed])
            elif self._is_late() or time.monotonic() > deadline:
                self._why = str(
                    BadInput(TIMED_OUT, f"not decoded within {self._limits.timeout_s:g} s "
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


def _write_message(number: int, *parts: bytes) -> None:
    """Write the parts, preceded by the length of the first."""
    for part in (struct.pack("<Q", len(parts[0])), *parts):
        view = memoryview(part)
        while view:
            view = view[os.write(number, view) :]


def _pack(source: Content) -> bytes:
    """The bytes of a source for the child."""
    if isinstance(source, str):
        return source.encode("utf-8", "surrogatepass")
    if isinstance(source, bytes):
        return source
    parts = [
        [type(part).__name__, base64.b64encode(_pack(part)).decode()]
        if isinstance(part, str | bytes)
        else None
        for part in source.inputs
    ]
    return json.dumps([parts, source.cells]).encode()


def _unpack(kind: str, content: bytes) -> Content:
    """The source that ``_pack`` gave, of the type ``kind``."""
    if kind == "str":
        return content.decode("utf-8", "surrogatepass")
    if kind == "bytes":
        return content
    parts, cells = json.loads(content)
    inputs = tuple(part and _unpack(part[0], base64.b64decode(part[1])) for part in parts)
    return JoinedSource(inputs, tuple(cells))  # type: ignore[arg-type]


def _receive_exactly(size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        part = os.read(0, min(size - len(content), 1 << 20))
        if not part:
            os._exit(0)  # the server has ended
        content += part
    return bytes(content)


def _reply(
    predictor: Predictor, sources: Sequence[Content], board: Board | None = None
) -> list[dict[str, Any]]:
    """The row of each source, as ``ModelProcess.predict`` returns it."""
    rows: list[dict[str, Any]] = [{}] * len(sources)
    for prediction in predictor.predict(enumerate(sources), board=board):
        assert isinstance(prediction, Prediction)  # nothing is known before
        values = prediction.probabilities
        rows[prediction.index] = (
            {"error": str(values), "reason": values.reason}
            if isinstance(values, BadInput)
            else {"values": values.tolist()}
        )
    return rows


def _serve(bundle: str, board: str, replies: str, memory_mb: str) -> None:
    """Run in the child: load the model, report that, and reply to requests until the server
    ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_server, args=(os.getppid(),), daemon=True).start()
    number = int(replies)
    try:
        predictor = Predictor(Bundle.load(Path(bundle)))
    except SeqbeltError as error:
        _write_message(number, json.dumps({"error": str(error)}).encode())
        return
    if predictor.device.type == "cpu":
        _bound_memory(int(float(memory_mb) * (1 << 20)))
    try:
        shared_board = Board(int(board))
        _write_message(number, b"{}")
    except BrokenPipeError:  # the server ended while the model was loaded
        return
    while True:
        (size,) = struct.unpack("<Q", _receive_exactly(8))
        head = json.loads(_receive_exactly(size))
        sources = [_unpack(kind, _receive_exactly(length)) for kind, length in head]
        rows = _reply(predictor, sources, shared_board)
        _write_message(number, json.dumps({"rows": rows}).encode())


def _bound_memory(num_bytes: int) -> None:
    """Limit this process to ``num_bytes`` more memory; a decoder that needs more fails."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                limit = (int(line.split()[1]) << 10) + num_bytes
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _exit_with_server(parent: int) -> None:
    """Exit when the server ends, even if a decoder hangs."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
