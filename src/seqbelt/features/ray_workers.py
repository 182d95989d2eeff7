"""Dispatch batches of sources to Ray actors.

Each actor reads its sources itself, so paths must be valid on every machine. An actor that dies is
restarted and its batch retried; a batch that ends three actors in a row is retried source by
source, and only the source that ends an actor again gets an error. Results return to the calling
process, so a journal or a store gives the same guarantees as without Ray.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from seqbelt.ahead import draw_ahead
from seqbelt.errors import CRASHED, BadInput, SettingsError
from seqbelt.features.base import Encoder, Features
from seqbelt.features.encoding import (
    CHUNK_ITEMS,
    Encoded,
    IndexedSource,
    chunks,
    encode_sources,
    hash_if_readable,
)

TRIES = 3
AHEAD = 2
"""Windows queued for a worker: one being processed, one being read."""


class RayWorkers:
    """Workers of one class, which has ``process(window)``: a list with one result per source.

    Connects to the cluster that ``RAY_ADDRESS`` names, or starts one on this machine; there is a
    worker for each core or, where they ``use_gpus`` and the cluster has some, for each GPU.
    Raises SettingsError where Ray is not installed.
    """

    def __init__(self, worker: type, content: object, use_gpus: bool) -> None:
        try:
            import ray  # pyright: ignore[reportMissingImports]  # an extra
        except ImportError:
            raise SettingsError(
                "--engine ray: ray cannot be imported; pip install 'seqbelt[ray]'"
            ) from None
        self._ray: Any = ray
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
        resources = ray.cluster_resources()
        num_gpus = int(resources.get("GPU", 0)) if use_gpus else 0
        count = num_gpus or max(1, int(resources.get("CPU", 1)))
        # Each window may be tried again on a new worker; a worker may be started as often.
        options: dict[str, Any] = {"max_restarts": -1, "max_task_retries": TRIES - 1, "num_cpus": 1}
        remote = ray.remote(**options, num_gpus=1 if num_gpus else 0)(worker)
        # Kept, for a worker that is started again is given its content again.
        self._content = ray.put(content)
        self._workers = [remote.remote(self._content) for _ in range(count)]

    def results(
        self,
        sources: Iterable[IndexedSource],
        is_known: Callable[[str], bool] | None = None,
        max_items: int = CHUNK_ITEMS,
    ) -> Iterator[Any]:
        """The workers' results, in windows of at most ``max_items`` sources.

        In their place there is ``Encoded`` without a sequence for content whose hash ``is_known``
        (then every source is read here as well), and with BadInput for what ends its workers.
        """
        windows = self._dispatch(chunks(sources, max_items), is_known)
        for known, window, future in draw_ahead(windows, AHEAD * len(self._workers)):
            yield from known
            if window:
                yield from self._result(window, future)

    def _dispatch(
        self,
        windows: Iterable[list[IndexedSource]],
        is_known: Callable[[str], bool] | None,
    ) -> Iterator[tuple[list[Encoded], list[IndexedSource], Any]]:
        """Of each window what is known already, and the rest with the future of its results."""
        for number, chunk in enumerate(windows):
            known, window = [], []
            for index, source in chunk:
                if (
                    is_known
                    and (content_hash := hash_if_readable(source))
                    and is_known(content_hash)
                ):
                    known.append(Encoded(index, content_hash, None))
                else:
                    window.append((index, source))
            yield known, window, self._submit(number, window) if window else None

    def _submit(self, number: int, window: list[IndexedSource]) -> Any:
        return self._workers[number % len(self._workers)].process.remote(window)

    def _result(self, window: list[IndexedSource], future: Any) -> Iterator[Any]:
        try:
            yield from self._ray.get(future)
        except self._ray.exceptions.RayActorError:
            if len(window) == 1:
                ((index, source),) = window
                why = BadInput(CRASHED, f"it ended {TRIES} workers")
                yield Encoded(index, hash_if_readable(source) or "", why)
                return
            for item in window:  # whichever of them it is
                yield from self._result([item], self._submit(item[0], [item]))


def encode_on_ray(
    features: Features,
    encoder: Encoder,
    sources: Iterable[IndexedSource],
    is_known: Callable[[str], bool],
) -> Iterator[Encoded]:
    """As ``encode_sources``, on the cores of a Ray cluster; what ``is_known`` when it begins goes
    to the workers, so that no source is read here."""
    workers = RayWorkers(_EncodingWorker, (features, encoder, is_known), use_gpus=False)
    return workers.results(sources)


class _EncodingWorker:
    """Features in another process, on one core."""

    def __init__(self, content: tuple[Features, Encoder, Callable[[str], bool]]) -> None:
        self.features, self.encoder, self.is_known = content

    def process(self, window: list[IndexedSource]) -> list[Encoded]:
        return list(
            encode_sources(self.features, self.encoder, window, self.is_known, num_workers=1)
        )
