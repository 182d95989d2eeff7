"""An encoder's ONNX file: reading it with its weights, opening it, running it."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seqbelt.errors import UNREADABLE, BadInput, SeqbeltError, SettingsError
from seqbelt.features.base import Learned

MODEL_FILE, ABOUT_FILE = "encoder.onnx", "encoder.json"
"""Names in ``Learned`` and so in a bundle: the encoder, and how it is used."""
HASH_BLOCK = 1 << 22
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class Port:
    """An input or output of a graph."""

    name: str
    type: str
    """As ONNX Runtime writes it: ``tensor(float)``."""
    shape: tuple[int | None, ...]
    """None for a size that is given at run time."""

    @property
    def is_float(self) -> bool:
        return self.type in ("tensor(float)", "tensor(float16)", "tensor(double)")

    @property
    def is_integer(self) -> bool:
        return self.type in ("tensor(int32)", "tensor(int64)")

    @property
    def dtype(self) -> Any:
        """The numpy type. Raises SettingsError for one that no encoder takes."""
        if self.type not in TYPES:
            raise SettingsError(f"features.file: {self} has an unsupported type")
        return TYPES[self.type]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"'{self.name}' {self.type} ({sizes})"


class OnnxModel:
    """An ONNX file with a session that is opened when it is first needed, so that the object can be
    sent to another process."""

    def __init__(self, content: bytes | Path, name: str) -> None:
        """``content`` is the file itself, or the path of one that has its weights beside it."""
        self.content, self.name = content, name

    def __reduce__(self) -> tuple[type["OnnxModel"], tuple[bytes | Path, str]]:
        return OnnxModel, (self.content, self.name)

    @cached_property
    def _session(self) -> Any:
        with _opening:
            return _open_session(self.content, self.name)

    @cached_property
    def inputs(self) -> tuple[Port, ...]:
        return tuple(map(_port, self._session.get_inputs()))

    @cached_property
    def outputs(self) -> tuple[Port, ...]:
        return tuple(map(_port, self._session.get_outputs()))

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file's author wrote into it."""
        return self._session.get_modelmeta().custom_metadata_map

    def describe_ports(self) -> str:
        """All inputs and outputs with types and shapes."""
        inputs, outputs = ("; ".join(map(str, ports)) for ports in (self.inputs, self.outputs))
        return f"inputs: {inputs}. Outputs: {outputs}"

    def run(self, outputs: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The named outputs. Raises BadInput if the graph cannot compute them."""
        try:
            return self._session.run(list(outputs), dict(feeds))
        except Exception as error:  # ONNX Runtime has no common class of errors
            shapes = ", ".join(f"'{name}' {value.shape}" for name, value in feeds.items())
            raise BadInput(
                UNREADABLE, f"the encoder {self.name} fails at {shapes}: {_first_line(error)}"
            ) from None


def choose(model: OnnxModel, setting: str, name: str | None, candidates: list[Port]) -> Port:
    """The port that ``features.SETTING`` names, else the only candidate.

    Raises SettingsError if it names none, or if there is none or several.
    """
    ports = model.inputs if setting == "input" else model.outputs
    if name is not None:
        chosen = next((port for port in ports if port.name == name), None)
        if chosen is None:
            raise SettingsError(
                f"features.{setting}: {model.name} has no '{name}'; {model.describe_ports()}"
            )
        return chosen
    if len(candidates) == 1:
        return candidates[0]
    which = "several could be meant" if candidates else "none fits"
    raise SettingsError(
        f"features.{setting}: {which} in {model.name}; name one. {model.describe_ports()}"
    )


_opening = threading.Lock()


def _open_session(content: bytes | Path, name: str) -> Any:
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # sources are encoded in parallel
    options.log_severity_level = 4  # what fails is raised
    providers: list[Any] = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": 0}))
    try:
        return runtime.InferenceSession(
            content if isinstance(content, bytes) else str(content), options, providers=providers
        )
    except Exception as error:  # ONNX Runtime has no common class of errors
        reason = _first_line(error)
        hint = ""
        if "opset" in reason.lower():
            hint = (
                "; export it with an older opset (torch.onnx.export(..., opset_version=17)) or "
                "install a newer onnxruntime"
            )
        elif "is not a registered function/op" in reason or "not implemented" in reason.lower():
            hint = "; export it with standard operators only"
        raise SettingsError(
            f"features.file: {name}: onnxruntime {runtime.__version__} cannot load it "
            f"({reason}){hint}"
        ) from None


def import_onnxruntime() -> Any:
    """onnxruntime. Raises SettingsError if it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise SettingsError(
            "features of kind encoder: onnxruntime cannot be imported; pip install 'seqbelt[onnx]'"
        ) from None
    return onnxruntime


def _port(tensor: Any) -> Port:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in tensor.shape)
    return Port(tensor.name, tensor.type, shape)


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}…"


