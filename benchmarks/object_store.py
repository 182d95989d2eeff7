"""A folder in an S3 server on loopback against the same folder on disk, and what its failures cost.

    python benchmarks/object_store.py MOTO_PYTHON [--files 10000] [--failures 0.05]

MOTO_PYTHON is the Python of an environment with `moto[server]` (`pip install 'moto[server]'`). Its
server stands behind a proxy that answers a part of the requests with 500 or 503 (SlowDown) and
counts the objects that are read. Timed are `seqbelt prepare` and `predict`, whole commands, on
recordings of a quarter of a second in class folders: from disk, from the server at first, and
again. Then the mirror is removed, `predict` is killed with SIGKILL while it fetches, and run again.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.fs
import soundfile

CONFIG = """
name: tones
data: {source: SOURCE}
features: {kind: log_mel, sample_rate: 8000, num_bands: 16}
model: {hidden_size: 16}
training: {num_updates: 50}
"""


class Proxy(ThreadingHTTPServer):
    """Passes requests on; ``failures`` of them get 500 or 503 at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, failures: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.failures = port, failures
        self.reads, self.num_failed = Counter[str](), 0


class Handler(BaseHTTPRequestHandler):
    """One connection to the proxy."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_request(self) -> None:
        body = self.read_body()
        if random.random() < self.server.failures:
            self.server.num_failed += 1
            self.reply(random.choice((500, 503)), {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ("transfer-encoding", "expect")}  # fmt: skip
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if self.command == "GET" and self.path.split("?")[0].endswith(".wav"):
            self.server.reads[self.path] += 1
        self.reply(answer.status, dict(answer.getheaders()), content)
        connection.close()

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        length = headers.get("Content-Length") if self.command == "HEAD" else str(len(content))
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the terminal for the figures."""

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request


def write_recordings(folder: Path, count: int) -> None:
    """Tones of two pitches in noise, no two alike."""
    draw = np.random.default_rng(0)
    times_s = np.arange(2000) / 8000
    for number in range(count):
        name, pitch_hz = ("low", 300) if number % 2 else ("high", 900)
        samples = 0.3 * np.sin(2 * np.pi * pitch_hz * times_s) + 0.05 * draw.normal(size=2000)
        path = folder / name / f"{number:05}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 8000)


def seqbelt(*arguments: str) -> tuple[dict, float]:
    """The JSON result of a command, and its seconds."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "seqbelt", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("moto_python")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--failures", type=float, default=0.05)
    options = parser.parse_args()
    os.chdir(tempfile.mkdtemp())
    write_recordings(Path("set"), options.files)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    moto = subprocess.Popen(
        [options.moto_python, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        measure(port, options.files, options.failures)
    finally:
        moto.kill()


def measure(port: int, num_files: int, failures: float) -> None:
    """Print the table; the server listens at ``port``."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "tested", "AWS_SECRET_ACCESS_KEY": "tested", "AWS_REGION": "us-east-1",
    }  # fmt: skip
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    store = pyarrow.fs.S3FileSystem(
        endpoint_override=f"http://127.0.0.1:{port}", region="us-east-1", allow_bucket_creation=True
    )
    store.create_dir("bucket")
    pyarrow.fs.copy_files("set", "bucket/set", destination_filesystem=store, use_threads=True)
    proxy = Proxy(port, failures)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.server_port}"

    def took(what: str, *arguments: str) -> dict:
        proxy.reads.clear()
        failed = proxy.num_failed
        result, seconds = seqbelt(*arguments)
        print(
            f"| {what} | {num_files / seconds:,.0f} | {proxy.reads.total():,} "
            f"| {max(proxy.reads.values(), default=0)} | {proxy.num_failed - failed:,} |",
            flush=True,
        )
        return result

    print("| | files/s | objects read | most reads of one | requests that failed |")
    print("|---|---|---|---|---|")
    for name, source in (("disk", "set"), ("s3", "s3://bucket/set")):
        Path(f"{name}.yaml").write_text(CONFIG.replace("SOURCE", source))
    took("prepare, disk", "prepare", "disk.yaml", "data.prepared=disk")
    took("prepare, S3", "prepare", "s3.yaml", "data.prepared=s3")
    bundle = seqbelt("train", "disk.yaml", "data.prepared=disk")[0]["bundle"]
    took("predict, disk", "predict", bundle, "set", "--output", "disk.csv")
    took("predict, S3, mirrored", "predict", bundle, "s3://bucket/set", "--output", "again.csv")
    shutil.rmtree("data/remote")
    took("predict, S3, to S3", "predict", bundle, "s3://bucket/set", "--output",
         "s3://bucket/found.csv")  # fmt: skip
    shutil.rmtree("data/remote")
    again = ["predict", bundle, "s3://bucket/set", "--output", "k.csv"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "seqbelt", *again],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0,
    )  # fmt: skip
    proxy.reads.clear()
    while proxy.reads.total() < num_files // 2 and killed.poll() is None:
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = proxy.reads.total()
    took(f"predict, after a kill at {before:,}", *again)
    tables = [Path(name).read_bytes().splitlines() for name in ("disk.csv", "k.csv", "again.csv")]
    with store.open_input_file("bucket/found.csv") as file:
        tables.append(file.read().splitlines())
    rows = {frozenset(table) for table in tables}
    print(f"{len(tables[0]) - 1:,} rows; tables alike: {len(rows) == 1}")


if __name__ == "__main__":
    main()
