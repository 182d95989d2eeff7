"""torchaudio as an oracle of the audio transforms, also beside a CPU-only torch.

torchaudio's wheel is built for CUDA, so beside a CPU build of torch its compiled extension does
not load and ``import torchaudio`` fails. Its transforms are plain Python and do not need that
extension; here it is replaced by a stand-in when, and only when, it cannot be loaded.
"""

import importlib
import sys
from types import ModuleType


def _import() -> ModuleType:
    try:
        return importlib.import_module("torchaudio")
    except (OSError, ImportError, RuntimeError):  # the extension does not fit this torch
        _forget()
        sys.modules["torchaudio._extension"] = _stand_in()
        return importlib.import_module("torchaudio")


def _forget() -> None:
    """Remove the half-imported package, so that it can be imported again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]


def _stand_in() -> ModuleType:
    module = ModuleType("torchaudio._extension")
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    module._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    module.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
    module._load_lib = lambda name: False  # type: ignore[attr-defined]
    return module


torchaudio = _import()
