"""Prediction on a Ray cluster."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from seqbelt.errors import BadInput
from seqbelt.features.encoding import Encoded, IndexedSource
from seqbelt.features.ray_workers import RayWorkers
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import WINDOW_ITEMS, Prediction, Predictor


class RayPredictor(Predictor):
    """A predictor whose sources are predicted by Ray workers."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, device="cpu")
        with tempfile.TemporaryDirectory() as folder:
            bundle.save(Path(folder))
            paths = [path for path in Path(folder).rglob("*") if path.is_file()]
            files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
        self._workers = RayWorkers(_Worker, files, use_gpus=True)

    def predict(
        self,
        sources: Iterable[IndexedSource],
        is_known: Callable[[str], bool] | None = None,
        board: object = None,
    ) -> Iterator[Prediction | Encoded]:
        """As ``Predictor.predict``, on the cluster."""
        for result in self._workers.results(sources, is_known, WINDOW_ITEMS):
            if isinstance(result, Encoded) and isinstance(result.sequence, BadInput):
                yield Prediction(result.index, result.content_hash, 0, result.sequence)
            else:
                yield result


class _Worker:
    """A predictor in a Ray worker."""

    def __init__(self, files: dict[str, bytes]) -> None:
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self.predictor = Predictor(Bundle.load(Path(folder)))

    def process(self, window: list[IndexedSource]) -> list[Prediction | Encoded]:
        return list(self.predictor.predict(window))
