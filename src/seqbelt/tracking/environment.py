"""The environment of a run: versions, machine, commit."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "numpy", "soxr", "scikit-learn", "librosa", "mlflow", "accelerate")
# Requirements of a saved model; mlflow comes with the server that loads it.
MODEL_PACKAGES = (
    "torch", "numpy", "scipy", "soundfile", "soxr", "av", "pyarrow", "pydantic", "PyYAML",
    "safetensors", "filelock", "librosa", "tokenizers",
)  # fmt: skip

MORE_PACKAGES = {
    "frames": ("torchvision",), "channels": ("h5py",), "vectors": ("h5py",),
    "morpheme": ("kiwipiepy", "kiwipiepy_model"),
    "encoder": ("onnxruntime",), "sections": ("onnxruntime",),
    "clip_sections": ("onnxruntime", "torchvision"),
}  # fmt: skip
"""Additional requirements of some kinds of features, if installed."""


def describe_environment() -> dict[str, str]:
    """Tags: versions of Python and of the packages that affect results, machine, commit."""
    tags = {f"version.{name}": _version(name) for name in PACKAGES}
    tags["version.python"] = platform.python_version()
    tags["version.seqbelt"] = _version("seqbelt")
    tags["machine"] = f"{platform.system()} {platform.machine()}"
    commit = _git("rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        tags["git.dirty"] = str(bool(_git("status", "--porcelain"))).lower()
    return tags


def model_requirements(*feature_kinds: str) -> list[str]:
    """Exact requirements of a saved model; a local build of torch is named by its release."""
    more = [name for kind in feature_kinds for name in MORE_PACKAGES.get(kind, ())]
    pinned = [(name, _version(name)) for name in dict.fromkeys([*MODEL_PACKAGES, *more])]
    return [
        f"{name}=={installed.partition('+')[0]}"
        for name, installed in pinned
        if installed != "none"
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
