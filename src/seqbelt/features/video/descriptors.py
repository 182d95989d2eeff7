"""What describes a video frame: gradients of its change, or a torchvision backbone."""

import hashlib
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from seqbelt.errors import SeqbeltError, SettingsError

BLOCK_FRAMES = 64
"""Frames that are described together: a backbone's batch, a cache's worth of small frames."""


def blocks(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Stack frames into ``(BLOCK_FRAMES, height, width, ...)``; the last block may be shorter."""
    while block := list(islice(frames, BLOCK_FRAMES)):
        yield np.stack(block)


class DifferenceGradients:
    """Where brightness changed since the previous frame, and along which orientation.

    For each cell of a grid, the histogram of the orientations of the difference image's gradient,
    weighted by its magnitude: HOG (Dalal & Triggs 2005, doi:10.1109/CVPR.2005.177) of the change.
    Square roots, because a few fast edges dwarf all others. Cells are not normalised against
    each other: the amount of motion distinguishes actions.
    """

    def __init__(self, rows: int, columns: int, cell_pixels: int, num_orientations: int) -> None:
        self.shape = (rows * cell_pixels, columns * cell_pixels)
        self.num_features = rows * columns * num_orientations
        self.num_orientations = num_orientations
        self._pixels = cell_pixels**2
        row, column = (np.arange(length) // cell_pixels for length in self.shape)
        # A table, because the remainder of a division costs more than all else together.
        self._wrapped = np.arange(2 * num_orientations + 1) % num_orientations
        self._bins = (row[:, None] * columns + column) * num_orientations

    def describe(self, frames: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """Grey uint8 ``(steps, *shape)`` and the frame before them to ``(steps, features)``."""
        images = np.concatenate([previous[None], frames]).astype(np.float32)
        change = images[1:] - images[:-1]
        across, down = np.zeros_like(change), np.zeros_like(change)
        across[:, :, 1:-1] = (change[:, :, 2:] - change[:, :, :-2]) / 2
        down[:, 1:-1] = (change[:, 2:] - change[:, :-2]) / 2
        half_turns = np.arctan2(down, across) / np.pi + 1  # 0..2, where an odd one changes nothing
        orientation = self._wrapped[(half_turns * self.num_orientations).astype(np.int32)]
        step = np.arange(len(frames))[:, None, None] * self.num_features
        total = np.bincount(
            (step + self._bins + orientation).ravel(),
            weights=np.sqrt(across * across + down * down).ravel(),
            minlength=len(frames) * self.num_features,
        )
        return np.sqrt(total / self._pixels).astype(np.float32).reshape(len(frames), -1)


class Backbone:
    """A torchvision classifier without its last layer: frames in, ``(steps, features)`` out."""

    def __init__(self, name: str, weights: str, size: int, precision: str) -> None:
        import torch

        self._weights_class = _weights_class(name)
        self._mean, self._std = self._normalization(weights)
        file = self._weights_file(weights)
        self.weights_hash = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = getattr(torch, precision)
        model = _build(name, _load_state(file), self._weights_class.__members__.get(weights), file)
        self._model = model.eval().requires_grad_(False).to(self.device, self.dtype)
        self._lock = threading.Lock()
        probe = self.describe(np.zeros((1, size, size, 3), dtype=np.uint8))
        self.num_features = probe.shape[1]

    def describe(self, frames: np.ndarray) -> np.ndarray:
        """uint8 ``(steps, height, width, 3)`` to float32 ``(steps, num_features)``."""
        import torch

        images = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        images = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        mean, std = (torch.tensor(v, device=self.device) for v in (self._mean, self._std))
        images = (images - mean[:, None, None]) / std[:, None, None]
        # One forward at a time: it uses every core, and the other threads go on decoding.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with self._lock, torch.inference_mode(), exact:
            return self._model(images.to(self.dtype)).float().cpu().numpy()

    def _normalization(self, weights: str) -> tuple[Any, Any]:
        """Mean and deviation of the colours that the network was trained on."""
        known = self._weights_class.__members__
        transforms = known.get(weights, self._weights_class.DEFAULT).transforms()
        return transforms.mean, transforms.std

    def _weights_file(self, weights: str) -> Path:
        import torch

        known = self._weights_class.__members__
        if weights not in known:
            if Path(weights).is_file():
                return Path(weights)
            raise SettingsError(
                f"features.weights: '{weights}' is neither a file nor weights that "
                f"torchvision has for this backbone: {', '.join(known)}"
            )
        url = known[weights].url
        file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            digest = file.stem.rpartition("-")[2]  # part of the name by torchvision's convention
            try:
                torch.hub.download_url_to_file(url, str(file), digest, progress=False)
            except (OSError, RuntimeError) as error:
                raise SeqbeltError(
                    f"features.weights: {weights} could not be downloaded ({error}); fetch {url} "
                    f"and put it at {file}, or name a local file in features.weights"
                ) from None
        return file


@lru_cache(maxsize=2)
def _load_backbone(name: str, weights: str, size: int, precision: str) -> Backbone:
    return Backbone(name, weights, size, precision)


_loading = threading.Lock()


def load_backbone(name: str, weights: str, size: int, precision: str) -> Backbone:
    """The backbone, loaded once for a process however many threads ask."""
    with _loading:
        return _load_backbone(name, weights, size, precision)


def _weights_class(name: str) -> Any:
    torchvision = import_torchvision()
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise SettingsError(f"features.backbone: no '{name}'; torchvision has {', '.join(known)}")
    return torchvision.models.get_model_weights(name)


def _load_state(file: Path) -> dict[str, Any]:
    """A state dict from a file of tensors; a pickle of anything else is refused, not run."""
    import torch

    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise whatever broken files lead them to
        raise SettingsError(f"{file}: cannot be read as weights ({error})") from None
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise SettingsError(f"{file}: expected a state dict, names to tensors")
    return state


def _build(name: str, state: dict[str, Any], named_weights: Any, file: Path) -> Any:
    """The network with ``state``, its last linear layer replaced by the identity."""
    import torch

    # torchvision adapts its own weights to the network (old names, other input scales); here
    # they come from its cache, and reading ``state`` has shown that they are no other pickle.
    model = import_torchvision().models.get_model(name, weights=named_weights)
    linear = [key for key, part in model.named_modules() if isinstance(part, torch.nn.Linear)]
    if not linear:
        raise SettingsError(f"features.backbone: {name} ends in no linear layer")
    head = linear[-1]
    parent, _, attribute = head.rpartition(".")
    setattr(model.get_submodule(parent), attribute, torch.nn.Identity())
    if named_weights is None:
        # The head of a local file may have any number of classes: it is not used.
        state = {key: value for key, value in state.items() if not key.startswith(f"{head}.")}
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            fault = f"not the weights of {name}: {str(error)[:500]}"
            raise SettingsError(f"features.weights: {file}: {fault}") from None
    return model


def import_torchvision() -> Any:
    """torchvision, also beside a CPU-only torch.

    Its wheel is built for CUDA; where its extension does not load, torchvision fails at import
    because it declares shapes for two operators of that extension. No backbone uses these:
    declaring the operators lets the rest be imported.
    """
    import torch

    try:
        import torchvision
    except ModuleNotFoundError:
        raise SeqbeltError("the features 'frames' need torchvision: install it") from None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        global _operators  # the declarations live as long as this object
        _operators = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            _operators.define(operator + signature)
        import torchvision
    return torchvision
