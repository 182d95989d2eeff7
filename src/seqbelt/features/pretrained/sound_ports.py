"""Which inputs and outputs of a graph are a recording, a state, features; and their axes.

What the graph states is inferred; what it leaves open is refused with all inputs and outputs.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from seqbelt.errors import SettingsError
from seqbelt.features.pretrained.onnx_model import OnnxModel, Port, choose

_STATE_SUFFIX = re.compile(r"_?(in|out|new|next|n|0)$", re.IGNORECASE)
RATE_NAMES = ("sr", "sample_rate", "sampling_rate", "rate")


@dataclass(frozen=True)
class SoundPorts:
    """How a recording enters an encoder, and features leave it."""

    waveform: str
    waveform_rank: int
    """2: ``(batch, samples)``; 3: ``(batch, 1, samples)``."""
    features: str
    states: Mapping[str, str] = field(default_factory=dict)
    """The output that is fed into an input at the next window, by that input."""
    rate: str | None = None
    """Input with the sample rate in Hz."""
    lengths: str | None = None
    """Input with the samples of each recording ``(batch,)``."""
    mask: str | None = None
    """Input that is 1 at the samples of a recording and 0 at padding."""
    batch_size: int | None = None
    """Rows that the graph takes; None for any number."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_sound_ports(
    model: OnnxModel, input_name: str | None, output_name: str | None, state: Mapping[str, str]
) -> tuple[SoundPorts, int | None]:
    """The ports, and the number of samples that the graph takes; None for any number.

    Raises SettingsError where the graph leaves them open.
    """
    states = dict(state) or find_states(model, input_name)
    _check_states(model, states)
    others = {port.name: port for port in model.inputs if port.name not in states}
    waveform = choose(model, "input", input_name, [p for p in others.values() if _can_be_sound(p)])
    shape = waveform.shape
    if not waveform.is_float or len(shape) not in (2, 3) or (len(shape) == 3 and shape[1] != 1):
        raise SettingsError(
            f"features.input: {waveform} is not a waveform: 'reads: waveform' needs (batch, "
            "samples) or (batch, 1, samples) of floating-point numbers. An encoder of spectra must "
            f"be exported together with what computes them. Of {model.name}: "
            f"{model.describe_ports()}"
        )
    del others[waveform.name]
    helpers = _find_helpers(model, others, waveform)
    outputs = [p for p in model.outputs if p.is_float and p.name not in states.values()]
    features = choose(model, "output", output_name, outputs)
    ports = SoundPorts(
        waveform.name, len(shape), features.name, states, **helpers, batch_size=shape[0]
    )
    return ports, shape[-1]


def _can_be_sound(port: Port) -> bool:
    return port.is_float and len(port.shape) >= 2


def find_states(model: OnnxModel, input_name: str | None) -> dict[str, str]:
    """Inputs that are outputs of the previous window, by their names: ``state`` and ``stateN``,
    ``h`` and ``hn``, ``cache_in`` and ``cache_out``."""
    states = {}
    for port in model.inputs:
        if port.name == input_name or not port.is_float or len(port.shape) < 2:
            continue
        stem = _STATE_SUFFIX.sub("", port.name)
        matches = [
            other
            for other in model.outputs
            if other.type == port.type
            and len(other.shape) == len(port.shape)
            and (_STATE_SUFFIX.sub("", other.name) == stem or other.name == f"{port.name}N")
        ]
        if len(matches) == 1:
            states[port.name] = matches[0].name
    return states


def _check_states(model: OnnxModel, states: Mapping[str, str]) -> None:
    """Raise SettingsError for a state that the graph has not, or whose size it leaves open."""
    inputs = {port.name: port for port in model.inputs}
    outputs = {port.name for port in model.outputs}
    for name, source in states.items():
        if name not in inputs or source not in outputs:
            raise SettingsError(
                f"features.state: {model.name} has no input '{name}' or no output '{source}'; "
                f"{model.describe_ports()}"
            )
        if sum(size is None for size in inputs[name].shape) > 1:
            raise SettingsError(
                f"features.state: the size of {inputs[name]} is open but for the batch; export the "
                "encoder with a state of fixed size"
            )


def _find_helpers(
    model: OnnxModel, others: Mapping[str, Port], waveform: Port
) -> dict[str, str | None]:
    """The remaining inputs by what they hold. Raises SettingsError for one that is not known."""
    helpers: dict[str, str | None] = {"rate": None, "lengths": None, "mask": None}
    for name, port in others.items():
        rank = len(port.shape)
        if name.lower() in RATE_NAMES and port.is_integer and rank <= 1:
            helpers["rate"] = name
        elif "len" in name.lower() and port.is_integer and rank == 1:
            helpers["lengths"] = name
        elif "mask" in name.lower() and rank == 2:
            helpers["mask"] = name
        else:
            raise SettingsError(
                f"features.input: it is not known what to give to {port} beside {waveform}; "
                "features.state names a state as INPUT: OUTPUT, and inputs called sr, lengths and "
                f"mask are filled in; export the encoder without others. {model.describe_ports()}"
            )
    return helpers


def first_states(model: OnnxModel, ports: SoundPorts) -> dict[str, np.ndarray]:
    """Zeros for the states of a new recording."""
    inputs = {port.name: port for port in model.inputs}
    return {
        name: np.zeros([size or 1 for size in inputs[name].shape], inputs[name].dtype)
        for name in ports.states
    }
