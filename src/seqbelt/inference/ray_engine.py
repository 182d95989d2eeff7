"""Prediction on a Ray cluster: workers answer, this process keeps the journal.

Each worker holds the model and answers windows of sources, which it reads itself: paths must mean
the same on every machine. A worker that dies is started again and its window with it; what kills
three workers in a row is looked at source by source, and the culprit is quarantined. Nothing is
journalled but by this process, so the guarantees are those of a run without Ray.
"""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from seqbelt.errors import CRASHED, BadInput, SettingsError
from seqbelt.features.base import Source
from seqbelt.features.encoding import Encoded, hash_content
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import WINDOW_ITEMS, Prediction, Predictor

Numbered = tuple[int, Source]
TRIES = 3
AHEAD = 2
"""Windows a worker has before it: one to answer, one to read."""


class RayPredictor(Predictor):
    """A predictor whose sources are answered elsewhere.

    Connects to the cluster that ``RAY_ADDRESS`` names, or starts one on this machine.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, device="cpu")
        try:
            import ray  # pyright: ignore[reportMissingImports]  # an extra
        except ImportError:
            raise SettingsError(
                "--engine ray: ray cannot be imported; pip install 'seqbelt[ray]'"
            ) from None
        self.ray: Any = ray
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)

    def predict(
        self,
        sources: Iterable[Numbered],
        is_known: Callable[[str], bool] | None = None,
        board: object = None,
    ) -> Iterator[Prediction | Encoded]:
        """As ``Predictor.predict``, on the cluster."""
        with tempfile.TemporaryDirectory() as folder:
            self.bundle.save(Path(folder))
            files = {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob("*.*")}
        workers = self._start(files)
        waiting: deque[tuple[list[Numbered], Any]] = deque()
        for number, window in enumerate(_windows(self._new(sources, is_known))):
            if isinstance(window, Encoded):
                yield window
                continue
            waiting.append((window, workers[number % len(workers)].answer.remote(window)))
            if len(waiting) > AHEAD * len(workers):
                yield from self._result(*waiting.popleft(), workers)
        while waiting:
            yield from self._result(*waiting.popleft(), workers)

    def _start(self, files: dict[Path, bytes]) -> list[Any]:
        """A worker for each GPU, or each core where there is none."""
        resources = self.ray.cluster_resources()
        num_gpus = int(resources.get("GPU", 0))
        count = num_gpus or max(1, int(resources.get("CPU", 1)))
        # Each window may be tried again on a new worker; a worker may be started as often.
        options = {"max_restarts": -1, "max_task_retries": TRIES - 1, "num_cpus": 1}
        worker = self.ray.remote(**options, num_gpus=1 if num_gpus else 0)(_Worker)
        # Kept, for a worker that is started again is given the model again.
        self._model = self.ray.put({str(name): content for name, content in files.items()})
        return [worker.remote(self._model) for _ in range(count)]

    def _result(
        self, window: list[Numbered], answer: Any, workers: list[Any]
    ) -> Iterator[Prediction | Encoded]:
        try:
            yield from self.ray.get(answer)
        except self.ray.exceptions.RayActorError:
            if len(window) == 1:
                yield _crashed(*window[0])
                return
            for one in window:  # whoever of them it is
                again = workers[one[0] % len(workers)].answer.remote([one])
                yield from self._result([one], again, workers)

    def _new(
        self, sources: Iterable[Numbered], is_known: Callable[[str], bool] | None
    ) -> Iterator[Numbered | Encoded]:
        """The sources, less those whose content was answered before."""
        for index, source in sources:
            if is_known is not None:
                try:
                    content_hash = hash_content(source)
                except BadInput:
                    content_hash = ""
                if content_hash and is_known(content_hash):
                    yield Encoded(index, content_hash, None)
                    continue
            yield index, source


class _Worker:
    """A model in another process."""

    def __init__(self, files: dict[str, bytes]) -> None:
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self.predictor = Predictor(Bundle.load(Path(folder)))

    def answer(self, window: list[Numbered]) -> list[Prediction | Encoded]:
        return list(self.predictor.predict(window))


def _crashed(index: int, source: Source) -> Prediction:
    try:
        content_hash = hash_content(source)
    except BadInput:
        content_hash = ""
    why = BadInput(CRASHED, f"it ended {TRIES} workers")
    return Prediction(index, content_hash, 0, why)


def _windows(sources: Iterator[Numbered | Encoded]) -> Iterator[list[Numbered] | Encoded]:
    window: list[Numbered] = []
    for one in sources:
        if isinstance(one, Encoded):
            yield one
            continue
        window.append(one)
        if len(window) == WINDOW_ITEMS:
            yield window
            window = []
    if window:
        yield window