@dataclass(frozen=True)
class EncoderFile:
    """The file that ``features.file`` names, read once."""

    path: Path
    hash: str
    """Of the file and of the files that hold its weights."""
    num_bytes: int
    external: tuple[str, ...]
    """Files beside it that hold weights."""
    opset: int

    def content(self) -> bytes:
        """The encoder as one file, with weights that were beside it."""
        if not self.external:
            return self.path.read_bytes()
        import onnx

        return onnx.load(self.path).SerializeToString()

    def model(self, max_copy_mb: float) -> OnnxModel:
        """The encoder, in memory where it is copied."""
        return OnnxModel(
            self.content() if self.is_copied(max_copy_mb) else self.path, self.path.name
        )

    def describe(self) -> str:
        """Name, size and opset in words."""
        size = self.num_bytes / 1e6
        shown = f"{size:,.0f}" if size >= 100 else f"{size:.2g}"
        return f"encoder {self.path.name} ({shown} MB, opset {self.opset})"

    def copy_notes(self, max_copy_mb: float) -> list[str]:
        """What follows from the file's size: nothing where it is copied."""
        if self.is_copied(max_copy_mb):
            return []
        return [
            f"{self.describe()}: larger than features.max_copy_mb ({max_copy_mb:g}), so it is not "
            f"copied; predictions need it at {self.path.resolve()}"
        ]

    def is_copied(self, max_copy_mb: float) -> bool:
        return self.num_bytes <= max_copy_mb * 1e6

    def learned(self, model: OnnxModel, about: Mapping[str, Any]) -> Learned:
        """Files for a store and a bundle: the encoder, or where it is, and how it is used."""
        identity = {"name": self.path.name, "hash": self.hash, **about}
        if isinstance(model.content, bytes):
            return {MODEL_FILE: model.content, ABOUT_FILE: _to_json(identity)}
        identity |= {"path": str(self.path.resolve()), "external": list(self.external)}
        return {ABOUT_FILE: _to_json(identity)}


def _to_json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, ensure_ascii=False).encode()


def read_encoder_file(path: Path) -> EncoderFile:
    """Read the file's header and hash it.

    Raises SettingsError if it is missing, is no ONNX file, or lacks a file with its weights.
    """
    import_onnxruntime()
    try:
        import onnx
    except ImportError:
        raise SettingsError(
            "features of kind encoder: onnx cannot be imported; pip install 'seqbelt[onnx]'"
        ) from None
    if not path.is_file():
        raise SettingsError(f"features.file: {path}: no such file; give the path of an ONNX file")
    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises whatever a broken file leads it to
        raise SettingsError(
            f"features.file: {path}: cannot be read as ONNX ({_first_line(error)})"
        ) from None
    if not proto.graph.node:
        raise SettingsError(f"features.file: {path}: cannot be read as ONNX (no operators)")
    external = tuple(sorted(_external_files(proto)))
    missing = [name for name in external if not (path.parent / name).is_file()]
    if missing:
        raise SettingsError(
            f"features.file: {path}: its weights are in {', '.join(missing)}, which is missing; "
            f"copy it to {path.parent}, or export the encoder as one file"
        )
    opset = next(
        (entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0
    )
    files = [path, *(path.parent / name for name in external)]
    num_bytes = sum(file.stat().st_size for file in files)
    return EncoderFile(path, hash_of_files(files), num_bytes, external, opset)


def _external_files(proto: Any) -> set[str]:
    """Names of the files that hold weights."""
    return {
        entry.value
        for tensor in _tensors(proto.graph)
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _tensors(graph: Any) -> Iterator[Any]:
    """The weights of a graph and of the graphs within its loops and conditions."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def hash_of_files(files: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as file:
            while block := file.read(HASH_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def load_learned(learned: Learned) -> tuple[OnnxModel, dict[str, Any]]:
    """The encoder and how it is used, out of what ``EncoderFile.learned`` made.

    Raises SeqbeltError if an encoder that was not copied is missing or is another one.
    """
    about = json.loads(learned[ABOUT_FILE])
    if MODEL_FILE in learned:
        return OnnxModel(learned[MODEL_FILE], about["name"]), about
    path = Path(about["path"])
    files = [path, *(path.parent / name for name in about["external"])]
    for file in files:
        if not file.is_file():
            raise SeqbeltError(
                f"the encoder {file} is missing: it was too large to be copied into the bundle "
                f"(features.max_copy_mb); copy it there, with the hash {about['hash']}"
            )
    if hash_of_files(files) != about["hash"]:
        raise SeqbeltError(
            f"the encoder {path} is another one than at preparation (its hash is not "
            f"{about['hash']}); restore it, or prepare and train again"
        )
    return OnnxModel(path, about["name"]), about
