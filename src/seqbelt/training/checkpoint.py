"""Checkpoints: one safetensors file with the state from which training resumes.

No pickle. The file is written to a temporary name, flushed and renamed, so it is always complete;
the previous one is kept beside it, in case the disk damages the file.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from seqbelt.errors import SeqbeltError, naming

logger = logging.getLogger(__name__)

FORMAT = 3


def save_checkpoint(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and JSON-serialisable values atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": str(FORMAT), "about": json.dumps(about), "digest": _digest(tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with naming(path), temporary.open("wb") as file:
        file.write(save(tensors, metadata=metadata))
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(previous_checkpoint(path))
    temporary.replace(path)


def previous_checkpoint(path: Path) -> Path:
    """Path of the checkpoint before the last one."""
    return path.with_stem(path.stem + "-former")


def has_checkpoint(path: Path) -> bool:
    """Whether there is a checkpoint to resume from."""
    return path.exists() or previous_checkpoint(path).exists()


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and the one before it, if they are there."""
    path.unlink(missing_ok=True)
    previous_checkpoint(path).unlink(missing_ok=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint, or the previous one where the last one is damaged.

    Raises SeqbeltError if both are missing, damaged or of another format.
    """
    if not has_checkpoint(path):
        raise SeqbeltError(f"{path}: no checkpoint to resume from")
    try:
        return _load(path)
    except SeqbeltError as error:
        if not previous_checkpoint(path).exists():
            raise
        if path.exists():
            logger.warning("%s; resuming from the previous checkpoint", error)
        return _load(previous_checkpoint(path))


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:  # also where the file is missing
        raise SeqbeltError(
            f"{path}: damaged checkpoint ({error}); remove it to train from the start"
        ) from None
    if metadata.get("format") != str(FORMAT):
        raise SeqbeltError(
            f"{path}: checkpoint format {metadata.get('format')}, this version reads {FORMAT}; "
            "resume with the version that wrote it, or remove it to train from the start"
        )
    if metadata["digest"] != _digest(tensors):
        raise SeqbeltError(f"{path}: damaged checkpoint (hash mismatch); remove it to train "
                          "from the start")  # fmt: skip
    return tensors, json.loads(metadata["about"])


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode() + b"\0")
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
