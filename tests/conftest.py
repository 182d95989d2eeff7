"""Fixtures that more than one test file needs."""

import gc
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import soundfile
import torch

torch.set_num_threads(1)

hypothesis.settings.register_profile(
    "fast", max_examples=15, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("thorough", max_examples=300, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

ROOT = Path(__file__).parents[1]
SAMPLE_RATE = 8000


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: garbage collections need not look
    through it, which took a tenth of the time."""
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """No content in a test's name: every worker must collect the same names, and show them."""
    if isinstance(val, bytes) or (isinstance(val, str) and not (val.isprintable() and val)):
        return argname
    return None


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The path of a file of the real data sets; a test that needs an absent one is skipped."""
    mirror = Path(os.environ.get("SEQBELT_DATA_MIRROR") or ROOT / "../shared/data").resolve()

    def find(name: str) -> Path:
        if not (mirror / name).is_file():
            pytest.skip(f"real data {name} is not in {mirror} (SEQBELT_DATA_MIRROR)")
        return mirror / name

    return find


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """``noise(num_samples, seed)``: white noise at -20 dB, float32."""

    def make(num_samples: int, seed: int = 0, num_channels: int | None = None) -> np.ndarray:
        shape = (num_samples,) if num_channels is None else (num_samples, num_channels)
        return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def wav_bytes() -> Callable[..., bytes]:
    """``wav_bytes(samples)``: the bytes of a recording, 16-bit WAV unless told otherwise."""

    def make(samples: np.ndarray, sample_rate: int = SAMPLE_RATE, **options: str) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, samples, sample_rate, **({"format": "WAV"} | options))
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def write_wavs(noise, wav_bytes) -> Callable[..., list[Path]]:
    """``write_wavs(folder, count)``: class folders ``low`` and ``high`` of generated wav files.

    No two files are alike and their lengths differ: 60 to 119 ms.
    """

    def make(folder: Path, count: int = 8, first_seed: int = 0) -> list[Path]:
        paths = []
        for number in range(count):
            name = ("low", "high")[number % 2]
            path = folder / name / f"{number:03d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav_bytes(noise(480 + (number * 37) % 480, first_seed + number)))
            paths.append(path)
        return paths

    return make


@pytest.fixture
def wav_folder(tmp_path, write_wavs) -> Path:
    """Two class folders with four generated wav files each."""
    write_wavs(tmp_path / "wavs")
    return tmp_path / "wavs"


@pytest.fixture(scope="session")
def migrated_once(tmp_path_factory) -> Iterator[None]:
    """An empty database gets MLflow's tables from a copy: its migrations take two seconds."""
    from mlflow.store.db import utils
    from sqlalchemy import Engine, create_engine, inspect

    migrate = utils._initialize_tables
    template = create_engine(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/template.db")

    def copy(engine: Engine) -> None:
        if engine.dialect.name != "sqlite" or inspect(engine).get_table_names():
            return migrate(engine)
        if not inspect(template).get_table_names():
            migrate(template)
        source, target = template.raw_connection(), engine.raw_connection()
        source.driver_connection.backup(target.driver_connection)
        source.close()
        target.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", copy)
        yield


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of two workers on this machine."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'seqbelt[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def killing_a_ray_worker() -> Callable[[str], AbstractContextManager[None]]:
    """``with killing_a_ray_worker(name)``: the first worker of a class that is caught at work is
    killed; fails where none is."""

    @contextmanager
    def kill(name: str) -> Iterator[None]:
        killed: list[str] = []
        done = threading.Event()

        def watch() -> None:
            while not killed and not done.is_set():
                for process in Path("/proc").glob("[0-9]*"):
                    try:
                        command = (process / "cmdline").read_bytes()
                    except OSError:
                        continue
                    if command.startswith(f"ray::{name}".encode()):
                        os.kill(int(process.name), signal.SIGKILL)
                        killed.append(process.name)
                        return
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        assert killed, "no worker was caught at work"

    return kill


@pytest.fixture(scope="session")
def ended_by() -> Callable[[str, type], type]:
    """``ended_by(name, worker)``: a Ray worker whose process ends at a file of that name."""

    def make(name: str, worker: type) -> type:
        class Deadly(worker):
            def process(self, window):
                if any(source.name == name for _, source in window):
                    os._exit(1)
                return super().process(window)

        return Deadly

    return make
